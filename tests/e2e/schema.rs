//! What `esp-connector schema` prints, held against every sample configuration by a validator that is not ours.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use e2e::repository;
use esp_connector::config;

use crate::python;

/// Refused for what several keys say together, or for what a text means: only `check` can tell.
const ONLY_CHECK_CAN_TELL: [&str; 3] = ["same-port.yml", "tls-and-ports.yml", "xdr.yml"];

fn samples(folder: &str) -> Vec<PathBuf> {
    let files = fs::read_dir(repository().join("tests/fixtures").join(folder)).unwrap();
    let files = files.map(|file| file.unwrap().path());
    let mut files: Vec<_> = files.filter(|file| file.extension().is_some_and(|e| e == "yml")).collect();
    files.sort();
    files
}

/// What the validator says of each file.
fn judged(python: &Path, files: &[PathBuf]) -> BTreeMap<String, String> {
    let folder = tempfile::tempdir().unwrap();
    let schema = folder.path().join("schema.json");
    fs::write(&schema, config::published_schema().to_string()).unwrap();
    let script = repository().join("tests/schema/validate.py");
    let output = Command::new(python).arg(script).arg(schema).args(files).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let lines = String::from_utf8(output.stdout).unwrap();
    lines
        .lines()
        .map(|line| {
            let (file, said) = line.split_once('\t').unwrap();
            (file.to_owned(), said.to_owned())
        })
        .collect()
}

#[test]
fn whatever_loads_is_valid() {
    let Some(python) = python::with_validator() else { return };
    let mut files = samples("config/good");
    // Has a number and a truth value in quotes, which load; an editor may well complain of them.
    files.retain(|file| !file.ends_with("anchors.yml"));
    files.extend(samples("vendor").into_iter().filter(|file| !file.ends_with("chart-plug-in.yml")));
    files.push(repository().join("infra/packages/esp-connector.yml"));
    files.push(repository().join("infra/compose/connector.yml"));
    let refused: Vec<_> = judged(&python, &files).into_iter().filter(|(_, said)| said != "ok").collect();
    assert!(files.len() > 30 && refused.is_empty(), "{refused:#?}");
}

#[test]
fn what_has_the_wrong_shape_is_not() {
    let Some(python) = python::with_validator() else { return };
    let mut files = samples("config/bad");
    files.extend(samples("vendor").into_iter().filter(|file| file.ends_with("chart-plug-in.yml")));
    let judged = judged(&python, &files);
    let valid: BTreeSet<&str> =
        judged.iter().filter(|(_, said)| *said == "ok").map(|(file, _)| file.as_str()).collect();
    assert_eq!(valid, BTreeSet::from(ONLY_CHECK_CAN_TELL), "{judged:#?}");
    let said = |file: &str| judged[file].as_str();
    assert!(said("chart-plug-in.yml").contains("custom-transformer"), "{judged:#?}");
}
