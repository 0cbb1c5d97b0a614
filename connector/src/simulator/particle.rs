//! Bin values as a server writes them: particle bytes, and msgpack with Aerospike's conventions inside
//! lists and maps.

/// A bin value, or an element of a list or map.
#[derive(Clone, Copy, Debug)]
pub enum Particle<'a> {
    /// As a bin: the bin was deleted. Inside a list or map: nil.
    Null,
    /// Signed 64 bits.
    Integer(i64),
    /// Binary64.
    Double(f64),
    /// UTF-8 text.
    String(&'a [u8]),
    /// Raw bytes.
    Blob(&'a [u8]),
    /// Raw bytes with the type number of a language: 7 Java to 12 Erlang.
    LanguageBlob(u8, &'a [u8]),
    /// True or false.
    Boolean(bool),
    /// HyperLogLog, opaque.
    Hll(&'a [u8]),
    /// GeoJSON; a server may put cell ids of its own index before the text.
    GeoJson {
        /// Cell ids, written in bins only.
        cells: &'a [u64],
        /// JSON.
        text: &'a [u8],
    },
    /// A list.
    List {
        /// Kept sorted by the server.
        ordered: bool,
        /// Elements.
        items: &'a [Self],
    },
    /// A map.
    Map {
        /// What the server keeps sorted.
        order: MapOrder,
        /// Pairs.
        entries: &'a [(Self, Self)],
    },
}

/// What a map is kept sorted by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MapOrder {
    /// Nothing.
    None,
    /// Keys.
    Key,
    /// Keys, with an index by value.
    KeyValue,
}

impl Particle<'_> {
    /// The type number of this value as a bin.
    pub fn particle_type(&self) -> u8 {
        match self {
            Self::Null => 0,
            Self::Integer(_) => 1,
            Self::Double(_) => 2,
            Self::String(_) => 3,
            Self::Blob(_) => 4,
            Self::LanguageBlob(kind, _) => *kind,
            Self::Boolean(_) => 17,
            Self::Hll(_) => 18,
            Self::Map { .. } => 19,
            Self::List { .. } => 20,
            Self::GeoJson { .. } => 23,
        }
    }

    /// Appends the value bytes of a bin.
    pub fn write(&self, out: &mut Vec<u8>) {
        match *self {
            Self::Null => {}
            Self::Integer(value) => out.extend_from_slice(&value.to_be_bytes()),
            Self::Double(value) => out.extend_from_slice(&value.to_be_bytes()),
            Self::String(bytes) | Self::Blob(bytes) | Self::LanguageBlob(_, bytes) | Self::Hll(bytes) => {
                out.extend_from_slice(bytes);
            }
            Self::Boolean(value) => out.push(u8::from(value)),
            Self::GeoJson { cells, text } => {
                // Flags, which only ever say "region", are left 0.
                out.push(0);
                out.extend_from_slice(&(cells.len() as u16).to_be_bytes());
                for cell in cells {
                    out.extend_from_slice(&cell.to_be_bytes());
                }
                out.extend_from_slice(text);
            }
            Self::List { .. } | Self::Map { .. } => self.pack(out),
        }
    }

    fn pack(&self, out: &mut Vec<u8>) {
        match *self {
            Self::Null => out.push(0xc0),
            Self::Integer(value) => pack_integer(out, value),
            Self::Double(value) => {
                out.push(0xcb);
                out.extend_from_slice(&value.to_be_bytes());
            }
            Self::Boolean(value) => out.push(0xc2 + u8::from(value)),
            Self::String(bytes) => pack_raw(out, 3, bytes),
            Self::GeoJson { text, .. } => pack_raw(out, 23, text),
            Self::Blob(bytes) => pack_raw(out, 4, bytes),
            Self::Hll(bytes) => pack_raw(out, 18, bytes),
            Self::LanguageBlob(kind, bytes) => pack_raw(out, kind, bytes),
            Self::List { ordered, items } => {
                pack_count(out, 0x90, 0xdc, items.len() + usize::from(ordered));
                if ordered {
                    out.extend_from_slice(&[0xc7, 0, 1]);
                }
                for item in items {
                    item.pack(out);
                }
            }
            Self::Map { order, entries } => {
                let marked = order != MapOrder::None;
                pack_count(out, 0x80, 0xde, entries.len() + usize::from(marked));
                if marked {
                    // The order travels as an ext key with a nil value, counted as one pair.
                    out.extend_from_slice(&[0xc7, 0, if order == MapOrder::Key { 1 } else { 3 }, 0xc0]);
                }
                for (key, value) in entries {
                    key.pack(out);
                    value.pack(out);
                }
            }
        }
    }
}

fn pack_integer(out: &mut Vec<u8>, value: i64) {
    match value {
        0..=0x7f => out.push(value as u8),
        0x80..=0xff => out.extend_from_slice(&[0xcc, value as u8]),
        0x100..=0xffff => {
            out.push(0xcd);
            out.extend_from_slice(&(value as u16).to_be_bytes());
        }
        0x1_0000..=0xffff_ffff => {
            out.push(0xce);
            out.extend_from_slice(&(value as u32).to_be_bytes());
        }
        0x1_0000_0000.. => {
            out.push(0xcf);
            out.extend_from_slice(&value.to_be_bytes());
        }
        -32..0 => out.push(value as u8),
        -0x80..-32 => out.extend_from_slice(&[0xd0, value as u8]),
        -0x8000..-0x80 => {
            out.push(0xd1);
            out.extend_from_slice(&(value as i16).to_be_bytes());
        }
        -0x8000_0000..-0x8000 => {
            out.push(0xd2);
            out.extend_from_slice(&(value as i32).to_be_bytes());
        }
        _ => {
            out.push(0xd3);
            out.extend_from_slice(&value.to_be_bytes());
        }
    }
}

/// Text and blobs alike: one family whose first payload byte is a particle type.
fn pack_raw(out: &mut Vec<u8>, kind: u8, bytes: &[u8]) {
    let declared = bytes.len() + 1;
    match declared {
        0..=31 => out.push(0xa0 + declared as u8),
        32..=0xff => out.extend_from_slice(&[0xd9, declared as u8]),
        0x100..=0xffff => {
            out.push(0xda);
            out.extend_from_slice(&(declared as u16).to_be_bytes());
        }
        _ => {
            out.push(0xdb);
            out.extend_from_slice(&(declared as u32).to_be_bytes());
        }
    }
    out.push(kind);
    out.extend_from_slice(bytes);
}

fn pack_count(out: &mut Vec<u8>, short: u8, wide: u8, count: usize) {
    match count {
        0..=15 => out.push(short + count as u8),
        16..=0xffff => {
            out.push(wide);
            out.extend_from_slice(&(count as u16).to_be_bytes());
        }
        _ => {
            out.push(wide + 1);
            out.extend_from_slice(&(count as u32).to_be_bytes());
        }
    }
}
