//! What a request is besides its body, where it differs from a POST to the URL of its destination. Pure.
//!
//! Whatever stands in here, the request goes to the scheme, the host and the port of the destination: a path is put in the
//! place of the URL's own by the rules of RFC 3986, section 5.2, of which only those for paths are followed, and one that
//! could mean another place is no [`Path`]. A header that could end its line, or that frames the message, is none.

use std::sync::Arc;

use ::http::{HeaderName, HeaderValue, Method, header, uri::PathAndQuery};

use crate::headers::owned_by_the_client;

/// What a request is besides its body. Each part that is absent is as the destination has it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RequestParts {
    /// Instead of POST.
    pub method: Option<Method>,
    /// In the place of the URL's path.
    pub path: Option<Path>,
    /// In the place of the URL's query.
    pub query: Option<Query>,
    /// Beside the destination's own headers, and instead of those of the same name.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// Statuses that confirm delivery of this request, instead of the destination's. Those when empty.
    pub success_status_codes: Arc<[u16]>,
}

/// A path, percent-encoded: one that begins with a slash replaces the URL's path, any other one the part behind its last
/// slash. It holds no way up and out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Path(String);

/// A query without its question mark, percent-encoded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Query(String);

/// Most bytes of a path, and of a query: receivers refuse longer ones in ways that look like a fault of their own.
pub const TARGET_BYTES_MAX: usize = 8 * 1024;

/// Most bytes of a header's value.
pub const HEADER_BYTES_MAX: usize = 8 * 1024;

/// Why something is no part of a request. Never repeats it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct PartError(pub &'static str);

impl Path {
    /// Checks a path.
    pub fn new(text: String) -> Result<Self, PartError> {
        if text.len() > TARGET_BYTES_MAX {
            return Err(PartError("longer than 8192 bytes"));
        }
        if text.starts_with("//") {
            return Err(PartError("starts with two slashes, which would name another host"));
        }
        if !text
            .bytes()
            .all(|byte| is_unreserved_or_sub_delim(byte) || matches!(byte, b':' | b'@' | b'/' | b'%'))
        {
            return Err(PartError("holds a character that a path has percent-encoded"));
        }
        if !has_whole_escapes(&text) {
            return Err(PartError("holds a percent sign without two hexadecimal digits"));
        }
        if text.split('/').any(is_dots) {
            return Err(PartError("holds a segment of dots, which leads out of its place"));
        }
        // `http:x` would be an absolute URL to whoever resolves it.
        if text.split('/').next().is_some_and(|first| first.contains(':')) {
            return Err(PartError("has a colon before its first slash, as a scheme has"));
        }
        Ok(Self(text))
    }
}

impl Query {
    /// Checks a query.
    pub fn new(text: String) -> Result<Self, PartError> {
        if text.len() > TARGET_BYTES_MAX {
            return Err(PartError("longer than 8192 bytes"));
        }
        let fits =
            |byte| is_unreserved_or_sub_delim(byte) || matches!(byte, b':' | b'@' | b'/' | b'?' | b'%');
        if !text.bytes().all(fits) {
            return Err(PartError("holds a character that a query has percent-encoded"));
        }
        if !has_whole_escapes(&text) {
            return Err(PartError("holds a percent sign without two hexadecimal digits"));
        }
        Ok(Self(text))
    }
}

/// The name of a header that a request may have besides those of its destination.
pub fn header_name(name: &str) -> Result<HeaderName, PartError> {
    let name = HeaderName::from_bytes(name.as_bytes())
        .map_err(|_| PartError("not a header name; expected letters, digits and dashes"))?;
    if let Some(why) = owned_by_the_client(&name) {
        return Err(PartError(why));
    }
    match name {
        header::HOST => Err(PartError("names the receiver, which only the destination does")),
        header::CONTENT_TYPE => Err(PartError("has a key of its own: `content-type`")),
        _ if name == crate::client::PROBE => Err(PartError("marks requests that carry no records")),
        _ => Ok(name),
    }
}

/// The value of a header: visible ASCII and spaces, of which those around it are no part of it.
pub fn header_value(text: &str) -> Result<HeaderValue, PartError> {
    let text = text.trim_matches(' ');
    if text.len() > HEADER_BYTES_MAX {
        return Err(PartError("longer than 8192 bytes"));
    }
    if !text.bytes().all(|byte| matches!(byte, b' '..=b'~')) {
        return Err(PartError("holds a character that is not visible ASCII, such as a line end"));
    }
    HeaderValue::from_str(text).map_err(|_| PartError("is no value of a header"))
}

impl RequestParts {
    /// Bytes that it keeps in memory, roughly.
    pub fn bytes(&self) -> usize {
        let target = [self.path.as_ref().map(|path| &path.0), self.query.as_ref().map(|query| &query.0)];
        let target: usize = target.into_iter().flatten().map(String::len).sum();
        let headers = self.headers.iter();
        let headers =
            headers.map(|(name, value)| name.as_str().len() + value.len() + size_of::<HeaderValue>());
        size_of::<Self>() + target + headers.sum::<usize>()
    }

    /// Whether path and query are those of the URL.
    pub(crate) fn keeps_target(&self) -> bool {
        self.path.is_none() && self.query.is_none()
    }

    /// Path and query of a request to a URL with those of `base`.
    pub(crate) fn target(&self, base: &PathAndQuery) -> PathAndQuery {
        let mut target = match &self.path {
            None => base.path().to_owned(),
            Some(Path(path)) if path.starts_with('/') => path.clone(),
            Some(Path(path)) if path.is_empty() => base.path().to_owned(),
            Some(Path(path)) => {
                let folder = base.path().rfind('/').map_or("/", |slash| &base.path()[..=slash]);
                format!("{folder}{path}")
            }
        };
        // A reference with a path of its own does not take over the query of its base.
        let query = match (&self.query, &self.path) {
            (Some(Query(query)), _) => Some(query.as_str()),
            (None, Some(Path(path))) if !path.is_empty() => None,
            (None, _) => base.query(),
        };
        if let Some(query) = query.filter(|query| !query.is_empty()) {
            target.push('?');
            target.push_str(query);
        }
        match PathAndQuery::try_from(target) {
            Ok(target) => target,
            Err(_) => unreachable!("both were checked, and are short"),
        }
    }
}

fn is_unreserved_or_sub_delim(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=".contains(&byte)
}

fn has_whole_escapes(text: &str) -> bool {
    text.split('%')
        .skip(1)
        .all(|after| after.as_bytes().get(..2).is_some_and(|hex| hex.iter().all(u8::is_ascii_hexdigit)))
}

/// `.` and `..`, also where a receiver would have to decode them first.
fn is_dots(segment: &str) -> bool {
    let dots = segment.replace("%2e", ".").replace("%2E", ".");
    // Some receivers cut a segment at its parameters.
    matches!(dots.split(';').next(), Some("." | ".."))
}

#[cfg(test)]
mod tests;
