//! Static request headers: read once when the target is built.
//!
//! Their values are secrets. They are marked sensitive, which hides them from `Debug` and keeps HTTP/2 from
//! putting them into its compression tables, and no error here repeats one.

use std::collections::BTreeMap;

use ::http::{HeaderName, HeaderValue, header};

use crate::{BuildError, http};

/// Names and values as they go out, in the order of the settings.
pub(crate) type StaticHeaders = Vec<(HeaderName, HeaderValue)>;

/// Reads every value from where the settings say it is.
pub(crate) fn read(settings: &BTreeMap<String, http::HeaderValue>) -> Result<StaticHeaders, BuildError> {
    let mut headers = StaticHeaders::with_capacity(settings.len());
    for (name, source) in settings {
        let key = format!("headers.{name}");
        let parsed = HeaderName::from_bytes(name.as_bytes())
            .map_err(|_| problem(&key, "not a header name; expected letters, digits and dashes"))?;
        if let Some(reason) = owned_by_the_client(&parsed) {
            return Err(problem(&key, reason));
        }
        if headers.iter().any(|(known, _)| *known == parsed) {
            return Err(problem(&key, "given twice; header names ignore case"));
        }
        headers.push((parsed, value(&key, source)?));
    }
    Ok(headers)
}

fn value(key: &str, source: &http::HeaderValue) -> Result<HeaderValue, BuildError> {
    let (key, text) = match source {
        http::HeaderValue::Plain(value) => (key.to_owned(), value.clone()),
        http::HeaderValue::Value { value } => (format!("{key}.value"), value.clone()),
        http::HeaderValue::Env { env } => {
            let key = format!("{key}.env");
            let text = std::env::var(env).map_err(|error| {
                let fault = match error {
                    std::env::VarError::NotPresent => "is not set",
                    std::env::VarError::NotUnicode(_) => "is not valid UTF-8",
                };
                problem(&key, format!("environment variable {env} {fault}"))
            })?;
            (key, text)
        }
        http::HeaderValue::File { file } => {
            let key = format!("{key}.file");
            let text = std::fs::read_to_string(file)
                .map_err(|error| problem(&key, format!("cannot read {}: {error}", file.display())))?;
            (key, without_line_end(text))
        }
    };
    // Spaces around a value are no part of it; HTTP/2 peers reset requests that have them.
    let mut value = HeaderValue::try_from(text.trim_matches([' ', '\t']))
        .map_err(|_| problem(&key, "holds a character no header value may hold, such as a line end"))?;
    value.set_sensitive(true);
    Ok(value)
}

fn without_line_end(mut text: String) -> String {
    text.truncate(text.trim_end_matches(['\r', '\n']).len());
    text
}

/// Headers that describe the message or the connection: two authors would make a request that peers read in
/// two ways.
pub(crate) fn owned_by_the_client(name: &HeaderName) -> Option<&'static str> {
    const FRAMING: &str = "set by the client itself; leave it out";
    match *name {
        header::CONTENT_LENGTH | header::TRANSFER_ENCODING | header::CONNECTION | header::UPGRADE => {
            Some(FRAMING)
        }
        header::TE | header::TRAILER | header::EXPECT => Some(FRAMING),
        header::CONTENT_ENCODING => Some("set by the client itself; use `compression`"),
        _ if matches!(name.as_str(), "keep-alive" | "proxy-connection" | "http2-settings") => Some(FRAMING),
        _ => None,
    }
}

fn problem(key: &str, problem: impl Into<String>) -> BuildError {
    BuildError { key: key.to_owned(), problem: problem.into() }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn one(name: &str, value: http::HeaderValue) -> Result<StaticHeaders, BuildError> {
        read(&BTreeMap::from([(name.to_owned(), value)]))
    }

    fn plain(value: &str) -> http::HeaderValue {
        http::HeaderValue::Plain(value.to_owned())
    }

    #[test]
    fn every_source_is_read() {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(b"Bearer from-file\r\n").unwrap();
        let found = one("authorization", http::HeaderValue::File { file: file.path().into() }).unwrap();
        assert_eq!(found[0].1, "Bearer from-file");

        // Cargo sets this one for every test.
        let found = one("x-crate", http::HeaderValue::Env { env: "CARGO_PKG_NAME".to_owned() }).unwrap();
        assert_eq!(found[0].1, "adapters");

        assert_eq!(one("X-A", plain("b")).unwrap()[0].1, "b");
        assert_eq!(one("X-A", plain(" \tb  c ")).unwrap()[0].1, "b  c");
        assert_eq!(one("X-A", http::HeaderValue::Value { value: "c".to_owned() }).unwrap()[0].1, "c");
    }

    #[test]
    fn values_stay_hidden() {
        let found = one("authorization", plain("hunter2")).unwrap();
        assert!(!format!("{found:?}").contains("hunter2"));
        let error = one("authorization", plain("hunter2\nx: y")).unwrap_err();
        assert!(!format!("{error} {error:?}").contains("hunter2"));
        assert_eq!(error.key, "headers.authorization");
    }

    #[test]
    fn the_place_at_fault_is_named() {
        let key = |result: Result<StaticHeaders, BuildError>| result.unwrap_err().key;
        let env = http::HeaderValue::Env { env: "NO_SUCH_VARIABLE_HERE".to_owned() };
        assert_eq!(key(one("Authorization", env)), "headers.Authorization.env");
        let file = http::HeaderValue::File { file: "/nowhere/token".into() };
        assert_eq!(key(one("Authorization", file)), "headers.Authorization.file");
        assert_eq!(key(one("not a name", plain("x"))), "headers.not a name");
        assert_eq!(key(one("", plain("x"))), "headers.");
    }

    #[test]
    fn what_the_client_owns_is_refused() {
        for name in ["Content-Length", "transfer-encoding", "Connection", "Expect", "keep-alive", "TE"] {
            assert!(one(name, plain("x")).is_err(), "{name}");
        }
        assert!(one("Content-Encoding", plain("br")).unwrap_err().problem.contains("`compression`"));
        assert!(one("Host", plain("other.example")).is_ok());
        assert!(one("Content-Type", plain("application/vnd.example+json")).is_ok());
        let twice = BTreeMap::from([("X-a".to_owned(), plain("1")), ("x-A".to_owned(), plain("2"))]);
        assert!(read(&twice).unwrap_err().problem.contains("twice"));
    }
}
