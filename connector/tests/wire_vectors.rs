//! Every golden vector decodes to its entry in `expected.json`, or is refused as its entry says.
//!
//! The vectors were captured or put together without any code of ours; where one cannot pass, the code is wrong.
#![allow(clippy::unwrap_used, reason = "all of this is a test, but clippy looks for #[test] only")]

use std::{collections::BTreeMap, fs, io::Write as _, path::PathBuf};

use esp_connector::{
    decode,
    notification::{ChangeNotification, Digest, ExistsAction, Expiry, GenerationPolicy, Operation, Value},
    wire::{
        ack::{self, ResultCode},
        frame::{self, Frame, Kind},
        info::{self, NodeFacts},
        message, security,
    },
};
use serde_json::{Value as Json, json};

const FRAME_BYTES_MAX: usize = 16 << 20;
const NOW_UNIX_MS: u64 = 1_700_000_000_999;

struct Vector {
    name: String,
    bytes: Vec<u8>,
    /// The whole entry: provenance, note, length, decoded.
    entry: Json,
}

fn folder() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/fixtures/wire"))
}

/// Pairs each file with its entry; a file without an entry, or the other way round, is a failure.
fn vectors() -> Vec<Vector> {
    let text = fs::read(folder().join("expected.json")).unwrap();
    let mut entries: BTreeMap<String, Json> = serde_json::from_slice(&text).unwrap();
    let mut vectors = Vec::new();
    for file in fs::read_dir(folder()).unwrap() {
        let path = file.unwrap().path();
        let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
        if ["expected", "README"].contains(&&*name) {
            continue;
        }
        assert_eq!(path.extension().unwrap(), "hex", "{name}: what is this file?");
        let entry = entries.remove(&name).unwrap_or_else(|| panic!("{name} has no entry"));
        let bytes = unhex(&fs::read_to_string(path).unwrap());
        assert_eq!(entry["length"], json!(bytes.len()), "{name}");
        vectors.push(Vector { name, bytes, entry });
    }
    assert!(entries.is_empty(), "entries without a file: {:?}", entries.keys());
    assert!(vectors.len() >= 86, "{} vectors are left", vectors.len());
    vectors
}

fn unhex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text
        .chars()
        .filter(|c| !c.is_whitespace())
        .map(|c| u8::try_from(c.to_digit(16).unwrap()).unwrap())
        .collect();
    digits.chunks_exact(2).map(|pair| pair[0] * 16 + pair[1]).collect()
}

fn base64(bytes: &[u8]) -> String {
    use base64::{Engine, engine::general_purpose::STANDARD};
    STANDARD.encode(bytes)
}

fn only_frame<'a>(name: &str, bytes: &'a [u8]) -> Frame<'a> {
    let frame = frame::next(bytes, FRAME_BYTES_MAX)
        .unwrap_or_else(|error| panic!("{name}: {error}"))
        .unwrap_or_else(|| panic!("{name} is cut"));
    assert_eq!(frame.bytes.len(), bytes.len(), "{name}");
    assert_eq!(frame::needed(bytes), bytes.len(), "{name}");
    frame
}

/// No vector may pass unlooked at: each belongs to a family below, by its name.
#[test]
fn every_vector_is_checked() {
    let mut checked = BTreeMap::<&str, usize>::new();
    for vector in vectors() {
        let Vector { name, .. } = &vector;
        let family = match name.split('-').next().unwrap() {
            "xdr" | "client" => {
                check_messages(&vector);
                check_printed(&vector);
                "message"
            }
            "info" => {
                check_info(&vector);
                check_printed(&vector);
                "info"
            }
            "sec" => {
                check_security(&vector);
                check_printed(&vector);
                "security"
            }
            "resp" => {
                check_ack(&vector);
                check_printed(&vector);
                "ack"
            }
            "bad" => {
                check_refused(&vector);
                "refused"
            }
            other => panic!("{name}: nobody checks vectors of {other}"),
        };
        *checked.entry(family).or_default() += 1;
    }
    let expected = [("ack", 12), ("info", 10), ("message", 44), ("refused", 12), ("security", 8)];
    assert_eq!(checked, expected.into());
}

