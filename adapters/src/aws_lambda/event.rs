//! The event that a function gets: the one that its own URL would make of the same request (payload format 2.0), so that
//! one consumer works behind a function URL, an HTTP API and direct Invoke. Pure; time and chance are arguments.
//!
//! Nothing in it is made up beyond what the format demands: there is no client address, so `sourceIp` is the loopback
//! address; there is no URL, so `apiId` is the function's name and the domain that of the Lambda API; there are no
//! `x-forwarded-…` headers. `accountId` is that of the ARN, or `anonymous`, as behind a function URL without signatures.

use std::{borrow::Cow, collections::BTreeMap, time::SystemTime};

use ::http::header;
use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use serde::Serialize;

use super::function::Function;
use crate::{BuildError, headers::StaticHeaders, http::is_text};

/// What is alike in all events of a function.
pub(super) struct Envelope {
    account: String,
    name: String,
    /// Names in lower case. Those of the operator, and the user agent.
    headers: BTreeMap<String, String>,
}

/// What differs from one attempt to the next.
#[derive(Clone, Copy, Debug)]
pub(super) struct Moment {
    pub(super) request: u128,
    pub(super) time: SystemTime,
}

/// A body as it goes into an event.
pub(super) struct Body<'a> {
    pub(super) bytes: &'a [u8],
    pub(super) content_type: &'a str,
    /// `bytes` are compressed.
    pub(super) gzip: bool,
}

impl Envelope {
    pub(super) fn new(function: &Function, statics: &StaticHeaders) -> Result<Self, BuildError> {
        let mut headers = BTreeMap::from([(header::USER_AGENT.as_str().to_owned(), USER_AGENT.to_owned())]);
        for (name, value) in statics {
            let text = std::str::from_utf8(value.as_bytes()).map_err(|_| BuildError {
                key: format!("headers.{name}"),
                problem: "is not valid UTF-8, which an event has to be".to_owned(),
            })?;
            headers.insert(name.as_str().to_owned(), text.to_owned());
        }
        let account = function.account.clone().unwrap_or_else(|| "anonymous".to_owned());
        Ok(Self { account, name: function.name.clone(), headers })
    }

    /// The event as JSON. `host` is where it is sent.
    pub(super) fn wrap(&self, body: &Body<'_>, host: &str, moment: Moment) -> Vec<u8> {
        let mut headers: BTreeMap<&str, Cow<'_, str>> =
            self.headers.iter().map(|(name, value)| (name.as_str(), value.as_str().into())).collect();
        headers.insert(header::CONTENT_LENGTH.as_str(), body.bytes.len().to_string().into());
        // The operator's media type and host outrank ours, as over HTTP.
        headers.entry(header::CONTENT_TYPE.as_str()).or_insert_with(|| body.content_type.into());
        headers.entry(header::HOST.as_str()).or_insert_with(|| host.into());
        if body.gzip {
            headers.insert(header::CONTENT_ENCODING.as_str(), "gzip".into());
        }
        let text = std::str::from_utf8(body.bytes)
            .ok()
            .filter(|_| !body.gzip && is_text(&headers[header::CONTENT_TYPE.as_str()]));
        let encoded = text.map_or_else(|| BASE64.encode(body.bytes).into(), Cow::Borrowed);
        let host = headers[header::HOST.as_str()].clone();
        let event = Event {
            version: "2.0",
            route_key: DEFAULT,
            raw_path: "/",
            raw_query_string: "",
            request_context: Context {
                account_id: &self.account,
                api_id: &self.name,
                domain_prefix: host.split(['.', ':']).next().unwrap_or_default(),
                domain_name: &host,
                http: Http {
                    method: "POST",
                    path: "/",
                    protocol: "HTTP/1.1",
                    source_ip: "127.0.0.1",
                    user_agent: &self.headers[header::USER_AGENT.as_str()],
                },
                request_id: request_id(moment.request),
                route_key: DEFAULT,
                stage: DEFAULT,
                time: log_time(moment.time),
                time_epoch: milliseconds(moment.time),
            },
            headers,
            is_base64_encoded: text.is_none(),
            body: encoded,
        };
        let mut json = Vec::with_capacity(event.body.len() + event.body.len() / 4 + 1024);
        // Strings and numbers into memory: there is nothing to fail.
        let _ = serde_json::to_writer(&mut json, &event);
        json
    }
}

/// Whether a body of this media type is one JSON value.
pub(super) fn is_json(content_type: &str) -> bool {
    let essence = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    essence == "application/json" || essence.ends_with("+json")
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Event<'a> {
    version: &'static str,
    route_key: &'static str,
    raw_path: &'static str,
    raw_query_string: &'static str,
    headers: BTreeMap<&'a str, Cow<'a, str>>,
    request_context: Context<'a>,
    body: Cow<'a, str>,
    is_base64_encoded: bool,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Context<'a> {
    account_id: &'a str,
    api_id: &'a str,
    domain_name: &'a str,
    domain_prefix: &'a str,
    http: Http<'a>,
    request_id: String,
    route_key: &'static str,
    stage: &'static str,
    time: String,
    time_epoch: u64,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Http<'a> {
    method: &'static str,
    path: &'static str,
    protocol: &'static str,
    source_ip: &'static str,
    user_agent: &'a str,
}

/// As a random UUID is written.
fn request_id(chance: u128) -> String {
    let bits = (chance & !(0xf << 76) & !(0x3 << 62)) | (0x4 << 76) | (0x2 << 62);
    let hex = format!("{bits:032x}");
    [&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]].join("-")
}

/// As access logs write it: `21/Apr/2020:15:08:21 +0000`.
fn log_time(time: SystemTime) -> String {
    // Mon, 21 Apr 2020 15:08:21 GMT
    let http = httpdate::fmt_http_date(time.clamp(SystemTime::UNIX_EPOCH, SystemTime::UNIX_EPOCH + LAST));
    format!("{}/{}/{}:{} +0000", &http[5..7], &http[8..11], &http[12..16], &http[17..25])
}

fn milliseconds(time: SystemTime) -> u64 {
    let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

const DEFAULT: &str = "$default";
const USER_AGENT: &str = concat!("esp-connector/", env!("CARGO_PKG_VERSION"));
/// The last second of the year 9999, after which dates have no such form.
const LAST: std::time::Duration = std::time::Duration::from_secs(253_402_300_799);

#[cfg(test)]
#[path = "event/tests.rs"]
mod tests;
