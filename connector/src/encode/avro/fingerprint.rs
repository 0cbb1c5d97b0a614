//! The fingerprint of a schema, which single-object messages carry: CRC-64-AVRO of its canonical form.
//!
//! The canonical form is written here because that of `apache-avro` 0.22 is not the specification's where a
//! logical type annotates a primitive type: `{"type":"long"}` for `"long"`. Other implementations would not
//! know the fingerprint. It also panics on some attributes that a schema may carry.

use apache_avro::schema::{InnerDecimalSchema, Name, Schema, UuidSchema};

/// The marker of a single-object message and the fingerprint of `schema`.
pub(super) fn single_object_prefix(schema: &Schema) -> [u8; 10] {
    let mut canonical = String::new();
    write_canonical(schema, None, &mut canonical);
    let [a, b, c, d, e, f, g, h] = crc_64_avro(canonical.as_bytes()).to_le_bytes();
    [0xc3, 0x01, a, b, c, d, e, f, g, h]
}

/// Appends the parsing canonical form.
fn write_canonical(schema: &Schema, namespace: Option<&str>, out: &mut String) {
    match schema {
        Schema::Null => out.push_str("\"null\""),
        Schema::Boolean => out.push_str("\"boolean\""),
        Schema::Int | Schema::Date | Schema::TimeMillis => out.push_str("\"int\""),
        Schema::Long
        | Schema::TimeMicros
        | Schema::TimestampMillis
        | Schema::TimestampMicros
        | Schema::TimestampNanos
        | Schema::LocalTimestampMillis
        | Schema::LocalTimestampMicros
        | Schema::LocalTimestampNanos => out.push_str("\"long\""),
        Schema::Float => out.push_str("\"float\""),
        Schema::Double => out.push_str("\"double\""),
        Schema::Bytes | Schema::BigDecimal | Schema::Uuid(UuidSchema::Bytes) => out.push_str("\"bytes\""),
        Schema::String | Schema::Uuid(UuidSchema::String) => out.push_str("\"string\""),
        Schema::Decimal(decimal) => match &decimal.inner {
            InnerDecimalSchema::Bytes => out.push_str("\"bytes\""),
            InnerDecimalSchema::Fixed(fixed) => write_fixed(&fixed.name, fixed.size, namespace, out),
        },
        Schema::Fixed(fixed) | Schema::Uuid(UuidSchema::Fixed(fixed)) | Schema::Duration(fixed) => {
            write_fixed(&fixed.name, fixed.size, namespace, out);
        }
        Schema::Array(array) => {
            out.push_str("{\"type\":\"array\",\"items\":");
            write_canonical(&array.items, namespace, out);
            out.push('}');
        }
        Schema::Map(map) => {
            out.push_str("{\"type\":\"map\",\"values\":");
            write_canonical(&map.types, namespace, out);
            out.push('}');
        }
        Schema::Union(union) => write_all(union.variants(), out, |branch, out| {
            write_canonical(branch, namespace, out);
        }),
        Schema::Enum(symbols) => {
            write_name(&symbols.name, namespace, out);
            out.push_str(",\"type\":\"enum\",\"symbols\":");
            write_all(&symbols.symbols, out, |symbol, out| write_quoted(symbol, out));
            out.push('}');
        }
        Schema::Record(record) => {
            write_name(&record.name, namespace, out);
            out.push_str(",\"type\":\"record\",\"fields\":");
            let full_name = record.name.fully_qualified_name(namespace);
            write_all(&record.fields, out, |field, out| {
                out.push_str("{\"name\":");
                write_quoted(&field.name, out);
                out.push_str(",\"type\":");
                write_canonical(&field.schema, full_name.namespace(), out);
                out.push('}');
            });
            out.push('}');
        }
        Schema::Ref { name } => write_quoted(&name.fullname(namespace), out),
    }
}

fn write_fixed(name: &Name, size: usize, namespace: Option<&str>, out: &mut String) {
    write_name(name, namespace, out);
    out.push_str(",\"type\":\"fixed\",\"size\":");
    out.push_str(itoa::Buffer::new().format(size));
    out.push('}');
}

fn write_name(name: &Name, namespace: Option<&str>, out: &mut String) {
    out.push_str("{\"name\":");
    write_quoted(&name.fullname(namespace), out);
}

/// Names and symbols are letters, digits, underscores and dots, so nothing needs an escape.
fn write_quoted(text: &str, out: &mut String) {
    out.push('"');
    out.push_str(text);
    out.push('"');
}

fn write_all<T>(items: &[T], out: &mut String, mut write: impl FnMut(&T, &mut String)) {
    out.push('[');
    for (index, item) in items.iter().enumerate() {
        if index > 0 {
            out.push(',');
        }
        write(item, out);
    }
    out.push(']');
}

/// The 64-bit Rabin fingerprint of the specification. Runs once for each schema, so it goes bit by bit.
fn crc_64_avro(bytes: &[u8]) -> u64 {
    const EMPTY: u64 = 0xc15d_213a_a4d7_a795;
    bytes.iter().fold(EMPTY, |fingerprint, byte| {
        (0..8)
            .fold(fingerprint ^ u64::from(*byte), |rest, _| (rest >> 1) ^ (EMPTY & (rest & 1).wrapping_neg()))
    })
}
