//! The `message-pack` format: one notification, or one after the other.

use super::{Findings, Identity, Malformed, digits};

/// Calls `each` for every notification in `body`, with its identity if it has one.
pub(super) fn identify(body: &[u8], mut each: impl FnMut(Option<Identity>)) -> Result<(), Malformed> {
    let mut scan = Scan { rest: body, bytes: body.len() };
    while !scan.rest.is_empty() {
        each(scan.notification()?);
    }
    Ok(())
}

/// The next thing in the bytes: a scalar, or the header of what holds others.
enum Item<'a> {
    Integer(i64),
    /// Text or bytes.
    Raw(&'a [u8]),
    Array(u32),
    Map(u32),
    /// Null, a boolean, a float, an extension, or an integer too large for 64 bits with a sign.
    Other,
}

struct Scan<'a> {
    rest: &'a [u8],
    /// Bytes of the whole body.
    bytes: usize,
}

impl<'a> Scan<'a> {
    /// `[1, type, payload]`, where the payload is `[key, gen, exp, lut, bins]` of a write and `[key, flags]` of a
    /// delete.
    fn notification(&mut self) -> Result<Option<Identity>, Malformed> {
        let mut found = Findings::default();
        self.array(&[3], "a notification")?;
        self.skip()?;
        found.is_delete = self.integer()? == Some(DELETE);
        let parts = self.array(&[2, 5], "what a write or a delete has")?;
        self.key(&mut found)?;
        for part in 1..parts {
            match part {
                1 if !found.is_delete => found.generation = self.integer()?,
                BINS_AT => self.bins(&mut found)?,
                _ => self.skip()?,
            }
        }
        Ok(found.identity())
    }

    /// `[namespace, set, digest, user key]`.
    fn key(&mut self, found: &mut Findings) -> Result<(), Malformed> {
        self.array(&[4], "a key")?;
        for _ in 0..3 {
            self.skip()?;
        }
        found.user_key = match self.item()? {
            Item::Integer(integer) => Some(integer),
            Item::Raw(text) => digits(text),
            Item::Other => None,
            Item::Array(_) | Item::Map(_) => return Err(self.expected("a user key")),
        };
        Ok(())
    }

    /// `[[name, type, flags, value], …]`.
    fn bins(&mut self, found: &mut Findings) -> Result<(), Malformed> {
        let Item::Array(count) = self.item()? else { return Err(self.expected("bins")) };
        for _ in 0..count {
            self.array(&[4], "a bin")?;
            let Item::Raw(name) = self.item()? else { return Err(self.expected("the name of a bin")) };
            self.skip()?;
            self.skip()?;
            match name {
                b"id" => found.id = self.integer()?,
                b"v" => found.version = self.integer()?,
                _ => self.skip()?,
            }
        }
        Ok(())
    }

    /// Takes the header of an array, which must have one of these lengths.
    fn array(&mut self, lengths: &[u32], expected: &'static str) -> Result<u32, Malformed> {
        let wrong = self.expected(expected);
        match self.item()? {
            Item::Array(length) if lengths.contains(&length) => Ok(length),
            _ => Err(wrong),
        }
    }

    /// Takes a value; `None` when it is no integer.
    fn integer(&mut self) -> Result<Option<i64>, Malformed> {
        match self.item()? {
            Item::Integer(integer) => return Ok(Some(integer)),
            Item::Array(length) => self.skip_values(length.into())?,
            Item::Map(length) => self.skip_values(2 * u64::from(length))?,
            Item::Raw(_) | Item::Other => {}
        }
        Ok(None)
    }

    /// Takes a value.
    fn skip(&mut self) -> Result<(), Malformed> {
        self.skip_values(1)
    }

    /// Takes so many values, however deep they are.
    fn skip_values(&mut self, count: u64) -> Result<(), Malformed> {
        let mut left = count;
        while left > 0 {
            left -= 1;
            match self.item()? {
                Item::Array(length) => left += u64::from(length),
                Item::Map(length) => left += 2 * u64::from(length),
                Item::Integer(_) | Item::Raw(_) | Item::Other => {}
            }
        }
        Ok(())
    }

