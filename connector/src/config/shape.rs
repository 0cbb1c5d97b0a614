//! Does the tree have the shape that the schema describes?
//!
//! Everything that does not fit is reported and left out, so that the rest can still be judged; an object
//! that lacks a required member is left out as a whole. Messages show keys and names, never free values:
//! those may be secrets.

use serde_json::{Map, Number, Value};

use super::{
    HELM_VALUES,
    problem::{Findings, join, nearest, shorten},
    tree::{Entry, Kind, Node},
};
use choice::{Choice, listed};

mod choice;

/// Checks `tree` against `schema` and returns what fits, as the JSON that serde reads.
pub(crate) fn check(tree: &Node, schema: &Value, findings: &mut Findings) -> Value {
    let fits = Shape { root: schema, findings }.value(tree, schema, At { path: "", line: tree.line });
    fits.unwrap_or_else(|| Value::Object(Map::new()))
}

/// Where a value stands: its path, and the line of its key.
#[derive(Clone, Copy)]
struct At<'p> {
    path: &'p str,
    line: usize,
}

struct Shape<'s, 'f> {
    root: &'s Value,
    findings: &'f mut Findings,
}

impl<'s> Shape<'s, '_> {
    fn value(&mut self, node: &Node, schema: &'s Value, at: At<'_>) -> Option<Value> {
        let branches = self.branches(schema);
        if branches.iter().any(|branch| accepts_anything(branch)) {
            return Some(to_json(node));
        }
        match &node.kind {
            Kind::Map(_) => match self.object(node, schema, &branches, at)? {
                Some(object) => self.section(node, object, at),
                None => self.wrong_kind(node, &branches, at),
            },
            Kind::List(items) => match branches.iter().find(|branch| is(branch, "array")) {
                Some(list) => self.list(items, list, at),
                None => self.wrong_kind(node, &branches, at),
            },
            Kind::Scalar { text, .. } => self.scalar(node, text, &branches, at),
        }
    }

    /// The object schema that a mapping is meant for. `Err` of the option: reported already.
    fn object(
        &mut self,
        node: &Node,
        schema: &'s Value,
        branches: &[&'s Value],
        at: At<'_>,
    ) -> Option<Option<&'s Value>> {
        let objects: Vec<&'s Value> =
            branches.iter().copied().filter(|branch| is(branch, "object")).collect();
        let Some(tag) = objects.first().and_then(|first| tag(first)) else {
            if objects.len() < 2 {
                return Some(objects.first().copied());
            }
            return self.alternative(node, &objects, at).map(Some);
        };
        let default = self.resolve(schema).get("x-tag-default").and_then(Value::as_str);
        let given = node.entries().iter().find(|entry| entry.key == tag && !entry.value.is_null());
        let names: Vec<Choice<'s>> =
            objects.iter().filter_map(|object| Choice::of(&object["properties"][tag], object)).collect();
        let (name, line) = match (given, default) {
            (Some(Entry { value: Node { kind: Kind::Scalar { text, .. }, .. }, line, .. }), _) => {
                (text.as_str(), *line)
            }
            (Some(entry), _) => {
                let message = format!("expected {}, found {}", listed(&names), entry.value.kind_name());
                self.findings.problem(entry.line, &join(at.path, tag), message);
                return None;
            }
            (None, Some(default)) => (default, at.line),
            (None, None) => {
                let message = format!("required key `{tag}` is missing: {}", listed(&names));
                self.findings.problem(at.line, at.path, message);
                return None;
            }
        };
        self.choose(name, &names, At { path: &join(at.path, tag), line }).map(|choice| Some(choice.schema))
    }

    /// The one of several untagged object schemas that shares a key with the mapping.
    fn alternative(&mut self, node: &Node, objects: &[&'s Value], at: At<'_>) -> Option<&'s Value> {
        let has_key_of = |object: &&&Value| {
            node.entries().iter().any(|entry| properties(object).any(|(k, _)| k == entry.key))
        };
        let found = objects.iter().find(has_key_of).copied();
        if found.is_none() {
            let keys: Vec<String> = objects
                .iter()
                .flat_map(|object| properties(object))
                .map(|(key, _)| format!("`{key}`"))
                .collect();
            self.findings.problem(at.line, at.path, format!("expected one of the keys {}", keys.join(", ")));
        }
        found
    }

    fn section(&mut self, node: &Node, schema: &'s Value, at: At<'_>) -> Option<Value> {
        let mut fits = Map::new();
        let mut lines: Vec<(&str, usize)> = Vec::new();
        for entry in node.entries() {
            let path = join(at.path, &entry.key);
            let known = properties(schema).find(|(key, property)| {
                *key == entry.key
                    || property.get("x-alias").and_then(Value::as_str) == Some(entry.key.as_str())
            });
            let Some((key, property)) = known else {
                match schema.get("additionalProperties") {
                    Some(others @ Value::Object(_)) => {
                        if let Some(value) = self.free_entry(entry, others, &path) {
                            fits.insert(entry.key.clone(), value);
                        }
                    }
                    _ => self.unknown(entry, schema, &path),
                }
                continue;
            };
            if let Some((_, first)) = lines.iter().find(|(seen, _)| *seen == key) {
                let message = format!("another name of `{key}`, given on line {first}");
                self.findings.problem(entry.line, &path, message);
                continue;
            }
            lines.push((key, entry.line));
            if self.absent(&entry.value, property) || !self.usable(entry, property, &path) {
                continue;
            }
            if let Some(tag) = property.get("const") {
                // It chose this schema, maybe by another name.
                fits.insert(key.to_owned(), tag.clone());
                continue;
            }
            if let Some(value) = self.value(&entry.value, property, At { path: &path, line: entry.line }) {
                fits.insert(key.to_owned(), value);
            }
        }
        let required = schema.get("required").and_then(Value::as_array).into_iter().flatten();
        let mut complete = true;
        for key in required.filter_map(Value::as_str).filter(|key| !fits.contains_key(*key)) {
            complete = false;
            match node.entries().iter().find(|entry| entry.key == key) {
                Some(entry) if entry.value.is_null() => {
                    self.findings.problem(entry.line, &join(at.path, key), "needs a value");
                }
                Some(_) => {}
                None => self.findings.problem(at.line, &join(at.path, key), "required key is missing"),
            }
        }
        complete.then_some(Value::Object(fits))
    }

    /// An entry of a mapping whose keys are free. Nothing after the colon is an empty section where one may stand.
    fn free_entry(&mut self, entry: &Entry, schema: &'s Value, path: &str) -> Option<Value> {
        let at = At { path, line: entry.line };
        if !entry.value.is_null() {
            return self.value(&entry.value, schema, at);
        }
        if self.branches(schema).iter().all(|branch| is(branch, "object")) {
            return self.value(&Node::empty(entry.line), schema, at);
        }
        self.findings.problem(entry.line, path, "needs a value");
        None
    }

    /// Whether a known key has an effect here; says so when not.
    fn usable(&mut self, entry: &Entry, property: &Value, path: &str) -> bool {
        if let Some(why) = property.get("x-refused").and_then(Value::as_str) {
            self.findings.problem(entry.line, path, why);
            return false;
        }
        if let Some(instead) = property.get("x-not-yet").and_then(Value::as_str) {
            self.findings.warn(entry.line, path, format!("not acted on yet; {instead}"));
        }
        if let Some(why) = property.get("x-note").and_then(Value::as_str) {
            self.findings.note(entry.line, path, format!("has no effect: {why}"));
        }
        true
    }

    /// Whether a value is as good as not there. Where `null` is a name, writing it is a choice.
    fn absent(&self, value: &Node, property: &'s Value) -> bool {
        let Kind::Scalar { text, .. } = &value.kind else { return false };
        let names_it =
            || self.branches(property).into_iter().flat_map(Choice::all).any(|choice| choice.is(text));
        value.is_null() && (text.is_empty() || !names_it())
    }

    fn unknown(&mut self, entry: &Entry, schema: &'s Value, path: &str) {
        if let Some(hint) = schema["x-elsewhere"][entry.key.replace('_', "-")].as_str() {
            return self.findings.problem(entry.line, path, format!("unknown key; {hint}"));
        }
        let known: Vec<&str> = properties(schema)
            .flat_map(|(key, property)| [Some(key), property.get("x-alias").and_then(Value::as_str)])
            .flatten()
            .collect();
        let hint = if path == HELM_VALUES {
            "this is a file of values for the vendor's Helm chart; what stands under this key is the connector's file"
                .to_owned()
        } else if let Some(near) = nearest(&entry.key, known.iter().copied()) {
            format!("did you mean `{near}`?")
        } else if let Some(home) = self.home(&entry.key) {
            format!("it belongs {home}")
        } else {
            let usable: Vec<&str> = properties(schema)
                .filter(|(_, property)| property.get("x-refused").is_none())
                .map(|(key, _)| key)
                .collect();
            format!("known here: {}", usable.join(", "))
        };
        self.findings.problem(entry.line, path, format!("unknown key; {hint}"));
    }

    /// Where else in the file a key is known, in words.
    fn home(&self, key: &str) -> Option<String> {
        let knows = |definition: &str| {
            let schema = match definition {
                "" => self.root,
                name => self.root.get("$defs").and_then(|definitions| definitions.get(name))?,
            };
            // A tag is known in many places and says nothing about where it belongs.
            let mut known = self.branches(schema).into_iter().flat_map(properties);
            Some(known.any(|(name, property)| name == key && property.get("const").is_none()))
        };
        let places = HOMES.into_iter().filter(|(definition, _)| knows(definition) == Some(true));
        let places: Vec<&str> = places.map(|(_, words)| words).collect();
        let (last, others) = places.split_last()?;
        Some(if others.is_empty() { (*last).to_owned() } else { format!("{} or {last}", others.join(", ")) })
    }

    fn list(&mut self, items: &[Node], schema: &'s Value, at: At<'_>) -> Option<Value> {
        if items.is_empty() && schema.get("minItems").and_then(Value::as_u64).is_some_and(|min| min > 0) {
            self.findings.problem(at.line, at.path, "the list is empty; at least one is needed");
            return None;
        }
        let of = schema.get("items").unwrap_or(&Value::Bool(true));
        let mut fits = Vec::new();
        for (n, item) in items.iter().enumerate() {
            fits.extend(self.value(item, of, At { path: &format!("{}[{n}]", at.path), line: item.line }));
        }
        Some(Value::Array(fits))
    }

    fn scalar(&mut self, node: &Node, text: &str, branches: &[&'s Value], at: At<'_>) -> Option<Value> {
        let names: Vec<Choice<'s>> = branches.iter().flat_map(|branch| Choice::all(branch)).collect();
        if node.is_null() && !names.iter().any(|choice| choice.is(text)) {
            return self.wrong_kind(node, branches, at);
        }
        if let Some(key) = branches.iter().find_map(|branch| properties(branch).find(|(key, _)| *key == text))
        {
            self.findings.problem(
                at.line,
                at.path,
                format!("`{}` is a section here: write `{}: {{…}}`", key.0, key.0),
            );
            return None;
        }
        if !names.is_empty() {
            return self.choose(text, &names, at).map(|choice| Value::from(choice.name));
        }
        for branch in branches {
            if is(branch, "boolean") && node.as_bool().is_some() {
                return node.as_bool().map(Value::Bool);
            }
            if is(branch, "integer")
                && let Ok(number) = text.parse::<i128>()
            {
                return self.integer(number, branch, at);
            }
            if is(branch, "string") {
                if text.is_empty() && branch.get("minLength").is_some() {
                    self.findings.problem(at.line, at.path, "must not be empty");
                    return None;
                }
                return Some(Value::from(text));
            }
        }
        self.wrong_kind(node, branches, at)
    }

    fn integer(&mut self, number: i128, schema: &Value, at: At<'_>) -> Option<Value> {
        let (mut min, mut max) = match schema.get("format").and_then(Value::as_str) {
            Some("uint32") => (0, u32::MAX.into()),
            Some("int32") => (i32::MIN.into(), i32::MAX.into()),
            Some("int64") => (i64::MIN.into(), i64::MAX.into()),
            _ => (0, u64::MAX.into()),
        };
        min = schema.get("minimum").and_then(Value::as_i64).map_or(min, i128::from);
        max = schema.get("maximum").and_then(Value::as_u64).map_or(max, i128::from);
        if number < min {
            self.findings.problem(at.line, at.path, format!("must be at least {min}, not {number}"));
        } else if number > max {
            self.findings.problem(at.line, at.path, format!("must be at most {max}, not {number}"));
        } else {
            return u64::try_from(number)
                .map(Value::from)
                .or_else(|_| i64::try_from(number).map(Value::from))
                .ok();
        }
        None
    }

    /// The choice called `name`, whatever its case.
    fn choose<'c>(&mut self, name: &str, choices: &'c [Choice<'s>], at: At<'_>) -> Option<&'c Choice<'s>> {
        let choice = choices.iter().find(|choice| choice.is(name));
        match choice {
            Some(Choice { name, refused: Some(why), .. }) => {
                self.findings.problem(at.line, at.path, format!("`{name}`: {why}"));
                None
            }
            Some(choice) => Some(choice),
            None => {
                let near = nearest(name, choices.iter().map(|choice| choice.name));
                let hint = near.map_or_else(
                    || format!("expected {}", listed(choices)),
                    |near| format!("did you mean `{near}`?"),
                );
                self.findings.problem(
                    at.line,
                    at.path,
                    format!("unknown value `{}`; {hint}", shorten(name).escape_debug()),
                );
                None
            }
        }
    }

    fn wrong_kind<T>(&mut self, node: &Node, branches: &[&Value], at: At<'_>) -> Option<T> {
        let mut expected: Vec<&str> = Vec::new();
        for branch in branches {
            let words = match branch {
                _ if is(branch, "integer") => "a whole number",
                _ if is(branch, "boolean") => "true or false",
                _ if is(branch, "array") => "a list",
                _ if is(branch, "object") => "a section",
                _ => "text",
            };
            if !expected.contains(&words) {
                expected.push(words);
            }
        }
        let mut message = format!("expected {}, found {}", expected.join(" or "), node.kind_name());
        if let (["true or false"], Kind::Scalar { text, .. }) = (expected.as_slice(), &node.kind)
            && let Some(meant) = old_boolean(text)
        {
            message.push_str(&format!("; write `{meant}`"));
        }
        self.findings.problem(at.line, at.path, message);
        None
    }

    fn resolve(&self, mut schema: &'s Value) -> &'s Value {
        while let Some(reference) = schema.get("$ref").and_then(Value::as_str) {
            let target = reference.strip_prefix('#').and_then(|pointer| self.root.pointer(pointer));
            let Some(target) = target else { return &Value::Bool(true) };
            schema = target;
        }
        schema
    }

    /// The alternatives of `schema` without "null": just itself when there are none.
    fn branches(&self, schema: &'s Value) -> Vec<&'s Value> {
        let schema = self.resolve(schema);
        match schema.get("oneOf").or_else(|| schema.get("anyOf")).and_then(Value::as_array) {
            Some(list) => list
                .iter()
                .filter(|branch| branch.get("type").and_then(Value::as_str) != Some("null"))
                .flat_map(|branch| self.branches(branch))
                .collect(),
            None => vec![schema],
        }
    }
}

/// Definitions of the schema, and where they stand in words; "" is the file itself.
const HOMES: [(&str, &str); 17] = [
    ("", "at the top level"),
    ("Namespace", "in a namespace"),
    ("Sections", "in a set"),
    ("Port", "in a port of `port-based-config`"),
    ("Service", "in `service`"),
    ("Manage", "in `service.manage`"),
    ("Destination", "in a destination"),
    ("HealthCheck", "in `health-check` of a destination"),
    ("Tls", "in `tls` of a destination"),
    ("AwsWebIdentity", "in `aws-web-identity` of `token`"),
    ("ServerTls", "in `tls` of `service` or of `service.manage`"),
    ("Store", "in `key-store` or `trust-store`"),
    ("Batching", "in `batching`"),
    ("BinTransforms", "in `bin-transforms`"),
    ("RecordOrdering", "in `record-ordering`"),
    ("Logging", "in `logging`"),
    ("Metrics", "in `metrics`"),
];

fn properties(schema: &Value) -> impl Iterator<Item = (&str, &Value)> {
    let members = schema.get("properties").and_then(Value::as_object).into_iter().flatten();
    members.map(|(key, value)| (key.as_str(), value))
}

/// The member whose fixed value tells one object schema from the others.
fn tag(schema: &Value) -> Option<&str> {
    properties(schema).find(|(_, property)| property.get("const").is_some()).map(|(key, _)| key)
}

fn is(schema: &Value, kind: &str) -> bool {
    match schema.get("type") {
        Some(Value::String(only)) => only == kind,
        Some(Value::Array(several)) => several.iter().any(|one| one == kind),
        _ => false,
    }
}

fn accepts_anything(schema: &Value) -> bool {
    ["type", "const", "enum", "properties"].iter().all(|key| schema.get(key).is_none())
}

fn to_json(node: &Node) -> Value {
    match &node.kind {
        _ if node.is_null() => Value::Null,
        Kind::Scalar { plain: true, .. } if node.as_bool().is_some() => node.as_bool().into(),
        Kind::Scalar { plain: true, text } => {
            text.parse::<Number>().map_or_else(|_| text.as_str().into(), Value::from)
        }
        Kind::Scalar { text, .. } => text.as_str().into(),
        Kind::List(items) => items.iter().map(to_json).collect(),
        Kind::Map(entries) => {
            entries.iter().map(|entry| (entry.key.clone(), to_json(&entry.value))).collect()
        }
    }
}

/// What YAML 1.1, which Java programs read, takes for true and false besides those words.
fn old_boolean(text: &str) -> Option<bool> {
    match text.to_ascii_lowercase().as_str() {
        "yes" | "on" | "y" => Some(true),
        "no" | "off" | "n" => Some(false),
        _ => None,
    }
}
