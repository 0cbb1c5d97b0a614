//! Records in `json` and `flat-json`. Pure.

use base64::{Engine as _, engine::general_purpose::STANDARD};

use crate::{Bin, Digest, Expiry, Key, Malformed, Notification, Operation, Value};

/// Reads one record in either format, also where it is the data of a CloudEvent. The members of `json` are always the same ones; everything else is `flat-json`, whose
/// metadata stands under `metadata_key`, or in the first member that looks like metadata.
pub(crate) fn record(value: Value, metadata_key: Option<&str>) -> Result<Notification, Malformed> {
    let value = match data_of_event(&value, metadata_key) {
        Some(data) => data.clone(),
        None => value,
    };
    let Value::Map(members) = value else {
        return Err(Malformed::new("record", "a JSON object"));
    };
    if is_json(&members) { json(members) } else { flat_json(members, metadata_key) }
}

/// The data of a CloudEvent. A record whose bins have the names of an event's attributes has its metadata beside them.
fn data_of_event<'v>(value: &'v Value, metadata_key: Option<&str>) -> Option<&'v Value> {
    let text = |name: &str| value.get(name).and_then(Value::as_str);
    let is_event =
        text("specversion")? == "1.0" && ["id", "source", "type"].iter().all(|name| text(name).is_some());
    let is_metadata = |(name, value): &(Value, Value)| match metadata_key {
        Some(key) => name.as_str() == Some(key),
        None => ["namespace", "digest", "msg"].iter().all(|member| value.get(member).is_some()),
    };
    let data = value.get("data").filter(|data| data.as_map().is_some())?;
    (is_event && !value.as_map()?.iter().any(is_metadata)).then_some(data)
}

fn is_json(members: &[(Value, Value)]) -> bool {
    const MEMBERS: [&str; 7] = ["msg", "key", "gen", "exp", "lut", "bins", "durable"];
    let mut has_key = false;
    members.iter().all(|(name, value)| {
        has_key |= name.as_str() == Some("key") && value.as_list().is_some_and(|key| key.len() == 4);
        name.as_str().is_some_and(|name| MEMBERS.contains(&name))
    }) && has_key
}

fn json(members: Vec<(Value, Value)>) -> Result<Notification, Malformed> {
    let mut metadata = Metadata::default();
    let mut bins = Vec::new();
    for (name, value) in members {
        match (name.as_str().unwrap_or_default(), value) {
            ("key", Value::List(parts)) => {
                let names = ["namespace", "set", "digest", "userKey"];
                for (name, part) in names.into_iter().zip(parts) {
                    metadata.set(name, part)?;
                }
            }
            ("bins", Value::List(written)) => {
                bins = written.into_iter().map(typed_bin).collect::<Result<_, _>>()?;
            }
            ("bins", _) => return Err(Malformed::new("bins", "a list")),
            (name, value) => metadata.set(name, value)?,
        }
    }
    metadata.with(bins)
}

fn typed_bin(bin: Value) -> Result<Bin, Malformed> {
    let Value::Map(members) = bin else { return Err(Malformed::new("bins", "a list of objects")) };
    let (mut name, mut kind, mut value) = (None, None, None);
    for (member, content) in members {
        match (member.as_str(), content) {
            (Some("name"), Value::Text(text)) => name = Some(text),
            (Some("type"), Value::Text(text)) => kind = Some(text),
            (Some("value"), content) => value = Some(content),
            _ => {}
        }
    }
    let (Some(name), Some(kind), Some(value)) = (name, kind, value) else {
        return Err(Malformed::new("bins", "objects with name, type and value"));
    };
    match typed(&kind, value) {
        Ok(value) => Ok(Bin { name, value }),
        Err(expected) => Err(Malformed::new(format!("bin {name:?}"), expected)),
    }
}

/// `value` as the bin of the type `kind` that it is; otherwise what was expected.
fn typed(kind: &str, value: Value) -> Result<Value, &'static str> {
    Ok(match (kind, value) {
        // With `nan-policy: null` numbers that are none are null.
        ("null" | "float", Value::Null) => Value::Null,
        ("bool", value @ Value::Bool(_))
        | ("int", value @ Value::Int(_))
        | ("float", value @ Value::Float(_))
        | ("str", value @ Value::Text(_))
        | ("list", value @ Value::List(_))
        | ("map", value @ Value::Map(_)) => value,
        // What passes through JavaScript loses `.0`.
        ("float", Value::Int(value)) => Value::Float(value as f64),
        ("float", Value::Text(text)) => Value::Float(match text.as_str() {
            "NaN" => f64::NAN,
            "Infinity" => f64::INFINITY,
            "-Infinity" => f64::NEG_INFINITY,
            _ => return Err("a number, \"NaN\", \"Infinity\" or \"-Infinity\""),
        }),
        ("blob", Value::Text(text)) => Value::Bytes(bytes(&text).ok_or("bytes in Base64")?),
        ("hll", Value::Text(text)) => Value::Hll(bytes(&text).ok_or("bytes in Base64")?),
        // The text that came was no JSON.
        ("geojson", Value::Text(text)) => Value::GeoJson(text),
        ("geojson", value) => Value::GeoJson(serde_json::to_string(&value).map_err(|_| "GeoJSON")?),
        ("null", _) => return Err("null, as its type says"),
        ("bool", _) => return Err("true or false, as its type says"),
        ("int", _) => return Err("an integer of 64 bits, as its type says"),
        ("float", _) => return Err("a number, as its type says"),
        ("str" | "blob" | "hll", _) => return Err("text, as its type says"),
        ("list", _) => return Err("an array, as its type says"),
        ("map", _) => return Err("an object, as its type says"),
        _ => return Err("a type among null, bool, int, float, str, blob, hll, geojson, list, map"),
    })
}

