//! How encoded records, the pieces, become one request body.
//!
//! The size of a body is known before it is put together, so that a batch can be kept below a bound exactly.

use std::borrow::Cow;

use bytes::Bytes;

use super::{FormatError, avro::Container};
use crate::config::BatchBody;

/// The form of a request body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Body {
    form: Form,
    content_type: Cow<'static, str>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Form {
    /// Pieces between an opening, separators and an ending.
    Joined { open: &'static [u8], between: &'static [u8], close: &'static [u8] },
    /// An Avro object container file.
    Container(Container),
}

const BARE: Form = Form::Joined { open: b"", between: b"", close: b"" };
const JSON_ARRAY: Form = Form::Joined { open: b"[", between: b",", close: b"]" };
/// The last line ends like all others.
const NDJSON: Form = Form::Joined { open: b"", between: b"\n", close: b"\n" };

impl Body {
    /// The pieces as they are: one, or several that readers can tell apart.
    pub(super) fn single(content_type: impl Into<Cow<'static, str>>) -> Self {
        Self { form: BARE, content_type: content_type.into() }
    }

    /// Batches of JSON; arrays when nothing was chosen.
    pub(super) fn json(content_type: impl Into<Cow<'static, str>>, chosen: Option<BatchBody>) -> Self {
        match chosen {
            None | Some(BatchBody::JsonArray) => Self::json_array(content_type),
            Some(BatchBody::Ndjson) => Self::lines("application/x-ndjson"),
            Some(BatchBody::Concatenated) => Self::single(content_type),
        }
    }

    /// An array, also around a single piece.
    pub(super) fn json_array(content_type: impl Into<Cow<'static, str>>) -> Self {
        Self { form: JSON_ARRAY, content_type: content_type.into() }
    }

    /// Pieces of whole lines, of which the last lacks its end.
    pub(super) fn lines(content_type: impl Into<Cow<'static, str>>) -> Self {
        Self { form: NDJSON, content_type: content_type.into() }
    }

    /// Single records or batches of a format whose records end by themselves.
    pub(super) fn binary(content_type: &'static str, chosen: Option<BatchBody>) -> Result<Self, FormatError> {
        match chosen {
            None | Some(BatchBody::Concatenated) => Ok(Self::single(content_type)),
            Some(BatchBody::JsonArray | BatchBody::Ndjson) => {
                let problem =
                    "json-array and ndjson are for json and flat-json; this format takes concatenated";
                Err(FormatError { problem: problem.to_owned() })
            }
        }
    }

    /// A whole file for each request, which has its own way to hold several records.
    pub(super) fn container(
        content_type: &'static str,
        container: &Container,
        chosen: Option<BatchBody>,
    ) -> Result<Self, FormatError> {
        if chosen.is_some() {
            let problem = "an object container file holds several records by itself; leave `body` out";
            return Err(FormatError { problem: problem.to_owned() });
        }
        Ok(Self { form: Form::Container(container.clone()), content_type: content_type.into() })
    }

    /// Media type of the body.
    pub fn content_type(&self) -> &str {
        &self.content_type
    }

    /// The same to keep, which costs nothing but where it was configured.
    pub(crate) fn media_type(&self) -> Cow<'static, str> {
        self.content_type.clone()
    }

    /// Exact size of a body with `count` pieces that hold `bytes` bytes together.
    pub fn bytes(&self, count: usize, bytes: usize) -> usize {
        match &self.form {
            Form::Joined { open, between, close } => {
                open.len() + bytes + between.len() * count.saturating_sub(1) + close.len()
            }
            Form::Container(container) => container.file_bytes(count, bytes),
        }
    }

    /// The body that holds `pieces`, of which there is at least one.
    pub fn join<'a>(&self, mut pieces: impl ExactSizeIterator<Item = &'a Bytes> + Clone) -> Bytes {
        let count = pieces.len();
        let bytes = pieces.clone().map(Bytes::len).sum();
        let body_bytes = self.bytes(count, bytes);
        if count == 1 && body_bytes == bytes {
            return pieces.next().cloned().unwrap_or_default();
        }
        let mut body = Vec::with_capacity(body_bytes);
        match &self.form {
            Form::Joined { open, between, close } => {
                body.extend_from_slice(open);
                for (index, piece) in pieces.enumerate() {
                    if index > 0 {
                        body.extend_from_slice(between);
                    }
                    body.extend_from_slice(piece);
                }
                body.extend_from_slice(close);
            }
            Form::Container(container) => {
                container.begin(count, bytes, &mut body);
                pieces.for_each(|piece| body.extend_from_slice(piece));
                container.end(&mut body);
            }
        }
        debug_assert_eq!(body.len(), body_bytes, "the size was promised");
        body.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms_and_their_sizes() {
        let pieces = [Bytes::from_static(b"{\"a\":1}"), Bytes::from_static(b"{}"), Bytes::from_static(b"{}")];
        for (choice, one, three, content_type) in [
            (None, "[{\"a\":1}]", "[{\"a\":1},{},{}]", "the/type"),
            (Some(BatchBody::JsonArray), "[{\"a\":1}]", "[{\"a\":1},{},{}]", "the/type"),
            (Some(BatchBody::Ndjson), "{\"a\":1}\n", "{\"a\":1}\n{}\n{}\n", "application/x-ndjson"),
            (Some(BatchBody::Concatenated), "{\"a\":1}", "{\"a\":1}{}{}", "the/type"),
        ] {
            let body = Body::json("the/type", choice);
            assert_eq!(body.join(pieces[..1].iter()), one);
            assert_eq!(body.join(pieces.iter()), three);
            assert_eq!((body.bytes(1, 7), body.bytes(3, 11)), (one.len(), three.len()));
            assert_eq!(body.content_type(), content_type);
        }
    }

    #[test]
    fn binary_formats_are_concatenated_and_nothing_else() {
        assert_eq!(Body::binary("the/type", None).expect("the default").bytes(3, 30), 30);
        for choice in [BatchBody::JsonArray, BatchBody::Ndjson] {
            let error = Body::binary("the/type", Some(choice)).expect_err("not JSON").to_string();
            assert!(error.contains("concatenated"), "{error}");
        }
    }
}
