//! What Lambda calls a function with, whoever sits in front of it. Pure.

use serde::{Deserialize, Deserializer};
use serde_json::json;

use crate::{Value, value::Parsed};

/// One call of the function, as it came.
///
/// Take it as the payload of the event: `LambdaEvent<Invocation>`. It holds the bodies of the connector's requests; read
/// them with a [`Decoder`](crate::Decoder), or let a [`Consumer`](crate::Consumer) do that.
#[derive(Clone, Debug, PartialEq)]
pub struct Invocation {
    pub(crate) origin: Origin,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Body,
}

/// Who called, which decides what the answer has to look like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// An API Gateway REST API, or an HTTP API with payload format 1.0.
    RestApi,
    /// An HTTP API with payload format 2.0, a function URL, or direct Invoke, for which the connector makes the same event.
    HttpApi,
    /// A load balancer.
    Alb {
        /// Whether its target group has multi-value headers.
        multi_value: bool,
    },
    /// Records and nothing around them: Invoke with `payload: raw`, or an HTTP server of your own.
    Bare,
}

#[derive(Clone, PartialEq)]
pub(crate) enum Body {
    /// Nothing was sent.
    None,
    /// As it stands in the event, in Base64 when `encoded`.
    Text { text: String, encoded: bool },
    /// What an HTTP server received.
    Bytes(Vec<u8>),
    /// The payload itself.
    Records(Value),
}

/// Bodies hold values of bins, which nobody should log.
impl std::fmt::Debug for Body {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::None => f.write_str("none"),
            Self::Text { text, encoded } => write!(f, "{} bytes of text, encoded: {encoded}", text.len()),
            Self::Bytes(bytes) => write!(f, "{} bytes", bytes.len()),
            Self::Records(_) => f.write_str("records"),
        }
    }
}

impl Invocation {
    /// A request that an HTTP server received, such as one on Cloud Run: its headers and its body.
    pub fn from_http<'h>(headers: impl IntoIterator<Item = (&'h str, &'h str)>, body: Vec<u8>) -> Self {
        let headers = headers.into_iter().map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()));
        Self { origin: Origin::Bare, headers: headers.collect(), body: Body::Bytes(body) }
    }

    /// Who called.
    pub fn origin(&self) -> Origin {
        self.origin
    }

    /// A header, by its name in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(header, _)| header == name).map(|(_, value)| value.as_str())
    }

    /// Whether this is the call by which `esp-connector check --probe` finds out whether it may call: there are no records.
    pub fn is_probe(&self) -> bool {
        let empty = match &self.body {
            Body::None => true,
            Body::Text { text, .. } => text.is_empty(),
            Body::Bytes(bytes) => bytes.is_empty(),
            Body::Records(_) => false,
        };
        empty && self.header("esp-connector-probe").is_some()
    }

    fn new(payload: Value) -> Self {
        let is_request = payload.get("requestContext").is_some_and(|context| context.as_map().is_some())
            && ["httpMethod", "rawPath"].iter().any(|name| payload.get(name).is_some());
        if !is_request {
            return Self { origin: Origin::Bare, headers: Vec::new(), body: Body::Records(payload) };
        }
        let (origin, headers) = (origin_of(&payload), headers_of(&payload));
        let encoded = payload.get("isBase64Encoded").and_then(Value::as_bool).unwrap_or(false);
        let body = match take(payload, "body") {
            Some(Value::Text(text)) => Body::Text { text, encoded },
            _ => Body::None,
        };
        Self { origin, headers, body }
    }
}

impl<'de> Deserialize<'de> for Invocation {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Parsed::deserialize(deserializer).map(|Parsed(payload)| Self::new(payload))
    }
}

impl Origin {
    /// The answer with a status, where there is one around it.
    pub fn answer(self, status: u16, body: &serde_json::Value) -> serde_json::Value {
        let headers = match self {
            Self::Bare => return body.clone(),
            // A target group with multi-value headers reads no others.
            Self::Alb { multi_value: true } => ("multiValueHeaders", json!(["application/json"])),
            _ => ("headers", json!("application/json")),
        };
        let mut answer = json!({"statusCode": status, "isBase64Encoded": false, "body": body.to_string()});
        answer[headers.0] = json!({"content-type": headers.1});
        answer
    }
}

