//! The record that is measured: an order, as a shop may store it.

use esp_connector::simulator::{
    encode::{self, Change, Head, Message, UserKey},
    particle::{MapOrder, Particle},
    random::mix,
};

/// The frame of order number `id`: 5 fields and 8 bins in about 480 bytes.
pub fn frame(id: u64) -> Vec<u8> {
    frame_in("orders", id)
}

/// The same in another set.
pub fn frame_in(set: &str, id: u64) -> Vec<u8> {
    let noise = mix(id);
    let key = format!("order-{id:06}");
    let key = UserKey::String(key.as_bytes());
    let set = Some(set.as_bytes());
    let customer = format!("customer-{:08x}@shop.example.org", noise as u32);
    let name = format!("Zo\u{eb} {:016x} M\u{fc}ller", noise.rotate_left(9));
    let address = format!(
        "{} Rue de l'\u{c9}glise \"B\", 75{:03} Paris, France; leave it with the neighbours on the second floor",
        noise % 200,
        noise % 1000
    );
    let tags = ["new", "express", "gift-wrapped"].map(|tag| Particle::String(tag.as_bytes()));
    let sizes = [("depth", noise % 40), ("height", noise % 300), ("weight", noise % 70_000)]
        .map(|(side, size)| (Particle::String(side.as_bytes()), Particle::Integer(size as i64)));
    let head = Head {
        change: Change::Replace,
        namespace: b"shop",
        set,
        digest: encode::digest(set, key),
        user_key: Some(key),
        generation: 1 + (noise % 9) as u32,
        ttl_seconds: 86_400,
        lut_unix_ms: Some(1_700_000_000_000 + noise % 86_400_000),
    };
    let mut frame = Vec::new();
    let mut message = Message::begin(&mut frame, &head);
    message.bin(b"customer", &Particle::String(customer.as_bytes()));
    message.bin(b"name", &Particle::String(name.as_bytes()));
    message.bin(b"address", &Particle::String(address.as_bytes()));
    message.bin(b"quantity", &Particle::Integer((noise % 1000) as i64));
    message.bin(b"price", &Particle::Double((noise % 100_000) as f64 / 100.0));
    message.bin(b"paid", &Particle::Boolean(noise & 1 == 1));
    message.bin(b"tags", &Particle::List { ordered: false, items: &tags });
    message.bin(b"sizes", &Particle::Map { order: MapOrder::Key, entries: &sizes });
    message.finish();
    frame
}

/// A schema for it, with metadata whose members may be missing.
pub const AVRO_SCHEMA: &str = r#"{
    "type": "record", "name": "order", "namespace": "org.example.shop", "fields": [
        {"name": "metadata", "type": {"type": "record", "name": "metadata", "fields": [
            {"name": "msg", "type": "string"},
            {"name": "namespace", "type": "string"},
            {"name": "set", "type": ["null", "string"]},
            {"name": "userKey", "type": ["null", "long", "double", "bytes", "string"]},
            {"name": "digest", "type": "bytes"},
            {"name": "gen", "type": ["null", "int"]},
            {"name": "lut", "type": ["null", "long"]},
            {"name": "exp", "type": ["null", "long"]}
        ]}},
        {"name": "customer", "type": ["null", "string"]},
        {"name": "name", "type": ["null", "string"]},
        {"name": "address", "type": ["null", "string"]},
        {"name": "quantity", "type": ["null", "long"]},
        {"name": "price", "type": ["null", "double"]},
        {"name": "paid", "type": ["null", "boolean"]},
        {"name": "tags", "type": {"type": "array", "items": "string"}},
        {"name": "sizes", "type": {"type": "map", "values": "long"}}
    ]
}"#;