    fn item(&mut self) -> Result<Item<'a>, Malformed> {
        let [head] = self.number()?;
        Ok(match head {
            0x00..=0x7f => Item::Integer(head.into()),
            0x80..=0x8f => Item::Map((head & 0x0f).into()),
            0x90..=0x9f => Item::Array((head & 0x0f).into()),
            0xa0..=0xbf => Item::Raw(self.take((head & 0x1f).into())?),
            0xc1 => return Err(self.expected("MessagePack")),
            0xc0 | 0xc2 | 0xc3 => Item::Other,
            0xc4 | 0xd9 => {
                let [length] = self.number()?;
                Item::Raw(self.take(length.into())?)
            }
            0xc5 | 0xda => {
                let length = u16::from_be_bytes(self.number()?);
                Item::Raw(self.take(length.into())?)
            }
            0xc6 | 0xdb => {
                let length = u32::from_be_bytes(self.number()?);
                Item::Raw(self.take(length)?)
            }
            0xc7 => {
                let [length] = self.number()?;
                self.extension(length.into())?
            }
            0xc8 => {
                let length = u16::from_be_bytes(self.number()?);
                self.extension(length.into())?
            }
            0xc9 => {
                let length = u32::from_be_bytes(self.number()?);
                self.extension(length)?
            }
            0xca => self.number::<4>().map(|_| Item::Other)?,
            0xcb => self.number::<8>().map(|_| Item::Other)?,
            0xcc => Item::Integer(u8::from_be_bytes(self.number()?).into()),
            0xcd => Item::Integer(u16::from_be_bytes(self.number()?).into()),
            0xce => Item::Integer(u32::from_be_bytes(self.number()?).into()),
            0xcf => i64::try_from(u64::from_be_bytes(self.number()?)).map_or(Item::Other, Item::Integer),
            0xd0 => Item::Integer(i8::from_be_bytes(self.number()?).into()),
            0xd1 => Item::Integer(i16::from_be_bytes(self.number()?).into()),
            0xd2 => Item::Integer(i32::from_be_bytes(self.number()?).into()),
            0xd3 => Item::Integer(i64::from_be_bytes(self.number()?)),
            0xd4..=0xd8 => self.extension(1 << (head - 0xd4))?,
            0xdc => Item::Array(u16::from_be_bytes(self.number()?).into()),
            0xdd => Item::Array(u32::from_be_bytes(self.number()?)),
            0xde => Item::Map(u16::from_be_bytes(self.number()?).into()),
            0xdf => Item::Map(u32::from_be_bytes(self.number()?)),
            0xe0..=0xff => Item::Integer((head as i8).into()),
        })
    }

    /// A type byte, then the content.
    fn extension(&mut self, length: u32) -> Result<Item<'a>, Malformed> {
        self.number::<1>()?;
        self.take(length).map(|_| Item::Other)
    }

    fn take(&mut self, length: u32) -> Result<&'a [u8], Malformed> {
        let (taken, rest) =
            self.rest.split_at_checked(length as usize).ok_or_else(|| self.expected("more bytes"))?;
        self.rest = rest;
        Ok(taken)
    }

    fn number<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        let (number, rest) = self.rest.split_first_chunk::<N>().ok_or_else(|| self.expected("more bytes"))?;
        self.rest = rest;
        Ok(*number)
    }

    fn expected(&self, expected: &'static str) -> Malformed {
        Malformed { at: self.bytes - self.rest.len(), expected }
    }
}

