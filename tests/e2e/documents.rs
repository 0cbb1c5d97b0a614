//! What the pages show as examples works: a reader copies it before reading what stands around it.

use std::fs;

use e2e::repository;
use esp_connector::config;
use serde_json::{Deserializer, Value};

/// A fenced block of a page.
struct Example {
    /// Page and line, for messages.
    place: String,
    language: String,
    text: String,
}

#[test]
fn configurations_load_without_a_warning() {
    let examples = examples("yaml");
    assert!(examples.len() >= 4, "only {} were found", examples.len());
    for Example { place, text, .. } in examples {
        let loaded = config::parse(&text, &repository()).unwrap_or_else(|e| panic!("{place}\n{e}"));
        // Most show one section, which routes nothing.
        let is_whole = text.contains("routing:");
        let warnings: Vec<_> = loaded
            .warnings
            .iter()
            .map(ToString::to_string)
            .filter(|warning| is_whole || !warning.contains("NO RECORD GOES ANYWHERE"))
            .collect();
        assert!(warnings.is_empty(), "{place}\n{warnings:#?}");
    }
}

#[test]
fn json_is_json_and_schemas_are_schemas() {
    let examples = examples("json");
    assert!(examples.len() >= 4, "only {} were found", examples.len());
    let mut schemas = 0;
    for Example { place, text, .. } in examples {
        let values = Deserializer::from_str(&text).into_iter::<Value>();
        let values: Vec<Value> = values.collect::<Result<_, _>>().unwrap_or_else(|e| panic!("{place}\n{e}"));
        assert!(!values.is_empty(), "{place}: nothing");
        if values[0].get("fields").is_some() {
            schemas += 1;
            let file = serde_json::json!({"format": {"mode": "avro", "schema": text}});
            config::parse(&file.to_string(), &repository()).unwrap_or_else(|e| panic!("{place}\n{e}"));
        }
    }
    assert!(schemas > 0, "no schema was found");
}

/// All in `language`, of the README and of every page in `docs`.
fn examples(language: &str) -> Vec<Example> {
    let mut pages = vec![repository().join("README.md")];
    let docs = fs::read_dir(repository().join("docs")).unwrap().map(|entry| entry.unwrap().path());
    pages.extend(docs.filter(|path| path.extension().is_some_and(|extension| extension == "md")));
    let mut examples = Vec::new();
    for page in pages {
        let name = page.strip_prefix(repository()).unwrap().display().to_string();
        let mut open: Option<Example> = None;
        for (index, line) in fs::read_to_string(&page).unwrap().lines().enumerate() {
            match (line.trim_start().strip_prefix("```"), &mut open) {
                (Some(language), None) => {
                    let place = format!("{name}:{}", index + 1);
                    open = Some(Example { place, language: language.to_owned(), text: String::new() });
                }
                (Some(_), Some(_)) => examples.extend(open.take()),
                (None, Some(example)) => {
                    example.text.push_str(line);
                    example.text.push('\n');
                }
                (None, None) => {}
            }
        }
        assert!(open.is_none(), "{name}: a block has no end");
    }
    examples.retain(|example| example.language == language);
    examples
}
