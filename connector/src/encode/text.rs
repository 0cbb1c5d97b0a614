//! Text from the wire as UTF-8, which neither the protocol nor the server promises.

use std::borrow::Cow;

/// One in each of eight bytes, and the high bit of each.
pub(super) const EACH: u64 = u64::MAX / 255;
pub(super) const HIGH: u64 = EACH << 7;

/// The bytes of `text` as UTF-8. What is not UTF-8 becomes U+FFFD: the record still arrives.
#[inline]
pub(super) fn utf8(text: &[u8]) -> Cow<'_, [u8]> {
    match find(text, |word| word & HIGH) {
        None => Cow::Borrowed(text),
        Some(_) => not_ascii(text),
    }
}

fn not_ascii(text: &[u8]) -> Cow<'_, [u8]> {
    // `from_utf8_lossy` looks at every single byte; nearly all text needs no such care.
    match str::from_utf8(text) {
        Ok(_) => Cow::Borrowed(text),
        Err(_) => Cow::Owned(String::from_utf8_lossy(text).into_owned().into_bytes()),
    }
}

/// The first byte that is found by `found`, which sets high bits of the bytes of a word: that of the first one, and those of later
/// ones as it likes. It must not find blanks. No byte is looked at alone: most texts are a word or two.
#[inline]
pub(super) fn find(text: &[u8], found: impl Fn(u64) -> u64) -> Option<usize> {
    let (words, tail) = text.as_chunks::<8>();
    for (index, word) in words.iter().enumerate() {
        let found = found(u64::from_le_bytes(*word));
        if found != 0 {
            return Some(index * 8 + byte_of(found));
        }
    }
    if tail.is_empty() {
        return None;
    }
    // The last eight bytes: in front of the tail stands what was looked at already, or blanks.
    let last = match text.last_chunk::<8>() {
        Some(last) => *last,
        None => {
            let mut last = [b' '; 8];
            last[8 - tail.len()..].copy_from_slice(tail);
            last
        }
    };
    let found = found(u64::from_le_bytes(last));
    (found != 0).then(|| text.len() + byte_of(found) - 8)
}

fn byte_of(found: u64) -> usize {
    found.trailing_zeros() as usize / 8
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn it_is_what_the_standard_library_makes_of_it(text in any::<Vec<u8>>(), valid in any::<String>()) {
            prop_assert_eq!(utf8(&text).into_owned(), String::from_utf8_lossy(&text).into_owned().into_bytes());
            prop_assert_eq!(utf8(valid.as_bytes()), Cow::Borrowed(valid.as_bytes()));
        }

        #[test]
        fn what_is_found_is_the_first(text in "[a-c\\x80-\\xff]{0,40}", from in 0_usize..20) {
            let text = text.as_bytes().get(from..).unwrap_or_default();
            let expected = text.iter().position(|byte| !byte.is_ascii());
            prop_assert_eq!(find(text, |word| word & HIGH), expected);
        }
    }
}
