//! The meaning of `format`: one that can be written, its schema read and understood.

use std::path::Path;

use serde_json::Value;

use super::{JSON, Meaning};
use crate::{
    config::{
        AvroEncoding, CloudEvents, ContentMode, DurableMember, EventData, Format, JsonRules, NanPolicy,
        file::{self, FormatMode},
        problem::{join, nearest, shorten},
        read,
        tree::MAX_TEXT_BYTES,
    },
    encode::{Encoder, event_problems},
};

impl Meaning<'_> {
    pub(super) fn format(&mut self, file: file::Format, path: &str) -> Format {
        let (format, place) = match file {
            file::Format::Short(name) => (self.short(&name, path), path.to_owned()),
            file::Format::Full(FormatMode::Json { stringify_map_keys, nan_policy }) => {
                let rules = JsonRules { stringify_map_keys, nan_policy: nan_policy.into() };
                (Some(Format::Json(rules)), path.to_owned())
            }
            file::Format::Full(FormatMode::FlatJson {
                metadata_key,
                stringify_map_keys,
                nan_policy,
                durable,
            }) => {
                let rules = JsonRules { stringify_map_keys, nan_policy: nan_policy.into() };
                (Some(Format::FlatJson { metadata_key, durable: durable.into(), rules }), path.to_owned())
            }
            file::Format::Full(FormatMode::MessagePack {}) => (Some(Format::MessagePack), path.to_owned()),
            file::Format::Full(FormatMode::Avro { schema, schema_file, stringify_map_keys, encoding }) => {
                let place = join(path, if schema.is_some() { "schema" } else { "schema-file" });
                let avro = |schema| Format::Avro { schema, stringify_map_keys, encoding: encoding.into() };
                (self.schema(schema, schema_file.as_deref(), path).map(avro), place)
            }
            file::Format::Full(FormatMode::CloudEvents {
                content_mode,
                source,
                kind,
                subject,
                data,
                metadata_key,
                stringify_map_keys,
                nan_policy,
            }) => {
                let events = CloudEvents {
                    content_mode: match content_mode {
                        file::ContentMode::Structured => ContentMode::Structured,
                        file::ContentMode::Binary => ContentMode::Binary,
                    },
                    source,
                    kind,
                    subject,
                    data: match data {
                        file::EventData::Json => EventData::Json,
                        file::EventData::FlatJson => EventData::FlatJson { metadata_key },
                    },
                    rules: JsonRules { stringify_map_keys, nan_policy: nan_policy.into() },
                };
                return self.events(events, path);
            }
            file::Format::Full(FormatMode::Template { content_type, request, write, delete }) => {
                let template = self.template(content_type, request, [write, delete], path);
                return template.map_or(JSON, |template| Format::Template(Box::new(template)));
            }
            file::Format::Full(FormatMode::Xdr {}) => (Some(Format::Xdr), path.to_owned()),
            // The shape refused this mode already.
            file::Format::Full(FormatMode::Custom {}) => (None, path.to_owned()),
        };
        let Some(format) = format else { return JSON };
        if let Err(e) = Encoder::new(format.clone()) {
            self.problem(&place, e.to_string());
            return JSON;
        }
        format
    }

    fn events(&mut self, events: CloudEvents, path: &str) -> Format {
        let problems = event_problems(&events);
        for (key, problem) in &problems {
            self.problem(&join(path, key), problem.as_str());
        }
        if problems.is_empty() { Format::CloudEvents(Box::new(events)) } else { JSON }
    }

    /// `format: json` and its like. `None`: reported.
    fn short(&mut self, name: &str, path: &str) -> Option<Format> {
        let message = match name.to_ascii_lowercase().as_str() {
            "json" => return Some(JSON),
            "message-pack" | "msgpack" => return Some(Format::MessagePack),
            "cloudevents" => {
                return Some(Format::CloudEvents(Box::new(CloudEvents {
                    content_mode: ContentMode::Structured,
                    source: None,
                    kind: None,
                    subject: None,
                    data: EventData::Json,
                    rules: JsonRules::default(),
                })));
            }
            "flat-json" => {
                "needs a `metadata-key`: write `{mode: flat-json, metadata-key: metadata}`".to_owned()
            }
            "avro" => "needs a schema: write `{mode: avro, schema-file: schema.avsc}`".to_owned(),
            "template" => "needs a body: write `{mode: template, body: …}`".to_owned(),
            "xdr" => return Some(Format::Xdr),
            "custom" => format!("`custom`: {}", file::NO_JAVA_FORMAT),
            other => {
                let known = ["json", "flat-json", "message-pack", "avro", "cloudevents", "template", "xdr"];
                let near = nearest(other, known);
                let hint = near.map_or_else(
                    || "expected `json` or `message-pack`, or a section with `mode`".to_owned(),
                    |near| format!("did you mean `{near}`?"),
                );
                format!("unknown value `{}`; {hint}", shorten(name).escape_debug())
            }
        };
        self.problem(path, message);
        None
    }

    /// The text of the schema. `None`: reported.
    fn schema(&mut self, schema: Option<Value>, file: Option<&Path>, path: &str) -> Option<String> {
        match (schema, file) {
            (Some(_), Some(_)) => {
                self.problem(path, "has both `schema` and `schema-file`; keep one of them");
                None
            }
            (None, None) => {
                self.problem(path, "needs a schema: write `schema` or `schema-file`");
                None
            }
            (Some(Value::String(text)), None) => Some(text),
            (Some(Value::Object(schema)), None) => Some(written_out(Value::Object(schema)).to_string()),
            (Some(_), None) => {
                self.problem(&join(path, "schema"), "expected the schema as JSON text, or as a section");
                None
            }
            (None, Some(file)) => self.text_of(file, &join(path, "schema-file")),
        }
    }

    /// The text of the file that the key at `path` names. `None`: reported.
    pub(super) fn text_of(&mut self, file: &Path, path: &str) -> Option<String> {
        let file = self.folder.join(file);
        let text = match read(&file) {
            Ok(bytes) if bytes.len() > MAX_TEXT_BYTES => Err(format!("larger than {MAX_TEXT_BYTES} bytes")),
            Ok(bytes) => String::from_utf8(bytes).map_err(|_| "not UTF-8 text".to_owned()),
            Err(e) => Err(format!("cannot be read: {e}")),
        };
        text.inspect_err(|e| self.problem(path, format!("{}: {e}", file.display()))).ok()
    }
}

