//! The way an ordinary program would take: a record becomes owned values, and a library writes them.

use std::collections::{BTreeMap, HashMap};

use apache_avro::{Schema, reader::datum::GenericDatumReader, types, writer::datum::GenericDatumWriter};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use esp_connector::notification::{ChangeNotification, Expiry, Value};
use serde::{Serialize, Serializer};

/// A record with everything in memory of its own.
struct Record {
    namespace: String,
    set: Option<String>,
    digest: Vec<u8>,
    user_key: Option<Owned>,
    generation: Option<u32>,
    expiry_unix_s: Option<u64>,
    lut_unix_ms: Option<u64>,
    bins: Vec<(String, Owned)>,
}

#[derive(Clone, Serialize)]
#[serde(untagged)]
enum Owned {
    Null,
    Integer(i64),
    Double(f64),
    Boolean(bool),
    String(String),
    List(Vec<Self>),
    Map(BTreeMap<String, Self>),
}

impl Record {
    fn new(notification: &ChangeNotification<'_>) -> Self {
        Self {
            namespace: text(notification.namespace),
            set: notification.set.map(text),
            digest: notification.digest.0.to_vec(),
            user_key: notification.user_key.map(Owned::new),
            generation: notification.generation,
            expiry_unix_s: match notification.expiry {
                Expiry::Unknown => None,
                Expiry::Never => Some(0),
                Expiry::At(unix_s) => Some(unix_s),
            },
            lut_unix_ms: notification.lut_unix_ms,
            bins: notification.bins.iter().map(|bin| (text(bin.name), Owned::new(bin.value))).collect(),
        }
    }
}

impl Owned {
    fn new(value: Value<'_>) -> Self {
        match value {
            Value::Null => Self::Null,
            Value::Integer(integer) => Self::Integer(integer),
            Value::Double(double) => Self::Double(double),
            Value::Boolean(boolean) => Self::Boolean(boolean),
            Value::String(bytes) | Value::GeoJson(bytes) => Self::String(text(bytes)),
            Value::Blob(_, bytes) => Self::String(STANDARD.encode(bytes)),
            Value::List(list) => Self::List(list.iter().map(Self::new).collect()),
            Value::Map(map) => {
                let entry = |(key, value)| match key {
                    Value::String(key) => (text(key), Self::new(value)),
                    _ => panic!("the keys of this record are text"),
                };
                Self::Map(map.iter().map(entry).collect())
            }
        }
    }

    /// The type as `json` names it, and its particle type.
    fn type_(&self) -> (&'static str, u8) {
        match self {
            Self::Null => ("null", 0),
            Self::Integer(_) => ("int", 1),
            Self::Double(_) => ("float", 2),
            Self::Boolean(_) => ("bool", 17),
            Self::String(_) => ("str", 3),
            Self::List(_) => ("list", 20),
            Self::Map(_) => ("map", 19),
        }
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// `json` with `serde_json`.
pub(crate) fn json(notification: &ChangeNotification<'_>, out: &mut Vec<u8>) {
    #[derive(Serialize)]
    struct Write {
        msg: &'static str,
        key: (String, Option<String>, String, Option<Owned>),
        r#gen: Option<u32>,
        exp: Option<u64>,
        lut: Option<u64>,
        bins: Vec<Bin>,
    }
    #[derive(Serialize)]
    struct Bin {
        name: String,
        r#type: &'static str,
        value: Owned,
        #[serde(skip_serializing_if = "Option::is_none")]
        ordered: Option<bool>,
        #[serde(skip_serializing_if = "Option::is_none")]
        order: Option<&'static str>,
    }
    let record = Record::new(notification);
    let bin = |(name, value): (String, Owned)| Bin {
        name,
        r#type: value.type_().0,
        ordered: matches!(value, Owned::List(_)).then_some(false),
        order: matches!(value, Owned::Map(_)).then_some("key"),
        value,
    };
    let write = Write {
        msg: "write",
        key: (record.namespace, record.set, STANDARD.encode(&record.digest), record.user_key),
        r#gen: record.generation,
        exp: record.expiry_unix_s,
        lut: record.lut_unix_ms,
        bins: record.bins.into_iter().map(bin).collect(),
    };
    serde_json::to_writer(out, &write).expect("it fits");
}

/// `flat-json` with `serde_json`.
pub(crate) fn flat_json(notification: &ChangeNotification<'_>, out: &mut Vec<u8>) {
    #[derive(Serialize)]
    struct Flat {
        #[serde(rename = "_meta")]
        metadata: Metadata,
        #[serde(flatten)]
        bins: Bins,
    }
    #[derive(Serialize)]
    struct Metadata {
        namespace: String,
        #[serde(skip_serializing_if = "Option::is_none")]
        set: Option<String>,
        #[serde(rename = "userKey", skip_serializing_if = "Option::is_none")]
        user_key: Option<Owned>,
        digest: String,
        msg: &'static str,
        r#gen: Option<u32>,
        lut: Option<u64>,
        exp: Option<u64>,
    }
    struct Bins(Vec<(String, Owned)>);
    impl Serialize for Bins {
        fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            serializer.collect_map(self.0.iter().map(|(name, value)| (name, value)))
        }
    }
    let record = Record::new(notification);
    let metadata = Metadata {
        namespace: record.namespace,
        set: record.set,
        user_key: record.user_key,
        digest: STANDARD.encode(&record.digest),
        msg: "write",
        r#gen: record.generation,
        lut: record.lut_unix_ms,
        exp: record.expiry_unix_s,
    };
    serde_json::to_writer(out, &Flat { metadata, bins: Bins(record.bins) }).expect("it fits");
}

/// `message-pack` with `rmp-serde`, which writes tuples as arrays.
pub(crate) fn message_pack(notification: &ChangeNotification<'_>, out: &mut Vec<u8>) {
    struct Bytes(Vec<u8>);
    impl Serialize for Bytes {
        fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            serializer.serialize_bytes(&self.0)
        }
    }
    let record = Record::new(notification);
    let key = (record.namespace, record.set, Bytes(record.digest), record.user_key);
    let bin = |(name, value): (String, Owned)| {
        let flags = u8::from(matches!(value, Owned::Map(_)));
        (name, value.type_().1, flags, value)
    };
    let bins: Vec<_> = record.bins.into_iter().map(bin).collect();
    let payload = (key, record.generation, record.expiry_unix_s, record.lut_unix_ms, bins);
    rmp_serde::encode::write(out, &(1, 1, payload)).expect("it fits");
}

