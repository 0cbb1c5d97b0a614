//! The golden files of the formats, which a second implementation wrote, read and written again; and arbitrary input.
#![allow(clippy::unwrap_used, reason = "a test")]

use std::{fs, path::PathBuf};

use notification::{Bin, Decoder, Digest, Expiry, Invocation, Key, Notification, Operation, Value};
use proptest::prelude::*;

fn golden(format: &str, extension: &str) -> Vec<(PathBuf, String)> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/fixtures/format/");
    let paths = fs::read_dir(format!("{folder}{format}")).unwrap().map(|entry| entry.unwrap().path());
    let paths = paths.filter(|path| path.extension().is_some_and(|found| found == extension));
    let files: Vec<_> = paths.map(|path| (path.clone(), fs::read_to_string(path).unwrap())).collect();
    assert!(files.len() >= 50, "only {} files in {format}", files.len());
    files
}

fn read(content_type: &str, body: &[u8]) -> Notification {
    let batch = Decoder::new().decode(Invocation::from_http([("content-type", content_type)], body.to_vec()));
    let batch = batch.unwrap();
    assert!(batch.malformed().is_empty(), "{:?}", batch.malformed());
    let [entry] = batch.entries() else { panic!("one record, and not {}", batch.entries().len()) };
    entry.notification.clone()
}

/// JSON without regard to spaces, which GeoJSON may have, and to how a list or map is ordered.
fn normal(json: &str) -> serde_json::Value {
    let mut json: serde_json::Value = serde_json::from_str(json).unwrap();
    for bin in json.get_mut("bins").and_then(|bins| bins.as_array_mut()).into_iter().flatten() {
        bin.as_object_mut().unwrap().retain(|name, _| name != "order" && name != "ordered");
    }
    json
}

#[test]
fn json_is_read_and_written_again() {
    for (path, text) in golden("json", "json") {
        let again = serde_json::to_string(&read("application/json", text.as_bytes())).unwrap();
        assert_eq!(normal(&again), normal(&text), "{}", path.display());
    }
}

#[test]
fn flat_json_is_read_and_written_again() {
    for (path, text) in golden("flat-json", "json") {
        let notification = read("application/json", text.as_bytes());
        let again = serde_json::to_string(&notification.flat_json("_meta")).unwrap();
        assert_eq!(normal(&again), normal(&text), "{}", path.display());
    }
}

/// What MessagePack says of a record is what `json` says of it.
#[test]
fn message_pack_is_read_and_written_as_json() {
    for (path, text) in golden("message-pack", "hex") {
        let digits: String = text.lines().map(|line| line.split('#').next().unwrap().trim()).collect();
        let byte = |at: usize| u8::from_str_radix(&digits[2 * at..2 * at + 2], 16).unwrap();
        let bytes: Vec<u8> = (0..digits.len() / 2).map(byte).collect();
        let written = serde_json::to_string(&read("application/x-msgpack", &bytes)).unwrap();
        let json =
            PathBuf::from(path.display().to_string().replace("message-pack", "json")).with_extension("json");
        // Some maps have keys that JSON cannot hold.
        if let Ok(json) = fs::read_to_string(&json) {
            assert_eq!(normal(&written), normal(&json), "{}", path.display());
        }
    }
}

fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::Bool),
        any::<i64>().prop_map(Value::Int),
        prop::num::f64::NORMAL.prop_map(Value::Float),
        ".*".prop_map(Value::Text),
    ];
    leaf.prop_recursive(4, 32, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::List),
            prop::collection::btree_map(".{0,5}", inner, 0..6).prop_map(|map| {
                Value::Map(map.into_iter().map(|(key, value)| (Value::Text(key), value)).collect())
            }),
        ]
    })
}

/// A bin of any type; inside lists and maps JSON knows no more than these.
fn bin_value() -> impl Strategy<Value = Value> {
    prop_oneof![
        3 => value(),
        1 => prop::collection::vec(any::<u8>(), 0..20).prop_map(Value::Bytes),
        1 => prop::collection::vec(any::<u8>(), 0..20).prop_map(Value::Hll),
        1 => Just(Value::Float(f64::INFINITY)),
    ]
}

fn notification() -> impl Strategy<Value = Notification> {
    let key =
        (any::<[u8; 20]>(), prop::option::of(".{1,9}"), prop::option::of(any::<i64>().prop_map(Value::Int)));
    let key = key.prop_map(|(digest, set, user_key)| Key {
        namespace: "test".to_owned(),
        set,
        digest: Digest(digest),
        user_key,
    });
    let time = prop::option::of(0..1u64 << 41);
    let bins = prop::collection::btree_map("[a-z]{1,15}", bin_value(), 0..5);
    (key, prop::option::of(any::<u32>()), time, 1..1u64 << 32, bins).prop_map(
        |(key, generation, lut_unix_ms, exp, bins)| Notification {
            operation: Operation::Write,
            key,
            generation,
            lut_unix_ms,
            expiry: Some(Expiry::At(exp)),
            bins: bins.into_iter().map(|(name, value)| Bin { name, value }).collect(),
        },
    )
}

