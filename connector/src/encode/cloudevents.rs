//! The `cloudevents` format: each change as an event of CloudEvents 1.0, in structured or binary content mode.
//!
//! The `id` of an event is that of the change: the same however often it is sent.

use std::{fmt::Write as _, sync::Arc};

use adapters::{
    RequestParts,
    request::{header_name, header_value},
};
use http::{HeaderName, HeaderValue};

use super::{
    Body, EncodeError, FormatError, flat_json, json,
    json_value::write_text,
    template::{at, refuse, unwritten},
};
use crate::{
    config::{self, BatchBody, Batching, ContentMode, EventData, JsonRules},
    dead_letter::rfc3339,
    notification::{ChangeNotification, Operation},
    template::{Escape, Record, Template, Wanted},
};

/// Writes events.
#[derive(Clone, Debug)]
pub(super) struct CloudEvents {
    content_mode: ContentMode,
    data: EventData,
    rules: JsonRules,
    own: Arc<Own>,
}

/// Attributes that the operator wrote down; each has a default.
#[derive(Debug)]
struct Own {
    source: Option<Template>,
    kind: Option<Template>,
    subject: Option<Template>,
    wanted: Wanted,
}

/// The attributes of one event, required ones first.
struct Attributes(Vec<(&'static str, String)>);

/// Everything that is wrong with the attributes, each with its key.
pub(crate) fn event_problems(settings: &config::CloudEvents) -> Vec<(String, String)> {
    Own::new(settings).err().unwrap_or_default()
}

impl CloudEvents {
    pub(super) fn new(settings: &config::CloudEvents) -> Result<Self, FormatError> {
        let own = Own::new(settings).map_err(|problems| {
            let (key, problem) = problems.into_iter().next().unwrap_or_default();
            FormatError { problem: format!("{key}: {problem}") }
        })?;
        Ok(Self {
            content_mode: settings.content_mode,
            data: settings.data.clone(),
            rules: settings.rules,
            own: Arc::new(own),
        })
    }

    pub(super) fn write(
        &self,
        notification: &ChangeNotification<'_>,
        out: &mut Vec<u8>,
    ) -> Result<Option<Arc<RequestParts>>, EncodeError> {
        let attributes = self.own.attributes(notification)?;
        if self.content_mode == ContentMode::Binary {
            self.write_data(notification, out)?;
            let headers = attributes.0.iter().map(|(name, value)| header(name, value));
            let headers = headers.collect::<Result<Vec<_>, _>>()?;
            return Ok(Some(Arc::new(RequestParts { headers, ..RequestParts::default() })));
        }
        out.push(b'{');
        for (name, value) in &attributes.0 {
            write_text(name.as_bytes(), out);
            out.push(b':');
            write_text(value.as_bytes(), out);
            out.push(b',');
        }
        out.extend_from_slice(b"\"datacontenttype\":\"application/json\",\"data\":");
        self.write_data(notification, out)?;
        out.push(b'}');
        Ok(None)
    }

    fn write_data(
        &self,
        notification: &ChangeNotification<'_>,
        out: &mut Vec<u8>,
    ) -> Result<(), EncodeError> {
        match &self.data {
            EventData::Json => json::write(notification, self.rules, out),
            EventData::FlatJson { metadata_key } => {
                flat_json::write(notification, metadata_key, config::DurableMember::Always, self.rules, out)
            }
        }
    }

    /// How such pieces become requests.
    pub(super) fn body(&self, batching: Option<&Batching>) -> Result<Body, FormatError> {
        match (self.content_mode, batching.map(|batching| batching.body)) {
            (ContentMode::Binary, Some(_)) => refuse(
                "an event in binary mode has its attributes in the headers of a request of its own; turn `batching` off, or \
                 write `content-mode: structured`",
            ),
            (ContentMode::Binary, None) => Ok(Body::single("application/json")),
            (ContentMode::Structured, None) => Ok(Body::single("application/cloudevents+json")),
            (ContentMode::Structured, Some(None | Some(BatchBody::JsonArray))) => {
                Ok(Body::json_array("application/cloudevents-batch+json"))
            }
            (ContentMode::Structured, Some(_)) => {
                refuse("a batch of CloudEvents is a json-array; leave `body` out")
            }
        }
    }

    /// Whether it makes more of a request than a body.
    pub(super) fn needs_http(&self) -> bool {
        self.content_mode == ContentMode::Binary
    }

    /// The bin that is hidden behind the metadata, if there is one of that name.
    pub(super) fn metadata_key(&self) -> Option<&str> {
        match &self.data {
            EventData::Json => None,
            EventData::FlatJson { metadata_key } => Some(metadata_key),
        }
    }
}

impl Own {
    fn new(settings: &config::CloudEvents) -> Result<Self, Vec<(String, String)>> {
        let mut problems = Vec::new();
        let mut wanted = Wanted::default();
        let mut template = |key: &str, source: &Option<String>, escape| {
            let source = source.as_deref()?.trim();
            match Template::new(source, escape) {
                Ok(template) if template.constant() == Some("") => {
                    problems.push((key.to_owned(), "is empty, which no attribute may be".to_owned()));
                    None
                }
                Ok(template) => {
                    wanted = std::mem::take(&mut wanted).and(template.wanted());
                    Some(template)
                }
                Err(error) => {
                    problems.push((key.to_owned(), error.to_string()));
                    None
                }
            }
        };
        // A URI reference, in which values are what they are only when they are encoded.
        let source = template("source", &settings.source, Escape::Path);
        let kind = template("type", &settings.kind, Escape::Text);
        let subject = template("subject", &settings.subject, Escape::Text);
        if problems.is_empty() { Ok(Self { source, kind, subject, wanted }) } else { Err(problems) }
    }

    fn attributes(&self, notification: &ChangeNotification<'_>) -> Result<Attributes, EncodeError> {
        let record = Record::new(notification, &self.wanted);
        let of = |key: &'static str, template: &Option<Template>, default: &dyn Fn() -> String| {
            let Some(template) = template else { return Ok(default()) };
            let text = template.text(&record).map_err(|error| unwritten(key, &error))?;
            if text.is_empty() {
                Err(at(key, "comes out empty, which no attribute may be"))
            } else {
                Ok(text)
            }
        };
        let default_source = || {
            let namespace = String::from_utf8_lossy(notification.namespace);
            format!("/aerospike/{}", crate::template::percent(&namespace))
        };
        let written = notification.operation == Operation::Write;
        let default_kind = || format!("aerospike.record.{}", if written { "write" } else { "delete" });
        let mut attributes = vec![
            ("specversion", "1.0".to_owned()),
            ("id", notification.event_id()),
            ("source", of("source", &self.source, &default_source)?),
            ("type", of("type", &self.kind, &default_kind)?),
            ("subject", of("subject", &self.subject, &|| notification.digest.to_string())?),
        ];
        // Later times have no form with a year of four digits.
        if let Some(lut) = notification.lut_unix_ms.filter(|lut| *lut <= LAST_UNIX_MS) {
            attributes.push(("time", rfc3339(lut)));
        }
        Ok(Attributes(attributes))
    }
}

/// An attribute as a header, by the HTTP protocol binding: what is not visible ASCII is percent-encoded, and so are the
/// quote and the percent sign.
fn header(name: &'static str, value: &str) -> Result<(HeaderName, HeaderValue), EncodeError> {
    let mut encoded = String::with_capacity(value.len());
    for byte in value.bytes() {
        match byte {
            b'"' | b'%' => _ = write!(encoded, "%{byte:02X}"),
            b'!'..=b'~' => encoded.push(char::from(byte)),
            _ => _ = write!(encoded, "%{byte:02X}"),
        }
    }
    let value = header_value(&encoded).map_err(|error| at(name, error.0))?;
    let name = header_name(&format!("ce-{name}")).map_err(|error| at(name, error.0))?;
    Ok((name, value))
}

/// The end of the year 9999.
const LAST_UNIX_MS: u64 = 253_402_300_799_999;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::notification::{Bin, Digest, ExistsAction, Expiry, GenerationPolicy, Value};

    fn notification() -> ChangeNotification<'static> {
        ChangeNotification {
            operation: Operation::Write,
            namespace: "caf\u{e9} 1".as_bytes(),
            set: Some(b"orders"),
            digest: Digest([0xab; 20]),
            user_key: Some(Value::Integer(17)),
            generation: Some(4),
            lut_unix_ms: Some(1_767_225_600_123),
            expiry: Expiry::Never,
            exists_action: ExistsAction::Replace,
            generation_policy: GenerationPolicy::None,
            xdr: true,
            bins: vec![Bin { name: b"n", value: Value::String("\u{e9} \"100%\"\r\n".as_bytes()) }],
        }
    }

    fn settings(content_mode: ContentMode) -> config::CloudEvents {
        config::CloudEvents {
            content_mode,
            source: None,
            kind: None,
            subject: None,
            data: EventData::FlatJson { metadata_key: "meta".to_owned() },
            rules: JsonRules::default(),
        }
    }

    #[test]
    fn a_structured_event_holds_everything() {
        let events = CloudEvents::new(&settings(ContentMode::Structured)).unwrap();
        let mut out = Vec::new();
        assert_eq!(events.write(&notification(), &mut out).unwrap(), None);
        let event: serde_json::Value = serde_json::from_slice(&out).unwrap();
        let digest = "ab".repeat(20);
        assert_eq!(event["specversion"], "1.0");
        assert_eq!(event["id"], format!("caf\u{e9} 1-{digest}-1767225600123-4-write"));
        assert_eq!(event["source"], "/aerospike/caf%C3%A9%201");
        assert_eq!(event["type"], "aerospike.record.write");
        assert_eq!(event["subject"], digest);
        assert_eq!(event["time"], "2026-01-01T00:00:00.123Z");
        assert_eq!(event["datacontenttype"], "application/json");
        assert_eq!(event["data"]["n"], "\u{e9} \"100%\"\r\n");
        assert_eq!(event["data"]["meta"]["userKey"], 17);

        let delete = ChangeNotification {
            operation: Operation::DurableDelete,
            bins: Vec::new(),
            lut_unix_ms: Some(u64::MAX),
            ..notification()
        };
        let mut out = Vec::new();
        events.write(&delete, &mut out).unwrap();
        let event: serde_json::Value = serde_json::from_slice(&out).unwrap();
        assert_eq!(event["type"], "aerospike.record.delete");
        assert!(event["id"].as_str().unwrap().ends_with("-4-delete"));
        assert_eq!(event.get("time"), None, "no year of four digits");
    }

    #[test]
    fn a_binary_event_has_its_attributes_in_headers() {
        let settings = config::CloudEvents {
            source: Some("https://example.net/{{ set }}".to_owned()),
            kind: Some("net.example.{{ operation }}".to_owned()),
            subject: Some("{{ key }}/{{ bins.n }}".to_owned()),
            ..settings(ContentMode::Binary)
        };
        let mut out = Vec::new();
        let parts = CloudEvents::new(&settings).unwrap().write(&notification(), &mut out).unwrap().unwrap();
        let headers: Vec<_> =
            parts.headers.iter().map(|(name, value)| (name.as_str(), value.to_str().unwrap())).collect();
        let id = format!("caf%C3%A9%201-{}-1767225600123-4-write", "ab".repeat(20));
        assert_eq!(
            headers,
            [
                ("ce-specversion", "1.0"),
                ("ce-id", id.as_str()),
                ("ce-source", "https://example.net/orders"),
                ("ce-type", "net.example.write"),
                ("ce-subject", "17/%C3%A9%20%22100%25%22%0D%0A"),
                ("ce-time", "2026-01-01T00:00:00.123Z"),
            ]
        );
        let data: serde_json::Value = serde_json::from_slice(&out).unwrap();
        assert_eq!(data["meta"]["set"], "orders");
    }

    #[test]
    fn batches_are_structured_arrays() {
        let batching = |body| Batching {
            enabled: true,
            body,
            max_records: std::num::NonZeroUsize::MAX,
            max_bytes: std::num::NonZeroUsize::MAX,
            interval: std::time::Duration::ZERO,
        };
        let structured = CloudEvents::new(&settings(ContentMode::Structured)).unwrap();
        assert_eq!(structured.body(None).unwrap().content_type(), "application/cloudevents+json");
        let batch = structured.body(Some(&batching(None))).unwrap();
        assert_eq!(batch.content_type(), "application/cloudevents-batch+json");
        assert!(structured.body(Some(&batching(Some(BatchBody::Ndjson)))).is_err());
        let binary = CloudEvents::new(&settings(ContentMode::Binary)).unwrap();
        assert_eq!(binary.body(None).unwrap().content_type(), "application/json");
        assert!(binary.body(Some(&batching(None))).is_err());
        assert!(binary.needs_http() && !structured.needs_http());
    }
}