const DELETE: i64 = 2;
/// In `[key, gen, exp, lut, bins]`.
const BINS_AT: u32 = 4;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simulator::ledger::LAST;

    fn all(body: &[u8]) -> Result<Vec<Option<(u64, u32)>>, Malformed> {
        let mut found = Vec::new();
        identify(body, |identity| found.push(identity.map(|found| (found.id, found.version))))?;
        Ok(found)
    }

    /// `[1, 1, [["ns", nil, <digest>, key], gen, nil, 0x16…, bins]]` with three bins beside `bins`.
    fn write(key: &[u8], bins: &[&[u8]]) -> Vec<u8> {
        let mut body = b"\x93\x01\x01\x95\x94\xa2ns\xc0\xc4\x03abc".to_vec();
        body.extend(key);
        body.extend(b"\x07\xc0\xcf\0\0\x01\x9b\x76\xda\xb8\0");
        body.push(0x93 + bins.len() as u8);
        body.extend(b"\x94\xa1m\x13\x01\x82\xa2id\x07\xa1v\x92\xcb\0\0\0\0\0\0\0\0\xc7\x02\x12xx");
        body.extend(b"\x94\xa1s\x03\0\xd9\x04\xa2id\x01");
        body.extend(b"\x94\xa1x\x14\0\xdc\0\x02\xd6\x07abcd\xca\0\0\0\0");
        bins.iter().for_each(|bin| body.extend(*bin));
        body
    }

    const ID: &[u8] = b"\x94\xa2id\x01\0\xce\x00\x01\x11\x70";
    const VERSION: &[u8] = b"\x94\xa1v\x01\0\xcc\xc8";
    const DELETE: &[u8] = b"\x93\x01\x02\x92\x94\xa2ns\xa4demo\xc4\x01d\xcd\x01\x00\x01";

    #[test]
    fn writes_and_deletes_one_or_many() {
        assert_eq!(all(&write(b"\xc0", &[ID, VERSION])), Ok(vec![Some((70_000, 200))]));
        assert_eq!(all(DELETE), Ok(vec![Some((256, LAST))]));
        let many = [&write(b"\xa1k", &[VERSION, ID])[..], DELETE, &write(b"\x05", &[])].concat();
        assert_eq!(all(&many), Ok(vec![Some((70_000, 200)), Some((256, LAST)), Some((5, 7))]));
        assert_eq!(all(b""), Ok(vec![]));
        for key in [&b"\xa217"[..], b"\xc4\x0217", b"\xd9\x0217"] {
            let delete = [b"\x93\x01\x02\x92\x94\xa1n\xc0\xc4\x01d", key, b"\x00"].concat();
            assert_eq!(all(&delete), Ok(vec![Some((17, LAST))]), "{key:?}");
        }
    }

    #[test]
    fn what_carries_no_identity_is_still_a_notification() {
        assert_eq!(all(&write(b"\xc4\x01k", &[VERSION])), Ok(vec![None]));
        let text = b"\x94\xa2id\x03\0\xa11";
        assert_eq!(all(&write(b"\xa1k", &[text, VERSION])), Ok(vec![None]));
        let too_large = b"\x94\xa2id\x01\0\xcf\xff\xff\xff\xff\xff\xff\xff\xff";
        assert_eq!(all(&write(b"\xc0", &[too_large, VERSION])), Ok(vec![None]));
    }

    #[test]
    fn anything_else_is_refused_and_never_panics() {
        for body in [&b"hello"[..], b"{}", b"\xc1", b"\x93\x01\x01\x93", b"\x93\x01\x01\xdd\xff\xff\xff\xff"]
        {
            assert!(all(body).is_err(), "{body:?}");
        }
        let whole = write(b"\xc0", &[ID, VERSION]);
        for end in 1..whole.len() {
            assert!(all(&whole[..end]).is_err(), "{end} bytes");
        }
        let deep = [b"\x93\x01\x02\x92\x94", &b"\x91".repeat(100_000)[..]].concat();
        assert!(all(&deep).is_err());
        let endless = b"\x93\x01\x02\x92\x94\xdf\xff\xff\xff\xff\xdf\xff\xff\xff\xff";
        assert_eq!(all(endless), Err(Malformed { at: endless.len(), expected: "more bytes" }));
    }
}
