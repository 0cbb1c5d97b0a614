//! Every format, read back by parsers that are not ours: all vectors, and ten thousand records made from a seed.
//!
//! `roundtrip/make.py` makes the records and their frames, this file encodes them, `roundtrip/read_back.py` reads the
//! bodies with Python's `json`, with `msgpack` and with `fastavro`, and compares every value with what was made.

use std::{
    fs,
    num::NonZeroUsize,
    path::Path,
    process::{Command, Output},
    slice,
    time::Duration,
};

use bytes::Bytes;
use e2e::{
    fixtures::{self, Record},
    repository,
};
use esp_connector::{
    config::{AvroEncoding, BatchBody, Batching, DurableMember, Format, JsonRules, NanPolicy},
    encode::Encoder,
    wire::message,
};

use crate::python;

/// Where `read_back.py` counts expiry from; the milliseconds must not show.
const NOW_UNIX_MS: u64 = 1_700_000_000_999;
const SEED: &str = "1";
/// A few hundred cannot be written in one format or the other; at least ten thousand can.
const MADE: usize = 11_000;
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
        let records = if VARIANTS.contains(&name) { &records[..SOME] } else { &records };
        let outcomes: Vec<_> = records.iter().map(|record| encode(&encoder, record)).collect();
        fs::write(folder.path().join(format!("{name}.bodies")), listed(&encoder, records, &outcomes))
            .unwrap();
        for (body, choice) in bodies {
            let batches = batches(&encoder, *choice, &outcomes);
            fs::write(folder.path().join(format!("{name}.{body}.batches")), batches).unwrap();
        }
    }
    let read = run("read_back.py", &[]);
    println!("{}", text(&read));
    assert!(read.status.success(), "{}", text(&read));
}

/// The formats and their batch bodies, by the names that `read_back.py` knows.
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
        ("message-pack", Format::MessagePack, CONCATENATED),
        ("avro", avro("all-types", AvroEncoding::Raw), CONCATENATED),
        ("avro-order", avro("orders", AvroEncoding::Raw), CONCATENATED),
        ("avro-order-single-object", avro("orders", AvroEncoding::SingleObject), CONCATENATED),
        ("avro-file", avro("all-types", AvroEncoding::Ocf), FILE),
        ("avro-order-file", avro("orders", AvroEncoding::Ocf), FILE),
    ]
}

fn avro(schema: &str, encoding: AvroEncoding) -> Format {
    let schema = fixtures::folder("format/avro").join(format!("{schema}.avsc"));
    Format::Avro { schema: fs::read_to_string(schema).unwrap(), stringify_map_keys: true, encoding }
}

type Bodies = &'static [(&'static str, Option<BatchBody>)];

const JSON_BODIES: Bodies = &[
    ("json-array", Some(BatchBody::JsonArray)),
    ("ndjson", Some(BatchBody::Ndjson)),
    ("concatenated", Some(BatchBody::Concatenated)),
];
const CONCATENATED: Bodies = &[("concatenated", Some(BatchBody::Concatenated))];
/// What becomes of a batch without a choice.
const FILE: Bodies = &[("file", None)];

/// These are tried on some of the records.
const VARIANTS: [&str; 4] =
    ["json-nan-null", "json-keys-as-they-are", "flat-json-nan-error-durable-when-true", "avro-file"];

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

/// The record as it goes into a body, or why it cannot.
fn encode(encoder: &Encoder, record: &Record) -> Result<Bytes, String> {
    let decoded =
        message::decode(&record.body, NOW_UNIX_MS).unwrap_or_else(|e| panic!("{}: {e}", record.name));
    let mut piece = Vec::new();
    match encoder.encode(&decoded.notification, &mut piece) {
        Ok(_) => Ok(piece.into()),
        Err(refusal) => Err(refusal.to_string()),
    }
}

/// For each record: size of its name, whether it could be written, size of the body; name; body, or the refusal.
fn listed(encoder: &Encoder, records: &[Record], outcomes: &[Result<Bytes, String>]) -> Vec<u8> {
    let alone = encoder.batch_policy(None).unwrap().body;
    let mut out = Vec::new();
    for (record, outcome) in records.iter().zip(outcomes) {
        let body = match outcome {
            Ok(piece) => alone.join(slice::from_ref(piece).iter()),
            Err(refusal) => refusal.clone().into(),
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
fn batches(encoder: &Encoder, body: Option<BatchBody>, outcomes: &[Result<Bytes, String>]) -> Vec<u8> {
    let batching = Batching {
        enabled: true,
        body,
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
