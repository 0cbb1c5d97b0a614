//! From an invocation to its notifications. Pure. Arbitrary bodies end in an error at worst, and in memory that is bounded.

use std::{borrow::Cow, fmt};

use base64::{Engine as _, engine::general_purpose::STANDARD};

use crate::{
    Batch, Invocation, Notification, Value,
    body::{self, Format},
    invocation::Body,
    json,
    value::Parsed,
};

/// Reads bodies in every format that the connector writes.
///
/// ```
/// use notification::{Decoder, Invocation};
///
/// let body = br#"{"_meta":{"namespace":"shop","digest":"UisnajVr3zkBPfq+os1D4UHsyeg=","msg":"delete"}}"#;
/// let invocation = Invocation::from_http([("content-type", "application/json")], body.to_vec());
/// let batch = Decoder::new().decode(invocation)?;
/// assert!(batch.entries()[0].notification.is_delete());
/// # Ok::<(), notification::Unreadable>(())
/// ```
#[derive(Clone, Debug)]
pub struct Decoder {
    metadata_key: Option<String>,
    #[cfg(feature = "avro")]
    schema: Option<crate::avro::AvroSchema>,
    pub(crate) body_bytes_max: usize,
}

/// A body that cannot be read. Says where and what was expected, never what is there instead.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{place}: expected {expected}")]
pub struct Unreadable {
    place: String,
    expected: Cow<'static, str>,
    setting: bool,
}

/// A record that cannot be read. Says where and what was expected, never what is there instead.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{place}: expected {expected}")]
pub struct Malformed {
    place: String,
    expected: Cow<'static, str>,
}

impl Malformed {
    pub(crate) fn new(place: impl Into<String>, expected: impl Into<Cow<'static, str>>) -> Self {
        Self { place: place.into(), expected: expected.into() }
    }

    fn setting(self) -> Unreadable {
        Unreadable { place: self.place, expected: self.expected, setting: true }
    }

    fn body(self) -> Unreadable {
        Unreadable::new(self.place, self.expected)
    }
}

impl Unreadable {
    pub(crate) fn new(place: impl Into<String>, expected: impl Into<Cow<'static, str>>) -> Self {
        Self { place: place.into(), expected: expected.into(), setting: false }
    }

    /// The HTTP status that tells the connector what to do: 415 for what a change of settings cures, so that records are
    /// kept until somebody does; 400 for a body that is broken, so that the record at fault is found.
    pub fn status(&self) -> u16 {
        if self.setting { 415 } else { 400 }
    }
}

impl Default for Decoder {
    fn default() -> Self {
        Self {
            metadata_key: None,
            #[cfg(feature = "avro")]
            schema: None,
            body_bytes_max: 16 << 20,
        }
    }
}

impl Decoder {
    /// One that reads whatever says what it is: all formats but Avro data without their schema.
    pub fn new() -> Self {
        Self::default()
    }

    /// The member that holds the metadata in `flat-json`. Otherwise it is the first member that looks like it.
    #[must_use]
    pub fn metadata_key(mut self, key: impl Into<String>) -> Self {
        self.metadata_key = Some(key.into());
        self
    }

    /// The schema, as JSON, of Avro bodies with `encoding: raw` or `single-object`.
    #[cfg(feature = "avro")]
    pub fn avro_schema(mut self, json: &str) -> Result<Self, Malformed> {
        self.schema = Some(crate::avro::AvroSchema::parse(json)?);
        Ok(self)
    }

    /// Most bytes of a body, decompressed. 16 MiB unless it is set; the connector sends 4 MiB at most, or a single record.
    /// Reading takes up to some forty times as much memory, for a body of nothing but tiny values.
    #[must_use]
    pub fn body_bytes_max(mut self, bytes: usize) -> Self {
        self.body_bytes_max = bytes;
        self
    }

