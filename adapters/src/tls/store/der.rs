//! Just enough of DER to take a PKCS12 file apart.
//!
//! A length is believed only as far as there are bytes.

/// What is left of a row of elements.
#[derive(Clone, Copy)]
pub(super) struct Der<'a>(pub(super) &'a [u8]);

pub(super) const INTEGER: u8 = 0x02;
pub(super) const OCTETS: u8 = 0x04;
pub(super) const OID: u8 = 0x06;
pub(super) const BMP_STRING: u8 = 0x1e;
pub(super) const SEQUENCE: u8 = 0x30;
pub(super) const SET: u8 = 0x31;
/// `[0]` around a value.
pub(super) const EXPLICIT_0: u8 = 0xa0;
/// `[0]` in place of the tag of bytes.
pub(super) const IMPLICIT_0: u8 = 0x80;

impl<'a> Der<'a> {
    /// The next element: its tag and what is in it. `None` at the end, and where it is cut off.
    pub(super) fn next(&mut self) -> Option<(u8, &'a [u8])> {
        let (&tag, rest) = self.0.split_first()?;
        let (&first, mut rest) = rest.split_first()?;
        let mut length = usize::from(first);
        if first >= 0x80 {
            let count = usize::from(first & 0x7f);
            // None at all would be a length that is not said, which DER does not have.
            let (bytes, behind) = rest.split_at_checked(count).filter(|_| (1..=4).contains(&count))?;
            length = bytes.iter().fold(0, |length, byte| length << 8 | usize::from(*byte));
            rest = behind;
        }
        let (content, behind) = rest.split_at_checked(length)?;
        self.0 = behind;
        Some((tag, content))
    }

    /// What is in the next element, which must be a `tag`.
    pub(super) fn take(&mut self, tag: u8) -> Option<&'a [u8]> {
        let mut ahead = *self;
        let (found, content) = ahead.next()?;
        (found == tag).then(|| {
            *self = ahead;
            content
        })
    }

    /// The elements inside the next one.
    pub(super) fn inside(&mut self, tag: u8) -> Option<Self> {
        self.take(tag).map(Self)
    }

    /// A number that is not negative and not out of all proportion.
    pub(super) fn number(&mut self) -> Option<u64> {
        let bytes = self.take(INTEGER)?;
        if bytes.is_empty() || bytes.len() > 8 || bytes[0] >= 0x80 {
            return None;
        }
        Some(bytes.iter().fold(0, |number, byte| number << 8 | u64::from(*byte)))
    }

    pub(super) fn is_empty(self) -> bool {
        self.0.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elements_are_read_and_lengths_are_not_believed() {
        let mut der = Der(&[0x30, 3, 0x02, 1, 5, 0x04, 0x81, 1, 9]);
        assert_eq!(der.take(OCTETS), None, "another comes first");
        assert_eq!(der.inside(SEQUENCE).unwrap().number(), Some(5));
        assert_eq!(der.take(OCTETS), Some(&[9][..]));
        assert!(der.is_empty() && der.next().is_none());
        for cut in [
            &[0x30][..],
            &[0x30, 1],
            &[0x30, 0x80, 0, 0],
            &[0x30, 0x84, 0xff, 0xff, 0xff, 0xff, 1],
            &[0x30, 0x85, 0, 0, 0, 0, 1, 1],
            &[0x30, 0x82, 1],
        ] {
            assert_eq!(Der(cut).next(), None, "{cut:?}");
        }
        for number in [&[0x02, 0][..], &[0x02, 1, 0x80], &[0x02, 9, 1, 0, 0, 0, 0, 0, 0, 0, 0]] {
            assert_eq!(Der(number).number(), None, "{number:?}");
        }
    }
}
