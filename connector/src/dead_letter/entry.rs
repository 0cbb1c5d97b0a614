//! A dead letter as it is sent: one JSON object on one line, with all that is known and the message itself.
//!
//! | member | what |
//! | --- | --- |
//! | `time` | when it became a dead letter, RFC 3339 in UTC |
//! | `destination` | who does not take the record |
//! | `reason` | why, in words |
//! | `cause` | why, as one of the words of the metrics |
//! | `status` | status of the destination's answer, or null |
//! | `consumerReason` | what the consumer itself gave as its reason, or null |
//! | `attempts` | requests made for it, 0 when it could not even be written |
//! | `namespace`, `set` | of the record; the set may be null |
//! | `digest` | of the record, hexadecimal as in the logs |
//! | `userKey` | of the record, when it was shipped; else null |
//! | `gen`, `lut` | generation, and last-update time in milliseconds, of this version; or null |
//! | `notification` | the whole notification in the format `json` |
//! | `frame` | the message as it came (not compressed), 8-byte header included, in Base64: what `replay` ships |
//!
//! Every member is always there. Pure: the time is an argument.

use std::{borrow::Cow, fmt};

use adapters::Cause;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde::Serialize;

use super::Why;
use crate::{
    config::{Format, JsonRules},
    encode::{self, EncodeError, Encoder},
    logging::day::Day,
    notification::{ChangeNotification, RecordId},
    wire::{frame, message},
};

/// A record as it came.
pub struct Original {
    frame: Box<[u8]>,
    arrived_unix_ms: u64,
}

impl Original {
    /// Keeps a whole message frame, header included.
    pub fn new(frame: &[u8], arrived_unix_ms: u64) -> Self {
        Self { frame: frame.into(), arrived_unix_ms }
    }

    /// Bytes it holds.
    pub fn bytes(&self) -> usize {
        self.frame.len()
    }

    /// The notification. It was there when the record came, so it is there now.
    fn notification(&self) -> Option<ChangeNotification<'_>> {
        let body = self.frame.get(frame::HEADER_BYTES..)?;
        message::decode(body, self.arrived_unix_ms).ok().map(|decoded| decoded.notification)
    }
}

/// It holds a record, so only its size is shown.
impl fmt::Debug for Original {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Original({} bytes)", self.frame.len())
    }
}

/// What a dead letter is made of.
#[derive(Debug)]
pub(super) struct Letter<'a> {
    pub(super) why: &'a Why<'a>,
    /// Why it cannot be written, when that is why.
    pub(super) unwritten: Option<&'a EncodeError>,
    pub(super) attempts: u32,
    pub(super) record: &'a RecordId,
    pub(super) original: &'a Original,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Head<'a> {
    time: String,
    destination: &'a str,
    reason: String,
    cause: &'static str,
    status: Option<u16>,
    consumer_reason: Option<&'a str>,
    attempts: u32,
    namespace: Cow<'a, str>,
    set: Option<Cow<'a, str>>,
    digest: String,
    #[serde(rename = "gen")]
    generation: Option<u32>,
    lut: Option<u64>,
}

impl Letter<'_> {
    /// The object, without a line end.
    pub(super) fn to_json(&self, now_unix_ms: u64) -> Vec<u8> {
        let notification = self.original.notification();
        let notification = notification.as_ref();
        let head = Head {
            time: rfc3339(now_unix_ms),
            destination: self.why.destination,
            reason: reason(self.why.cause, self.unwritten),
            cause: self.why.cause.as_str(),
            status: self.why.status.or(match self.why.cause {
                Cause::Status(code) => Some(code),
                _ => None,
            }),
            consumer_reason: self.why.reason,
            attempts: self.attempts,
            namespace: String::from_utf8_lossy(self.record.namespace()),
            set: notification.and_then(|notification| notification.set).map(String::from_utf8_lossy),
            digest: self.record.digest().to_string(),
            generation: notification.and_then(|notification| notification.generation),
            lut: notification.and_then(|notification| notification.lut_unix_ms),
        };
        // Text and numbers always become JSON.
        let mut out = serde_json::to_vec(&head).unwrap_or_default();
        out.reserve(self.original.bytes() * 3);
        out.pop();
        out.extend_from_slice(b",\"userKey\":");
        written_or_null(&mut out, |out| match notification?.user_key {
            Some(key) => encode::write_user_key(key, out).ok(),
            None => None,
        });
        out.extend_from_slice(b",\"notification\":");
        written_or_null(&mut out, |out| {
            let encoder = Encoder::new(Format::Json(JsonRules::default())).ok()?;
            encoder.encode(notification?, out).ok().map(drop)
        });
        out.extend_from_slice(b",\"frame\":\"");
        out.extend_from_slice(STANDARD.encode(&self.original.frame).as_bytes());
        out.extend_from_slice(b"\"}");
        out
    }
}

/// Why a record is a dead letter, in words that tell nothing of what is in it.
pub(super) fn reason(cause: Cause, unwritten: Option<&EncodeError>) -> String {
    if let Some(error) = unwritten {
        return format!("the record cannot be written in the configured format: {error}");
    }
    match cause {
        Cause::Status(code) => format!("the destination refused the record with status {code}"),
        Cause::TooLarge => "the record is larger than the destination takes".to_owned(),
        Cause::FunctionError => "the consumer cannot process the record".to_owned(),
        cause => format!("the destination does not take the record: {cause}"),
    }
}

