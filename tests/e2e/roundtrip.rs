//! Every format, read back by parsers that are not ours: all vectors, and ten thousand records made from a seed.
//!
//! `roundtrip/make.py` makes the records and their frames, this file encodes them, `roundtrip/read_back.py` reads the
//! bodies with Python's `json`, with `msgpack` and with `fastavro`, and compares every value with what was made.

use std::{
    fs,
    num::NonZeroUsize,
    path::Path,
    process::{Command, Output},
    time::Duration,
};

use bytes::Bytes;
use e2e::{
    fixtures::{self, Record},
    repository,
};
use esp_connector::{
    config::{BatchBody, Batching, DurableMember, Format, JsonRules, NanPolicy},
    encode::Encoder,
    wire::message,
};

use crate::python;

/// Where `read_back.py` counts expiry from; the milliseconds must not show.
const NOW_UNIX_MS: u64 = 1_700_000_000_999;
const SEED: &str = "1";
const MADE: usize = 10_000;
const BATCH_RECORDS: usize = 100;
/// So many of the records are tried in variants, and so many of those that can be written in batches; `read_back.py`
/// knows it too.
const SOME: usize = 2_000;

#[test]
fn others_read_what_every_format_writes() {
    let Some(python) = python::with_readers() else { return };
    let scripts = repository().join("tests/roundtrip");
    let folder = tempfile::tempdir().unwrap();
    let run = |script: &str, arguments: &[&str]| {
        let mut command = Command::new(&python);
        command.arg(scripts.join(script)).args(arguments).arg(folder.path()).output().unwrap()
    };
    let made = run("make.py", &[SEED, &MADE.to_string()]);
    assert!(made.status.success(), "{}", text(&made));

    let records = records(&folder.path().join("frames"));
    for (name, format, bodies) in formats() {
        let encoder = Encoder::new(format).unwrap();
        let records = if bodies.is_empty() { &records[..SOME] } else { &records };
        let outcomes: Vec<_> = records.iter().map(|record| encode(&encoder, record)).collect();
        fs::write(folder.path().join(format!("{name}.bodies")), listed(records, &outcomes)).unwrap();
        for (body, choice) in bodies {
            let batches = batches(&encoder, *choice, &outcomes);
            fs::write(folder.path().join(format!("{name}.{body}.batches")), batches).unwrap();
        }
    }
    let read = run("read_back.py", &[]);
    println!("{}", text(&read));
    assert!(read.status.success(), "{}", text(&read));
}

/// The formats and their batch bodies, by the names that `read_back.py` knows. What has no batch bodies is a variant.
fn formats() -> Vec<(&'static str, Format, Bodies)> {
    let rules = JsonRules::default();
    let null = JsonRules { nan_policy: NanPolicy::Null, ..rules };
    let error = JsonRules { nan_policy: NanPolicy::Error, ..rules };
    let as_they_are = JsonRules { stringify_map_keys: false, ..rules };
    let flat_json = |durable, rules| Format::FlatJson { metadata_key: "_meta".to_owned(), durable, rules };
    vec![
        ("json", Format::Json(rules), JSON_BODIES),
        ("json-nan-null", Format::Json(null), &[]),
        ("json-keys-as-they-are", Format::Json(as_they_are), &[]),
        ("flat-json", flat_json(DurableMember::Always, rules), JSON_BODIES),
        ("flat-json-nan-error-durable-when-true", flat_json(DurableMember::WhenTrue, error), &[]),
        ("message-pack", Format::MessagePack, BINARY_BODIES),
    ]
}

type Bodies = &'static [(&'static str, BatchBody)];

const JSON_BODIES: Bodies = &[
    ("json-array", BatchBody::JsonArray),
    ("ndjson", BatchBody::Ndjson),
    ("concatenated", BatchBody::Concatenated),
];

const BINARY_BODIES: Bodies = &[("concatenated", BatchBody::Concatenated)];

/// All vectors, then what `make.py` left in `frames`.
fn records(frames: &Path) -> Vec<Record> {
    let mut records = fixtures::records();
    assert!(records.len() >= 53, "only {} vectors are left", records.len());
    let made = fixtures::bodies(&fs::read(frames).unwrap());
    assert_eq!(made.len(), MADE);
    let named = |(index, body)| Record { name: format!("made-{index:05}"), body };
    records.extend(made.into_iter().enumerate().map(named));
    records
}

/// The body, or why there is none.
fn encode(encoder: &Encoder, record: &Record) -> Result<Bytes, String> {
    let decoded =
        message::decode(&record.body, NOW_UNIX_MS).unwrap_or_else(|e| panic!("{}: {e}", record.name));
    let mut body = Vec::new();
    match encoder.encode(&decoded.notification, &mut body) {
        Ok(()) => Ok(body.into()),
        Err(refusal) => Err(refusal.to_string()),
    }
}

/// For each record: size of its name, whether it could be written, size of the body; name; body, or the refusal.
fn listed(records: &[Record], outcomes: &[Result<Bytes, String>]) -> Vec<u8> {
    let mut out = Vec::new();
    for (record, outcome) in records.iter().zip(outcomes) {
        let body: &[u8] = match outcome {
            Ok(body) => body,
            Err(refusal) => refusal.as_bytes(),
        };
        out.extend(u16::try_from(record.name.len()).unwrap().to_be_bytes());
        out.push(u8::from(outcome.is_ok()));
        out.extend(u32::try_from(body.len()).unwrap().to_be_bytes());
        out.extend(record.name.as_bytes());
        out.extend(body);
    }
    out
}

/// The first of those that could be written, in batches: size and body of each.
fn batches(encoder: &Encoder, body: BatchBody, outcomes: &[Result<Bytes, String>]) -> Vec<u8> {
    let batching = Batching {
        enabled: true,
        body: Some(body),
        max_records: NonZeroUsize::MAX,
        max_bytes: NonZeroUsize::MAX,
        interval: Duration::ZERO,
    };
    let policy = encoder.batch_policy(Some(&batching)).unwrap();
    let written = outcomes.iter().filter_map(|outcome| outcome.clone().ok());
    let pieces: Vec<Bytes> = written.take(SOME).collect();
    let mut out = Vec::new();
    for batch in pieces.chunks(BATCH_RECORDS) {
        let body = policy.body.join(batch.iter());
        out.extend(u32::try_from(body.len()).unwrap().to_be_bytes());
        out.extend(&body);
    }
    out
}

fn text(output: &Output) -> String {
    [&output.stdout, &output.stderr].map(|bytes| String::from_utf8_lossy(bytes)).concat()
}
