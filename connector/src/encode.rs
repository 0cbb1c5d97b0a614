//! How a notification becomes bytes: the built-in formats behind one type.
//!
//! A format writes straight from the wire bytes of the frame; there is no value tree in between.

use std::{borrow::Cow, sync::Arc};

use adapters::RequestParts;

use crate::{
    batch::BatchPolicy,
    config::{Batching, DurableMember, Format, JsonRules},
    notification::{ChangeNotification, Operation, Value},
};

mod avro;
mod body;
mod cloudevents;
mod flat_json;
mod json;
mod json_value;
mod message_pack;
mod template;
mod text;

pub use body::Body;
pub(crate) use cloudevents::event_problems;
pub(crate) use template::template_problems;

/// Writes notifications in one configured format.
#[derive(Clone, Debug)]
pub struct Encoder {
    writer: Writer,
}

#[derive(Clone, Debug)]
enum Writer {
    Json(JsonRules),
    FlatJson {
        metadata_key: String,
        durable: DurableMember,
        rules: JsonRules,
    },
    MessagePack,
    Avro(avro::Avro),
    Template(Box<template::TemplateFormat>),
    CloudEvents(Box<cloudevents::CloudEvents>),
    /// Messages as they came.
    Xdr,
}

/// A format that cannot be used as configured.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{problem}")]
pub struct FormatError {
    /// What is wrong and what was expected.
    pub problem: String,
}

/// Why a notification cannot be written in the configured format. The record cannot be delivered before the
/// configuration or the record changes.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{place}: {problem}")]
pub struct EncodeError {
    /// What does not fit: a bin, or a field of the format. Never a value.
    pub place: String,
    /// Why it does not fit.
    pub problem: Cow<'static, str>,
}

impl Encoder {
    /// An encoder for `format`.
    pub fn new(format: Format) -> Result<Self, FormatError> {
        let writer = match format {
            Format::Json(rules) => Writer::Json(rules),
            Format::FlatJson { metadata_key, durable, rules } => {
                Writer::FlatJson { metadata_key, durable, rules }
            }
            Format::MessagePack => Writer::MessagePack,
            Format::Avro { schema, stringify_map_keys, encoding } => {
                Writer::Avro(avro::Avro::new(&schema, stringify_map_keys, encoding)?)
            }
            Format::CloudEvents(settings) => {
                Writer::CloudEvents(Box::new(cloudevents::CloudEvents::new(&settings)?))
            }
            Format::Template(template) => {
                Writer::Template(Box::new(template::TemplateFormat::new(&template)?))
            }
            Format::Xdr => Writer::Xdr,
        };
        Ok(Self { writer })
    }

