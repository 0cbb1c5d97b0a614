//! `docs/configuration.md` is written from the schema of the configuration's own types.
//!
//! The test fails when the page is stale; `UPDATE_DOCS=1` writes it.

use std::{collections::BTreeSet, env, fmt::Write, fs, path::Path};

use esp_connector::config;
use serde_json::Value;

#[test]
fn the_reference_page_is_up_to_date() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/configuration.md");
    let page = page(&config::schema());
    if env::var_os("UPDATE_DOCS").is_some() {
        fs::write(&file, &page).unwrap();
    }
    let found = fs::read_to_string(&file).unwrap_or_default();
    assert!(
        found == page,
        "docs/configuration.md is stale: run `UPDATE_DOCS=1 cargo test -p esp-connector --test configuration_reference`"
    );
}

#[test]
fn every_section_has_a_place_on_the_page() {
    let schema = config::schema();
    for (name, definition) in schema["$defs"].as_object().unwrap() {
        let sections =
            branches(&schema, definition).into_iter().filter(|branch| branch.get("properties").is_some());
        if sections.count() > 0 && !UNNAMED.contains(&name.as_str()) {
            let place = PLACES.iter().any(|place| place.definition == name);
            assert!(place, "`{name}` has keys, and no place in the reference");
        }
    }
}

const EXAMPLE: &str = include_str!("../../tests/fixtures/config/good/reference.yml");

const INTRODUCTION: &str = "\
# Configuration

<!-- Written by `UPDATE_DOCS=1 cargo test -p esp-connector --test configuration_reference`: do not edit. -->

One YAML file, in the shape of the file of Aerospike's own ESP connector, so that an existing file is most of the way
there. `esp-connector check --config FILE` prints what a file would run, or everything that is wrong with it.

