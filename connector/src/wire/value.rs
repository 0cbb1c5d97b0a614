//! Particle bytes to values.
//!
//! A list or a map is checked once, whole, when its bin is decoded; after that it stays in its wire form, and
//! reading it cannot fail. Elements are found by walking, so nothing is allocated however large it is.

mod msgpack;

use self::msgpack::{Malformed, Token};
use crate::notification::Value;

/// Deepest nesting of lists and maps that is accepted. Formats may recurse on values.
pub const DEPTH_MAX: usize = 128;

/// A list, still in its wire form.
///
/// Equality is that of the wire form: two lists can hold equal elements in different encodings.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct List<'a> {
    /// From the list's own header to the end of its last element; walked once without an error.
    bytes: &'a [u8],
}

/// A map, still in its wire form. Equality is as with [`List`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Map<'a> {
    /// From the map's own header to the end of its last value; walked once without an error.
    bytes: &'a [u8],
}

impl<'a> List<'a> {
    /// Its wire form.
    pub(crate) fn bytes(self) -> &'a [u8] {
        self.bytes
    }

    /// The list with that wire form, which [`List::bytes`] gave.
    pub(crate) fn from_checked(bytes: &'a [u8]) -> Self {
        Self { bytes }
    }

    /// Elements, without the marker that may precede them.
    pub fn len(self) -> usize {
        self.open().len
    }

    /// Whether there is no element.
    pub fn is_empty(self) -> bool {
        self.len() == 0
    }

    /// Flags of the marker, 0 without one: 0x01 ordered, 0x10 persisted index.
    pub fn flags(self) -> u8 {
        self.open().flags
    }

    /// Whether the server keeps the elements in order of value.
    pub fn ordered(self) -> bool {
        self.flags() & 1 != 0
    }

    /// The elements in wire order.
    pub fn iter(self) -> Elements<'a> {
        let Open { rest, len, .. } = self.open();
        Elements { rest, left: len }
    }

    fn open(self) -> Open<'a> {
        match msgpack::token(self.bytes) {
            Ok((Token::List(declared), rest)) => {
                let marker = if declared == 0 { None } else { msgpack::marker(rest) };
                Open::new(declared, rest, marker)
            }
            _ => Open::default(),
        }
    }
}

impl<'a> Map<'a> {
    /// Its wire form.
    pub(crate) fn bytes(self) -> &'a [u8] {
        self.bytes
    }

    /// The map with that wire form, which [`Map::bytes`] gave.
    pub(crate) fn from_checked(bytes: &'a [u8]) -> Self {
        Self { bytes }
    }

    /// Pairs, without the marker that may precede them.
    pub fn len(self) -> usize {
        self.open().len
    }

    /// Whether there is no pair.
    pub fn is_empty(self) -> bool {
        self.len() == 0
    }

    /// Flags of the marker, 0 without one: 0x01 key-ordered, 0x02 value-ordered too, 0x08 order kept,
    /// 0x10 persisted index.
    pub fn flags(self) -> u8 {
        self.open().flags
    }

    /// Whether the server keeps the pairs in order of key.
    pub fn ordered(self) -> bool {
        self.flags() & 1 != 0
    }

    /// The pairs in wire order.
    pub fn iter(self) -> Entries<'a> {
        let Open { rest, len, .. } = self.open();
        Entries { elements: Elements { rest, left: len.saturating_mul(2) } }
    }

    fn open(self) -> Open<'a> {
        match msgpack::token(self.bytes) {
            Ok((Token::Map(declared), rest)) => {
                let marker = if declared == 0 { None } else { msgpack::marker(rest) };
                // A marker is a key, and has a value that means nothing.
                let marker =
                    marker.and_then(|(flags, rest)| msgpack::skip(rest).ok().map(|rest| (flags, rest)));
                Open::new(declared, rest, marker)
            }
            _ => Open::default(),
        }
    }
}

impl<'a> IntoIterator for List<'a> {
    type Item = Value<'a>;
    type IntoIter = Elements<'a>;

    fn into_iter(self) -> Elements<'a> {
        self.iter()
    }
}

impl<'a> IntoIterator for Map<'a> {
    type Item = (Value<'a>, Value<'a>);
    type IntoIter = Entries<'a>;

    fn into_iter(self) -> Entries<'a> {
        self.iter()
    }
}

/// The elements of a list. Made by [`List::iter`].
#[derive(Clone, Debug)]
pub struct Elements<'a> {
    rest: &'a [u8],
    left: usize,
}

impl<'a> Elements<'a> {
    /// Where the rest of them stands, and how many they are: what it takes to go on later.
    pub(crate) fn rest(&self) -> (&'a [u8], usize) {
        (self.rest, self.left)
    }

    /// Goes on where [`Elements::rest`] was.
    pub(crate) fn resume((rest, left): (&'a [u8], usize)) -> Self {
        Self { rest, left }
    }
}

impl<'a> Iterator for Elements<'a> {
    type Item = Value<'a>;

    fn next(&mut self) -> Option<Value<'a>> {
        self.left = self.left.checked_sub(1)?;
        if let Some((value, rest)) = msgpack::short(self.rest) {
            self.rest = rest;
            return Some(value);
        }
        // The whole was walked when the bin was decoded, so neither step can fail.
        let (token, mut rest) = msgpack::token(self.rest).ok()?;
        let value = match token {
            Token::Scalar(value) => value,
            Token::Ext { .. } => Value::Null,
            Token::List(_) | Token::Map(_) => {
                rest = msgpack::skip(self.rest).ok()?;
                let bytes = &self.rest[..self.rest.len() - rest.len()];
                if matches!(token, Token::List(_)) {
                    Value::List(List { bytes })
                } else {
                    Value::Map(Map { bytes })
                }
            }
        };
        self.rest = rest;
        Some(value)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

impl ExactSizeIterator for Elements<'_> {}

/// The pairs of a map. Made by [`Map::iter`].
#[derive(Clone, Debug)]
pub struct Entries<'a> {
    elements: Elements<'a>,
}

impl<'a> Iterator for Entries<'a> {
    type Item = (Value<'a>, Value<'a>);

