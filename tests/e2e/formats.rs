//! The formats, byte for byte, against golden files that a second implementation wrote.

use std::{collections::BTreeSet, fs, path::Path, process::Command};

use e2e::fixtures;
use esp_connector::{
    config::{DurableMember, Format, JsonRules, NanPolicy},
    encode::Encoder,
    wire::message,
};

use crate::python;

/// `generate.py` counts expiry from here; the milliseconds must not show.
const NOW_UNIX_MS: u64 = 1_700_000_000_999;

const NAN_NULL: JsonRules = JsonRules { nan_policy: NanPolicy::Null, stringify_map_keys: true };
const NAN_ERROR: JsonRules = JsonRules { nan_policy: NanPolicy::Error, stringify_map_keys: true };
const KEYS_AS_THEY_ARE: JsonRules = JsonRules { nan_policy: NanPolicy::String, stringify_map_keys: false };

#[test]
fn json_is_as_the_golden_files_say() {
    compare("json", Format::Json(JsonRules::default()));
}

#[test]
fn flat_json_is_as_the_golden_files_say() {
    compare("flat-json", flat_json(DurableMember::Always, JsonRules::default()));
}

#[test]
fn message_pack_is_as_the_golden_files_say() {
    compare("message-pack", Format::MessagePack);
}

#[test]
fn what_can_be_configured_is_as_the_golden_files_say() {
    for (name, rules) in [
        ("nan-policy-null", NAN_NULL),
        ("nan-policy-error", NAN_ERROR),
        ("stringify-map-keys-false", KEYS_AS_THEY_ARE),
    ] {
        compare_variant("json", name, Format::Json(rules));
        compare_variant("flat-json", name, flat_json(DurableMember::Always, rules));
    }
    let when_true = flat_json(DurableMember::WhenTrue, JsonRules::default());
    compare_variant("flat-json", "durable-when-true", when_true);
}

#[test]
fn the_golden_files_are_what_their_script_writes() {
    let Some(python) = python::plain() else { return };
    let script = fixtures::folder("format/generate.py");
    let output = Command::new(python).arg(script).arg("--check").output().unwrap();
    assert!(output.status.success(), "stale: {}", String::from_utf8_lossy(&output.stdout));
}

fn flat_json(durable: DurableMember, rules: JsonRules) -> Format {
    Format::FlatJson { metadata_key: "_meta".to_owned(), durable, rules }
}

/// Every record must have its golden file, and every golden file its record.
fn compare(folder: &str, format: Format) {
    compare_in(&[folder], format);
}

/// A folder of a variant holds what differs from its format's own; something must.
fn compare_variant(folder: &str, variant: &str, format: Format) {
    compare_in(&[&format!("variants/{folder}-{variant}"), folder], format);
}

/// The golden file of a record is in the first folder that has one. All files of the first folder must be used.
fn compare_in(folders: &[&str], format: Format) {
    let place = fixtures::folder("format");
    let in_folder =
        |folder: &str| fs::read_dir(place.join(folder)).unwrap().map(|entry| entry.unwrap().path());
    let mut unused: BTreeSet<_> = in_folder(folders[0]).collect();
    assert!(!unused.is_empty(), "{} is empty", folders[0]);
    let encoder = Encoder::new(format).expect("a usable format");
    let records = fixtures::records();
    assert!(records.len() >= 59, "only {} records are left", records.len());
    let mut wrong = Vec::new();
    for record in records {
        let decoded =
            message::decode(&record.body, NOW_UNIX_MS).unwrap_or_else(|e| panic!("{}: {e}", record.name));
        let mut written = Vec::new();
        let encoded = encoder.encode(&decoded.notification, &mut written).map_err(|error| error.to_string());
        let golden = folders.iter().find_map(|folder| {
            let named = |extension| place.join(folder).join(format!("{}.{extension}", record.name));
            ["json", "hex", "error"].map(named).into_iter().find(|path| path.exists())
        });
        let Some(golden) = golden else {
            wrong.push(format!("{} has no golden file: run fixtures/format/generate.py", record.name));
            continue;
        };
        unused.remove(&golden);
        if let Err(problem) = judge(&golden, encoded.map(|_| written)) {
            wrong.push(format!("{}: {problem}", golden.display()));
        }
    }
    wrong.extend(unused.iter().map(|path| format!("{} belongs to no record", path.display())));
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// What the golden file says about what was written, or about why nothing was.
fn judge(golden: &Path, written: Result<Vec<u8>, String>) -> Result<(), String> {
    let text = fs::read_to_string(golden).unwrap();
    assert!(!text.is_empty(), "{} says nothing", golden.display());
    let refusal = golden.extension().is_some_and(|extension| extension == "error");
    let binary = golden.extension().is_some_and(|extension| extension == "hex");
    match written {
        Err(error) if refusal => match text.lines().find(|phrase| !error.contains(phrase)) {
            Some(missing) => Err(format!("{error:?} lacks {missing:?}")),
            None => Ok(()),
        },
        Err(error) => Err(format!("refused: {error}")),
        Ok(_) if refusal => Err("must be refused".to_owned()),
        Ok(written) if binary => {
            let digits = text.lines().map(|line| line.split('#').next().unwrap_or_default().trim());
            let golden: String = digits.collect();
            let written: String = written.iter().map(|byte| format!("{byte:02x}")).collect();
            same(&written, &golden)
        }
        Ok(written) => same(&String::from_utf8(written).map_err(|_| "not UTF-8")?, &text),
    }
}

fn same(written: &str, golden: &str) -> Result<(), String> {
    if written == golden { Ok(()) } else { Err(format!("\n  written {written}\n  golden  {golden}")) }
}