- Keys that do not exist are refused, with line, path and the nearest name that does.
- Keys of the vendor's connector that have no effect here yet load with a warning; below they are marked *not acted on
  yet*. Those that need none are marked *no effect*. What cannot work here is refused; below it is marked *refused*, with
  what to write instead. [Every option of the vendor's connector](vendor-options.md), with what becomes of it.
- **(ours)** marks keys that the vendor's connector does not have.
- Relative file names are relative to the folder of the configuration file.
- Names of values (`gzip`, `HTTP_2`, `debug`) may be written in any case.
- YAML's merge key `<<`, tags and more than one document are not supported. A file has at most 1 MiB.
- The file is read once, when the connector starts.

## An example

```yaml
";

const PRECEDENCE: &str = "\
Of each of `format`, `routing`, `filter`, `batching`, `bin-transforms` and `record-ordering` the innermost one applies to a
record, as a whole: set, then namespace, then port, then the top level. A port's own `namespaces` come before the namespaces of
the top level, and any set before any namespace. A delete that arrives without its set is routed by its namespace.
";

const DESTINATIONS: &str = "\
A name of your choice for each destination, and under it the keys of its `type`. [What each needs, and what it
does](targets.md). All types but `http` are ours.
";

const BATCHING: &str = "\
A request goes at once while its destination is idle. While earlier requests are in flight, records for it gather, up to
the limits here; so latency is low when there is little to do, and requests are large when there is much. Every record is
answered to XDR by the outcome of the request it was in.
";

const ORDERING: &str = "\
Without this section the versions of a record are sent in the order they arrive, one after the other. With it a version
whose last-update time is older than that of one that arrived before for the same destination is acknowledged and not
sent; of several that wait, only the newest is sent, and the others are acknowledged when it is delivered. A version that
may hold only some of the bins (`bin-policy` other than `all`) takes no other's place. It is about one connector: versions
of a record that XDR ships to another one are not known here, and nothing is remembered over a restart.
";

const BINS: &str = "\
First `exclude` and `include` choose by the original names, then the rest is renamed.
";

const SETS: &str = "\
The name of a set, and under it the sections of a namespace, except `record-ordering`:
";

/// A section of the page.
struct Place {
    definition: &'static str,
    heading: &'static str,
    /// Stands before the table.
    text: &'static str,
}

const fn place(definition: &'static str, heading: &'static str, text: &'static str) -> Place {
    Place { definition, heading, text }
}

const PLACES: [Place; 24] = [
    place("", "Top level", PRECEDENCE),
    place("Service", "service", ""),
    place("Manage", "service.manage", ""),
    place("Destination", "destinations", DESTINATIONS),
    place(
        "HeaderValue",
        "headers of a destination",
        "Each header is text, or a section with one of these keys. Values never appear in logs or messages.\n",
    ),
    place("HealthCheck", "health-check of a destination", ""),
    place("ServerTls", "tls of a listener", "Under `service` and under `service.manage`, each on its own.\n"),
    place("Source", "token of a destination", "Of `aws-alb`: one of these keys.\n"),
    place("AwsWebIdentity", "aws-web-identity of a `token`", ""),
    place(
        "Tls",
        "tls of a destination",
        "The files are read again when they change; open connections stay as they are.\n",
    ),
    place("FormatMode", "format", "By `mode`. `format: json` is short for `format: {mode: json}`.\n"),
    place(
        "Variant",
        "write and `delete` of a template",
        "What is different for one kind of change; the rest is as beside them. [Templates](templates.md) has the language.\n",
    ),
    place("Routing", "routing", "By `mode`.\n"),
    place("Rule", "rules of `routing`", "Of `mode: expression`, each with:\n"),
    place("Batching", "batching", BATCHING),
    place("BinTransforms", "bin-transforms", BINS),
    place("Filter", "include and `exclude` of `bin-transforms`", ""),
    place(
        "Regex",
        "regex in `transforms`",
        "A step of `transforms` is one of its words, or a section `regex` with:\n",
    ),
    place("RecordOrdering", "record-ordering", ORDERING),
    place("Namespace", "namespaces", "The name of a namespace, and under it:\n"),
    place("Sections", "sets", SETS),
    place("Port", "port-based-config", "The number of a port, and under it:\n"),
    place("Logging", "logging", ""),
    place("Metrics", "metrics", ""),
];

/// Definitions without a section of their own: `format` is described by its modes, a step of `transforms` by its
/// words.
const UNNAMED: [&str; 2] = ["Format", "NameTransform"];

fn page(schema: &Value) -> String {
    // Its first line is for those who find it among the samples.
    let example = EXAMPLE.split_once('\n').map_or(EXAMPLE, |(_, rest)| rest);
    let mut page = format!("{INTRODUCTION}{example}```\n");
    for place in &PLACES {
        let definition =
            if place.definition.is_empty() { schema } else { &schema["$defs"][place.definition] };
        let heading =
            if place.definition.is_empty() { place.heading.to_owned() } else { code(place.heading) };
        let _ = write!(page, "\n## {heading}\n\n");
        if !place.text.is_empty() {
            let _ = writeln!(page, "{}", place.text);
        }
        let branches: Vec<&Value> =
            branches(schema, definition).into_iter().filter(|b| b.get("properties").is_some()).collect();
        let modes =
            branches.len() > 1 && branches.iter().all(|branch| branch["properties"].get("mode").is_some());
        if place.definition == "Destination" {
            destinations(&mut page, schema, &branches);
        } else if modes {
            self::modes(&mut page, schema, &branches);
        } else {
            page.push_str("| key | value | default | what it does |\n| --- | --- | --- | --- |\n");
            for branch in &branches {
                rows(&mut page, schema, branch, branches.len() == 1);
            }
        }
    }
    page
}

/// `headers of a destination` with its key in code.
fn code(heading: &str) -> String {
    match heading.split_once(' ') {
        Some((key, rest)) => format!("`{key}` {rest}"),
        None => format!("`{heading}`"),
    }
}

/// The rows of a section: what must be given first, what has no effect last.
fn rows(page: &mut String, schema: &Value, section: &Value, alone: bool) {
    let required =
        |key: &str| section["required"].as_array().is_some_and(|keys| keys.iter().any(|k| k == key));
    let mut properties: Vec<(&String, &Value)> =
        section["properties"].as_object().into_iter().flatten().collect();
    properties.sort_by_key(|(key, property)| (effect(property).is_some(), !required(key)));
    for (key, property) in properties {
        let name =
            if property.get("x-ours").is_some() { format!("`{key}` **(ours)**") } else { format!("`{key}`") };
        let (value, default) = match effect(property) {
            Some(_) => (String::new(), String::new()),
            None if required(key) && alone => (kind(schema, property), "required".to_owned()),
            None => (kind(schema, property), default(property)),
        };
        let _ = writeln!(
            page,
            "| {name} | {value} | {default} | {}{} |",
            words(property),
            meanings(schema, property)
        );
    }
}