/// `decode` prints the entry, member for member, and adds its own.
fn check_printed(vector: &Vector) {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(&vector.bytes).unwrap();
    let mut out = Vec::new();
    decode::run(&[file.path().to_owned()], &mut out).unwrap();
    let printed: Vec<Json> =
        serde_json::Deserializer::from_slice(&out).into_iter().map(Result::unwrap).collect();
    let mut expected = match &vector.entry["decoded"] {
        Json::Object(stream) if stream["kind"] == "stream" => stream["frames"].as_array().unwrap().clone(),
        one => vec![one.clone()],
    };
    for field in expected
        .iter_mut()
        .filter_map(|frame| frame.get_mut("fields"))
        .filter_map(Json::as_array_mut)
        .flatten()
    {
        if ["credential", "clear_password", "session_token"].contains(&field["name"].as_str().unwrap()) {
            field["value"] = json!("***");
        }
    }
    assert_eq!(printed.len(), expected.len(), "{}", vector.name);
    for (printed, expected) in printed.iter().zip(&expected) {
        assert_holds(&vector.name, printed, expected);
    }
}

/// `found` has what `expected` has, exactly; at the level of a frame it may have more.
fn assert_holds(name: &str, found: &Json, expected: &Json) {
    const OURS: [&str; 9] =
        ["length", "offset", "result", "operation", "expiry", "anomalies", "error", "answer", "inner"];
    for (key, expected) in expected.as_object().unwrap() {
        match key.as_str() {
            "inner" => assert_holds(name, &found["inner"], expected),
            key => assert_eq!(&found[key], expected, "{name}: {key}"),
        }
    }
    for key in found.as_object().unwrap().keys() {
        let is_known = expected.get(key).is_some() || OURS.contains(&key.as_str());
        assert!(is_known, "{name}: {key} is not in the entry");
    }
    assert_eq!(found.get("error"), None, "{name}");
}

fn check_messages(vector: &Vector) {
    let decoded = &vector.entry["decoded"];
    let expected = match decoded["kind"].as_str().unwrap() {
        "stream" => decoded["frames"].as_array().unwrap().clone(),
        _ => vec![decoded.clone()],
    };
    let mut rest = &vector.bytes[..];
    for expected in &expected {
        let frame = frame::next(rest, FRAME_BYTES_MAX).unwrap().unwrap();
        rest = &rest[frame.bytes.len()..];
        if expected["kind"] == "compressed" {
            assert_eq!(frame.kind, Kind::Compressed, "{}", vector.name);
            let mut inflated = Vec::new();
            let inner = frame::inflate(frame, FRAME_BYTES_MAX, &mut inflated).unwrap();
            assert_eq!(expected["orig_sz"], json!(inner.bytes.len()), "{}", vector.name);
            check_notification(&vector.name, inner, &expected["inner"]);
        } else {
            check_notification(&vector.name, frame, expected);
        }
    }
    assert!(rest.is_empty(), "{}", vector.name);
}

