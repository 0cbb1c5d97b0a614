//! MessagePack as Aerospike writes it: one raw family whose first byte is a particle type, and an `ext` in
//! front that says how a list or map is ordered.

use crate::notification::Value;

/// The next thing in the bytes.
#[derive(Clone, Copy)]
pub(super) enum Token<'a> {
    /// A value that holds no other.
    Scalar(Value<'a>),
    /// The header of a list: elements that follow.
    List(u32),
    /// The header of a map: pairs that follow.
    Map(u32),
    /// An order marker, or a comparison value.
    Ext { type_: u8, content: &'a [u8] },
}

/// Bytes that are not msgpack, or not Aerospike's.
#[derive(Debug)]
pub(super) struct Malformed {
    /// What is wrong.
    pub(super) why: &'static str,
    /// Bytes from there to the end.
    pub(super) left: usize,
}

type Parsed<'a, T> = Result<(T, &'a [u8]), Malformed>;

/// Reads one header or scalar; gives what follows it.
#[inline]
pub(super) fn token(bytes: &[u8]) -> Parsed<'_, Token<'_>> {
    let cut = || Malformed { why: "the data ends early", left: bytes.len() };
    let (&head, rest) = bytes.split_first().ok_or_else(cut)?;
    let scalar = |value, rest| Ok((Token::Scalar(value), rest));
    match head {
        0x00..=0x7f => scalar(Value::Integer(head.into()), rest),
        0x80..=0x8f => Ok((Token::Map((head & 0x0f).into()), rest)),
        0x90..=0x9f => Ok((Token::List((head & 0x0f).into()), rest)),
        0xa0..=0xbf => raw((head & 0x1f).into(), rest),
        0xc0 => scalar(Value::Null, rest),
        0xc1 => Err(Malformed { why: "byte 0xc1, which msgpack never uses,", left: bytes.len() }),
        0xc2 => scalar(Value::Boolean(false), rest),
        0xc3 => scalar(Value::Boolean(true), rest),
        0xc4 | 0xd9 => number(rest).and_then(|([n], rest)| raw(n.into(), rest)),
        0xc5 | 0xda => number(rest).and_then(|(n, rest)| raw(u16::from_be_bytes(n).into(), rest)),
        0xc6 | 0xdb => number(rest).and_then(|(n, rest)| raw(u32::from_be_bytes(n), rest)),
        0xc7 => number(rest).and_then(|([n], rest)| ext(n.into(), rest)),
        0xc8 => number(rest).and_then(|(n, rest)| ext(u16::from_be_bytes(n).into(), rest)),
        0xc9 => number(rest).and_then(|(n, rest)| ext(u32::from_be_bytes(n), rest)),
        0xca => number(rest).and_then(|(n, rest)| scalar(Value::Double(f32::from_be_bytes(n).into()), rest)),
        0xcb => number(rest).and_then(|(n, rest)| scalar(Value::Double(f64::from_be_bytes(n)), rest)),
        0xcc => number(rest).and_then(|([n], rest)| scalar(Value::Integer(n.into()), rest)),
        0xcd => number(rest).and_then(|(n, rest)| scalar(Value::Integer(u16::from_be_bytes(n).into()), rest)),
        0xce => number(rest).and_then(|(n, rest)| scalar(Value::Integer(u32::from_be_bytes(n).into()), rest)),
        // Servers know signed integers only: one above the largest wraps.
        0xcf | 0xd3 => number(rest).and_then(|(n, rest)| scalar(Value::Integer(i64::from_be_bytes(n)), rest)),
        0xd0 => number(rest).and_then(|(n, rest)| scalar(Value::Integer(i8::from_be_bytes(n).into()), rest)),
        0xd1 => number(rest).and_then(|(n, rest)| scalar(Value::Integer(i16::from_be_bytes(n).into()), rest)),
        0xd2 => number(rest).and_then(|(n, rest)| scalar(Value::Integer(i32::from_be_bytes(n).into()), rest)),
        0xd4 => ext(1, rest),
        0xd5 => ext(2, rest),
        0xd6 => ext(4, rest),
        0xd7 => ext(8, rest),
        0xd8 => ext(16, rest),
        0xdc => number(rest).map(|(n, rest)| (Token::List(u16::from_be_bytes(n).into()), rest)),
        0xdd => number(rest).map(|(n, rest)| (Token::List(u32::from_be_bytes(n)), rest)),
        0xde => number(rest).map(|(n, rest)| (Token::Map(u16::from_be_bytes(n).into()), rest)),
        0xdf => number(rest).map(|(n, rest)| (Token::Map(u32::from_be_bytes(n)), rest)),
        0xe0..=0xff => scalar(Value::Integer((head as i8).into()), rest),
    }
}

/// A small integer or a short text, as most elements are, and what follows it. All else is left to [`token`].
#[inline]
pub(super) fn short(bytes: &[u8]) -> Option<(Value<'_>, &[u8])> {
    let (&head, rest) = bytes.split_first()?;
    match head {
        0x00..=0x7f => Some((Value::Integer(head.into()), rest)),
        0xa0..=0xbf => match rest.split_at_checked((head & 0x1f).into())? {
            ([3, text @ ..], rest) => Some((Value::String(text), rest)),
            _ => None,
        },
        _ => None,
    }
}

