use std::fs;

use super::*;

/// Whether it would run, and what is said of `text`.
fn told(text: &str) -> (bool, String) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("vendor.yml");
    fs::write(&file, text).unwrap();
    let mut out = Vec::new();
    let runs = run(&file, &mut out).unwrap();
    (runs, String::from_utf8(out).unwrap().replace(&file.display().to_string(), "vendor.yml"))
}

/// The lines under a heading.
fn under<'t>(text: &'t str, heading: &str) -> Vec<&'t str> {
    let lines = text.lines().skip_while(|line| !line.starts_with(heading)).skip(1);
    lines.take_while(|line| line.starts_with("  ")).map(str::trim).collect()
}

const RUNS: &str = "\
service:
  port: 8901
  io-threads: 100
  manage: {port: 8902}
destinations:
  dc1:
    urls: [http://connector.example.com:8080]
    tls: null
    headers: {Authorization: hunter2}
format: {mode: json}
routing: {mode: static-multi-destination, destinations: [dc1]}
batching: {max-records: 100, batch-interval: 250}
metrics: {jvm-compat: true}
";

#[test]
fn what_runs_unchanged_says_what_differs_all_the_same() {
    let (runs, text) = told(RUNS);
    assert!(
        runs && text.ends_with("It would run as it is. Next: esp-connector check --config FILE\n"),
        "{text}"
    );
    assert!(under(&text, "must be changed").is_empty(), "{text}");
    assert_eq!(
        under(&text, "has no effect"),
        ["3:3  service.io-threads  has no effect: one pool of `worker-threads` does all the work"]
    );
    let otherwise = under(&text, "has another effect");
    assert_eq!(otherwise.len(), 1, "{text}");
    assert!(otherwise[0].starts_with("12:30  batching.batch-interval  "), "{text}");
    assert_eq!(under(&text, "is this connector's own"), ["13:11  metrics.jvm-compat"]);
    let same = under(&text, "does what it did");
    for key in ["2:3 ", "4:12", "7:5 ", "8:5 ", "10:10", "11:11", "12:12"] {
        assert!(same.iter().any(|line| line.starts_with(key)), "{key} in {same:#?}");
    }
    let absent = under(&text, "differs without a word");
    for key in ["batching.max-bytes: ", "a record that does not fit the format: "] {
        assert!(absent.iter().any(|line| line.starts_with(key)), "{key} in {absent:#?}");
    }
    assert!(!text.contains("hunter2"), "{text}");
}

#[test]
fn a_section_that_is_not_there_has_no_defaults_that_differ() {
    let (_, text) = told("routing: {mode: skip}\n");
    let absent = under(&text, "differs without a word");
    assert!(!absent.iter().any(|line| line.starts_with("batching.")) && absent.len() > 3, "{absent:#?}");
}

#[test]
fn what_must_be_changed_comes_first_with_its_place() {
    let (runs, text) = told(
        "connectorConfig:
  destinations:
    dc1:
      urls: [http://connector.example.com:8080]
      call-timout: 5000
  format: json
  routing:
    mode: custom
    class: com.example.Router
  namespaces:
    test:
      custom-transformer: {class: com.example.Transformer, params: {a: b}}
replicaCount: 3
",
    );
    assert!(!runs, "{text}");
    let changes = under(&text, "must be changed");
    assert_eq!(changes.len(), 3, "{text}");
    assert!(
        changes[0].starts_with("5:7   destinations.dc1.call-timout  ")
            && changes[0].contains("`call-timeout`")
    );
    assert!(changes[1].starts_with("8:5   routing.mode  ") && changes[1].contains("Java"), "{text}");
    assert!(changes[2].starts_with("12:7  namespaces.test.custom-transformer  "), "{text}");
    assert!(text.ends_with("It does not run as it is: 3 things must be changed.\n"), "{text}");
    for elsewhere in ["does what it did", "has no effect"] {
        assert!(!under(&text, elsewhere).iter().any(|line| line.contains("class")), "{text}");
    }
}

#[test]
fn what_is_no_yaml_and_what_is_not_there_is_said() {
    let (runs, text) = told("a: [");
    assert!(!runs && text.contains("not valid YAML"), "{text}");
    let error = run(Path::new("/nowhere/vendor.yml"), &mut Vec::new()).unwrap_err();
    assert!(error.to_string().contains("/nowhere/vendor.yml: cannot be read"), "{error}");
}
