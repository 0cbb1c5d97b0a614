//! Finds the number and version of each simulated record in a request body.
//!
//! Looks only where the identity can be and skips the rest, which is several times cheaper than parsing. What the body
//! is, its media type says; nothing is guessed.

mod json;
mod message_pack;

use crate::simulator::ledger::LAST;

/// Which version of which record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The record's number.
    pub id: u64,
    /// Its version; [`LAST`] for a delete whose format does not tell.
    pub version: u32,
}

/// The body is not what its media type says, as far as it was looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("byte {at}: expected {expected}")]
pub struct Malformed {
    /// Where.
    pub at: usize,
    /// What should have been there.
    pub expected: &'static str,
}

/// Calls `each` for every notification in `body`, with its identity if it has one.
///
/// An unknown media type, or none, is taken for JSON. Avro cannot be read without the schema of the one who wrote it:
/// such a body counts as one notification without an identity.
pub fn identify(
    media_type: &str,
    body: &[u8],
    mut each: impl FnMut(Option<Identity>),
) -> Result<(), Malformed> {
    let media_type = media_type.split(';').next().unwrap_or_default().trim();
    match media_type.to_ascii_lowercase().as_str() {
        "application/x-msgpack" => message_pack::identify(body, each),
        "application/avro" => {
            if !body.is_empty() {
                each(None);
            }
            Ok(())
        }
        _ => json::identify(body, each),
    }
}

/// What is known of a notification so far.
#[derive(Default)]
struct Findings {
    id: Option<i64>,
    version: Option<i64>,
    user_key: Option<i64>,
    generation: Option<i64>,
    is_delete: bool,
}

impl Findings {
    /// Writes carry their identity in two bins. Deletes carry no bins: their user key is the number, or holds its
    /// digits; their generation, if the format has it, is the version.
    fn identity(&self) -> Option<Identity> {
        let id = u64::try_from(self.id.or(self.user_key)?).ok()?;
        let version = match self.version.or(self.generation) {
            Some(version) => u32::try_from(version).ok()?,
            None if self.is_delete => LAST,
            None => return None,
        };
        Some(Identity { id, version })
    }
}

/// A number in decimal digits.
fn digits(text: &[u8]) -> Option<i64> {
    str::from_utf8(text).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_media_type_decides() {
        let count = |media_type: &str, body: &[u8]| {
            let mut count = 0;
            identify(media_type, body, |_| count += 1).map(|()| count)
        };
        let (json, message_pack) = (b"{}\n{}", b"\x93\x01\x02\x92\x94\xc0\xc0\xc0\x07\x00");
        assert_eq!(count("application/json", json), Ok(2));
        assert_eq!(count("application/x-ndjson; charset=utf-8", json), Ok(2));
        assert_eq!(count("", json), Ok(2));
        assert_eq!(count("Application/X-MsgPack", message_pack), Ok(1));
        assert!(count("application/json", message_pack).is_err());
        assert!(count("application/x-msgpack", json).is_err());
        assert_eq!(count("application/avro", b"Obj\x01"), Ok(1));
        assert_eq!(count("application/avro", b""), Ok(0));
    }
}
