//! How encoded records, the pieces, become one request body.
//!
//! The size of a body is known before it is put together, so that a batch can be kept below a bound exactly.

use bytes::Bytes;

use super::FormatError;
use crate::config::{BatchBody, Batching, Format};

/// The form of a request body.
#[derive(Clone, Debug)]
pub struct Body {
    form: Form,
    content_type: &'static str,
}

#[derive(Clone, Debug)]
enum Form {
    /// The piece is the body.
    Single,
    /// Pieces between an opening, separators and an ending.
    Joined { open: &'static [u8], between: &'static [u8], close: &'static [u8] },
}

const JSON_ARRAY: Form = Form::Joined { open: b"[", between: b",", close: b"]" };
/// The last line ends like all others.
const NDJSON: Form = Form::Joined { open: b"", between: b"\n", close: b"\n" };
const CONCATENATED: Form = Form::Joined { open: b"", between: b"", close: b"" };

impl Body {
    /// One record for each request.
    pub(super) fn single(content_type: &'static str) -> Self {
        Self { form: Form::Single, content_type }
    }

    /// The body that `batching` asks for; without a choice, what readers of the format expect.
    pub(super) fn batched(
        format: &Format,
        batching: &Batching,
        content_type: &'static str,
    ) -> Result<Self, FormatError> {
        let json = matches!(format, Format::Json(_) | Format::FlatJson { .. });
        let choice =
            batching.body.unwrap_or(if json { BatchBody::JsonArray } else { BatchBody::Concatenated });
        let (form, content_type) = match choice {
            BatchBody::JsonArray if json => (JSON_ARRAY, content_type),
            BatchBody::Ndjson if json => (NDJSON, "application/x-ndjson"),
            BatchBody::Concatenated => (CONCATENATED, content_type),
            BatchBody::JsonArray | BatchBody::Ndjson => {
                let problem =
                    "json-array and ndjson are for json and flat-json; this format takes concatenated";
                return Err(FormatError { problem: problem.to_owned() });
            }
        };
        Ok(Self { form, content_type })
    }

    /// Media type of the body.
    pub fn content_type(&self) -> &'static str {
        self.content_type
    }

    /// Exact size of a body with `count` pieces that hold `bytes` bytes together.
    pub fn bytes(&self, count: usize, bytes: usize) -> usize {
        match self.form {
            Form::Single => bytes,
            Form::Joined { open, between, close } => {
                open.len() + bytes + between.len() * count.saturating_sub(1) + close.len()
            }
        }
    }

    /// The body that holds `pieces`, of which there is at least one.
    pub fn join<'a>(&self, pieces: impl ExactSizeIterator<Item = &'a Bytes> + Clone) -> Bytes {
        let (open, between, close) = match self.form {
            Form::Single => {
                debug_assert_eq!(pieces.len(), 1, "without batching a request holds one record");
                return pieces.clone().next().cloned().unwrap_or_default();
            }
            Form::Joined { open, between, close } => (open, between, close),
        };
        let bytes = self.bytes(pieces.len(), pieces.clone().map(Bytes::len).sum());
        let mut body = Vec::with_capacity(bytes);
        body.extend_from_slice(open);
        for (index, piece) in pieces.enumerate() {
            if index > 0 {
                body.extend_from_slice(between);
            }
            body.extend_from_slice(piece);
        }
        body.extend_from_slice(close);
        debug_assert_eq!(body.len(), bytes, "the size was promised");
        body.into()
    }
}

#[cfg(test)]
mod tests {
    use std::{num::NonZeroUsize, time::Duration};

    use super::*;
    use crate::config::JsonRules;

    fn body(format: &Format, body: Option<BatchBody>) -> Result<Body, FormatError> {
        let batching = Batching {
            enabled: true,
            body,
            max_records: NonZeroUsize::MAX,
            max_bytes: NonZeroUsize::MAX,
            interval: Duration::from_secs(1),
        };
        Body::batched(format, &batching, "the/type")
    }

    #[test]
    fn forms_and_their_sizes() {
        let pieces = [Bytes::from_static(b"{\"a\":1}"), Bytes::from_static(b"{}"), Bytes::from_static(b"{}")];
        let json = Format::Json(JsonRules::default());
        for (choice, one, three, content_type) in [
            (None, "[{\"a\":1}]", "[{\"a\":1},{},{}]", "the/type"),
            (Some(BatchBody::JsonArray), "[{\"a\":1}]", "[{\"a\":1},{},{}]", "the/type"),
            (Some(BatchBody::Ndjson), "{\"a\":1}\n", "{\"a\":1}\n{}\n{}\n", "application/x-ndjson"),
            (Some(BatchBody::Concatenated), "{\"a\":1}", "{\"a\":1}{}{}", "the/type"),
        ] {
            let body = body(&json, choice).expect("JSON takes every body");
            assert_eq!(body.join(pieces[..1].iter()), one);
            assert_eq!(body.join(pieces.iter()), three);
            assert_eq!((body.bytes(1, 7), body.bytes(3, 11)), (one.len(), three.len()));
            assert_eq!(body.content_type(), content_type);
        }
    }

    #[test]
    fn binary_formats_are_concatenated_and_nothing_else() {
        assert_eq!(body(&Format::MessagePack, None).expect("the default").bytes(3, 30), 30);
        for choice in [BatchBody::JsonArray, BatchBody::Ndjson] {
            let error = body(&Format::MessagePack, Some(choice)).expect_err("not JSON").to_string();
            assert!(error.contains("concatenated"), "{error}");
        }
    }
}
