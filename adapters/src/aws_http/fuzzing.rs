//! The door of the fuzz targets to refusals by AWS.

use ::http::{HeaderMap, HeaderName, HeaderValue};

use super::refusal::Fault;

/// A refusal with this type in its header and this body.
///
/// # Panics
/// When what is shown of it is not one short line.
pub fn refusal(kind: &[u8], body: &[u8]) {
    let mut headers = HeaderMap::new();
    if let Ok(kind) = HeaderValue::from_bytes(kind) {
        headers.insert(HeaderName::from_static("x-amzn-errortype"), kind);
    }
    let words = Fault::read(&headers, body).words();
    assert!(words.len() < 500 && !words.contains(char::is_control), "{words:?}");
}
