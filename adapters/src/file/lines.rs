//! A request body as lines, one for each record. Pure.
//!
//! Invariant: what comes out ends with a line end and holds every byte of content that went in.

use base64::{Engine as _, prelude::BASE64_STANDARD};
use bytes::Bytes;
use serde_json::value::RawValue;

use crate::Payload;

/// The lines of `payload`, the last with its end too.
///
/// NDJSON stays as it is, and each JSON value is a line of its own: elements of an array, values one after the other. What a
/// file holds thus does not depend on how records were batched. Anything else becomes one line of JSON with the body in base64.
pub(super) fn of(payload: &Payload) -> Bytes {
    let body = &payload.body;
    let media_type = payload.content_type.split(';').next().unwrap_or_default().trim();
    let lines = match media_type {
        "application/x-ndjson" | "application/ndjson" | "application/jsonl" => Some(ended(body)),
        "application/json" => json(body, payload.count.get()),
        other if other.ends_with("+json") => json(body, payload.count.get()),
        _ => None,
    };
    lines.unwrap_or_else(|| envelope(payload))
}

fn ended(body: &Bytes) -> Bytes {
    if body.ends_with(b"\n") {
        return body.clone();
    }
    let mut lines = Vec::with_capacity(body.len() + 1);
    lines.extend_from_slice(body);
    lines.push(b'\n');
    lines.into()
}

/// `None` when this is not JSON, or none at all.
fn json(body: &Bytes, count: usize) -> Option<Bytes> {
    if count == 1 && body.starts_with(b"{") && !body.contains(&b'\n') {
        return Some(ended(body));
    }
    let mut lines = Vec::with_capacity(body.len() + count);
    for value in serde_json::Deserializer::from_slice(body).into_iter::<&RawValue>() {
        let value = value.ok()?;
        if value.get().starts_with('[') {
            let elements: Vec<&RawValue> = serde_json::from_str(value.get()).ok()?;
            elements.into_iter().for_each(|element| push(&mut lines, element));
        } else {
            push(&mut lines, value);
        }
    }
    (!lines.is_empty()).then(|| lines.into())
}

/// A line end inside JSON is only ever white space between tokens: in strings it is escaped.
fn push(lines: &mut Vec<u8>, value: &RawValue) {
    lines.extend(value.get().bytes().filter(|byte| !matches!(byte, b'\n' | b'\r')));
    lines.push(b'\n');
}

fn envelope(payload: &Payload) -> Bytes {
    let line = serde_json::json!({
        "content-type": payload.content_type,
        "count": payload.count,
        "base64": BASE64_STANDARD.encode(&payload.body),
    });
    format!("{line}\n").into()
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroUsize;

    use super::*;

    fn lines(content_type: &'static str, count: usize, body: &'static str) -> String {
        let count = NonZeroUsize::new(count).unwrap();
        let lines = of(&Payload {
            body: Bytes::from_static(body.as_bytes()),
            content_type: content_type.into(),
            count,
            request: None,
        });
        String::from_utf8(lines.to_vec()).unwrap()
    }

    #[test]
    fn a_file_does_not_show_how_records_were_batched() {
        let three = "{\"a\":1}\n{\"b\":\"x\\ny [,] {\"}\n{}\n";
        for (content_type, body) in [
            ("application/json", "[{\"a\":1},{\"b\":\"x\\ny [,] {\"},{}]"),
            ("application/json; charset=utf-8", " [\n {\"a\":1},\r\n{\"b\":\"x\\ny [,] {\"}, {}\n]\n"),
            ("application/json", "{\"a\":1}{\"b\":\"x\\ny [,] {\"}{}"),
            ("application/x-ndjson", "{\"a\":1}\n{\"b\":\"x\\ny [,] {\"}\n{}\n"),
            ("application/x-ndjson", "{\"a\":1}\n{\"b\":\"x\\ny [,] {\"}\n{}"),
        ] {
            assert_eq!(lines(content_type, 3, body), three, "{content_type} {body}");
        }
        assert_eq!(lines("application/json", 1, "{\"a\":[1]}"), "{\"a\":[1]}\n");
        assert_eq!(lines("application/json", 1, "[{\"a\":[1, 2.50e0]}]"), "{\"a\":[1, 2.50e0]}\n");
        assert_eq!(lines("application/cloudevents+json", 1, "{\"a\":1}"), "{\"a\":1}\n");
    }

    #[test]
    fn line_ends_of_pretty_json_go() {
        assert_eq!(lines("application/json", 1, "{\n  \"a\": \"b c\"\r\n}\n"), "{  \"a\": \"b c\"}\n");
    }

    #[test]
    fn what_is_no_json_is_kept_whole() {
        for (content_type, body) in [
            ("application/x-msgpack", "\u{1}two"),
            ("application/avro", "Obj\u{1}"),
            ("application/json", "[{\"a\":1},"),
            ("application/json", "[{\"a\":1}] trailing"),
            ("application/json", "[]"),
            ("application/json", " "),
        ] {
            let line = lines(content_type, 2, body);
            let (line, end) = line.split_at(line.len() - 1);
            assert_eq!(end, "\n");
            let value: serde_json::Value = serde_json::from_str(line).unwrap();
            assert_eq!(
                (value["content-type"].as_str(), value["count"].as_u64()),
                (Some(content_type), Some(2))
            );
            let body_again = BASE64_STANDARD.decode(value["base64"].as_str().unwrap()).unwrap();
            assert_eq!(body_again, body.as_bytes());
        }
    }
}