fn check_notification(name: &str, frame: Frame<'_>, expected: &Json) {
    assert_eq!(frame.kind, Kind::Message, "{name}");
    let decoded =
        message::decode(frame.body(), NOW_UNIX_MS).unwrap_or_else(|error| panic!("{name}: {error}"));
    let ChangeNotification {
        operation,
        namespace,
        set,
        digest,
        user_key,
        generation,
        lut_unix_ms,
        expiry,
        exists_action,
        generation_policy,
        xdr,
        bins,
    } = decoded.notification;
    let record = &expected["record"];
    let is = |found: Json, expected: &Json, what: &str| assert_eq!(&found, expected, "{name}: {what}");

    is(json!(str::from_utf8(namespace).unwrap()), &record["namespace"], "namespace");
    // Clients send an empty set for none.
    let expected_set = record.get("set").and_then(Json::as_str).filter(|set| !set.is_empty());
    assert_eq!(set.map(|set| str::from_utf8(set).unwrap()), expected_set, "{name}: set");
    is(json!(digest.to_string()), &record["digest"], "digest");
    is(json!(base64(&digest.0)), &record["digest_base64"], "digest");
    let user_key = user_key.map_or(Json::Null, |key| value(key, "null"));
    is(user_key, record.get("user_key").unwrap_or(&Json::Null), "user key");
    is(json!(generation.unwrap_or(0)), &expected["generation"], "generation");
    assert_ne!(generation, Some(0), "{name}: generation");
    is(json!(lut_unix_ms), record.get("lut_unix_ms").unwrap_or(&Json::Null), "last-update time");
    is(json!(decoded.transaction_ttl_ms), &expected["transaction_ttl"], "transaction ttl");
    is(json!(xdr), &expected["xdr"], "XDR bit");

    let ops = expected["ops"].as_array().unwrap();
    let is_delete = expected["event"] == "delete";
    let expected_operation = match (is_delete, ops.as_slice()) {
        (true, _) if expected["durable"] == true => Operation::DurableDelete,
        (true, _) => Operation::Delete,
        // The entry says what the header says. `xdr-wire.md` 8: a write of nothing but "delete all bins" is a
        // delete, for the server drops a record without bins.
        (false, [only]) if only["op"] == "delete_all" => Operation::Delete,
        (false, _) => Operation::Write,
    };
    assert_eq!(operation, expected_operation, "{name}");

    let expected_expiry = match (operation, expected["record_ttl"].as_u64().unwrap()) {
        (Operation::Write, 0xffff_ffff) => Expiry::Never,
        (Operation::Write, ttl @ 1..=315_360_000) => Expiry::At(1_700_000_000 + ttl),
        _ => Expiry::Unknown,
    };
    assert_eq!(expiry, expected_expiry, "{name}");

    if let Some(expected) = expected.get("exists_action") {
        let found = match exists_action {
            ExistsAction::Update => "update",
            ExistsAction::UpdateOnly => "update_only",
            ExistsAction::Replace => "replace",
            ExistsAction::ReplaceOnly => "replace_only",
            ExistsAction::CreateOnly => "create_only",
        };
        assert_eq!(expected, found, "{name}");
    }
    let found = match generation_policy {
        GenerationPolicy::None => "none",
        GenerationPolicy::Equal => "expect_gen_equal",
        GenerationPolicy::Greater => "expect_gen_gt",
    };
    assert_eq!(expected["generation_policy"], found, "{name}");

    // Entries list raw ops; of these only writes of a bin are bins.
    let writes = ops.iter().filter(|op| op["op"] == "write");
    let expected_bins: Vec<Json> = writes.map(|op| json!([op["bin"], op["value"]])).collect();
    let found: Vec<Json> =
        bins.iter().map(|bin| json!([str::from_utf8(bin.name).unwrap(), value(bin.value, "null")])).collect();
    assert_eq!(found, expected_bins, "{name}");

    let expected_anomalies: &[&str] = match name {
        "client-27-operate-delete-all" => &["delete-all"],
        "xdr-09-write-bin-luts" => &["bin-luts"],
        _ => &[],
    };
    assert_eq!(decoded.anomalies.iter().collect::<Vec<_>>(), expected_anomalies, "{name}");
}

/// A value in the shape of the entries; written here once more, so that `decode` does not vouch for itself.
fn value(found: Value<'_>, nil: &str) -> Json {
    let text = |text| str::from_utf8(text).unwrap();
    let blob = |type_| match type_ {
        4 => "blob",
        7 => "java_blob",
        9 => "python_blob",
        18 => "hll",
        other => panic!("no vector has a blob of type {other}"),
    };
    match found {
        Value::Null => json!({"type": nil}),
        Value::Integer(value) => json!({"type": "integer", "value": value}),
        Value::Double(value) => json!({"type": "double", "value": value}),
        Value::String(value) => json!({"type": "string", "value": text(value)}),
        Value::Boolean(value) => json!({"type": "boolean", "value": value}),
        Value::Blob(type_, bytes) => json!({"type": blob(type_), "base64": base64(bytes)}),
        Value::GeoJson(value) => json!({"type": "geojson", "value": text(value)}),
        Value::List(list) => {
            let items: Vec<Json> = list.iter().map(|item| value(item, "nil")).collect();
            assert_eq!(items.len(), list.len());
            assert_eq!(list.ordered(), list.flags() & 1 == 1);
            json!({"type": "list", "flags": list.flags(), "items": items})
        }
        Value::Map(map) => {
            let entry = |(key, val)| json!([value(key, "nil"), value(val, "nil")]);
            let entries: Vec<Json> = map.iter().map(entry).collect();
            assert_eq!(entries.len(), map.len());
            json!({"type": "map", "flags": map.flags(), "entries": entries})
        }
    }
}

