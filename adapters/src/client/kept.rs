//! The body of an answer: read to its end to keep the connection, and kept only where somebody looks at it.

use bytes::{Bytes, BytesMut};
use http::StatusCode;

use super::ANSWER_BODY_BYTES_MAX;

/// How much of an answer's body is wanted.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Keep {
    /// It is read and forgotten.
    Nothing,
    /// Only of a refusal: it may tell why.
    Refusals,
    /// Of every answer, and this many bytes of a success.
    All(usize),
}

/// What was read of a body, piece by piece.
pub(super) struct Kept {
    /// Bytes that may still come.
    left: usize,
    wanted: bool,
    body: BytesMut,
    pub(super) cut: bool,
}

impl Kept {
    pub(super) fn new(keep: Keep, status: StatusCode) -> Self {
        let (wanted, left) = match keep {
            Keep::Nothing => (false, ANSWER_BODY_BYTES_MAX),
            Keep::Refusals => (!status.is_success(), ANSWER_BODY_BYTES_MAX),
            Keep::All(most) if status.is_success() => (true, most),
            Keep::All(_) => (true, ANSWER_BODY_BYTES_MAX),
        };
        Self { left, wanted, body: BytesMut::new(), cut: false }
    }

    /// Takes the next piece; false when it is too much, and nothing more shall be read.
    pub(super) fn push(&mut self, piece: &[u8]) -> bool {
        let length = self.take(piece.len());
        if self.wanted {
            self.body.extend_from_slice(&piece[..length]);
        }
        !self.cut
    }

    /// All that was kept.
    pub(super) fn into_body(self) -> Bytes {
        self.body.freeze()
    }

    /// How many of the next `length` bytes are not too many.
    fn take(&mut self, length: usize) -> usize {
        let taken = length.min(self.left);
        self.cut = length > taken;
        self.left -= taken;
        taken
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(keep: Keep, status: u16, pieces: &[&'static str]) -> (String, bool) {
        let mut kept = Kept::new(keep, StatusCode::from_u16(status).unwrap());
        for piece in pieces {
            if !kept.push(piece.as_bytes()) {
                break;
            }
        }
        let (cut, body) = (kept.cut, kept.into_body());
        (String::from_utf8(body.to_vec()).unwrap(), cut)
    }

    #[test]
    fn what_nobody_looks_at_is_not_kept() {
        assert_eq!(read(Keep::Nothing, 200, &["abc"]), (String::new(), false));
        assert_eq!(read(Keep::Nothing, 403, &["abc"]), (String::new(), false));
        assert_eq!(read(Keep::Refusals, 200, &["abc"]), (String::new(), false));
        assert_eq!(read(Keep::Refusals, 403, &["abc", "", "de"]), ("abcde".to_owned(), false));
        assert_eq!(read(Keep::All(9), 200, &["", "abc", "de"]), ("abcde".to_owned(), false));
    }

    #[test]
    fn too_much_is_cut_and_said_to_be() {
        assert_eq!(read(Keep::All(5), 200, &["abc", "de"]), ("abcde".to_owned(), false));
        assert_eq!(read(Keep::All(5), 200, &["abc", "def", "g"]), ("abcde".to_owned(), true));
        let long: &str = "x".repeat(ANSWER_BODY_BYTES_MAX + 1).leak();
        for keep in [Keep::Nothing, Keep::Refusals, Keep::All(5)] {
            let (body, cut) = read(keep, 403, &[long]);
            assert!(cut, "{keep:?}");
            assert!(body.is_empty() || body.len() == ANSWER_BODY_BYTES_MAX, "{keep:?}");
        }
    }
}
