//! `docs/vendor-options.md` stays true: it has every key of the configuration, and the tests it names exist.

use std::{
    collections::{BTreeSet, VecDeque},
    fs,
};

use e2e::repository;
use esp_connector::config;
use serde_json::Value;

/// What a row begins with, and what that needs.
const ACTED_ON: &str = "Acted on";
const OUTCOMES: [&str; 4] = [ACTED_ON, "No effect", "Refused", "Waits for issue "];

#[test]
fn every_key_of_the_vendors_has_a_row() {
    let rows = rows();
    let listed: BTreeSet<&str> = rows.iter().flat_map(|row| row.keys.iter().map(String::as_str)).collect();
    let schema = config::schema();
    let missing: Vec<String> =
        keys(&schema, Follow::Once).into_iter().filter(|key| !listed.contains(key.as_str())).collect();
    assert!(missing.is_empty(), "no row of docs/vendor-options.md is about {missing:#?}");
}

#[test]
fn no_row_is_about_a_key_that_is_gone() {
    let keys = keys(&config::schema(), Follow::Everywhere);
    let mut found = Vec::new();
    for row in rows() {
        let outcome = OUTCOMES.into_iter().find(|outcome| row.outcome.starts_with(outcome));
        assert!(outcome.is_some(), "line {}: {:?} starts with none of {OUTCOMES:?}", row.line, row.outcome);
        if outcome == Some(ACTED_ON) {
            let gone = row.keys.iter().filter(|key| !keys.contains(*key));
            found
                .extend(gone.map(|key| format!("line {}: `{key}` is no key of the configuration", row.line)));
        }
    }
    assert!(found.is_empty(), "\n{}", found.join("\n"));
}

#[test]
fn every_test_it_names_exists() {
    let mut found = Vec::new();
    let mut tests = 0;
    for row in rows() {
        let named: Vec<&str> = row.tests.split('`').filter(|test| test.contains("::")).collect();
        for test in &named {
            let (file, name) = test.split_once("::").unwrap();
            let source = fs::read_to_string(repository().join(file)).unwrap_or_default();
            if !source.contains(&format!("fn {name}(")) {
                found.push(format!("line {}: there is no {test}", row.line));
            }
        }
        tests += named.len();
        let waits = row.outcome.starts_with("Waits for issue ");
        if named.is_empty() && !waits {
            found.push(format!("line {}: no test", row.line));
        }
    }
    assert!(found.is_empty(), "\n{}", found.join("\n"));
    assert!(tests > 150, "only {tests} tests were found");
}

struct Row {
    line: usize,
    keys: Vec<String>,
    outcome: String,
    tests: String,
}

/// The rows of all tables: options, outcome, tests.
fn rows() -> Vec<Row> {
    let page = fs::read_to_string(repository().join("docs/vendor-options.md")).unwrap();
    let tables = page.lines().enumerate().filter(|(_, line)| line.starts_with("| "));
    let rows: Vec<Row> = tables
        .filter(|(_, line)| !line.starts_with("| option ") && !line.starts_with("| --- "))
        .map(|(n, line)| {
            let cells: Vec<&str> = line.trim_matches('|').split(" | ").map(str::trim).collect();
            let [options, outcome, tests] = cells[..] else {
                panic!("line {}: {} cells", n + 1, cells.len())
            };
            let keys = options.split('`').skip(1).step_by(2).map(str::to_owned).collect();
            Row { line: n + 1, keys, outcome: outcome.to_owned(), tests: tests.to_owned() }
        })
        .collect();
    assert!(rows.len() > 80, "only {} rows were found", rows.len());
    rows
}

/// What may stand in several places: every place, or the outermost one, which speaks for the others.
#[derive(Clone, Copy, PartialEq)]
enum Follow {
    Everywhere,
    Once,
}

/// Every key that is not ours, as a path: `format.metadata-key`, `format.mode: json`, `destinations.NAME.urls`.
fn keys(root: &Value, follow: Follow) -> BTreeSet<String> {
    let mut keys = BTreeSet::new();
    let mut followed = BTreeSet::new();
    let mut queue = VecDeque::from([(String::new(), root)]);
    while let Some((path, schema)) = queue.pop_front() {
        let reference = schema["$ref"].as_str();
        if let Some(reference) = reference
            && !followed.insert(reference)
            && follow == Follow::Once
        {
            continue;
        }
        let target = reference.and_then(|reference| root.pointer(reference.strip_prefix('#')?));
        let schema = target.unwrap_or(schema);
        if schema.get("x-ours").is_some() {
            continue;
        }
        for alternatives in ["oneOf", "anyOf"] {
            let branches = schema[alternatives].as_array().into_iter().flatten();
            queue.extend(branches.map(|branch| (path.clone(), branch)));
        }
        if schema["items"].is_object() {
            queue.push_back((path.clone(), &schema["items"]));
        }
        if schema["additionalProperties"].is_object() {
            let name = if path == "port-based-config" { "PORT" } else { "NAME" };
            queue.push_back((format!("{path}.{name}"), &schema["additionalProperties"]));
        }
        for (key, property) in schema["properties"].as_object().into_iter().flatten() {
            if property.get("x-ours").is_some() {
                continue;
            }
            let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
            match property["const"].as_str() {
                Some(name) => drop(keys.insert(format!("{path}: {name}"))),
                None => drop(keys.insert(path.clone())),
            }
            if ["x-refused", "x-not-yet"].iter().all(|mark| property.get(*mark).is_none()) {
                queue.push_back((path, property));
            }
        }
    }
    keys
}

#[test]
fn keys_are_found_wherever_they_stand() {
    let keys = keys(&config::schema(), Follow::Once);
    for key in [
        "service.port",
        "service.manage.address",
        "destinations.NAME.health-check.call-timeout",
        "destinations.NAME.tls.key-store",
        "format.mode: xdr",
        "format.metadata-key",
        "bin-transforms.transforms.regex.pattern",
        "namespaces.NAME.sets.NAME.batching",
        "port-based-config.PORT.record-ordering",
        "logging.levels",
    ] {
        assert!(keys.contains(key), "{key} in {keys:#?}");
    }
    for ours in
        ["service.max-frame-bytes", "routing.mode: bin", "routing.bin", "format.nan-policy", "metrics"]
    {
        assert!(!keys.contains(ours), "{ours}");
    }
}
