//! The schema for those who know only JSON Schema: what the loader obeys by members of its own is said in the words of the
//! standard.
//!
//! Whatever the loader takes is valid by it, but for numbers and truth values in quotes, and of what the loader refuses for its shape it knows most: what hangs on
//! several keys together, or on other files, only `check` can tell.

use serde_json::{Map, Value, json};

/// `schema` with its own members turned into standard ones.
pub(super) fn schema(mut schema: Value) -> Value {
    rewrite(&mut schema);
    if let Some(root) = schema.as_object_mut() {
        root.insert("title".to_owned(), "Configuration of esp-connector".into());
    }
    schema
}

fn rewrite(value: &mut Value) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(rewrite),
        Value::Object(members) => {
            let default = text(members, "x-tag-default");
            for key in ["oneOf", "anyOf"] {
                if let Some(Value::Array(branches)) = members.get_mut(key) {
                    branches.retain(|branch| branch.get("x-refused").is_none());
                    if let Some(default) = &default {
                        branches.iter_mut().for_each(|branch| want_tag(branch, default));
                    }
                }
            }
            if members.get("properties").is_some_and(Value::is_object) {
                section(members);
            } else if let Some(named) = members.get_mut("additionalProperties")
                && named.get("$ref").is_some()
            {
                // A section by a name of the user's choice, which may be empty like any other.
                nullable(named);
            }
            words(members);
            for (key, value) in members.iter_mut().filter(|(key, _)| !key.starts_with("x-")) {
                match value {
                    // Keys of a file by name, which may be words of JSON Schema too, such as `pattern`.
                    Value::Object(named) if ["properties", "$defs"].contains(&key.as_str()) => {
                        named.values_mut().for_each(rewrite);
                    }
                    other => rewrite(other),
                }
            }
            // Last: what it makes of names would be names again.
            names(members);
            members.retain(|key, _| !key.starts_with("x-"));
        }
        _ => {}
    }
}

/// Where a tag may be left out only for one variant, the others have to have it.
fn want_tag(branch: &mut Value, default: &str) {
    let tag = branch["properties"].as_object().and_then(|properties| {
        properties.iter().find(|(_, property)| property.get("const").is_some_and(|name| name != default))
    });
    let Some(tag) = tag.map(|(key, _)| key.clone()) else { return };
    match branch["required"].as_array_mut() {
        Some(required) => required.push(tag.into()),
        None => branch["required"] = json!([tag]),
    }
}

/// A section takes its own keys only, in their other names too, and nothing behind a colon is as good as no key.
fn section(members: &mut Map<String, Value>) {
    let required: Vec<String> = members
        .get("required")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(|key| key.as_str().map(str::to_owned))
        .collect();
    // Of the variant that a tag chooses.
    let tag_alias = text(members, "x-alias");
    let Some(Value::Object(properties)) = members.get_mut("properties") else { return };
    let mut aliases = Vec::new();
    for (key, property) in properties.iter_mut() {
        let Value::Object(known) = property else { continue };
        if let Some(why) = text(known, "x-refused") {
            let description = text(known, "description").unwrap_or_default();
            *property =
                json!({ "description": format!("{description} Not supported: {why}."), "type": "null" });
            continue;
        }
        if let Some(tag_alias) = &tag_alias
            && let Some(name) = known.remove("const")
        {
            known.insert("enum".to_owned(), json!([name, tag_alias]));
        }
        if let Some(alias) = text(known, "x-alias") {
            aliases.push((alias, property.clone()));
        }
        if !required.contains(key) {
            nullable(property);
        }
    }
    for (alias, mut property) in aliases {
        nullable(&mut property);
        properties.insert(alias, property);
    }
    match members.get_mut("additionalProperties") {
        Some(others) if others.is_object() => nullable(others),
        Some(_) => {}
        None => drop(members.insert("additionalProperties".to_owned(), false.into())),
    }
}

fn nullable(property: &mut Value) {
    let Value::Object(known) = property else { return };
    let is_name = known.contains_key("enum") || known.contains_key("const");
    match known.get("type").cloned() {
        Some(Value::Array(types)) if !is_name && types.contains(&"null".into()) => {}
        Some(Value::Array(mut types)) if !is_name => {
            types.push("null".into());
            known.insert("type".to_owned(), types.into());
        }
        Some(one @ Value::String(_)) if !is_name => {
            drop(known.insert("type".to_owned(), json!([one, "null"])))
        }
        _ if is_name || ["$ref", "oneOf", "anyOf"].iter().any(|key| known.contains_key(*key)) => {
            // What is said of the key stays outside.
            let (inner, mut whole): (Map<_, _>, Map<_, _>) = std::mem::take(known)
                .into_iter()
                .partition(|(key, _)| !key.starts_with("x-") && key != "description" && key != "default");
            whole.insert("anyOf".to_owned(), json!([inner, { "type": "null" }]));
            *known = whole;
        }
        _ => {}
    }
}

/// What only our members say of a key goes into its description.
fn words(members: &mut Map<String, Value>) {
    let mut more = String::new();
    if let Some(default) = text(members, "x-default") {
        more.push_str(&format!(" Default: {default}."));
    }
    if let Some(why) = text(members, "x-note").or_else(|| text(members, "x-not-yet")) {
        more.push_str(&format!(" Has no effect: {why}."));
    }
    if let (false, Some(Value::String(description))) = (more.is_empty(), members.get_mut("description")) {
        description.push_str(&more);
    }
}

/// Text may be written as a number or a truth value; names in any case, and some by another name.
fn names(members: &mut Map<String, Value>) {
    let free = ["enum", "const", "properties", "pattern"].iter().all(|key| members.get(*key).is_none());
    match members.get_mut("type") {
        Some(kind) if free && *kind == "string" => *kind = json!(["string", "number", "boolean"]),
        Some(Value::Array(kinds)) if free && kinds.contains(&"string".into()) => {
            kinds.extend(["number".into(), "boolean".into()]);
            kinds.sort_by_key(|kind| kind == "null");
            kinds.dedup();
        }
        _ => {}
    }
    if free || members.contains_key("properties") {
        return;
    }
    let alias = text(members, "x-alias");
    let fixed = members.remove("const").into_iter();
    let listed = members.remove("enum").and_then(|names| names.as_array().cloned()).into_iter().flatten();
    let names: Vec<Value> = fixed.chain(listed).chain(alias.map(Value::from)).collect();
    let pattern: Vec<String> = names.iter().filter_map(Value::as_str).map(in_any_case).collect();
    members.remove("type");
    let pattern = format!("^({})$", pattern.join("|"));
    // Editors offer the first, validators are content with the second.
    members.insert("anyOf".to_owned(), json!([{ "enum": names }, { "type": "string", "pattern": pattern }]));
}

fn in_any_case(name: &str) -> String {
    let either = |c: char| match c {
        c if c.is_ascii_alphabetic() => format!("[{}{}]", c.to_ascii_uppercase(), c.to_ascii_lowercase()),
        c if c.is_ascii_alphanumeric() || c == '-' || c == '_' => c.to_string(),
        c => format!("\\{c}"),
    };
    name.chars().map(either).collect()
}

fn text(members: &Map<String, Value>, key: &str) -> Option<String> {
    members.get(key).and_then(Value::as_str).map(str::to_owned)
}