    /// The notifications of an invocation.
    pub fn decode(&self, invocation: Invocation) -> Result<Batch, Unreadable> {
        let nothing = || Unreadable::new("body", "records, and it is empty");
        if invocation.is_probe() {
            return Ok(Batch::default());
        }
        let Invocation { headers, body, .. } = invocation;
        let header =
            |name: &str| headers.iter().find(|(header, _)| header == name).map(|(_, value)| value.as_str());
        let body: Cow<'_, [u8]> = match body {
            Body::None => return Err(nothing()),
            Body::Records(value) => return Ok(self.json_records([value])),
            Body::Text { text, encoded: true } => {
                let decoded = STANDARD.decode(text.trim_ascii());
                decoded.map_err(|_| Unreadable::new("body", "Base64, as isBase64Encoded says"))?.into()
            }
            // What was compressed and taken for text is lost. It is the front that has to be told.
            Body::Text { encoded: false, .. }
                if header("content-encoding").is_some_and(|of| of != "identity") =>
            {
                let expected = "Base64, as it is compressed: a REST API needs */* among its binaryMediaTypes";
                return Err(Malformed::new("body", expected).setting());
            }
            Body::Text { text, encoded: false } => text.into_bytes().into(),
            Body::Bytes(bytes) => bytes.into(),
        };
        let body = body::unpacked(body, header("content-encoding"), self)?;
        if body.is_empty() {
            return Err(nothing());
        }
        if body.len() > self.body_bytes_max {
            return Err(Unreadable::new("body", format!("at most {} bytes", self.body_bytes_max)));
        }
        match body::format(header("content-type"), &body)? {
            Format::Json => self.json(&body),
            Format::MessagePack => message_pack(&body),
            Format::Avro => self.avro(&body),
        }
    }

    /// One record, an array of them, or any number of those one behind the other: a line each, or not.
    fn json(&self, body: &[u8]) -> Result<Batch, Unreadable> {
        let values = serde_json::Deserializer::from_slice(body).into_iter::<Parsed>();
        let values = values.map(|value| value.map(|Parsed(value)| value)).collect::<Result<Vec<_>, _>>();
        let values = values.map_err(|error| {
            // Its text is about the place and the syntax, as any value is allowed.
            Unreadable::new("body", format!("JSON, no more than 127 levels deep: {error}"))
        })?;
        Ok(self.json_records(values))
    }

    fn json_records(&self, values: impl IntoIterator<Item = Value>) -> Batch {
        let mut records = Vec::new();
        for value in values {
            match value {
                Value::List(items) => records.extend(items),
                value => records.push(value),
            }
        }
        let key = self.metadata_key.as_deref();
        Batch::new(records.into_iter().map(|value| json::record(value, key)))
    }

    #[cfg(feature = "avro")]
    fn avro(&self, body: &[u8]) -> Result<Batch, Unreadable> {
        if crate::avro::is_container(body) {
            let records = crate::avro::container(body, self.body_bytes_max).map_err(Malformed::body)?;
            return Ok(whole(records));
        }
        let Some(schema) = &self.schema else {
            return Err(Malformed::new(
                "Avro",
                "its schema, which a Decoder has to be given unless `encoding` is `ocf`",
            )
            .setting());
        };
        // Where one record does not fit, nobody knows where the next one begins; and what does not fit is the schema.
        schema.records(body).map(whole).map_err(Malformed::setting)
    }

    #[cfg(not(feature = "avro"))]
    fn avro(&self, _: &[u8]) -> Result<Batch, Unreadable> {
        Err(Malformed::new("body", "no Avro: this program was built without the feature `avro`").setting())
    }

    pub(crate) fn schema_is_missing(&self) -> bool {
        #[cfg(feature = "avro")]
        return self.schema.is_none();
        #[cfg(not(feature = "avro"))]
        true
    }
}

#[cfg(feature = "message-pack")]
fn message_pack(mut body: &[u8]) -> Result<Batch, Unreadable> {
    let mut records = Vec::new();
    while !body.is_empty() {
        // Where one record is broken, nobody knows where the next one begins.
        records.push(crate::message_pack::record(&mut body).map_err(Malformed::body)?);
    }
    Ok(whole(records))
}

#[cfg(not(feature = "message-pack"))]
fn message_pack(_: &[u8]) -> Result<Batch, Unreadable> {
    Err(Malformed::new("body", "no MessagePack: this program was built without the feature `message-pack`")
        .setting())
}

#[cfg(any(feature = "avro", feature = "message-pack"))]
fn whole(records: Vec<Notification>) -> Batch {
    Batch::new(records.into_iter().map(Ok))
}

impl fmt::Debug for Batch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Batch")
            .field("entries", &self.entries())
            .field("malformed", &self.malformed())
            .finish()
    }
}
