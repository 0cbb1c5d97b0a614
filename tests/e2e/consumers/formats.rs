//! What the connector writes is what the library reads: every record of the fixtures, in every format and every form of a
//! body, from every event.

use std::{fs, io::Write as _, num::NonZeroUsize, time::Duration};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use e2e::fixtures;
use esp_connector::{
    config::{
        AvroEncoding, BatchBody, Batching, CloudEvents, ContentMode, DurableMember, EventData, Format,
        JsonRules,
    },
    encode::Encoder,
    notification as sent,
    wire::message,
};
use flate2::{Compression, write::GzEncoder};
use notification::{Bin, Decoder, Digest, Expiry, Invocation, Key, Notification, Operation, Origin, Value};
use serde_json::json;

const NOW_UNIX_MS: u64 = 1_700_000_000_999;

/// How much of a value survives in a format.
#[derive(Clone, Copy, PartialEq)]
enum Keeps {
    /// All of it.
    Everything,
    /// The type of a bin, and not of what is in it.
    TypesOfBins,
    /// What JSON tells apart.
    Json,
    /// What Avro tells apart: bytes of every kind are bytes, GeoJSON is text.
    Avro,
    /// The metadata; a record has a field for each bin that there might be.
    Metadata,
}

#[test]
fn json() {
    let bodies = [None, Some(BatchBody::JsonArray), Some(BatchBody::Ndjson), Some(BatchBody::Concatenated)];
    read_back(Format::Json(JsonRules::default()), &bodies, Keeps::TypesOfBins, &Decoder::new(), 50);
}

#[test]
fn flat_json() {
    let bodies = [None, Some(BatchBody::JsonArray), Some(BatchBody::Ndjson), Some(BatchBody::Concatenated)];
    for (durable, key) in [(DurableMember::Always, "_meta"), (DurableMember::WhenTrue, "about")] {
        let format = Format::FlatJson { metadata_key: key.to_owned(), durable, rules: JsonRules::default() };
        read_back(format.clone(), &bodies, Keeps::Json, &Decoder::new().metadata_key(key), 50);
        read_back(format, &bodies, Keeps::Json, &Decoder::new(), 50);
    }
}

#[test]
fn cloudevents() {
    for (data, keeps) in [
        (EventData::Json, Keeps::TypesOfBins),
        (EventData::FlatJson { metadata_key: "metadata".to_owned() }, Keeps::Json),
    ] {
        for (content_mode, bodies) in
            [(ContentMode::Structured, &[None, Some(BatchBody::JsonArray)][..]), (ContentMode::Binary, &[])]
        {
            let events = CloudEvents {
                content_mode,
                source: None,
                kind: None,
                subject: None,
                data: data.clone(),
                rules: JsonRules::default(),
            };
            read_back(Format::CloudEvents(Box::new(events)), bodies, keeps, &Decoder::new(), 50);
        }
    }
}

#[test]
fn message_pack() {
    read_back(Format::MessagePack, &[None], Keeps::Everything, &Decoder::new(), 59);
}

#[test]
fn avro() {
    let schema = |name: &str| fs::read_to_string(fixtures::folder("format/avro").join(name)).unwrap();
    let format =
        |name: &str, encoding| Format::Avro { schema: schema(name), stringify_map_keys: true, encoding };
    // Those with bins that the schema of orders has no field for do not fit it; deletes do.
    for (name, keeps, least) in [("all-types.avsc", Keeps::Avro, 50), ("orders.avsc", Keeps::Metadata, 8)] {
        let decoder = Decoder::new().avro_schema(&schema(name)).unwrap();
        for encoding in [AvroEncoding::Raw, AvroEncoding::SingleObject] {
            read_back(format(name, encoding), &[None], keeps, &decoder, least);
        }
        // A file brings its schema along.
        read_back(format(name, AvroEncoding::Ocf), &[None], keeps, &Decoder::new(), least);
    }
}

/// Writes all records that fit in `format`, alone and in batches of each of these forms, and reads them with `decoder`.
fn read_back(format: Format, bodies: &[Option<BatchBody>], keeps: Keeps, decoder: &Decoder, least: usize) {
    let encoder = Encoder::new(format).unwrap();
    let mut pieces = Vec::new();
    let mut expected = Vec::new();
    for record in fixtures::records() {
        let decoded = message::decode(&record.body, NOW_UNIX_MS).unwrap();
        let mut piece = Vec::new();
        if encoder.encode(&decoded.notification, &mut piece).is_ok() {
            pieces.push(Bytes::from(piece));
            expected.push(shown(&as_read(&decoded.notification, keeps), keeps));
        }
    }
    assert!(pieces.len() >= least, "only {} records fit", pieces.len());
    let alone = encoder.batch_policy(None).unwrap().body;
    for (piece, expected) in pieces.iter().zip(&expected) {
        let body = alone.join(std::slice::from_ref(piece).iter());
        let invocation = Invocation::from_http([("Content-Type", alone.content_type())], body.into());
        assert_eq!(all(decoder, keeps, invocation), std::slice::from_ref(expected));
    }
    for body in bodies {
        let batching = Batching {
            enabled: true,
            max_records: NonZeroUsize::MAX,
            max_bytes: NonZeroUsize::MAX,
            interval: Duration::ZERO,
            body: *body,
        };
        let body = encoder.batch_policy(Some(&batching)).unwrap().body;
        let joined = body.join(pieces.iter());
        for (origin, event) in events(&joined, body.content_type()) {
            let invocation: Invocation = serde_json::from_str(&event).unwrap();
            assert_eq!(invocation.origin(), origin);
            assert_eq!(all(decoder, keeps, invocation), expected, "{origin:?}");
        }
    }
}

