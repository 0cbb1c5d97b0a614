//! The formats, byte for byte, against golden files that a second implementation wrote.

use std::{collections::BTreeSet, fs, process::Command};

use e2e::fixtures;
use esp_connector::{
    config::{DurableMember, Format, JsonRules},
    encode::Encoder,
    wire::message,
};

use crate::python;

/// `generate.py` counts expiry from here; the milliseconds must not show.
const NOW_UNIX_MS: u64 = 1_700_000_000_999;

#[test]
fn json_is_as_the_golden_files_say() {
    compare("json", Format::Json(JsonRules::default()));
}

#[test]
fn flat_json_is_as_the_golden_files_say() {
    compare(
        "flat-json",
        Format::FlatJson {
            metadata_key: "_meta".to_owned(),
            durable: DurableMember::Always,
            rules: JsonRules::default(),
        },
    );
}

#[test]
fn the_golden_files_are_what_their_script_writes() {
    let Some(python) = python::plain() else { return };
    let script = fixtures::folder("format/generate.py");
    let output = Command::new(python).arg(script).arg("--check").output().unwrap();
    assert!(output.status.success(), "stale: {}", String::from_utf8_lossy(&output.stdout));
}

/// Every vector must have its golden file, and every golden file its vector.
fn compare(folder: &str, format: Format) {
    let folder = fixtures::folder("format").join(folder);
    let mut unused: BTreeSet<_> = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    let encoder = Encoder::new(format).expect("a usable format");
    let records = fixtures::records();
    assert!(records.len() >= 53, "only {} records are left", records.len());
    let mut wrong = Vec::new();
    for record in records {
        let decoded =
            message::decode(&record.body, NOW_UNIX_MS).unwrap_or_else(|e| panic!("{}: {e}", record.name));
        let mut written = Vec::new();
        let encoded = encoder.encode(&decoded.notification, &mut written);
        let golden = folder.join(format!("{}.json", record.name));
        let refusal = folder.join(format!("{}.error", record.name));
        if unused.remove(&golden) {
            let golden = fs::read_to_string(golden).unwrap();
            match encoded {
                Ok(()) if written == golden.as_bytes() => {}
                Ok(()) => wrong.push(format!(
                    "{}\n  written {}\n  golden  {golden}",
                    record.name,
                    String::from_utf8_lossy(&written)
                )),
                Err(error) => wrong.push(format!("{} is refused: {error}", record.name)),
            }
        } else if unused.remove(&refusal) {
            let phrases = fs::read_to_string(refusal).unwrap();
            assert!(!phrases.is_empty(), "{}.error says nothing", record.name);
            let Err(error) = encoded.map_err(|error| error.to_string()) else {
                wrong.push(format!("{} must be refused", record.name));
                continue;
            };
            let missing = phrases.lines().filter(|phrase| !error.contains(phrase));
            wrong.extend(missing.map(|phrase| format!("{}: {error:?} lacks {phrase:?}", record.name)));
        } else {
            wrong.push(format!("{} has no golden file: run fixtures/format/generate.py", record.name));
        }
    }
    wrong.extend(unused.iter().map(|path| format!("{} belongs to no vector", path.display())));
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
