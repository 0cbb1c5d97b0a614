//! Values as JSON: each with its type, so that nothing is lost on the way.

use base64::{display::Base64Display, engine::general_purpose::STANDARD};
use serde::{Serialize, Serializer, ser::SerializeMap};

use crate::notification::Value;

/// A value with its type. `inside` a list or map, null is called nil.
pub(super) struct ValueView<'a> {
    value: Value<'a>,
    inside: bool,
}

impl<'a> ValueView<'a> {
    /// A bin or a user key.
    pub(super) fn alone(value: Value<'a>) -> Self {
        Self { value, inside: false }
    }

    fn inside(value: Value<'a>) -> Self {
        Self { value, inside: true }
    }
}

impl Serialize for ValueView<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        match self.value {
            Value::Null => map.serialize_entry("type", if self.inside { "nil" } else { "null" })?,
            Value::Integer(value) => typed(&mut map, "integer", "value", &value)?,
            // JSON has no word for these.
            Value::Double(value) if !value.is_finite() => {
                typed(&mut map, "double", "value", &value.to_string())?;
            }
            Value::Double(value) => typed(&mut map, "double", "value", &value)?,
            Value::Boolean(value) => typed(&mut map, "boolean", "value", &value)?,
            Value::String(text) => typed_text(&mut map, "string", text)?,
            Value::GeoJson(text) => typed_text(&mut map, "geojson", text)?,
            Value::Blob(type_, bytes) => match blob_name(type_) {
                Some(name) => typed(&mut map, name, "base64", &Base64(bytes))?,
                None => typed(&mut map, &format!("particle_{type_}"), "base64", &Base64(bytes))?,
            },
            Value::List(list) => {
                typed(&mut map, "list", "flags", &list.flags())?;
                map.serialize_entry("items", &Each(|| list.iter().map(ValueView::inside)))?;
            }
            Value::Map(pairs) => {
                typed(&mut map, "map", "flags", &pairs.flags())?;
                let views = |(key, value)| (ValueView::inside(key), ValueView::inside(value));
                map.serialize_entry("entries", &Each(|| pairs.iter().map(views)))?;
            }
        }
        map.end()
    }
}

fn typed<M: SerializeMap>(
    map: &mut M,
    type_: &str,
    member: &'static str,
    value: &impl Serialize,
) -> Result<(), M::Error> {
    map.serialize_entry("type", type_)?;
    map.serialize_entry(member, value)
}

/// Text that is not UTF-8 is shown as its bytes.
fn typed_text<M: SerializeMap>(map: &mut M, type_: &str, text: &[u8]) -> Result<(), M::Error> {
    match str::from_utf8(text) {
        Ok(text) => typed(map, type_, "value", &text),
        Err(_) => typed(map, type_, "base64", &Base64(text)),
    }
}

fn blob_name(type_: u8) -> Option<&'static str> {
    Some(match type_ {
        4 => "blob",
        7 => "java_blob",
        8 => "csharp_blob",
        9 => "python_blob",
        10 => "ruby_blob",
        11 => "php_blob",
        12 => "erlang_blob",
        16 => "vector",
        18 => "hll",
        _ => return None,
    })
}

/// A sequence that is made while it is written.
struct Each<F>(F);

impl<F, I> Serialize for Each<F>
where
    F: Fn() -> I,
    I: Iterator<Item: Serialize>,
{
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0())
    }
}

#[derive(Clone, Copy)]
pub(super) struct Base64<'a>(pub(super) &'a [u8]);

impl Serialize for Base64<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&Base64Display::new(self.0, &STANDARD))
    }
}

/// A name or a line. The protocol does not promise UTF-8.
#[derive(Clone, Copy)]
pub(super) struct Text<'a>(pub(super) &'a [u8]);

impl Serialize for Text<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match str::from_utf8(self.0) {
            Ok(text) => serializer.serialize_str(text),
            Err(_) => {
                let mut map = serializer.serialize_map(Some(1))?;
                map.serialize_entry("base64", &Base64(self.0))?;
                map.end()
            }
        }
    }
}