fn flat_json(members: Vec<(Value, Value)>, metadata_key: Option<&str>) -> Result<Notification, Malformed> {
    let is_metadata = |(name, value): &(Value, Value)| match metadata_key {
        Some(key) => name.as_str() == Some(key),
        None => ["namespace", "digest", "msg"].iter().all(|member| value.get(member).is_some()),
    };
    let Some(position) = members.iter().position(is_metadata) else {
        return Err(match metadata_key {
            Some(key) => Malformed::new("record", format!("metadata in the member {key:?} (flat-json)")),
            None => Malformed::new(
                "record",
                "msg, key and bins (json), or a member with the metadata namespace, digest and msg (flat-json)",
            ),
        });
    };
    let mut metadata = Metadata::default();
    let mut bins = Vec::with_capacity(members.len() - 1);
    for (index, (name, value)) in members.into_iter().enumerate() {
        if index != position {
            let Value::Text(name) = name else { continue };
            bins.push(Bin { name, value });
            continue;
        }
        let Value::Map(parts) = value else { return Err(Malformed::new("metadata", "a JSON object")) };
        for (name, part) in parts {
            metadata.set(name.as_str().unwrap_or_default(), part)?;
        }
    }
    metadata.with(bins)
}

/// What all formats tell about a record besides its bins, by the names that the connector gives it.
#[derive(Default)]
pub(crate) struct Metadata {
    namespace: Option<String>,
    set: Option<String>,
    digest: Option<Digest>,
    user_key: Option<Value>,
    msg: Option<String>,
    generation: Option<u32>,
    lut_unix_ms: Option<u64>,
    expiry: Option<Expiry>,
    durable: bool,
}

impl Metadata {
    /// Takes a member. One that has no name here is of a later version.
    pub(crate) fn set(&mut self, name: &str, value: Value) -> Result<(), Malformed> {
        let malformed = |expected: &'static str| Malformed::new(name, expected);
        if value == Value::Null {
            return Ok(());
        }
        match (name, value) {
            ("namespace", Value::Text(text)) => self.namespace = Some(text),
            ("set", Value::Text(text)) => self.set = Some(text),
            ("digest", Value::Text(text)) => {
                let bytes = bytes(&text).and_then(|bytes| bytes.try_into().ok());
                self.digest = Some(Digest(bytes.ok_or_else(|| malformed("20 bytes in Base64"))?));
            }
            ("digest", Value::Bytes(bytes)) => {
                self.digest = Some(Digest(bytes.try_into().map_err(|_| malformed("20 bytes"))?));
            }
            ("userKey", key @ (Value::Int(_) | Value::Float(_) | Value::Text(_) | Value::Bytes(_))) => {
                self.user_key = Some(key);
            }
            ("msg", Value::Text(text)) => self.msg = Some(text),
            ("gen", Value::Int(number)) => {
                self.generation = Some(number.try_into().map_err(|_| malformed("an integer of 32 bits"))?);
            }
            ("lut", Value::Int(number)) => {
                self.lut_unix_ms = Some(number.try_into().map_err(|_| malformed("milliseconds since 1970"))?);
            }
            ("exp", Value::Int(0)) => self.expiry = Some(Expiry::Never),
            ("exp", Value::Int(number)) => {
                let seconds = number.try_into().map_err(|_| malformed("seconds since 1970"))?;
                self.expiry = Some(Expiry::At(seconds));
            }
            ("durable", Value::Bool(durable)) => self.durable = durable,
            ("namespace" | "set" | "digest" | "msg", _) => return Err(malformed("text")),
            ("userKey", _) => return Err(malformed("text, a number or bytes")),
            ("gen" | "lut" | "exp", _) => return Err(malformed("an integer")),
            ("durable", _) => return Err(malformed("true or false")),
            _ => {}
        }
        Ok(())
    }