/// The node the info vectors were answered by.
fn facts() -> NodeFacts {
    NodeFacts {
        node_id: "BB9A1B2C3D4E5F6".into(),
        build: "8.1.2.0".into(),
        cluster_name: None,
        namespaces: vec!["test".into()],
        address: "127.0.0.1:8901".parse().unwrap(),
    }
}

fn info_answer(request: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    info::answer(request, &facts(), &mut out);
    out
}

fn check_info(vector: &Vector) {
    let Vector { name, bytes, entry } = vector;
    let frame = only_frame(name, bytes);
    assert_eq!(frame.kind, Kind::Info, "{name}");
    let lines = entry["decoded"]["lines"].as_array().unwrap();
    if entry["decoded"]["kind"] == "info_response" {
        // Asked what this answers, we give the same bytes.
        let commands: String = lines.iter().map(|line| format!("{}\n", line[0].as_str().unwrap())).collect();
        assert_eq!(&info_answer(commands.as_bytes()), bytes, "{name}");
        return;
    }
    let answer = info_answer(frame.body());
    let answered: Vec<(&str, &str)> = str::from_utf8(only_frame(name, &answer).body())
        .unwrap()
        .lines()
        .map(|line| line.split_once('\t').unwrap())
        .collect();
    if lines.is_empty() {
        assert!(answered.contains(&("build", "8.1.2.0")), "{name}: an empty request asks for a summary");
    } else {
        let commands: Vec<&str> = answered.iter().map(|(command, _)| *command).collect();
        assert_eq!(&json!(commands), &entry["decoded"]["lines"], "{name}");
    }
    for (command, value) in answered {
        assert!(!value.is_empty() && !value.starts_with("ERROR"), "{name}: {command} is answered {value:?}");
    }
}

fn check_security(vector: &Vector) {
    let Vector { name, bytes, entry } = vector;
    let frame = only_frame(name, bytes);
    assert_eq!(frame.kind, Kind::Security, "{name}");
    let message = security::Request::parse(frame.body()).unwrap();
    let fields: Vec<Json> = message
        .fields()
        .map(|field| match (field.id, <[u8; 4]>::try_from(field.value)) {
            (6, Ok(seconds)) => json!([6, u32::from_be_bytes(seconds)]),
            _ => json!([field.id, str::from_utf8(field.value).unwrap()]),
        })
        .collect();
    let expected = &entry["decoded"];
    let expected_fields: Vec<Json> = expected["fields"]
        .as_array()
        .unwrap()
        .iter()
        .map(|field| json!([field["id"], field["value"]]))
        .collect();
    let found = json!([message.scheme, message.result, message.command, message.n_fields, fields]);
    let expected = json!([
        expected["scheme"],
        expected["result"],
        expected["command"],
        expected["n_fields"],
        expected_fields
    ]);
    assert_eq!(found, expected, "{name}");
    if name.ends_with("request") {
        let not_configured = fs::read_to_string(folder().join("sec-05-not-enabled-response.hex")).unwrap();
        let mut out = Vec::new();
        security::answer(frame.body(), &mut out);
        assert_eq!(out, unhex(&not_configured), "{name}");
    }
}