fn all(decoder: &Decoder, keeps: Keeps, invocation: Invocation) -> Vec<String> {
    let batch = decoder.decode(invocation).unwrap();
    assert!(batch.malformed().is_empty(), "{:?}", batch.malformed());
    batch.entries().iter().map(|entry| shown(&entry.notification, keeps)).collect()
}

/// The events that a body comes in: as text where it is one, in Base64, and compressed.
fn events(body: &[u8], content_type: &str) -> Vec<(Origin, String)> {
    let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
    gzip.write_all(body).unwrap();
    let mut ways = vec![
        (json!({"body": STANDARD.encode(body), "isBase64Encoded": true}), false),
        (json!({"body": STANDARD.encode(gzip.finish().unwrap()), "isBase64Encoded": true}), true),
    ];
    if let Ok(text) = str::from_utf8(body) {
        ways.push((json!({"body": text, "isBase64Encoded": false}), false));
    }
    let mut events = Vec::new();
    for (way, compressed) in ways {
        let mut one = json!({"Content-Type": content_type});
        let mut many = json!({"content-type": [content_type]});
        if compressed {
            one["Content-Encoding"] = json!("gzip");
            many["content-encoding"] = json!(["gzip"]);
        }
        for (origin, around) in [
            (
                Origin::RestApi,
                json!({"httpMethod": "POST", "requestContext": {}, "headers": one, "multiValueHeaders": many}),
            ),
            (Origin::HttpApi, json!({"rawPath": "/", "requestContext": {"http": {}}, "headers": one})),
            (
                Origin::Alb { multi_value: false },
                json!({"httpMethod": "POST", "requestContext": {"elb": {}}, "headers": one}),
            ),
            (
                Origin::Alb { multi_value: true },
                json!({"httpMethod": "POST", "requestContext": {"elb": {}}, "multiValueHeaders": many}),
            ),
        ] {
            let mut event = way.clone();
            event.as_object_mut().unwrap().extend(around.as_object().unwrap().clone());
            events.push((origin, event.to_string()));
        }
    }
    // `payload: raw`.
    let is_value =
        content_type == "application/json" && serde_json::from_slice::<serde_json::Value>(body).is_ok();
    if is_value {
        events.push((Origin::Bare, String::from_utf8(body.to_vec()).unwrap()));
    }
    events
}

/// What was sent, as it should be read.
fn as_read(sent: &sent::ChangeNotification<'_>, keeps: Keeps) -> Notification {
    let operation = match sent.operation {
        sent::Operation::Write => Operation::Write,
        sent::Operation::Delete => Operation::Delete,
        sent::Operation::DurableDelete => Operation::DurableDelete,
    };
    // Only some formats tell it of deletes.
    let told =
        sent.operation == sent::Operation::Write || !matches!(keeps, Keeps::Everything | Keeps::TypesOfBins);
    Notification {
        operation,
        key: Key {
            namespace: text(sent.namespace),
            set: sent.set.map(text),
            digest: Digest(sent.digest.0),
            user_key: sent.user_key.map(|key| match (value(key), keeps) {
                (Value::Bytes(bytes), Keeps::Json | Keeps::TypesOfBins) => {
                    Value::Text(STANDARD.encode(bytes))
                }
                (key, Keeps::Json | Keeps::TypesOfBins) => in_json(key),
                (key, _) => key,
            }),
        },
        generation: sent.generation.filter(|_| told),
        lut_unix_ms: sent.lut_unix_ms.filter(|_| told),
        expiry: match sent.expiry {
            sent::Expiry::Unknown => None,
            sent::Expiry::Never => Some(Expiry::Never),
            sent::Expiry::At(seconds) => Some(Expiry::At(seconds)),
        },
        bins: sent
            .bins
            .iter()
            .map(|bin| Bin { name: text(bin.name), value: bin_as_read(value(bin.value), keeps) })
            .collect(),
    }
}