fn origin_of(payload: &Value) -> Origin {
    let context = payload.get("requestContext");
    let within = |name: &str| context.is_some_and(|context| context.get(name).is_some());
    if within("elb") {
        Origin::Alb {
            multi_value: payload.get("multiValueHeaders").is_some_and(|headers| headers.as_map().is_some()),
        }
    } else if within("http") {
        Origin::HttpApi
    } else {
        Origin::RestApi
    }
}

/// Names in lower case. Of several values the last one counts, as it does where there is only room for one.
fn headers_of(payload: &Value) -> Vec<(String, String)> {
    let mut headers = Vec::new();
    for member in ["headers", "multiValueHeaders"] {
        let entries = payload.get(member).and_then(Value::as_map).unwrap_or_default();
        for (name, value) in entries {
            let value = value.as_list().map_or(Some(value), <[Value]>::last);
            if let (Some(name), Some(value)) = (name.as_str(), value.and_then(Value::as_str)) {
                headers.push((name.to_ascii_lowercase(), value.to_owned()));
            }
        }
    }
    headers
}

fn take(payload: Value, name: &str) -> Option<Value> {
    let Value::Map(entries) = payload else { return None };
    entries.into_iter().find(|(key, _)| key.as_str() == Some(name)).map(|(_, value)| value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(payload: &serde_json::Value) -> Invocation {
        serde_json::from_str(&payload.to_string()).unwrap()
    }

    #[test]
    fn every_front_is_known_by_its_event() {
        let body = json!({"body": "[]", "isBase64Encoded": true});
        let with = |more: serde_json::Value| {
            let mut event = body.clone();
            event.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            read(&event)
        };
        let many = json!({"Content-Type": ["text/plain", "application/json"]});
        for (origin, event) in [
            (
                Origin::RestApi,
                json!({"httpMethod": "POST", "requestContext": {"stage": "prod"},
                    "headers": {"Content-Type": "application/json"}, "multiValueHeaders": many}),
            ),
            (
                Origin::RestApi,
                json!({"version": "1.0", "httpMethod": "POST", "requestContext": {}, "headers": null, "multiValueHeaders": many}),
            ),
            (
                Origin::HttpApi,
                json!({"version": "2.0", "rawPath": "/", "requestContext": {"http": {"method": "POST"}},
                    "headers": {"content-type": "application/json"}}),
            ),
            (
                Origin::Alb { multi_value: false },
                json!({"httpMethod": "POST", "requestContext": {"elb": {}}, "headers": {"content-type": "application/json"}}),
            ),
            (
                Origin::Alb { multi_value: true },
                json!({"httpMethod": "POST", "requestContext": {"elb": {}}, "multiValueHeaders": many}),
            ),
        ] {
            let invocation = with(event);
            assert_eq!(invocation.origin(), origin);
            assert_eq!(invocation.header("content-type"), Some("application/json"), "{origin:?}");
            assert_eq!(invocation.body, Body::Text { text: "[]".to_owned(), encoded: true });
        }
        // A bin may have any name.
        let record = json!({"_meta": {}, "requestContext": {"elb": 1}, "body": "x"});
        assert!(matches!(read(&record).body, Body::Records(_)));
        assert_eq!(read(&record).origin(), Origin::Bare);
    }

    #[test]
    fn answers_have_the_shape_that_the_front_reads() {
        let body = json!({"batchItemFailures": []});
        assert_eq!(Origin::Bare.answer(200, &body), body);
        for (origin, name, value) in [
            (Origin::RestApi, "headers", json!("application/json")),
            (Origin::HttpApi, "headers", json!("application/json")),
            (Origin::Alb { multi_value: false }, "headers", json!("application/json")),
            (Origin::Alb { multi_value: true }, "multiValueHeaders", json!(["application/json"])),
        ] {
            let answer = origin.answer(200, &body);
            assert_eq!(answer["statusCode"], 200);
            assert_eq!(answer["body"], r#"{"batchItemFailures":[]}"#);
            assert_eq!(answer[name]["content-type"], value, "{origin:?}");
        }
    }

    #[test]
    fn a_probe_is_empty_and_says_so() {
        let probe = [("ESP-Connector-Probe", "1")];
        assert!(Invocation::from_http(probe, Vec::new()).is_probe());
        assert!(!Invocation::from_http(probe, b"[]".to_vec()).is_probe());
        assert!(!Invocation::from_http([], Vec::new()).is_probe());
    }

    #[test]
    fn debug_shows_no_body() {
        let event = json!({"rawPath": "/", "requestContext": {"http": {}}, "body": "hunter2"});
        assert!(!format!("{:?}", read(&event)).contains("hunter2"));
    }
}
