//! Every format, read back by parsers that are not ours: all vectors, and ten thousand records made from a seed.
//!
//! `roundtrip/make.py` makes the records and their frames, this file encodes them, `roundtrip/read_back.py` reads the
//! bodies with Python's `json`, with `msgpack` and with `fastavro`, and compares every value with what was made.

use std::{
    fs,
    path::Path,
    process::{Command, Output},
};

use e2e::{
    fixtures::{self, Record},
    repository,
};
use esp_connector::{
    config::{DurableMember, Format, JsonRules},
    encode::Encoder,
    wire::message,
};

use crate::python;

/// Where `read_back.py` counts expiry from; the milliseconds must not show.
const NOW_UNIX_MS: u64 = 1_700_000_000_999;
const SEED: &str = "1";
const MADE: usize = 10_000;

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
    for (name, format) in formats() {
        let encoder = Encoder::new(format).unwrap();
        fs::write(folder.path().join(format!("{name}.bodies")), bodies(&encoder, &records)).unwrap();
    }
    let read = run("read_back.py", &[]);
    println!("{}", text(&read));
    assert!(read.status.success(), "{}", text(&read));
}

/// The formats by the names that `read_back.py` knows.
fn formats() -> Vec<(&'static str, Format)> {
    let flat_json = |durable, rules| Format::FlatJson { metadata_key: "_meta".to_owned(), durable, rules };
    vec![
        ("json", Format::Json(JsonRules::default())),
        ("flat-json", flat_json(DurableMember::Always, JsonRules::default())),
        ("flat-json-durable-when-true", flat_json(DurableMember::WhenTrue, JsonRules::default())),
    ]
}

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

/// For each record: size of its name, whether it could be written, size of the body; name; body, or the refusal.
fn bodies(encoder: &Encoder, records: &[Record]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut body = Vec::new();
    for record in records {
        let decoded =
            message::decode(&record.body, NOW_UNIX_MS).unwrap_or_else(|e| panic!("{}: {e}", record.name));
        body.clear();
        let written = encoder.encode(&decoded.notification, &mut body);
        if let Err(refusal) = &written {
            body = refusal.to_string().into_bytes();
        }
        out.extend(u16::try_from(record.name.len()).unwrap().to_be_bytes());
        out.push(u8::from(written.is_ok()));
        out.extend(u32::try_from(body.len()).unwrap().to_be_bytes());
        out.extend(record.name.as_bytes());
        out.extend(&body);
    }
    out
}

fn text(output: &Output) -> String {
    [&output.stdout, &output.stderr].map(|bytes| String::from_utf8_lossy(bytes)).concat()
}
