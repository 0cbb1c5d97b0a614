//! What the pages show as examples works: a reader copies it before reading what stands around it.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use e2e::repository;
use esp_connector::config;
use regex::Regex;
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

#[test]
fn log_lines_that_troubleshooting_explains_are_written() {
    let page = fs::read_to_string(repository().join("docs/troubleshooting.md")).unwrap();
    let lines = page.lines().filter_map(|line| line.strip_prefix("### \"")?.strip_suffix('"'));
    let sources: Vec<_> = ["connector/src", "adapters/src"]
        .iter()
        .flat_map(|folder| sources(&repository().join(folder)))
        .collect();
    let mut explained = 0;
    for line in lines {
        explained += 1;
        assert!(sources.iter().any(|source| source.contains(line)), "nothing logs {line:?}");
    }
    assert!(explained >= 10, "only {explained} were found");
}

#[test]
fn links_lead_somewhere() {
    let link = Regex::new(r"\]\(([^)\s]+)\)").unwrap();
    let mut followed = 0;
    for page in pages() {
        let text = fs::read_to_string(&page).unwrap();
        for target in link.captures_iter(&text).map(|found| found.extract::<1>().1[0]) {
            if target.contains("://") {
                continue;
            }
            followed += 1;
            let (file, anchor) =
                target.split_once('#').map_or((target, None), |(file, anchor)| (file, Some(anchor)));
            let to = if file.is_empty() { page.clone() } else { page.parent().unwrap().join(file) };
            assert!(to.exists(), "{}: {target} is not there", page.display());
            if let Some(anchor) = anchor.filter(|_| to.extension().is_some_and(|extension| extension == "md"))
            {
                let anchors = anchors(&fs::read_to_string(&to).unwrap());
                assert!(anchors.contains(anchor), "{}: no heading {target}, but {anchors:?}", page.display());
            }
        }
    }
    assert!(followed > 30, "only {followed} were found");
}

#[test]
fn metrics_that_are_named_exist() {
    let name = Regex::new(r"\besp_connector_[a-z_]+[a-z]\b").unwrap();
    let known = sources(&repository().join("connector/src/admin")).concat();
    let mut named = 0;
    for page in pages() {
        for found in name.find_iter(&fs::read_to_string(&page).unwrap()) {
            named += 1;
            let metric = ["_bucket", "_sum", "_count"].iter().find_map(|of| found.as_str().strip_suffix(of));
            let metric = metric.unwrap_or(found.as_str());
            assert!(known.contains(&format!("\"{metric}\"")), "{}: there is no {metric}", page.display());
        }
    }
    assert!(named > 30, "only {named} were found");
}

/// What the headings of a page are called in links, as GitHub makes it.
fn anchors(page: &str) -> BTreeSet<String> {
    let mut anchors = BTreeSet::new();
    let headings = page.lines().filter(|line| line.starts_with('#'));
    for heading in headings.map(|line| line.trim_start_matches('#').trim().to_lowercase()) {
        let kept = heading.chars().filter(|c| c.is_alphanumeric() || [' ', '-', '_'].contains(c));
        let anchor = kept.map(|c| if c == ' ' { '-' } else { c }).collect::<String>();
        let mut again = anchor.clone();
        let mut times = 0;
        while !anchors.insert(again.clone()) {
            times += 1;
            again = format!("{anchor}-{times}");
        }
    }
    anchors
}

/// All that is written for readers, in the folders that are not built.
pub(crate) fn pages() -> Vec<PathBuf> {
    fn below(folder: &Path, pages: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap();
            if path.is_dir() && !name.starts_with('.') && !["target", "node_modules"].contains(&name) {
                below(&path, pages);
            } else if name.ends_with(".md") {
                pages.push(path);
            }
        }
    }
    let mut pages = Vec::new();
    below(&repository(), &mut pages);
    pages
}

/// The texts of all Rust files below a folder.
fn sources(folder: &Path) -> Vec<String> {
    let mut texts = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            texts.extend(sources(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            texts.push(fs::read_to_string(path).unwrap());
        }
    }
    texts
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