/// `avro` with the values and the datum writer of `apache-avro`.
pub(crate) struct Avro {
    writer: GenericDatumWriter<'static>,
    reader: GenericDatumReader<'static>,
}

impl Avro {
    /// A writer for `schema`, prepared once: `to_avro_datum` would do that anew for every record.
    pub(crate) fn new(schema: &str) -> Self {
        // For the rest of a short life.
        let schema = Box::leak(Box::new(Schema::parse_str(schema).expect("a sound schema")));
        let writer = GenericDatumWriter::builder(schema).build().expect("a sound schema");
        let reader = GenericDatumReader::builder(schema).build().expect("a sound schema");
        Self { writer, reader }
    }

    /// What a datum says; it must be the whole of `datum`.
    pub(crate) fn read(&self, mut datum: &[u8]) -> types::Value {
        let value = self.reader.read_value(&mut datum).expect("a datum");
        assert!(datum.is_empty(), "{} bytes behind the datum", datum.len());
        value
    }

    pub(crate) fn write(&self, notification: &ChangeNotification<'_>, out: &mut Vec<u8>) {
        let record = Record::new(notification);
        let string = types::Value::String;
        let user_key = match record.user_key {
            Some(Owned::String(key)) => types::Value::Union(4, Box::new(string(key))),
            Some(Owned::Integer(key)) => types::Value::Union(1, Box::new(types::Value::Long(key))),
            _ => nullable(None),
        };
        let metadata = [
            ("msg", string("write".to_owned())),
            ("namespace", string(record.namespace)),
            ("set", nullable(record.set.map(string))),
            ("userKey", user_key),
            ("digest", types::Value::Bytes(record.digest)),
            ("gen", nullable(record.generation.map(|count| types::Value::Int(count as i32)))),
            ("lut", nullable(record.lut_unix_ms.map(|unix_ms| types::Value::Long(unix_ms as i64)))),
            ("exp", nullable(record.expiry_unix_s.map(|unix_s| types::Value::Long(unix_s as i64)))),
        ];
        let metadata = metadata.map(|(name, value)| (name.to_owned(), value)).to_vec();
        let mut fields = vec![("metadata".to_owned(), types::Value::Record(metadata))];
        for (name, value) in record.bins {
            let value = match value {
                Owned::List(_) | Owned::Map(_) => avro(value),
                scalar => nullable(Some(avro(scalar))),
            };
            fields.push((name, value));
        }
        self.writer.write_value(out, types::Value::Record(fields)).expect("it fits");
    }
}

fn avro(value: Owned) -> types::Value {
    match value {
        Owned::Null => types::Value::Null,
        Owned::Integer(integer) => types::Value::Long(integer),
        Owned::Double(double) => types::Value::Double(double),
        Owned::Boolean(boolean) => types::Value::Boolean(boolean),
        Owned::String(string) => types::Value::String(string),
        Owned::List(list) => types::Value::Array(list.into_iter().map(avro).collect()),
        Owned::Map(map) => {
            let entries: HashMap<_, _> = map.into_iter().map(|(key, value)| (key, avro(value))).collect();
            types::Value::Map(entries)
        }
    }
}

/// A union of null and something.
fn nullable(value: Option<types::Value>) -> types::Value {
    match value {
        None => types::Value::Union(0, Box::new(types::Value::Null)),
        Some(value) => types::Value::Union(1, Box::new(value)),
    }
}
