//! What a function answered, read as a function URL would read it. Pure.
//!
//! An object with a `statusCode` is an HTTP response, whose status counts and whose body may name records that failed.
//! Anything else is the body of a response with status 200.

use std::{
    borrow::Cow,
    time::{Duration, SystemTime},
};

use ::http::{HeaderMap, HeaderValue, header::RETRY_AFTER};
use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use serde_json::{Map, Value};

use super::judge::{Judge, Verdict};
use crate::{Cause, Class, Report, retry_after};

/// What became of a call of `records` records that was answered with `payload`, without a function error.
pub(super) fn read(judge: &Judge, payload: &[u8], records: usize, now: SystemTime) -> Verdict {
    let whole = |body: &[u8]| judge.answered(200, None, body, records);
    // What is not JSON is left to whoever looks for failures in bodies.
    let Ok(value) = serde_json::from_slice::<Value>(payload) else { return whole(payload) };
    match value {
        Value::Object(response) if response.contains_key("statusCode") => {
            match (status(&response), body(&response)) {
                (Some(status), Some(body)) => judge.answered(status, wait(&response, now), &body, records),
                // A function URL answers 502 here: the function ran, and what it meant cannot be known.
                (None, _) => malformed("a statusCode that is none"),
                (_, None) => malformed("a body that says it is base64 and is not"),
            }
        }
        // Behind a URL the text is the body, without its quotes.
        Value::String(text) => whole(text.as_bytes()),
        _ => whole(payload),
    }
}

fn malformed(what: &str) -> Verdict {
    let report = Report { status: Some(200), ..Report::failed(Class::Transient, Cause::Malformed) };
    Verdict { report, words: Some(format!("the function answered with {what}")) }
}

/// A number, or its digits in a string, which some runtimes write.
fn status(response: &Map<String, Value>) -> Option<u16> {
    let code = match response.get("statusCode")? {
        Value::String(digits) => digits.parse().ok()?,
        number => u16::try_from(number.as_u64()?).ok()?,
    };
    (100..=599).contains(&code).then_some(code)
}

/// `None` when it says that it is base64 and is not.
fn body(response: &Map<String, Value>) -> Option<Cow<'_, [u8]>> {
    let encoded = response.get("isBase64Encoded").and_then(Value::as_bool).unwrap_or(false);
    match response.get("body") {
        None | Some(Value::Null) => Some(Cow::Borrowed(&[])),
        Some(Value::String(text)) if encoded => BASE64.decode(text).ok().map(Cow::Owned),
        Some(Value::String(text)) => Some(Cow::Borrowed(text.as_bytes())),
        // Not what the format says, but what it means is plain.
        Some(other) => serde_json::to_vec(other).ok().map(Cow::Owned),
    }
}

fn wait(response: &Map<String, Value>, now: SystemTime) -> Option<Duration> {
    let headers = response.get("headers")?.as_object()?;
    let (_, value) = headers.iter().find(|(name, _)| name.eq_ignore_ascii_case(RETRY_AFTER.as_str()))?;
    let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let headers = HeaderMap::from_iter([(RETRY_AFTER, HeaderValue::from_str(&text).ok()?)]);
    retry_after::parse(&headers, now)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::Outcomes;

    fn answer(payload: &[u8]) -> Report {
        let judge = Judge::new(&serde_json::from_value(json!({"function-name": "orders"})).unwrap()).unwrap();
        read(&judge, payload, 3, SystemTime::UNIX_EPOCH).report
    }

    /// Names of the records that failed; `None` unless it is a partial success.
    fn failed(payload: &Value) -> Option<Vec<String>> {
        match answer(&serde_json::to_vec(payload).unwrap()).outcomes {
            Outcomes::Except(items) => Some(items.into_iter().map(|item| item.identifier).collect()),
            Outcomes::All(_) => None,
        }
    }

    #[test]
    fn answers_that_confirm_everything() {
        for payload in [
            "",
            "null",
            "{}",
            "\"\"",
            "\"done\"",
            "7",
            "[]",
            "true",
            "  ",
            "<html>",
            "\u{feff}{}",
            r#"{"batchItemFailures": []}"#,
            r#"{"statusCode": 200}"#,
            r#"{"statusCode": 204, "body": null}"#,
            r#"{"statusCode": "200", "body": "fine"}"#,
            r#"{"statusCode": 200, "body": "{\"batchItemFailures\":[]}", "headers": {"a": "b"}}"#,
            r#"{"statusCode": 200, "body": "aGVsbG8=", "isBase64Encoded": true}"#,
        ] {
            assert_eq!(answer(payload.as_bytes()).class, Class::Done, "{payload}");
        }
    }

    #[test]
    fn failures_are_found_wherever_consumers_put_them() {
        let list = json!({"batchItemFailures": [{"itemIdentifier": "1"}]});
        let text = list.to_string();
        for payload in [
            list.clone(),
            json!(text),
            json!({"statusCode": 200, "body": text}),
            json!({"statusCode": 202, "body": list}),
            json!({"statusCode": 200, "body": BASE64.encode(&text), "isBase64Encoded": true}),
        ] {
            assert_eq!(failed(&payload), Some(vec!["1".to_owned()]), "{payload}");
        }
        // Beside a status they are not where anyone looks for them behind a URL.
        assert_eq!(failed(&json!({"statusCode": 200, "batchItemFailures": [{"itemIdentifier": "1"}]})), None);
    }

    #[test]
    fn a_status_counts() {
        let class = |payload: Value| answer(&serde_json::to_vec(&payload).unwrap()).class;
        assert_eq!(class(json!({"statusCode": 500, "body": "{}"})), Class::Transient);
        assert_eq!(class(json!({"statusCode": 400})), Class::Record);
        assert_eq!(class(json!({"statusCode": 401})), Class::Credentials);
        assert_eq!(class(json!({"statusCode": 429})), Class::Throttled);
        assert_eq!(class(json!({"statusCode": "404"})), Class::Hold);
        let asked = answer(br#"{"statusCode": 503, "headers": {"Retry-After": "9"}}"#);
        assert_eq!((asked.class, asked.retry_after), (Class::Throttled, Some(Duration::from_secs(9))));
        let asked = answer(br#"{"statusCode": 429, "headers": {"retry-after": 9}}"#);
        assert_eq!(asked.retry_after, Some(Duration::from_secs(9)));
    }

    #[test]
    fn what_cannot_be_understood_confirms_nothing() {
        for payload in [
            json!({"statusCode": null}),
            json!({"statusCode": "ok"}),
            json!({"statusCode": 20}),
            json!({"statusCode": 200.5}),
            json!({"statusCode": 70000}),
            json!({"statusCode": 200, "body": "%%", "isBase64Encoded": true}),
            json!({"statusCode": 200, "body": "{\"batchItemFailures\": 1}"}),
        ] {
            let report = answer(&serde_json::to_vec(&payload).unwrap());
            assert_eq!(report.class, Class::Transient, "{payload}");
        }
    }
}