    /// The record with these bins.
    pub(crate) fn with(self, bins: Vec<Bin>) -> Result<Notification, Malformed> {
        let operation = match (self.msg.as_deref(), self.durable) {
            (Some("write"), _) => Operation::Write,
            (Some("delete"), false) => Operation::Delete,
            (Some("delete"), true) => Operation::DurableDelete,
            _ => return Err(Malformed::new("msg", "write or delete")),
        };
        let digest = self.digest.ok_or_else(|| Malformed::new("digest", "20 bytes"))?;
        Ok(Notification {
            operation,
            key: Key {
                namespace: self.namespace.unwrap_or_default(),
                set: self.set,
                digest,
                user_key: self.user_key,
            },
            generation: self.generation,
            lut_unix_ms: self.lut_unix_ms,
            expiry: self.expiry.filter(|_| operation == Operation::Write),
            // A delete has none; what a schema puts in their place is no bin.
            bins: if operation == Operation::Write { bins } else { Vec::new() },
        })
    }
}

fn bytes(base64: &str) -> Option<Vec<u8>> {
    STANDARD.decode(base64).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::value::Parsed;

    fn read(json: &str) -> Result<Notification, Malformed> {
        let Parsed(value) = serde_json::from_str(json).unwrap();
        record(value, None)
    }

    const DIGEST: &str = "UisnajVr3zkBPfq+os1D4UHsyeg=";

    #[test]
    fn the_documented_records() {
        let write = format!(
            r#"{{"msg":"write","key":["shop","orders","{DIGEST}","order-17"],"gen":4,"exp":0,"lut":1767225600123,
            "bins":[{{"name":"sku","type":"str","value":"A-9"}},{{"name":"dims","type":"map","value":{{"1":"cm"}},"order":"key"}}]}}"#
        );
        let write = read(&write).unwrap();
        assert_eq!(write.operation, Operation::Write);
        assert_eq!(write.key.digest.to_base64(), DIGEST);
        assert_eq!((write.generation, write.expiry), (Some(4), Some(Expiry::Never)));
        assert_eq!(write.bin("sku").and_then(Value::as_str), Some("A-9"));
        let delete =
            read(&format!(r#"{{"msg":"delete","key":["shop",null,"{DIGEST}",null],"durable":true}}"#));
        let delete = delete.unwrap();
        assert_eq!((delete.operation, delete.key.set), (Operation::DurableDelete, None));
        let flat = format!(
            r#"{{"_meta":{{"namespace":"shop","set":"orders","userKey":"order-17","digest":"{DIGEST}","msg":"write","gen":4,
            "lut":1767225600123,"exp":0}},"sku":"A-9","key":[1,2,3,4],"qty":3}}"#
        );
        let flat = read(&flat).unwrap();
        assert_eq!(flat.key, write.key);
        assert_eq!(flat.bins.iter().map(|bin| bin.name.as_str()).collect::<Vec<_>>(), ["sku", "key", "qty"]);
    }

    #[test]
    fn refusals_name_the_place_and_no_value() {
        let key = format!(r#""key":["shop","orders","{DIGEST}",null]"#);
        let bin = |bin: &str| format!(r#"{{"msg":"write",{key},"bins":[{bin}]}}"#);
        for (record, place, expected) in [
            (r#""hunter2""#.to_owned(), "record", "a JSON object"),
            (r#"{"sku":"hunter2"}"#.to_owned(), "record", "flat-json"),
            (r#"{"msg":"write","key":["shop","orders","hunter2",null]}"#.to_owned(), "digest", "20 bytes"),
            (r#"{"msg":"write","key":["shop","orders",null,null]}"#.to_owned(), "digest", "20 bytes"),
            (format!(r#"{{"msg":"hunter2",{key}}}"#), "msg", "write or delete"),
            (format!(r#"{{"msg":"write","gen":-1,{key}}}"#), "gen", "32 bits"),
            (format!(r#"{{"msg":"write","lut":"hunter2",{key}}}"#), "lut", "an integer"),
            (format!(r#"{{"msg":"write","bins":"hunter2",{key}}}"#), "bins", "a list"),
            (bin(r#"{"name":"b"}"#), "bins", "name, type and value"),
            (bin(r#"{"name":"b","type":"blob","value":"hunter2!"}"#), "bin \"b\"", "Base64"),
            (bin(r#"{"name":"b","type":"int","value":"hunter2"}"#), "bin \"b\"", "an integer"),
            (bin(r#"{"name":"b","type":"float","value":"hunter2"}"#), "bin \"b\"", "a number"),
            (bin(r#"{"name":"b","type":"hunter2","value":1}"#), "bin \"b\"", "a type among"),
        ] {
            let error = read(&record).unwrap_err().to_string();
            assert!(error.starts_with(place) && error.contains(expected), "{record}: {error}");
            assert!(!error.contains("hunter2"), "{error}");
        }
    }

    #[test]
    fn metadata_stands_where_it_is_said_to() {
        let text =
            format!(r#"{{"m":{{"namespace":"n","digest":"{DIGEST}","msg":"write"}},"x":{{"digest":1}}}}"#);
        let parsed = || serde_json::from_str::<Parsed>(&text).unwrap().0;
        assert_eq!(record(parsed(), Some("m")).unwrap().bins.len(), 1);
        assert_eq!(
            record(parsed(), Some("y")).unwrap_err().to_string(),
            "record: expected metadata in the member \"y\" (flat-json)"
        );
    }
}
