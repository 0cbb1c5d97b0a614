use proptest::prelude::*;

use super::*;
use crate::wire::ack::ResultCode;

const NOW_UNIX_MS: u64 = 1_700_000_000_123;
const DIGEST: [u8; 20] = [7; 20];

/// A message under construction: a write of XDR with namespace and digest, unless told otherwise.
struct Message {
    header: [u8; layout::HEADER_BYTES],
    fields: Vec<(u8, Vec<u8>)>,
    ops: Vec<Vec<u8>>,
}

impl Message {
    fn write() -> Self {
        let mut header = [0; layout::HEADER_BYTES];
        (header[0], header[1], header[2]) = (22, 0x10, 0x01);
        Self { header, fields: vec![(0, b"test".to_vec()), (4, DIGEST.to_vec())], ops: vec![] }
    }

    fn delete() -> Self {
        Self::write().info2(0x03)
    }

    fn info1(mut self, bits: u8) -> Self {
        self.header[1] = bits;
        self
    }

    fn info2(mut self, bits: u8) -> Self {
        self.header[2] = bits;
        self
    }

    fn ttl(mut self, ttl: u32) -> Self {
        self.header[10..14].copy_from_slice(&ttl.to_be_bytes());
        self
    }

    fn field(mut self, type_: u8, data: &[u8]) -> Self {
        self.fields.push((type_, data.to_vec()));
        self
    }

    fn without(mut self, type_: u8) -> Self {
        self.fields.retain(|(found, _)| *found != type_);
        self
    }

    fn op(mut self, op: u8, particle: u8, name: &[u8], value: &[u8]) -> Self {
        let mut bytes = vec![op, particle, 0, name.len() as u8];
        bytes.extend_from_slice(name);
        bytes.extend_from_slice(value);
        self.ops.push(bytes);
        self
    }

    fn bin(self, name: &str, value: u8) -> Self {
        self.op(2, 1, name.as_bytes(), &[value])
    }

    fn body(&self) -> Vec<u8> {
        let mut body = self.header.to_vec();
        body[18..20].copy_from_slice(&(self.fields.len() as u16).to_be_bytes());
        body[20..22].copy_from_slice(&(self.ops.len() as u16).to_be_bytes());
        for (type_, data) in &self.fields {
            body.extend_from_slice(&(data.len() as u32 + 1).to_be_bytes());
            body.push(*type_);
            body.extend_from_slice(data);
        }
        for op in &self.ops {
            body.extend_from_slice(&(op.len() as u32).to_be_bytes());
            body.extend_from_slice(op);
        }
        body
    }

