//! Id, time and signatures of one attempt, by version 1.0.0 of the Standard Webhooks specification. Pure.
//!
//! The id of a request is the same however often it is sent. It is made from the body: two requests with one body say the
//! same, unless whoever writes the body leaves out what tells them apart, and then whoever does names the id itself.

use aws_lc_rs::hmac;
use base64::prelude::{BASE64_STANDARD, Engine as _};

/// A secret that signs.
#[derive(Clone)]
pub(super) struct Secret {
    key: hmac::Key,
    /// To tell whether it is another one; it does not tell what the secret is.
    print: [u8; 32],
}

/// What one attempt carries.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Stamp {
    pub(super) id: String,
    pub(super) timestamp: String,
    /// One for each secret, separated by spaces.
    pub(super) signatures: String,
}

impl Secret {
    /// Reads `whsec_` and Base64. An error is words, without the secret.
    pub(super) fn new(text: &str) -> Result<Self, &'static str> {
        if text.starts_with("whsk_") || text.starts_with("whpk_") {
            return Err("a key for asymmetric signatures; expected a secret that begins with whsec_");
        }
        let text = text.strip_prefix(PREFIX).ok_or("expected whsec_ and Base64")?;
        let bytes = BASE64_STANDARD.decode(text).map_err(|_| "what follows whsec_ is not Base64")?;
        if !(24..=64).contains(&bytes.len()) {
            return Err("expected 24 to 64 bytes in Base64 after whsec_");
        }
        let print = fingerprint(&bytes);
        Ok(Self { key: hmac::Key::new(hmac::HMAC_SHA256, &bytes), print })
    }

    fn sign(&self, id: &str, timestamp: &str, body: &[u8]) -> String {
        let mut context = hmac::Context::with_key(&self.key);
        for part in [id.as_bytes(), b".", timestamp.as_bytes(), b".", body] {
            context.update(part);
        }
        format!("v1,{}", BASE64_STANDARD.encode(context.sign()))
    }
}

impl PartialEq for Secret {
    fn eq(&self, other: &Self) -> bool {
        self.print == other.print
    }
}

/// The stamp of a request with `body` that is sent at `unix` seconds; `given` is the id that it has already.
pub(super) fn stamp(secrets: &[Secret], given: Option<&[u8]>, unix: u64, body: &[u8]) -> Stamp {
    let (id, timestamp) = (id(given, body), unix.to_string());
    let signatures: Vec<String> = secrets.iter().map(|secret| secret.sign(&id, &timestamp, body)).collect();
    Stamp { id, timestamp, signatures: signatures.join(" ") }
}

/// A point in an id could move what is signed as time into the id, so one that has any is named by its hash.
fn id(given: Option<&[u8]>, body: &[u8]) -> String {
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
    match given {
        Some(given) if (1..=ID_BYTES_MAX).contains(&given.len()) && given.iter().all(plain) => {
            String::from_utf8_lossy(given).into_owned()
        }
        other => {
            let hash = fingerprint(other.unwrap_or(body));
            let hex = hash.iter().take(16).map(|byte| format!("{byte:02x}"));
            format!("msg_{}", hex.collect::<String>())
        }
    }
}

/// A hash that nobody takes for one of ours elsewhere.
fn fingerprint(bytes: &[u8]) -> [u8; 32] {
    let key = hmac::Key::new(hmac::HMAC_SHA256, b"webhook-id");
    let mut print = [0; 32];
    print.copy_from_slice(hmac::sign(&key, bytes).as_ref());
    print
}

const PREFIX: &str = "whsec_";
const ID_BYTES_MAX: usize = 128;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn secret(text: &str) -> Secret {
        Secret::new(text).unwrap()
    }

    /// The vectors of the reference libraries.
    #[test]
    fn signatures_are_those_of_the_reference() {
        let secrets = [secret("whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD")];
        let body = br#"{"email":"test@example.com","username":"test_user"}"#;
        let stamp = stamp(&secrets, Some(b"msg_27UH4WbU6Z5A5EzD8u03UvzRbpk"), 1_649_367_553, body);
        assert_eq!(stamp.id, "msg_27UH4WbU6Z5A5EzD8u03UvzRbpk");
        assert_eq!(stamp.timestamp, "1649367553");
        assert_eq!(stamp.signatures, "v1,tZ1I4/hDygAJgO5TYxiSd6Sd0kDW6hPenDe+bTa3Kkw=");
    }

    #[test]
    fn every_secret_signs_and_nothing_else_changes() {
        let (old, new) =
            (secret(&format!("whsec_{}", "A".repeat(32))), secret(&format!("whsec_{}", "B".repeat(32))));
        let alone = stamp(std::slice::from_ref(&old), None, 1, b"x");
        let both = stamp(&[new, old], None, 1, b"x");
        assert_eq!((&both.id, &both.timestamp), (&alone.id, &alone.timestamp));
        let (first, second) = both.signatures.split_once(' ').unwrap();
        assert_eq!(second, alone.signatures);
        assert!(first.starts_with("v1,") && first != second);
    }

    #[test]
    fn the_id_stays_with_the_body_and_the_signature_goes_with_the_time() {
        let secrets = [secret(&format!("whsec_{}", "A".repeat(32)))];
        let (first, again) = (stamp(&secrets, None, 1, b"x"), stamp(&secrets, None, 2, b"x"));
        assert_eq!(first.id, again.id);
        assert_ne!(first.signatures, again.signatures);
        assert_ne!(first.id, stamp(&secrets, None, 1, b"y").id);
        // As Python's `hmac` makes it: it has to stay what it is from one release to the next.
        assert_eq!(first.id, "msg_dbce245a2faabd0ace6b8b14ddbd5776");
        assert_eq!(id(Some(b"orders-17_3"), b"x"), "orders-17_3");
        for odd in [&b"a.1"[..], b"", b" ", "é".as_bytes(), &[b'a'; 129]] {
            let id = id(Some(odd), b"x");
            assert!(id.starts_with("msg_") && id.len() == 36, "{id}");
            assert_ne!(id, first.id, "it was named");
        }
    }

    #[test]
    fn what_is_no_secret_is_said_without_repeating_it() {
        for (text, word) in [
            ("", "expected whsec_"),
            ("hunter2", "expected whsec_"),
            ("whsec_hunter2!", "not Base64"),
            ("whsec_", "24 to 64"),
            ("whsec_aHVudGVyMg==", "24 to 64"),
            ("whsk_aHVudGVyMg==", "asymmetric"),
            ("whpk_aHVudGVyMg==", "asymmetric"),
        ] {
            let error = Secret::new(text).map(|_| ()).unwrap_err();
            assert!(error.contains(word) && !error.contains("unter2"), "{text}: {error}");
        }
        for (length, fits) in [(23, false), (24, true), (64, true), (65, false)] {
            let text = format!("whsec_{}", BASE64_STANDARD.encode(vec![7; length]));
            assert_eq!(Secret::new(&text).is_ok(), fits, "{length}");
        }
        let (one, same) =
            (secret(&format!("whsec_{}", "A".repeat(32))), secret(&format!("whsec_{}", "A".repeat(32))));
        assert!(one == same && one != secret(&format!("whsec_{}", "B".repeat(32))));
    }

    proptest! {
        #[test]
        fn an_id_never_holds_what_could_be_read_as_more(given in prop::option::of(prop::collection::vec(any::<u8>(), 0..200))) {
            let id = id(given.as_deref(), b"body");
            prop_assert!(!id.is_empty() && id.len() <= 128);
            prop_assert!(id.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte)), "{id}");
        }
    }
}