fn bin_as_read(value: Value, keeps: Keeps) -> Value {
    match (keeps, value) {
        (Keeps::Everything, value) => value,
        (Keeps::Avro | Keeps::Metadata, value) => in_avro(value),
        (Keeps::Json, value) => in_json(value),
        (Keeps::TypesOfBins, value @ (Value::Bytes(_) | Value::Hll(_) | Value::Float(_))) => value,
        // The text may have other spaces.
        (Keeps::TypesOfBins, Value::GeoJson(text)) => Value::GeoJson(match in_json(Value::GeoJson(text)) {
            Value::Text(text) => text,
            parsed => serde_json::to_string(&parsed).unwrap(),
        }),
        (Keeps::TypesOfBins, value) => in_json(value),
    }
}

/// A value as JSON has it.
fn in_json(value: Value) -> Value {
    match value {
        Value::Bytes(bytes) | Value::Hll(bytes) => Value::Text(STANDARD.encode(bytes)),
        Value::Float(number) if !number.is_finite() => Value::Text(key_text(&Value::Float(number))),
        Value::GeoJson(text) => serde_json::from_str(&text).map_or(Value::Text(text), plain),
        Value::List(items) => Value::List(items.into_iter().map(in_json).collect()),
        Value::Map(entries) => Value::Map(
            entries.into_iter().map(|(key, value)| (Value::Text(key_text(&key)), in_json(value))).collect(),
        ),
        other => other,
    }
}

fn in_avro(value: Value) -> Value {
    match value {
        Value::Hll(bytes) => Value::Bytes(bytes),
        Value::GeoJson(text) => Value::Text(text),
        Value::List(items) => Value::List(items.into_iter().map(in_avro).collect()),
        Value::Map(entries) => Value::Map(
            entries.into_iter().map(|(key, value)| (Value::Text(key_text(&key)), in_avro(value))).collect(),
        ),
        other => other,
    }
}

fn key_text(key: &Value) -> String {
    match key {
        Value::Text(text) => text.clone(),
        Value::Int(number) => number.to_string(),
        Value::Float(number) if number.is_nan() => "NaN".to_owned(),
        Value::Float(number) if number.is_infinite() => {
            if *number > 0.0 { "Infinity" } else { "-Infinity" }.to_owned()
        }
        Value::Float(number) => format!("{number:?}"),
        other => panic!("{other:?} cannot be a key in JSON"),
    }
}

/// GeoJSON by another parser than the library's.
fn plain(json: serde_json::Value) -> Value {
    match json {
        serde_json::Value::Null => Value::Null,
        serde_json::Value::Bool(value) => Value::Bool(value),
        serde_json::Value::Number(number) => {
            number.as_i64().map_or_else(|| Value::Float(number.as_f64().unwrap()), Value::Int)
        }
        serde_json::Value::String(text) => Value::Text(text),
        serde_json::Value::Array(items) => Value::List(items.into_iter().map(plain).collect()),
        serde_json::Value::Object(members) => {
            Value::Map(members.into_iter().map(|(key, value)| (Value::Text(key), plain(value))).collect())
        }
    }
}

fn value(value: sent::Value<'_>) -> Value {
    match value {
        sent::Value::Null => Value::Null,
        sent::Value::Integer(number) => Value::Int(number),
        sent::Value::Double(number) => Value::Float(number),
        sent::Value::String(bytes) => Value::Text(text(bytes)),
        sent::Value::Boolean(boolean) => Value::Bool(boolean),
        sent::Value::Blob(18, bytes) => Value::Hll(bytes.to_vec()),
        sent::Value::Blob(_, bytes) => Value::Bytes(bytes.to_vec()),
        sent::Value::GeoJson(bytes) => Value::GeoJson(text(bytes)),
        sent::Value::List(list) => Value::List(list.iter().map(self::value).collect()),
        sent::Value::Map(map) => {
            Value::Map(map.iter().map(|(key, value)| (self::value(key), self::value(value))).collect())
        }
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// All of it, values too, in a form in which NaN is NaN. What GeoJSON is inside is compared without regard to order, which
/// the parser of this test does not keep.
fn shown(notification: &Notification, keeps: Keeps) -> String {
    let notification = match keeps {
        Keeps::Metadata => &Notification { bins: Vec::new(), ..notification.clone() },
        _ => notification,
    };
    let bins = notification.bins.iter().map(|bin| format!("{}={:?}", bin.name, sorted(&bin.value)));
    format!("{notification:?} {:?} {:?}", notification.key.user_key, bins.collect::<Vec<_>>())
}

fn sorted(value: &Value) -> Value {
    match value {
        Value::List(items) => Value::List(items.iter().map(sorted).collect()),
        Value::Map(entries) => {
            let mut entries: Vec<_> =
                entries.iter().map(|(key, value)| (key.clone(), sorted(value))).collect();
            entries.sort_by_key(|(key, _)| format!("{key:?}"));
            Value::Map(entries)
        }
        Value::GeoJson(text) => Value::GeoJson(
            serde_json::from_str::<serde_json::Value>(text)
                .map_or_else(|_| text.clone(), |json| json.to_string()),
        ),
        other => other.clone(),
    }
}