    fn check(&self, check: impl FnOnce(&Decoded<'_>)) {
        let body = self.body();
        check(&decode(&body, NOW_UNIX_MS).unwrap());
    }

    fn refused(&self) -> MessageError {
        decode(&self.body(), NOW_UNIX_MS).unwrap_err()
    }
}

fn bins(decoded: &Decoded<'_>) -> Vec<(String, Value<'static>)> {
    let value = |value| match value {
        Value::Integer(value) => Value::Integer(value),
        Value::Null => Value::Null,
        other => panic!("{other:?}"),
    };
    let bins = decoded.notification.bins.iter();
    bins.map(|bin| (String::from_utf8_lossy(bin.name).into_owned(), value(bin.value))).collect()
}

fn names(decoded: &Decoded<'_>) -> Vec<&'static str> {
    decoded.anomalies.iter().collect()
}

#[test]
fn expiry_by_time_to_live() {
    let now_unix_s = NOW_UNIX_MS / 1000;
    let cases: [(u32, Expiry, &[&str]); 6] = [
        (0, Expiry::Unknown, &[]),
        (1, Expiry::At(now_unix_s + 1), &[]),
        (315_360_000, Expiry::At(now_unix_s + 315_360_000), &[]),
        (0xffff_fffe, Expiry::Unknown, &[]),
        (0xffff_ffff, Expiry::Never, &[]),
        (436_282_936, Expiry::At(436_282_936 + 1_262_304_000), &["absolute-ttl"]),
    ];
    for (ttl, expected, anomalies) in cases {
        Message::write().ttl(ttl).check(|decoded| {
            assert_eq!(decoded.notification.expiry, expected, "{ttl}");
            assert_eq!(names(decoded), anomalies, "{ttl}");
        });
        Message::delete().ttl(ttl).check(|decoded| {
            assert_eq!(decoded.notification.expiry, Expiry::Unknown, "{ttl}");
        });
    }
}

#[test]
fn last_update_time_has_a_safety_net() {
    let cl_ms = 436_282_936_461_u64;
    let unix_ms = 1_698_586_936_461;
    let future_ms = 1 << 50;
    let cases: [(u64, Option<u64>, bool); 5] = [
        (cl_ms, Some(unix_ms), false),
        (0, Some(CL_EPOCH_UNIX_MS), false),
        (unix_ms, Some(unix_ms), true),
        (0xabcd_0000_0000_0000 | cl_ms, Some(unix_ms), true),
        // Both readings lie ahead of now.
        (future_ms | (1 << 39), None, true),
    ];
    for (lut, expected, odd) in cases {
        Message::write().field(14, &lut.to_be_bytes()).check(|decoded| {
            assert_eq!(decoded.notification.lut_unix_ms, expected, "{lut}");
            assert_eq!(decoded.anomalies.contains(Anomalies::ODD_LUT), odd, "{lut}");
        });
    }
    Message::write().field(14, &[1, 2]).check(|decoded| {
        assert_eq!(decoded.notification.lut_unix_ms, None);
        assert_eq!(names(decoded), ["odd-lut"]);
    });
}

#[test]
fn operations_by_their_bits_and_ops() {
    let cases = [
        (Message::write(), Operation::Write),
        (Message::write().info2(0x11), Operation::Write),
        (Message::write().op(11, 0, b"", b""), Operation::Write),
        (Message::delete(), Operation::Delete),
        (Message::delete().info2(0x13), Operation::DurableDelete),
        (Message::write().op(14, 0, b"", b""), Operation::Delete),
        (Message::write().info2(0x11).bin("a", 1).op(14, 0, b"", b""), Operation::DurableDelete),
        (Message::write().op(14, 0, b"", b"").bin("a", 1), Operation::Write),
        (Message::write().op(2, 1, b"", &[1]), Operation::Write),
    ];
    for (message, expected) in cases {
        message.check(|decoded| assert_eq!(decoded.notification.operation, expected));
    }
    Message::delete().bin("a", 1).op(99, 1, b"", b"").check(|decoded| {
        assert!(decoded.notification.bins.is_empty());
        assert_eq!(names(decoded), ["ops-on-delete"]);
    });
}

#[test]
fn the_last_op_of_a_bin_wins_at_the_place_of_the_first() {
    let message = Message::write().bin("a", 1).bin("b", 2).bin("aa", 3).op(2, 0, b"a", b"").bin("c", 5);
    message.check(|decoded| {
        let expected = [
            ("a".to_owned(), Value::Null),
            ("b".to_owned(), Value::Integer(2)),
            ("aa".to_owned(), Value::Integer(3)),
            ("c".to_owned(), Value::Integer(5)),
        ];
        assert_eq!(bins(decoded), expected);
        assert_eq!(names(decoded), ["repeated-bin"]);
    });
}

#[test]
fn many_bins_are_merged_by_sorting() {
    let mut message = Message::write();
    for index in 0..=u16::MAX - 1 {
        message = message.op(2, 1, format!("bin{:05}", index % 40_000).as_bytes(), &index.to_be_bytes());
    }
    message.check(|decoded| {
        let bins = bins(decoded);
        assert_eq!(bins.len(), 40_000);
        assert_eq!(bins[1], ("bin00001".into(), Value::Integer(40_001)));
        assert_eq!(bins[39_999], ("bin39999".into(), Value::Integer(39_999)));
    });
}

#[test]
fn fields_first_of_each_type_in_any_order() {
    let message = Message::write()
        .field(99, b"future")
        .field(0, b"other")
        .field(4, &[8; 3])
        .field(1, b"")
        .field(1, b"late")
        .field(2, &[3])
        .field(43, b"filter");
    message.check(|decoded| {
        let notification = &decoded.notification;
        assert_eq!(notification.namespace, b"test");
        assert_eq!(notification.digest, Digest(DIGEST));
        assert_eq!(notification.set, None);
        assert_eq!(notification.user_key, Some(Value::String(b"")));
        assert_eq!(notification.generation, None);
    });
    let keys: [(&[u8], Value<'_>); 4] = [
        (&[1, 0, 0, 0, 0, 0, 0, 0, 5], Value::Integer(5)),
        (&[2, 0x40, 0x0c, 0, 0, 0, 0, 0, 0], Value::Double(3.5)),
        (&[4, 1, 2], Value::Blob(4, &[1, 2])),
        (&[9, 1], Value::Blob(9, &[1])),
    ];
    for (data, expected) in keys {
        let message = Message::write().field(2, data);
        message.check(|decoded| assert_eq!(decoded.notification.user_key, Some(expected)));
    }
}

#[test]
fn refusals_name_place_and_record() {
    let message = Message::write().bin("a", 1).op(2, 17, b"flag", &[2]);
    let error = message.refused();
    assert_eq!(error.to_string(), "the bin at byte 74: boolean 2, expected 0 or 1");
    assert_eq!(error.result_code(), ResultCode::Parameter);
    assert_eq!((error.namespace(), error.digest()), (Some(&b"test"[..]), Some(Digest(DIGEST))));

    let cases = [
        (Message::write().without(0), ResultCode::Namespace, "no namespace"),
        (Message::write().without(4), ResultCode::Parameter, "no digest"),
        (Message::write().info2(0), ResultCode::UnsupportedFeature, "not a write or a delete of one record"),
        (
            Message::write().info1(0x19),
            ResultCode::UnsupportedFeature,
            "not a write or a delete of one record",
        ),
        (
            Message::write().field(30, b"f"),
            ResultCode::UnsupportedFeature,
            "not a write or a delete of one record",
        ),
        (
            Message::write().without(0).field(0, b""),
            ResultCode::Namespace,
            "a namespace of 0 bytes at byte 55",
        ),
        (Message::write().field(1, &[b's'; 64]), ResultCode::Parameter, "a set name of 64 bytes at byte 64"),
        (Message::write().field(2, b""), ResultCode::Parameter, "an empty user key"),
        (
            Message::write().field(2, &[1, 2, 3, 4]),
            ResultCode::Parameter,
            "the user key: an integer of 3 bytes",
        ),
        (Message::write().op(5, 1, b"a", &[1]), ResultCode::Parameter, "operation 5 at byte 64"),
        (
            Message::write().op(2, 1, &[b'n'; 16], &[1]),
            ResultCode::Parameter,
            "a bin name of 16 bytes at byte 64",
        ),
    ];
    for (message, code, text) in cases {
        let error = message.refused();
        assert_eq!(error.result_code(), code, "{error}");
        assert!(error.to_string().starts_with(text), "{error}");
    }
}

#[test]
fn every_cut_is_refused() {
    let body = Message::write().field(1, b"set").bin("a", 1).op(2, 3, b"b", b"text").body();
    assert!(decode(&body, NOW_UNIX_MS).is_ok());
    for end in 0..body.len() {
        let error = decode(&body[..end], NOW_UNIX_MS).unwrap_err();
        assert_eq!(error.result_code(), ResultCode::Parameter, "{end}: {error}");
    }
}

#[test]
fn a_longer_header_is_read_over() {
    let mut body = Message::write().bin("a", 1).body();
    body[0] = 24;
    body.splice(22..22, [9, 9]);
    let decoded = decode(&body, NOW_UNIX_MS).unwrap();
    assert_eq!(names(&decoded), ["long-header"]);
    assert_eq!(decoded.notification.bins.len(), 1);
    body[0] = 21;
    assert!(decode(&body, NOW_UNIX_MS).is_err());
}

#[test]
fn unexpected_bits_are_told_for_xdr_only() {
    Message::write().info1(0x50).check(|decoded| assert_eq!(names(decoded), ["unexpected-bits"]));
    Message::write().info1(0x40).check(|decoded| {
        assert!(decoded.anomalies.is_empty());
        assert!(!decoded.notification.xdr);
    });
    Message::write().op(2, 99, b"new", b"?").check(|decoded| {
        assert_eq!(names(decoded), ["unknown-particle"]);
        assert_eq!(decoded.notification.bins[0].value, Value::Blob(99, b"?"));
    });
}

proptest! {
    #[test]
    fn never_panics(body in prop::collection::vec(any::<u8>(), 0..300)) {
        let _ = decode(&body, NOW_UNIX_MS);
    }

    /// Real vectors with bytes changed: these get past the outer layers.
    #[test]
    fn never_panics_on_mutated_vectors(
        index in any::<prop::sample::Index>(),
        edits in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        cut in any::<prop::sample::Index>(),
    ) {
        let vectors = vectors();
        let mut body = vectors[index.index(vectors.len())].clone();
        for (at, byte) in edits {
            let at = at.index(body.len());
            body[at] = byte;
        }
        let _ = decode(&body, NOW_UNIX_MS);
        body.truncate(cut.index(body.len()));
        let _ = decode(&body, NOW_UNIX_MS);
    }
}

fn vectors() -> Vec<Vec<u8>> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/fixtures/wire");
    let mut vectors = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "hex") {
            let text = std::fs::read_to_string(path).unwrap();
            let digits: Vec<u8> = text.bytes().filter(u8::is_ascii_hexdigit).collect();
            let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
            let bytes: Vec<u8> = digits.chunks(2).map(byte).collect();
            if bytes.len() > 30 && bytes[..2] == [2, 3] {
                vectors.push(bytes[8..].to_vec());
            }
        }
    }
    assert!(vectors.len() > 40);
    vectors
}

#[test]
fn the_memory_of_bins_serves_the_next_notification() {
    let first = Message::write().bin("a", 1).bin("b", 2).body();
    let bins = decode(&first, NOW_UNIX_MS).expect("sound").notification.bins;
    let (room, at) = (bins.capacity(), bins.as_ptr() as usize);
    let second = Message::write().bin("c", 3).body();
    let decoded = decode_with(&second, NOW_UNIX_MS, emptied(bins)).expect("sound");
    assert_eq!(decoded, decode(&second, NOW_UNIX_MS).expect("sound"));
    let bins = decoded.notification.bins;
    assert_eq!((bins.capacity(), bins.as_ptr() as usize), (room, at));
}