/// A schema written in YAML, as JSON. A bare `null` there is Avro's type of that name, except as a default value.
fn written_out(schema: Value) -> Value {
    match schema {
        Value::Null => Value::from("null"),
        Value::Array(items) => items.into_iter().map(written_out).collect(),
        Value::Object(members) => members
            .into_iter()
            .map(|(key, value)| {
                let value = if key == "default" { value } else { written_out(value) };
                (key, value)
            })
            .collect(),
        other => other,
    }
}

impl From<file::NanPolicy> for NanPolicy {
    fn from(file: file::NanPolicy) -> Self {
        match file {
            file::NanPolicy::String => Self::String,
            file::NanPolicy::Null => Self::Null,
            file::NanPolicy::Error => Self::Error,
        }
    }
}

impl From<file::DurableMember> for DurableMember {
    fn from(file: file::DurableMember) -> Self {
        match file {
            file::DurableMember::Always => Self::Always,
            file::DurableMember::WhenTrue => Self::WhenTrue,
        }
    }
}

impl From<file::AvroEncoding> for AvroEncoding {
    fn from(file: file::AvroEncoding) -> Self {
        match file {
            file::AvroEncoding::Raw => Self::Raw,
            file::AvroEncoding::SingleObject => Self::SingleObject,
            file::AvroEncoding::Ocf => Self::Ocf,
        }
    }
}