/// What `write` appends, or null when there is nothing to write or it fails half-way.
fn written_or_null(out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>) -> Option<()>) {
    let start = out.len();
    if write(out).is_none() {
        out.truncate(start);
        out.extend_from_slice(b"null");
    }
}

pub(crate) fn rfc3339(unix_ms: u64) -> String {
    let (unix_seconds, ms) = (unix_ms / 1000, unix_ms % 1000);
    let (hours, minutes, seconds) = (unix_seconds / 3600 % 24, unix_seconds / 60 % 60, unix_seconds % 60);
    let day = Day::of_unix_seconds(unix_seconds);
    format!("{day}T{hours:02}:{minutes:02}:{seconds:02}.{ms:03}Z")
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::{
        notification::Digest,
        simulator::{
            encode::{Change, Head, Message, UserKey},
            particle::Particle,
        },
    };

    fn frame(set: Option<&[u8]>, user_key: Option<UserKey<'_>>, bin: &Particle<'_>) -> Vec<u8> {
        let mut bytes = Vec::new();
        let head = Head {
            change: Change::Replace,
            namespace: b"shop",
            set,
            digest: [7; 20],
            user_key,
            generation: 3,
            ttl_seconds: 60,
            lut_unix_ms: Some(1_700_000_000_123),
        };
        let mut message = Message::begin(&mut bytes, &head);
        message.bin(b"n", bin);
        message.finish();
        bytes
    }

    fn entry(frame: &[u8], why: &Why<'_>, unwritten: Option<&EncodeError>) -> Value {
        let original = Original::new(frame, 1_700_000_001_000);
        let record = RecordId::new(b"shop", Digest([7; 20]));
        let letter = Letter { why, unwritten, attempts: 2, record: &record, original: &original };
        let line = letter.to_json(1_709_210_096_007);
        assert!(!line.contains(&b'\n'), "one line");
        serde_json::from_slice(&line).expect("JSON")
    }

    #[test]
    fn everything_is_there() {
        let frame = frame(Some(b"orders"), Some(UserKey::Integer(42)), &Particle::String(b"two\nlines"));
        let why = Why {
            destination: "functions",
            cause: Cause::FunctionError,
            status: Some(200),
            reason: Some("no such \"customer\""),
        };
        assert_eq!(
            entry(&frame, &why, None),
            json!({
                "time": "2024-02-29T12:34:56.007Z",
                "destination": "functions",
                "reason": "the consumer cannot process the record",
                "cause": "function-error",
                "status": 200,
                "consumerReason": "no such \"customer\"",
                "attempts": 2,
                "namespace": "shop",
                "set": "orders",
                "digest": "07".repeat(20),
                "gen": 3,
                "lut": 1_700_000_000_123_u64,
                "userKey": 42,
                "notification": {
                    "msg": "write",
                    "key": ["shop", "orders", STANDARD.encode([7; 20]), 42],
                    "gen": 3,
                    // Counted from when it came.
                    "exp": 1_700_000_061,
                    "lut": 1_700_000_000_123_u64,
                    "bins": [{"name": "n", "type": "str", "value": "two\nlines"}],
                },
                "frame": STANDARD.encode(&frame),
            })
        );
    }

    #[test]
    fn what_is_not_known_is_null_and_what_is_no_text_arrives() {
        let frame = frame(None, None, &Particle::Double(f64::NAN));
        let error = EncodeError { place: "bin \"n\"".to_owned(), problem: "no number".into() };
        let why = Why { destination: "d", cause: Cause::Malformed, status: None, reason: None };
        let entry = entry(&frame, &why, Some(&error));
        for member in ["status", "consumerReason", "set", "userKey"] {
            assert_eq!(entry.get(member), Some(&Value::Null), "{member}");
        }
        let reason = "the record cannot be written in the configured format: bin \"n\": no number";
        assert_eq!((&entry["cause"], &entry["reason"]), (&json!("malformed"), &json!(reason)));
        assert_eq!(entry["notification"]["bins"][0]["value"], "NaN");
    }

    #[test]
    fn each_cause_has_its_words_and_a_status_is_found_in_it() {
        let frame = frame(Some(b"caf\xe9"), None, &Particle::Integer(1));
        for (cause, words, status) in [
            (Cause::Status(422), "refused the record with status 422", json!(422)),
            (Cause::TooLarge, "larger than the destination takes", Value::Null),
            (Cause::Unauthorized, "does not take the record: unauthorized", Value::Null),
        ] {
            let entry = entry(&frame, &Why { destination: "d", cause, status: None, reason: None }, None);
            assert!(entry["reason"].as_str().is_some_and(|reason| reason.contains(words)), "{entry}");
            assert_eq!((&entry["status"], &entry["set"]), (&status, &json!("caf\u{fffd}")));
        }
    }

    #[test]
    fn a_debug_print_shows_no_record() {
        assert_eq!(format!("{:?}", Original::new(b"secret", 1)), "Original(6 bytes)");
    }
}