fn check_ack(vector: &Vector) {
    let Vector { name, bytes, entry } = vector;
    assert_eq!(only_frame(name, bytes).kind, Kind::Message, "{name}");
    let code = entry["decoded"]["result_code"].as_u64().unwrap();
    let ours = [
        ResultCode::Ok,
        ResultCode::Parameter,
        ResultCode::OutOfSpace,
        ResultCode::Timeout,
        ResultCode::Unavailable,
        ResultCode::RecordTooBig,
        ResultCode::KeyBusy,
        ResultCode::UnsupportedFeature,
        ResultCode::DeviceOverload,
        ResultCode::Namespace,
        ResultCode::Forbidden,
        ResultCode::NotAuthenticated,
    ];
    let mut ack = Vec::new();
    match ours.into_iter().find(|ours| *ours as u64 == code) {
        Some(ours) => ack::encode(ours, &mut ack),
        None => {
            assert!([1, 2].contains(&code), "{name}: a code that we cannot send");
            // Never sent, so there is no name for them; all but the code must be the same.
            ack::encode(ResultCode::Ok, &mut ack);
            ack[13] = u8::try_from(code).unwrap();
        }
    }
    assert_eq!(&ack, bytes, "{name}");
    assert_eq!(ack.len(), ack::ACK_BYTES);
}

fn check_refused(vector: &Vector) {
    let Vector { name, bytes, entry } = vector;
    let next = frame::next(bytes, FRAME_BYTES_MAX);
    match entry["decoded"]["expected_reaction"].as_str().unwrap() {
        "close the connection" => assert!(next.is_err(), "{name}: {next:?}"),
        "answer result 4 (parameter), keep the connection" => {
            let frame = next.unwrap().unwrap();
            assert_eq!(frame.bytes.len(), bytes.len(), "{name}: the stream goes on after it");
            let mut inflated = Vec::new();
            let error = match frame.kind {
                Kind::Message => message::decode(frame.body(), NOW_UNIX_MS).map(drop).unwrap_err(),
                Kind::Compressed => {
                    frame::inflate(frame, FRAME_BYTES_MAX, &mut inflated).map(drop).unwrap_err()
                }
                other => panic!("{name}: {other:?}"),
            };
            assert_eq!(error.result_code(), ResultCode::Parameter, "{name}: {error}");
            if name == "bad-07-op-name-overrun" || name == "bad-08-trailing-bytes" {
                let digest = "ec91192d4b7f8ce35d5d78d34bca65cbaaaac960";
                assert_eq!(error.namespace(), Some(&b"test"[..]), "{name}");
                assert_eq!(error.digest().as_ref().map(Digest::to_string).as_deref(), Some(digest), "{name}");
            }
        }
        other => panic!("{name}: {other}"),
    }
}

/// Splitting a stream anywhere, even everywhere, changes nothing.
#[test]
fn every_split_of_a_stream_gives_the_same_frames() {
    let stream: Vec<u8> = vectors()
        .into_iter()
        .filter(|vector| vector.entry["decoded"]["expected_reaction"] != "close the connection")
        .flat_map(|vector| vector.bytes)
        .collect();
    let whole = cut(&[&stream]);
    assert!(whole.len() > 80, "{}", whole.len());
    for at in 0..stream.len() {
        let (head, tail) = stream.split_at(at);
        assert_eq!(cut(&[head, tail]), whole, "split at {at}");
    }
    let bytes: Vec<&[u8]> = stream.chunks(1).collect();
    assert_eq!(cut(&bytes), whole);
}

/// The frames of a stream that comes in pieces, as places in the stream.
fn cut(pieces: &[&[u8]]) -> Vec<(usize, usize)> {
    let mut buf: Vec<u8> = Vec::new();
    let (mut frames, mut consumed) = (Vec::new(), 0);
    for piece in pieces {
        buf.extend_from_slice(piece);
        let mut at = 0;
        while let Some(frame) = frame::next(&buf[at..], FRAME_BYTES_MAX).unwrap() {
            let len = frame.bytes.len();
            frames.push((consumed + at, len));
            at += len;
        }
        consumed += at;
        buf.drain(..at);
    }
    assert!(buf.is_empty());
    frames
}

/// The entries hold integers that a double cannot: a lossy JSON reader would make the checks above worthless.
#[test]
fn entries_keep_integers_exact() {
    let vector = vectors().into_iter().find(|vector| vector.name == "client-01-put-scalars").unwrap();
    let ops = vector.entry["decoded"]["ops"].as_array().unwrap();
    let imax = ops.iter().find(|op| op["bin"] == "imax").unwrap();
    assert_eq!(imax["value"]["value"].as_i64(), Some(i64::MAX));
}
