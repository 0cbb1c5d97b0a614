//! What a bin, a user key or an element of a list or map holds. Reading keeps the order of map entries.

use std::fmt;

use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{Error as _, MapAccess, SeqAccess, Visitor},
    ser::{SerializeMap, SerializeSeq},
};

/// A value of Aerospike.
///
/// `json` names the type of each bin, but not of what is inside lists and maps; `flat-json` names no types at all. There
/// bytes are [`Value::Text`] in Base64, and GeoJSON is a [`Value::Map`]. MessagePack and Avro keep types.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// A bin that was deleted, or a nil inside a list or map.
    Null,
    /// True or false.
    Bool(bool),
    /// Signed 64-bit integer.
    Int(i64),
    /// IEEE 754 binary64.
    Float(f64),
    /// Text.
    Text(String),
    /// Bytes, of whatever language.
    Bytes(Vec<u8>),
    /// A HyperLogLog sketch.
    Hll(Vec<u8>),
    /// GeoJSON, as text.
    GeoJson(String),
    /// A list.
    List(Vec<Self>),
    /// A map, whose keys may be of any type.
    Map(Vec<(Self, Self)>),
}

impl Value {
    /// The truth value, if it is one.
    pub fn as_bool(&self) -> Option<bool> {
        if let Self::Bool(value) = self { Some(*value) } else { None }
    }

    /// The integer, if it is one.
    pub fn as_i64(&self) -> Option<i64> {
        if let Self::Int(value) = self { Some(*value) } else { None }
    }

    /// The number, if it is one.
    pub fn as_f64(&self) -> Option<f64> {
        match self {
            Self::Float(value) => Some(*value),
            Self::Int(value) => Some(*value as f64),
            _ => None,
        }
    }

    /// The text, if it is one; also that of GeoJSON.
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Self::Text(text) | Self::GeoJson(text) => Some(text),
            _ => None,
        }
    }

    /// The bytes, if it is some.
    pub fn as_bytes(&self) -> Option<&[u8]> {
        match self {
            Self::Bytes(bytes) | Self::Hll(bytes) => Some(bytes),
            _ => None,
        }
    }

    /// The elements, if it is a list.
    pub fn as_list(&self) -> Option<&[Self]> {
        if let Self::List(items) = self { Some(items) } else { None }
    }

    /// The entries, if it is a map.
    pub fn as_map(&self) -> Option<&[(Self, Self)]> {
        if let Self::Map(entries) = self { Some(entries) } else { None }
    }

    /// What stands under the text `key`, if it is a map with such an entry.
    pub fn get(&self, key: &str) -> Option<&Self> {
        let entries = self.as_map()?;
        entries
            .iter()
            .find(|(name, _)| matches!(name, Self::Text(name) if name == key))
            .map(|(_, value)| value)
    }

    /// The name of its type, as `json` writes it.
    pub fn type_name(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Bool(_) => "bool",
            Self::Int(_) => "int",
            Self::Float(_) => "float",
            Self::Text(_) => "str",
            Self::Bytes(_) => "blob",
            Self::Hll(_) => "hll",
            Self::GeoJson(_) => "geojson",
            Self::List(_) => "list",
            Self::Map(_) => "map",
        }
    }
}

/// As the connector writes a value in JSON: bytes in Base64, map keys as text, numbers that are none as `NaN`, `Infinity`,
/// `-Infinity`.
impl Serialize for Value {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Null => serializer.serialize_unit(),
            Self::Bool(value) => serializer.serialize_bool(*value),
            Self::Int(value) => serializer.serialize_i64(*value),
            Self::Float(value) if value.is_finite() => serializer.serialize_f64(*value),
            Self::Float(value) => serializer.serialize_str(no_number(*value)),
            Self::Text(text) => serializer.serialize_str(text),
            Self::Bytes(bytes) | Self::Hll(bytes) => serializer.serialize_str(&crate::base64(bytes)),
            Self::GeoJson(text) => match serde_json::from_str::<Parsed>(text) {
                Ok(Parsed(value)) => value.serialize(serializer),
                Err(_) => serializer.serialize_str(text),
            },
            Self::List(items) => {
                let mut list = serializer.serialize_seq(Some(items.len()))?;
                items.iter().try_for_each(|item| list.serialize_element(item))?;
                list.end()
            }
            Self::Map(entries) => {
                let mut map = serializer.serialize_map(Some(entries.len()))?;
                entries.iter().try_for_each(|(key, value)| map.serialize_entry(&key_text(key), value))?;
                map.end()
            }
        }
    }
}

/// A map key as text.
fn key_text(key: &Value) -> String {
    match key {
        Value::Text(text) | Value::GeoJson(text) => text.clone(),
        Value::Float(value) if !value.is_finite() => no_number(*value).to_owned(),
        Value::Bytes(bytes) | Value::Hll(bytes) => crate::base64(bytes),
        // Writing to memory.
        other => serde_json::to_string(other).unwrap_or_default(),
    }
}

pub(crate) fn no_number(value: f64) -> &'static str {
    match value {
        f64::INFINITY => "Infinity",
        f64::NEG_INFINITY => "-Infinity",
        _ => "NaN",
    }
}

/// JSON as it stands there, nothing interpreted.
#[derive(Debug, PartialEq)]
pub(crate) struct Parsed(pub(crate) Value);

impl<'de> Deserialize<'de> for Parsed {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Anything).map(Self)
    }
}

struct Anything;

impl<'de> Visitor<'de> for Anything {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_none<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Int(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        // Aerospike has no such integers; GeoJSON may.
        Ok(i64::try_from(value).map_or(Value::Float(value as f64), Value::Int))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(Value::Float(value))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::Text(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(Value::Text(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Value, A::Error> {
        let mut items = Vec::new();
        while let Some(Parsed(item)) = seq.next_element()? {
            items.push(item);
        }
        Ok(Value::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let mut entries = Vec::new();
        while let Some((Parsed(key), Parsed(value))) = map.next_entry()? {
            let Value::Text(_) = key else { return Err(A::Error::custom("a key that is no text")) };
            entries.push((key, value));
        }
        Ok(Value::Map(entries))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(json: &str) -> Value {
        let Parsed(value) = serde_json::from_str(json).unwrap();
        value
    }

    #[test]
    fn json_keeps_order_and_all_bits() {
        let json = r#"{"z":-9223372036854775808,"a":9223372036854775807,"f":[0.1,-0.0,null,true,"x"]}"#;
        assert_eq!(serde_json::to_string(&parsed(json)).unwrap(), json);
        assert_eq!(parsed(json).get("a").and_then(Value::as_i64), Some(i64::MAX));
        assert_eq!(parsed("18446744073709551615"), Value::Float(18_446_744_073_709_551_615.0));
    }

    #[test]
    fn what_json_cannot_hold_is_written_as_the_connector_writes_it() {
        let value = Value::Map(vec![
            (Value::Int(7), Value::Bytes(vec![0, 1, 255])),
            (Value::Float(1.5), Value::Float(f64::NEG_INFINITY)),
            (Value::Float(f64::NAN), Value::GeoJson(r#"{ "type" : "Point" }"#.to_owned())),
            (Value::Bool(true), Value::GeoJson("{no".to_owned())),
        ]);
        let json = r#"{"7":"AAH/","1.5":"-Infinity","NaN":{"type":"Point"},"true":"{no"}"#;
        assert_eq!(serde_json::to_string(&value).unwrap(), json);
    }
}