    fn next(&mut self) -> Option<Self::Item> {
        Some((self.elements.next()?, self.elements.next()?))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = self.elements.left / 2;
        (left, Some(left))
    }
}

impl ExactSizeIterator for Entries<'_> {}

impl<'a> Entries<'a> {
    /// Keys and values in turn.
    pub(crate) fn elements(self) -> Elements<'a> {
        self.elements
    }
}

/// Reads the value of a bin, or of a user key.
///
/// A particle type this version does not know becomes a [`Value::Blob`] of that type: a record must not be
/// lost because the server is newer.
#[inline]
pub fn particle<'a>(type_: u8, bytes: &'a [u8]) -> Result<Value<'a>, ValueError> {
    Ok(match type_ {
        0 => Value::Null,
        1 => Value::Integer(integer(bytes)?),
        2 => match <[u8; 8]>::try_from(bytes) {
            Ok(bytes) => Value::Double(f64::from_be_bytes(bytes)),
            Err(_) => return Err(ValueError::Double { found: bytes.len() }),
        },
        3 => Value::String(bytes),
        17 => match bytes {
            [0] => Value::Boolean(false),
            [1] => Value::Boolean(true),
            [found] => return Err(ValueError::Boolean { found: *found }),
            _ => return Err(ValueError::BooleanSize { found: bytes.len() }),
        },
        19 => match whole(bytes)? {
            Token::Map(_) => Value::Map(Map { bytes }),
            _ => return Err(ValueError::NotAMap),
        },
        20 => match whole(bytes)? {
            Token::List(_) => Value::List(List { bytes }),
            _ => return Err(ValueError::NotAList),
        },
        23 => Value::GeoJson(geojson(bytes).ok_or(ValueError::GeoJson { found: bytes.len() })?),
        _ => Value::Blob(type_, bytes),
    })
}

/// Whether this version knows what a particle type means.
pub fn is_known(type_: u8) -> bool {
    matches!(type_, 0..=4 | 7..=12 | 16..=20 | 23)
}

/// Why the bytes of a value make no sense.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ValueError {
    /// An integer of an odd size.
    #[error("an integer of {found} bytes, expected 1, 2, 4 or 8")]
    Integer {
        /// Bytes there.
        found: usize,
    },
    /// A double of an odd size.
    #[error("a double of {found} bytes, expected 8")]
    Double {
        /// Bytes there.
        found: usize,
    },
    /// Neither true nor false.
    #[error("boolean {found}, expected 0 or 1")]
    Boolean {
        /// The byte there.
        found: u8,
    },
    /// A boolean of an odd size.
    #[error("a boolean of {found} bytes, expected 1")]
    BooleanSize {
        /// Bytes there.
        found: usize,
    },
    /// Too short for the cells it announces.
    #[error("GeoJSON of {found} bytes is shorter than the cells it announces")]
    GeoJson {
        /// Bytes there.
        found: usize,
    },
    /// A list bin that holds something else.
    #[error("the bytes of a list bin do not start with a list")]
    NotAList,
    /// A map bin that holds something else.
    #[error("the bytes of a map bin do not start with a map")]
    NotAMap,
    /// Broken msgpack inside a list or map.
    #[error("{why} at byte {at} of the list or map")]
    Msgpack {
        /// What is wrong.
        why: &'static str,
        /// Where, counted from the start of the value.
        at: usize,
    },
}

/// A list or map whose marker is off and what follows it.
#[derive(Default)]
struct Open<'a> {
    rest: &'a [u8],
    len: usize,
    flags: u8,
}

impl<'a> Open<'a> {
    fn new(declared: u32, rest: &'a [u8], marker: Option<(u8, &'a [u8])>) -> Self {
        let declared = declared as usize;
        match marker {
            Some((flags, rest)) => Self { rest, len: declared - 1, flags },
            None => Self { rest, len: declared, flags: 0 },
        }
    }
}

/// Checks that `bytes` are one msgpack value and nothing more; tells what it starts with.
fn whole(bytes: &[u8]) -> Result<Token<'_>, ValueError> {
    let at = |Malformed { why, left }| ValueError::Msgpack { why, at: bytes.len() - left };
    let rest = msgpack::check(bytes, DEPTH_MAX).map_err(at)?;
    if !rest.is_empty() {
        return Err(at(Malformed { why: "bytes after the end", left: rest.len() }));
    }
    msgpack::token(bytes).map(|(token, _)| token).map_err(at)
}

fn integer(bytes: &[u8]) -> Result<i64, ValueError> {
    // Shorter ones are extended with zeros, not with the sign: so do servers.
    match *bytes {
        [a, b, c, d, e, f, g, h] => Ok(i64::from_be_bytes([a, b, c, d, e, f, g, h])),
        [a] => Ok(a.into()),
        [a, b] => Ok(u16::from_be_bytes([a, b]).into()),
        [a, b, c, d] => Ok(u32::from_be_bytes([a, b, c, d]).into()),
        _ => Err(ValueError::Integer { found: bytes.len() }),
    }
}

fn geojson(bytes: &[u8]) -> Option<&[u8]> {
    let (&[_flags, high, low], rest) = bytes.split_first_chunk::<3>()?;
    rest.get(usize::from(u16::from_be_bytes([high, low])) * 8..)
}

#[cfg(test)]
mod tests;