/// The types, then every key once: those that all have, those of all that speak HTTP, those of all of AWS, and what is
/// left of each type.
fn destinations(page: &mut String, schema: &Value, types: &[&Value]) {
    page.push_str("| type | what it is |\n| --- | --- |\n");
    for kind in types {
        let _ = writeln!(page, "| `{}` | {} |", type_of(kind), words(kind));
    }
    let keys = |kind: &Value| {
        kind["properties"].as_object().into_iter().flatten().map(|(k, _)| k.clone()).collect::<BTreeSet<_>>()
    };
    let common = |of: &[&&Value]| {
        of.iter().map(|kind| keys(kind)).reduce(|one, other| &one & &other).unwrap_or_default()
    };
    let all: Vec<&&Value> = types.iter().collect();
    let aws: Vec<&&Value> = types.iter().filter(|kind| type_of(kind).starts_with("aws-")).collect();
    let shared = common(&all);
    let http = &keys(types[0]) - &shared;
    let credentials = &(&common(&aws) - &shared) - &http;
    let groups = [shared, http, credentials];
    for group in &groups {
        let members: Vec<&Value> =
            types.iter().copied().filter(|kind| group.is_subset(&keys(kind))).collect();
        group_of_keys(page, schema, group, &members, members.len() == types.len());
    }
    let mut left: Vec<(BTreeSet<String>, Vec<&Value>)> = Vec::new();
    for kind in types {
        let mut own = keys(kind);
        for group in groups.iter().filter(|group| group.is_subset(&keys(kind))) {
            own = &own - group;
        }
        match left.iter_mut().find(|(keys, _)| *keys == own) {
            Some((_, kinds)) => kinds.push(kind),
            None => left.push((own, vec![kind])),
        }
    }
    for (keys, kinds) in left.iter().filter(|(keys, _)| !keys.is_empty()) {
        group_of_keys(page, schema, keys, kinds, false);
    }
}

fn group_of_keys(page: &mut String, schema: &Value, keys: &BTreeSet<String>, kinds: &[&Value], all: bool) {
    let names: Vec<String> = kinds.iter().map(|kind| format!("`{}`", type_of(kind))).collect();
    let of = match names.split_last() {
        _ if all => "every destination".to_owned(),
        Some((last, rest)) if !rest.is_empty() => format!("{} and {last}", rest.join(", ")),
        _ => names.concat(),
    };
    let _ = write!(
        page,
        "\nKeys of {of}:\n\n| key | value | default | what it does |\n| --- | --- | --- | --- |\n"
    );
    let mut section = kinds[0].clone();
    if let Some(properties) = section["properties"].as_object_mut() {
        properties.retain(|key, _| keys.contains(key));
        for (key, property) in properties {
            if key == "type" {
                property["x-kind"] = "a type".into();
            } else if let Some(words) = differing_defaults(key, kinds) {
                property["x-default"] = words.into();
            }
        }
    }
    // Where all is ours, nothing has to be marked.
    if let (false, Some(properties)) =
        (kinds.iter().any(|kind| kind.get("x-ours").is_none()), section["properties"].as_object_mut())
    {
        for property in properties.values_mut() {
            property.as_object_mut().map(|property| property.remove("x-ours"));
        }
    }
    rows(page, schema, &section, true);
}

/// The defaults of a key, where types have different ones.
fn differing_defaults(key: &str, kinds: &[&Value]) -> Option<String> {
    let mut defaults: Vec<(String, Vec<&str>)> = Vec::new();
    for kind in kinds {
        let words = default(&kind["properties"][key]);
        match defaults.iter_mut().find(|(known, _)| *known == words) {
            Some((_, names)) => names.push(type_of(kind)),
            None => defaults.push((words, vec![type_of(kind)])),
        }
    }
    let (first, others) = defaults.split_first()?;
    let words: Vec<String> = others
        .iter()
        .map(|(words, names)| {
            let names: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
            if others.len() == 1 && first.1.len() == 1 && names.len() > 1 {
                format!("{words} with the others")
            } else {
                format!("{words} with {}", names.join(", "))
            }
        })
        .collect();
    (!words.is_empty()).then(|| format!("{}; {}", first.0, words.join("; ")))
}

fn type_of(kind: &Value) -> &str {
    kind["properties"]["type"]["const"].as_str().unwrap_or_default()
}

fn modes(page: &mut String, schema: &Value, branches: &[&Value]) {
    page.push_str("| mode | what it does |\n| --- | --- |\n");
    for branch in branches {
        let ours = if branch.get("x-ours").is_some() { " **(ours)**" } else { "" };
        let _ = writeln!(page, "| `{}`{ours} | {} |", mode(branch), words(branch));
    }
    for branch in
        branches.iter().filter(|branch| branch["properties"].as_object().is_some_and(|keys| keys.len() > 1))
    {
        let _ = write!(page, "\nKeys of `{}`:\n\n", mode(branch));
        page.push_str("| key | value | default | what it does |\n| --- | --- | --- | --- |\n");
        let mut keys = (*branch).clone();
        if let Some(keys) = keys["properties"].as_object_mut() {
            keys.remove("mode");
        }
        rows(page, schema, &keys, true);
    }
}