/// Walks one value of checked bytes, however deep, and gives what follows it.
pub(super) fn skip(mut bytes: &[u8]) -> Result<&[u8], Malformed> {
    let mut pending = 1_u64;
    while pending > 0 {
        if let Some(rest) = after_scalar(bytes) {
            bytes = rest;
            pending -= 1;
            continue;
        }
        let (token, rest) = token(bytes)?;
        bytes = rest;
        pending -= 1;
        match token {
            Token::List(len) => pending += u64::from(len),
            Token::Map(len) => pending += 2 * u64::from(len),
            Token::Scalar(_) | Token::Ext { .. } => {}
        }
    }
    Ok(bytes)
}

/// The flags of the order marker that starts `bytes`, and what follows the marker.
pub(super) fn marker(bytes: &[u8]) -> Option<(u8, &[u8])> {
    // Asked of every list and map, of which few have one.
    if !matches!(bytes.first(), Some(0xc7..=0xc9 | 0xd4..=0xd8)) {
        return None;
    }
    match token(bytes) {
        Ok((Token::Ext { type_, content }, rest)) if !is_comparison(type_, content) => Some((type_, rest)),
        _ => None,
    }
}

/// Checks one value in full and gives what follows it. Recursion is bounded by `depth`.
pub(super) fn check(bytes: &[u8], depth: usize) -> Result<&[u8], Malformed> {
    let (token, rest) = token(bytes)?;
    let (len, per_element) = match token {
        Token::Scalar(_) => return Ok(rest),
        Token::Ext { type_, content } if is_comparison(type_, content) => return Ok(rest),
        Token::Ext { .. } => return Err(Malformed { why: "an ext that is not in front", left: bytes.len() }),
        Token::List(len) => (len, 1),
        Token::Map(len) => (len, 2),
    };
    let Some(depth) = depth.checked_sub(1) else {
        return Err(Malformed { why: "lists and maps nested too deep", left: bytes.len() });
    };
    let mut left = u64::from(len) * per_element;
    let mut rest = rest;
    if left > 0
        && let Some((_, after)) = marker(rest)
    {
        rest = after;
        left -= 1;
    }
    // Each element takes a byte at least: said before the walk, so that a lie costs nothing.
    if left > rest.len() as u64 {
        return Err(Malformed { why: "more elements are announced than there are bytes", left: bytes.len() });
    }
    for _ in 0..left {
        rest = match after_scalar(rest) {
            Some(rest) => rest,
            None => check(rest, depth)?,
        };
    }
    Ok(rest)
}

/// What follows a scalar whose first byte tells its size. All else is left to [`token`], what is cut short as well.
#[inline]
fn after_scalar(bytes: &[u8]) -> Option<&[u8]> {
    let size = SCALAR_BYTES[usize::from(*bytes.first()?)];
    if size == 0 { None } else { bytes.get(size.into()..) }
}

/// The size of scalars by their first byte, 0 where that does not tell it, or begins something else.
const SCALAR_BYTES: [u8; 256] = {
    let mut sizes = [0; 256];
    let mut head = 0;
    while head < 256 {
        sizes[head] = match head {
            0x00..=0x7f | 0xc0 | 0xc2 | 0xc3 | 0xe0..=0xff => 1,
            0xa0..=0xbf => 1 + (head & 0x1f) as u8,
            0xcc | 0xd0 => 2,
            0xcd | 0xd1 => 3,
            0xca | 0xce | 0xd2 => 5,
            0xcb | 0xcf | 0xd3 => 9,
            _ => 0,
        };
        head += 1;
    }
    sizes
};

/// Wildcard and infinity: comparison values that are never stored. Kept as null rather than lose a record.
fn is_comparison(type_: u8, content: &[u8]) -> bool {
    type_ == 0xff && content.len() == 1
}

fn number<const N: usize>(rest: &[u8]) -> Parsed<'_, [u8; N]> {
    match rest.split_first_chunk::<N>() {
        Some((number, rest)) => Ok((*number, rest)),
        None => Err(Malformed { why: "the data ends early", left: rest.len() }),
    }
}

/// Strings, blobs and GeoJSON: the first payload byte tells which.
#[inline]
fn raw(len: u32, rest: &[u8]) -> Parsed<'_, Token<'_>> {
    let (payload, rest) = split(len, rest)?;
    let value = match payload {
        [] => Value::Blob(4, &[]),
        [3, text @ ..] => Value::String(text),
        [23, json @ ..] => Value::GeoJson(json),
        [type_, bytes @ ..] => Value::Blob(*type_, bytes),
    };
    Ok((Token::Scalar(value), rest))
}

fn ext(len: u32, rest: &[u8]) -> Parsed<'_, Token<'_>> {
    let ([type_], rest) = number(rest)?;
    let (content, rest) = split(len, rest)?;
    Ok((Token::Ext { type_, content }, rest))
}

fn split(len: u32, rest: &[u8]) -> Parsed<'_, &[u8]> {
    rest.split_at_checked(len as usize).ok_or(Malformed { why: "the data ends early", left: rest.len() })
}