proptest! {
    #[test]
    fn what_is_written_is_read(notification in notification()) {
        let text = serde_json::to_string(&notification).unwrap();
        prop_assert!(read("application/json", text.as_bytes()) == notification, "{}", text);
    }

    /// Whatever comes, there is an answer: an error, or records.
    #[test]
    fn arbitrary_bytes_do_no_harm(
        body in prop::collection::vec(any::<u8>(), 0..300),
        content_type in prop::sample::select(vec!["", "application/json", "application/x-msgpack", "application/avro"]),
        encoding in prop::sample::select(vec!["", "gzip", "br"]),
    ) {
        let schema = r#"{"type":"map","values":["null","long","bytes",{"type":"array","items":"null"}]}"#;
        let headers = [("content-type", content_type), ("content-encoding", encoding)];
        for decoder in [Decoder::new(), Decoder::new().avro_schema(schema).unwrap()] {
            let _ = decoder.decode(Invocation::from_http(headers, body.clone()));
        }
    }

    /// The same for what is nearly right.
    #[test]
    fn damaged_bodies_do_no_harm(at in 0usize..400, with in any::<u8>(), which in 0usize..50) {
        for (format, extension, content_type) in
            [("json", "json", "application/json"), ("message-pack", "hex", "application/x-msgpack")]
        {
            let (_, text) = golden(format, extension).swap_remove(which);
            let mut body = text.into_bytes();
            if extension == "hex" {
                let text = String::from_utf8(body).unwrap();
                let digits: String = text.lines().map(|line| line.split('#').next().unwrap().trim()).collect();
                body = (0..digits.len() / 2).map(|at| u8::from_str_radix(&digits[2 * at..2 * at + 2], 16).unwrap()).collect();
            }
            let at = at % body.len();
            body[at] = with;
            let _ = Decoder::new().decode(Invocation::from_http([("content-type", content_type)], body));
        }
    }

    /// Any JSON may be the payload of an invocation.
    #[test]
    fn any_payload_is_an_invocation(payload in value()) {
        let invocation: Invocation = serde_json::from_str(&serde_json::to_string(&payload).unwrap()).unwrap();
        let _ = Decoder::new().decode(invocation);
    }
}

/// A front that takes compressed bodies for text has destroyed them; the records must not be given up for it.
#[test]
fn compressed_text_is_for_an_operator() {
    let event = r#"{"httpMethod":"POST","requestContext":{},"headers":{"Content-Encoding":"gzip"},"isBase64Encoded":false,"body":"\ufffd"}"#;
    let error = Decoder::new().decode(serde_json::from_str(event).unwrap()).unwrap_err();
    assert!(error.to_string().contains("binaryMediaTypes"), "{error}");
    assert_eq!(error.status(), 415);
}

#[test]
fn refusals_say_what_was_expected() {
    let long = format!("[{}1]", "1,".repeat(600));
    let gzip = |body: &[u8]| {
        use std::io::Write as _;
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gzip.write_all(body).unwrap();
        gzip.finish().unwrap()
    };
    let json = "application/json";
    for (content_type, encoding, body, expected) in [
        (json, "gzip", b"[]".to_vec(), "body: expected gzip, as its Content-Encoding says"),
        (json, "br", b"[]".to_vec(), "Content-Encoding: expected gzip, or none"),
        (json, "gzip", gzip(&vec![b' '; 100_000]), "at most 1000 bytes after decompression"),
        (json, "identity", long.into_bytes(), "at most 1000 bytes"),
        (json, "identity", b"{".to_vec(), "JSON, no more than 127 levels deep: EOF"),
        (json, "identity", "[".repeat(400).into_bytes(), "recursion limit exceeded"),
        (json, "identity", Vec::new(), "records, and it is empty"),
        ("text/plain", "identity", b"hello".to_vec(), "JSON, newline-delimited JSON, MessagePack or Avro"),
        ("application/x-msgpack", "identity", vec![0x93, 0x02], "version: expected 1"),
        ("application/avro", "identity", vec![0x02], "its schema, which a Decoder has to be given"),
        ("application/avro", "identity", b"Obj\x01\x00".to_vec(), "a schema in the file"),
    ] {
        let invocation =
            Invocation::from_http([("content-type", content_type), ("content-encoding", encoding)], body);
        let error = Decoder::new().body_bytes_max(1000).decode(invocation).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }
}