fn mode(branch: &Value) -> &str {
    branch["properties"]["mode"]["const"].as_str().unwrap_or_default()
}

/// The description, and what the connector makes of it.
fn words(schema: &Value) -> String {
    let mut words = schema["description"].as_str().unwrap_or_default().replace('\n', " ");
    if let Some(alias) = schema["x-alias"].as_str() {
        let _ = write!(words, " Also called `{alias}`.");
    }
    if let Some(effect) = effect(schema) {
        words = format!("{words} {effect}");
    }
    words.trim().to_owned()
}

/// What each name that may be written here does.
fn meanings(schema: &Value, property: &Value) -> String {
    if property.get("x-refused").is_some() {
        return String::new();
    }
    let names = branches(schema, property).into_iter().filter_map(|branch| {
        let (name, words) = (branch["const"].as_str()?, branch["description"].as_str()?);
        branch.get("x-refused").is_none().then(|| format!(" `{name}`: {}", words.replace('\n', " ")))
    });
    let names: Vec<String> = names.collect();
    if names.len() > 1 { names.concat() } else { String::new() }
}

fn effect(schema: &Value) -> Option<String> {
    let sentence = |start: &str, text: &Value| text.as_str().map(|text| format!("*{start}:* {text}."));
    sentence("Not acted on yet", &schema["x-not-yet"])
        .or_else(|| sentence("No effect", &schema["x-note"]))
        .or_else(|| sentence("Refused", &schema["x-refused"]))
}

fn default(property: &Value) -> String {
    if let Some(words) = property["x-default"].as_str() {
        return words.to_owned();
    }
    match &property["default"] {
        Value::Null => String::new(),
        Value::String(text) => format!("`{text}`"),
        Value::Array(list) if list.is_empty() => "none".to_owned(),
        Value::Object(map) if map.is_empty() => "none".to_owned(),
        other => other.to_string(),
    }
}

/// What one may write, in words.
fn kind(schema: &Value, property: &Value) -> String {
    if let Some(words) = property["x-kind"].as_str() {
        return words.to_owned();
    }
    let mut kinds: Vec<String> = Vec::new();
    for branch in branches(schema, property) {
        let is = |kind: &str| {
            branch["type"] == kind
                || branch["type"].as_array().is_some_and(|kinds| kinds.iter().any(|k| k == kind))
        };
        let kind = if let Some(name) = branch["const"].as_str() {
            if branch.get("x-refused").is_some() { continue } else { format!("`{name}`") }
        } else if let Some(names) = branch["enum"].as_array() {
            let names: Vec<String> =
                names.iter().filter_map(Value::as_str).map(|name| format!("`{name}`")).collect();
            names.join(", ")
        } else if is("integer") {
            number(branch)
        } else if is("boolean") {
            "true or false".to_owned()
        } else if is("array") {
            format!(
                "list of {}",
                kind(schema, &branch["items"]).replace("number", "numbers").replace("text", "texts")
            )
        } else if is("object") && branch.get("additionalProperties").is_some_and(Value::is_object) {
            format!("name: {}", kind(schema, &branch["additionalProperties"]))
        } else if is("object") {
            "section".to_owned()
        } else {
            "text".to_owned()
        };
        if !kinds.contains(&kind) {
            kinds.push(kind);
        }
    }
    kinds.join(" or ")
}

fn number(schema: &Value) -> String {
    match (schema["minimum"].as_i64().unwrap_or(0), schema["maximum"].as_u64()) {
        (0, None | Some(65_535)) => "number".to_owned(),
        (min, None) => format!("number from {min}"),
        (min, Some(max)) => format!("number {min} to {max}"),
    }
}

/// The alternatives of a schema without "null", references followed.
fn branches<'a>(root: &'a Value, schema: &'a Value) -> Vec<&'a Value> {
    let target = schema["$ref"].as_str().and_then(|reference| root.pointer(reference.strip_prefix('#')?));
    let schema = target.unwrap_or(schema);
    match schema.get("oneOf").or_else(|| schema.get("anyOf")).and_then(Value::as_array) {
        Some(list) => list
            .iter()
            .filter(|branch| branch["type"] != "null")
            .flat_map(|branch| branches(root, branch))
            .collect(),
        None => vec![schema],
    }
}
