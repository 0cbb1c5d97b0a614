//! Events of every kind that can carry records, read loosely, and the answer that fits each kind. Pure.

use std::io::Read as _;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use lambda_runtime::Error;
use serde_json::{Value, json};

/// A record, and what to call it in an answer.
#[derive(Debug)]
pub(crate) struct Record {
    /// `itemIdentifier`: the position in the request, or the message's id.
    pub(crate) identifier: String,
    /// The digest of its key, as the body shows it. Empty when there is none.
    pub(crate) digest: String,
    /// As it came.
    pub(crate) body: String,
    /// Its number, if it has one in the bin `n`.
    number: Option<i64>,
    /// What the function has to answer when it gets this record, if it says so in a bin of this name.
    answer: Option<String>,
}

/// Who called: decides what an answer has to look like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    /// API Gateway, a function URL, an ALB, or Invoke with such an event: an answer has a status and a body.
    Proxy,
    /// An event source, or Invoke with records alone: the answer is the answer.
    Bare,
}

impl Origin {
    /// Reads it off an event.
    pub(crate) fn of(event: &Value) -> Self {
        if event.get("requestContext").is_some() { Self::Proxy } else { Self::Bare }
    }

    /// An answer with a status, where there is one. What is no success needs one: without, it is part of the body.
    pub(crate) fn answer(self, status: u16, body: &str) -> Value {
        match self {
            Self::Proxy => {
                let mut headers = json!({"content-type": "application/json"});
                if matches!(status, 429 | 503) {
                    headers["retry-after"] = json!("1");
                }
                json!({"statusCode": status, "headers": headers, "body": body, "isBase64Encoded": false})
            }
            Self::Bare if status == 200 => serde_json::from_str(body).unwrap_or(Value::Null),
            Self::Bare => json!({"statusCode": status, "body": body}),
        }
    }

    /// `body` as it is, whatever it is.
    pub(crate) fn verbatim(self, body: &str) -> Value {
        match self {
            Self::Proxy => json!({"statusCode": 200, "body": body}),
            Self::Bare => serde_json::from_str(body).unwrap_or(Value::Null),
        }
    }
}

/// The answer that the first of these records asks for, if one does, with `$0`, `$1`, … replaced by what the records of
/// these numbers are called.
pub(crate) fn ordered(records: &[Record]) -> Option<String> {
    let answer = records.first()?.answer.clone()?;
    let numbered = records.iter().filter_map(|record| Some((record.number?, &record.identifier)));
    Some(numbered.fold(answer, |answer, (number, name)| answer.replace(&format!("${number}"), name)))
}

/// The records of an event.
pub(crate) fn records(event: Value) -> Result<Vec<Record>, Error> {
    if let Some(messages) = event.get("Records").and_then(Value::as_array) {
        let message = |message: &Value| {
            let body = text(&message["body"])?;
            record(text(&message["messageId"])?.to_owned(), &serde_json::from_str(body)?)
        };
        return messages.iter().map(message).collect();
    }
    if Origin::of(&event) == Origin::Bare {
        return named_by_position(event);
    }
    let body = text(&event["body"])?;
    let body = match event["isBase64Encoded"].as_bool() {
        Some(true) => unpacked(STANDARD.decode(body)?)?,
        _ => body.to_owned(),
    };
    // One notification, an array of them, or one a line.
    let mut values =
        serde_json::Deserializer::from_str(&body).into_iter().collect::<Result<Vec<Value>, _>>()?;
    named_by_position(if values.len() == 1 { values.remove(0) } else { Value::Array(values) })
}

fn named_by_position(value: Value) -> Result<Vec<Record>, Error> {
    let records = if let Value::Array(records) = value { records } else { vec![value] };
    records.iter().enumerate().map(|(position, value)| record(position.to_string(), value)).collect()
}

/// In `flat-json` the first member is the metadata, under any name; in `json` the digest is the third part of the key.
fn record(identifier: String, value: &Value) -> Result<Record, Error> {
    let members = value.as_object().ok_or("a record is an object")?;
    let metadata = members.values().find_map(|member| member.get("digest"));
    let digest = metadata.or_else(|| value["key"].get(2)).and_then(Value::as_str).unwrap_or_default();
    let answer = value.get("answer").and_then(Value::as_str).map(str::to_owned);
    let number = value.get("n").and_then(Value::as_i64);
    Ok(Record { identifier, digest: digest.to_owned(), body: value.to_string(), number, answer })
}

/// Bodies that are compressed come as bytes, and begin as gzip does.
fn unpacked(body: Vec<u8>) -> Result<String, Error> {
    if !body.starts_with(&[0x1f, 0x8b]) {
        return Ok(String::from_utf8(body)?);
    }
    let mut text = String::new();
    flate2::read::GzDecoder::new(&body[..]).read_to_string(&mut text)?;
    Ok(text)
}

fn text(value: &Value) -> Result<&str, Error> {
    value.as_str().ok_or_else(|| "expected text".into())
}