    /// Appends what goes to destinations of `notification`, which came in `frame`: the one as a piece, or the other as it
    /// is.
    pub fn write(
        &self,
        notification: &ChangeNotification<'_>,
        frame: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<Option<Arc<RequestParts>>, EncodeError> {
        if matches!(self.writer, Writer::Xdr) {
            out.extend_from_slice(frame);
            return Ok(None);
        }
        self.encode(notification, out)
    }

    /// Appends `notification` to `out` as a piece, which a [`Body`] makes a request of, and says what the request is
    /// besides, where that is not as the destination has it. On an error what was appended is meaningless.
    pub fn encode(
        &self,
        notification: &ChangeNotification<'_>,
        out: &mut Vec<u8>,
    ) -> Result<Option<Arc<RequestParts>>, EncodeError> {
        match &self.writer {
            Writer::Template(template) => return template.write(notification, out),
            Writer::CloudEvents(events) => return events.write(notification, out),
            Writer::Json(rules) => json::write(notification, *rules, out),
            Writer::FlatJson { metadata_key, durable, rules } => {
                flat_json::write(notification, metadata_key, *durable, *rules, out)
            }
            Writer::MessagePack => message_pack::write(notification, out),
            Writer::Avro(avro) => avro.write(notification, out),
            Writer::Xdr => Err(EncodeError {
                place: "format".to_owned(),
                problem: "xdr passes messages on, and there is none".into(),
            }),
        }?;
        Ok(None)
    }

    /// How pieces are put into requests: one each unless `batching` says otherwise.
    pub fn batch_policy(&self, batching: Option<&Batching>) -> Result<BatchPolicy, FormatError> {
        let batching = batching.filter(|batching| batching.enabled);
        let body = self.body(batching)?;
        Ok(match batching {
            None => BatchPolicy::single(body),
            Some(batching) => BatchPolicy {
                body,
                records_max: batching.max_records.get(),
                bytes_max: batching.max_bytes.get(),
                interval: batching.interval,
            },
        })
    }

    fn body(&self, batching: Option<&Batching>) -> Result<Body, FormatError> {
        let chosen = batching.and_then(|batching| batching.body);
        let container = match &self.writer {
            Writer::Avro(avro) => avro.container(),
            _ => None,
        };
        match (&self.writer, container) {
            (_, Some(container)) => Body::container(AVRO, container, chosen),
            (Writer::Json(_) | Writer::FlatJson { .. }, _) => Ok(match batching {
                None => Body::single(JSON),
                Some(_) => Body::json(JSON, chosen),
            }),
            (Writer::MessagePack, _) => Body::binary(MESSAGE_PACK, chosen),
            (Writer::Avro(_), _) => Body::binary(AVRO, chosen),
            (Writer::Xdr, _) => match batching.filter(|batching| batching.max_records.get() > 1) {
                None => Ok(Body::single(OCTETS)),
                Some(_) => Err(FormatError { problem: XDR_ALONE.to_owned() }),
            },
            (Writer::Template(template), _) => template.body(batching),
            (Writer::CloudEvents(events), _) => events.body(batching),
        }
    }

    /// Whether such changes are acknowledged and not sent.
    pub fn skips(&self, operation: Operation) -> bool {
        matches!(&self.writer, Writer::Template(template) if template.skips(operation))
    }

    /// Whether it makes more of a request than a body, which only destinations that speak HTTP can honour.
    pub fn needs_http(&self) -> bool {
        match &self.writer {
            Writer::Template(template) => template.needs_http(),
            Writer::CloudEvents(events) => events.needs_http(),
            _ => false,
        }
    }

    /// Whether a bin is hidden behind the metadata, because it has the name of the metadata's member.
    pub fn hides_a_bin(&self, notification: &ChangeNotification<'_>) -> bool {
        let metadata_key = match &self.writer {
            Writer::FlatJson { metadata_key, .. } => Some(metadata_key.as_str()),
            Writer::CloudEvents(events) => events.metadata_key(),
            _ => None,
        };
        let Some(metadata_key) = metadata_key else { return false };
        notification.bins.iter().any(|bin| bin.name == metadata_key.as_bytes())
    }
}

/// Appends a value as every JSON format writes it.
pub(crate) fn write_json_value(
    value: Value<'_>,
    rules: JsonRules,
    out: &mut Vec<u8>,
) -> Result<(), &'static str> {
    json_value::write_value(value, rules, out)
}

/// Appends text as a JSON string.
pub(crate) fn write_json_text(text: &str, out: &mut Vec<u8>) {
    json_value::write_text(text.as_bytes(), out);
}

/// Appends a user key as every JSON format writes it.
pub(crate) fn write_user_key(key: Value<'_>, out: &mut Vec<u8>) -> Result<(), EncodeError> {
    json::write_user_key(key, JsonRules::default(), out)
}

const JSON: &str = "application/json";
const MESSAGE_PACK: &str = "application/x-msgpack";
const AVRO: &str = "application/avro";
const OCTETS: &str = "application/octet-stream";

/// Why transforms of bins do not go with it.
pub(crate) const XDR_WHOLE: &str =
    "`xdr` passes messages on as they came, so that their bins cannot be changed";

/// Why there are no batches of messages.
pub(crate) const XDR_ALONE: &str =
    "`xdr` sends every message in a request of its own, as its receivers answer for one";
