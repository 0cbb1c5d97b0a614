//! The file target against real disks: what is confirmed is there, whatever happens to the disk, the folder or the process.
#![allow(clippy::unwrap_used, reason = "all of this is a test, but clippy looks for #[test] only")]

mod crash;
mod folder;
mod full;
mod lines;

use std::{
    collections::BTreeMap,
    fs,
    num::{NonZeroU64, NonZeroUsize},
    path::Path,
};

use adapters::{Payload, Report, SharedTarget, TargetConfig, file};

fn target(path: &Path) -> SharedTarget {
    rotated(path, u64::MAX, None)
}

fn rotated(path: &Path, max_file_bytes: u64, max_files: Option<u64>) -> SharedTarget {
    let config = file::Config {
        path: path.to_owned(),
        max_file_bytes: NonZeroU64::new(max_file_bytes).unwrap(),
        max_file_seconds: NonZeroU64::new(3600).unwrap(),
        max_files: max_files.map(|files| NonZeroU64::new(files).unwrap()),
    };
    TargetConfig::File(config).build("orders").unwrap()
}

/// A record whose content and length follow from its number.
fn record(number: u64) -> String {
    let fill = "x".repeat(usize::try_from(number.wrapping_mul(7919) % 3000).unwrap());
    format!("{{\"number\":{number},\"text\":\"{fill}\"}}")
}

/// Records `numbers` as a batch.
fn batch(numbers: &[u64]) -> Payload {
    let records: Vec<String> = numbers.iter().map(|number| record(*number)).collect();
    Payload {
        body: format!("[{}]", records.join(",")).into(),
        content_type: "application/json".into(),
        count: NonZeroUsize::new(numbers.len()).unwrap(),
        request: None,
    }
}

async fn deliver(target: &SharedTarget, numbers: &[u64]) -> Report {
    target.deliver(&batch(numbers)).await
}

/// Files by name, without those that begin with a dot.
fn files(folder: &Path) -> BTreeMap<String, String> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap());
    let named = entries.map(|entry| (entry.file_name().into_string().unwrap(), entry.path()));
    let ours = named.filter(|(name, _)| !name.starts_with('.'));
    ours.map(|(name, path)| (name, fs::read_to_string(path).unwrap())).collect()
}

/// How often each record is in the files; panics on a line that is not exactly one of ours. The last line of a file that is
/// still open may be torn.
fn found(folder: &Path) -> BTreeMap<u64, usize> {
    let mut found = BTreeMap::new();
    for (name, content) in files(folder) {
        let whole = content.rfind('\n').map_or(0, |at| at + 1);
        assert!(whole == content.len() || name.ends_with(".open"), "{name} ends with a torn line");
        assert!(!content.is_empty() || name.ends_with(".open"), "{name} is empty");
        for line in content[..whole].lines() {
            let number = line.strip_prefix("{\"number\":").and_then(|rest| rest.split(',').next());
            let number = number.and_then(|number| number.parse().ok());
            let number = number.unwrap_or_else(|| panic!("a torn line in {name}: {line:.60}"));
            assert_eq!(line, record(number), "in {name}");
            *found.entry(number).or_default() += 1;
        }
    }
    found
}
