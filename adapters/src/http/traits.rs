//! What the receivers of one kind have in common, where it differs from plain HTTP. Pure.

use std::num::NonZeroUsize;

use super::{Compression, Config, HeaderValue};

/// What is known of a kind of receiver before the first request.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Traits {
    /// Most bytes of a body of text, unless `max-request-bytes` says otherwise.
    pub(crate) text_bytes_max: usize,
    /// Most bytes of any other body, and of one that may be compressed. Where a function sees the body as base64 inside an
    /// event, that is three quarters of the bytes of a text.
    pub(crate) binary_bytes_max: usize,
    /// Requests at once to begin with; `None` for as many as there is room for.
    pub(crate) concurrency_start: Option<NonZeroUsize>,
}

impl Traits {
    /// Plain HTTP: nothing is known.
    pub(crate) const PLAIN: Self =
        Self { text_bytes_max: usize::MAX, binary_bytes_max: usize::MAX, concurrency_start: None };

    /// A receiver that takes `text_bytes_max` of text, hands bodies to a function, and has not shown yet how much it can
    /// do at once.
    pub(crate) const fn function(text_bytes_max: usize) -> Self {
        Self {
            text_bytes_max,
            binary_bytes_max: text_bytes_max / 4 * 3,
            concurrency_start: NonZeroUsize::new(8),
        }
    }
}

/// Most bytes of a body before compression, by its media type.
#[derive(Clone, Debug)]
pub(super) struct BodyLimit {
    text: usize,
    binary: usize,
    compressed: bool,
    /// Of the operator, who outranks the format.
    content_type: Option<String>,
}

impl BodyLimit {
    pub(super) fn new(config: &Config, traits: &Traits) -> Self {
        let configured = config.max_request_bytes.map(NonZeroUsize::get);
        let content_type = config.headers.iter().find_map(|(name, value)| match value {
            HeaderValue::Plain(value) | HeaderValue::Value { value }
                if name.eq_ignore_ascii_case("content-type") =>
            {
                Some(value.clone())
            }
            _ => None,
        });
        Self {
            text: configured.unwrap_or(traits.text_bytes_max),
            binary: configured.unwrap_or(traits.binary_bytes_max),
            compressed: config.compression != Compression::None,
            content_type,
        }
    }

    pub(super) fn of(&self, content_type: &str) -> usize {
        let content_type = self.content_type.as_deref().unwrap_or(content_type);
        if !self.compressed && is_text(content_type) { self.text } else { self.binary }
    }
}

/// Whether gateways hand such a body to a function as it is. What they are not known to is taken for binary, which is
/// the smaller limit.
pub(crate) fn is_text(content_type: &str) -> bool {
    let essence = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    essence.starts_with("text/")
        || matches!(essence.as_str(), "application/json" | "application/xml" | "application/javascript")
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn limit(traits: &Traits, more: Value, content_type: &str) -> usize {
        let mut settings = json!({"urls": ["http://a/"]});
        settings.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        BodyLimit::new(&serde_json::from_value(settings).unwrap(), traits).of(content_type)
    }

    #[test]
    fn what_becomes_base64_may_be_smaller() {
        let traits = Traits::function(4000);
        for text in ["application/json", "Application/JSON; charset=utf-8", "text/plain", "application/xml"] {
            assert_eq!(limit(&traits, json!({}), text), 4000, "{text}");
        }
        for binary in ["application/octet-stream", "application/x-ndjson", "avro/binary", ""] {
            assert_eq!(limit(&traits, json!({}), binary), 3000, "{binary}");
        }
        assert_eq!(limit(&traits, json!({"compression": "gzip"}), "application/json"), 3000);
        let named = json!({"headers": {"Content-Type": "application/vnd.example"}});
        assert_eq!(limit(&traits, named, "application/json"), 3000);
    }

    #[test]
    fn the_operators_limit_is_the_limit() {
        for traits in [Traits::PLAIN, Traits::function(4000)] {
            for content_type in ["application/json", "application/octet-stream"] {
                assert_eq!(limit(&traits, json!({"max-request-bytes": 77}), content_type), 77);
            }
        }
        assert_eq!(limit(&Traits::PLAIN, json!({}), "application/json"), usize::MAX);
    }
}
