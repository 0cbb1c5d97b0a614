//! How a message is laid out: a header, fields, ops, and nothing after them.
//!
//! Only structure is checked here; nothing is allocated, and no count is believed before its bytes are there.

use std::ops::Range;

use super::Problem;
use crate::wire::frame;

/// Bytes of a message header as servers send it. A later protocol may have a longer one.
pub const HEADER_BYTES: usize = 22;

/// Where the times to live stand, of the record and of the transaction. They are relative, so that of a record is
/// another one in every message about the same version.
pub const TTLS: Range<usize> = 10..18;

/// Longest bin name.
pub const BIN_NAME_BYTES_MAX: usize = 15;

/// Field type: namespace.
pub const NAMESPACE: u8 = 0;
/// Field type: set.
pub const SET: u8 = 1;
/// Field type: user key, a particle type and a value.
pub const KEY: u8 = 2;
/// Field type: digest.
pub const DIGEST: u8 = 4;
/// Field type: last-update time.
pub const LUT: u8 = 14;

/// Op: set a bin.
pub const WRITE: u8 = 2;
/// Op: touch the record.
pub const TOUCH: u8 = 11;
/// Op: delete all bins.
pub const DELETE_ALL: u8 = 14;

/// The fixed part of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Bytes of the header itself.
    pub header_bytes: u8,
    /// First byte of bits.
    pub info1: u8,
    /// Second byte of bits.
    pub info2: u8,
    /// Third byte of bits.
    pub info3: u8,
    /// Fourth byte of bits.
    pub info4: u8,
    /// Result code; 0 in requests.
    pub result_code: u8,
    /// Generation of the record.
    pub generation: u32,
    /// Time to live of the record, with its special values.
    pub record_ttl: u32,
    /// Milliseconds the whole transaction may take, 0 for no limit.
    pub transaction_ttl_ms: u32,
    /// Fields that follow.
    pub n_fields: u16,
    /// Ops that follow the fields.
    pub n_ops: u16,
}

impl Header {
    /// Reads the header at the start of `body`, and gives the walk over what follows it.
    pub fn parse(body: &[u8]) -> Result<(Self, Walk<'_>), Problem> {
        let Some(h) = body.first_chunk::<HEADER_BYTES>() else {
            return Err(Problem::Short { found: body.len() });
        };
        let header = Self {
            header_bytes: h[0],
            info1: h[1],
            info2: h[2],
            info3: h[3],
            info4: h[4],
            result_code: h[5],
            generation: u32::from_be_bytes([h[6], h[7], h[8], h[9]]),
            record_ttl: u32::from_be_bytes([h[10], h[11], h[12], h[13]]),
            transaction_ttl_ms: u32::from_be_bytes([h[14], h[15], h[16], h[17]]),
            n_fields: u16::from_be_bytes([h[18], h[19]]),
            n_ops: u16::from_be_bytes([h[20], h[21]]),
        };
        let found = header.header_bytes;
        match body.get(found.into()..) {
            Some(rest) if usize::from(found) >= HEADER_BYTES => {
                Ok((header, Walk { rest, body_bytes: body.len() }))
            }
            _ => Err(Problem::HeaderSize { found }),
        }
    }

    /// Whether the message comes from XDR, not from an ordinary client.
    pub fn is_xdr(&self) -> bool {
        self.info1 & 0x10 != 0
    }

    /// Whether the message deletes a record.
    pub fn is_delete(&self) -> bool {
        self.info2 & 0x02 != 0
    }

    /// Whether a delete leaves a tombstone. The bit may stand on writes, where it means nothing.
    pub fn is_durable(&self) -> bool {
        self.info2 & 0x10 != 0
    }

    /// Whether the message writes or deletes, and is no part of a batch.
    pub fn is_change(&self) -> bool {
        self.info2 & 0x03 != 0 && self.info1 & 0x08 == 0
    }
}

/// One field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Field<'a> {
    /// Number of the field's type.
    pub type_: u8,
    /// What it holds.
    pub data: &'a [u8],
    /// Where it starts, counted from the start of the frame.
    pub at: usize,
}

/// One op.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Op<'a> {
    /// Number of the operation.
    pub op: u8,
    /// Particle type of the value.
    pub particle: u8,
    /// Bin name; empty when the op is about the whole record.
    pub name: &'a [u8],
    /// The bin's own last-update time, raw.
    pub lut: Option<u64>,
    /// The value's bytes.
    pub value: &'a [u8],
    /// Where the op starts, counted from the start of the frame.
    pub at: usize,
}

/// Takes fields, then ops, from the front of what follows a header.
#[derive(Clone, Debug)]
pub struct Walk<'a> {
    rest: &'a [u8],
    body_bytes: usize,
}

impl<'a> Walk<'a> {
    /// The next field.
    pub fn field(&mut self) -> Result<Field<'a>, Problem> {
        let at = self.at();
        let (type_, data) = self
            .sized()
            .ok_or(Problem::FieldOverrun { at })?
            .split_first()
            .ok_or(Problem::FieldEmpty { at })?;
        Ok(Field { type_: *type_, data, at })
    }

    /// The next op.
    pub fn op(&mut self) -> Result<Op<'a>, Problem> {
        const HAS_LUT: u8 = 1;
        let at = self.at();
        let overrun = Problem::OpOverrun { at };
        let Some((&[op, particle, flags, name_bytes], rest)) =
            self.sized().and_then(<[u8]>::split_first_chunk::<4>)
        else {
            return Err(overrun);
        };
        let Some((name, mut value)) = rest.split_at_checked(name_bytes.into()) else {
            return Err(overrun);
        };
        let mut lut = None;
        if flags & HAS_LUT != 0 {
            let Some((bytes, rest)) = value.split_first_chunk::<8>() else { return Err(overrun) };
            lut = Some(u64::from_be_bytes(*bytes));
            value = rest;
        }
        Ok(Op { op, particle, name, lut, value, at })
    }

    /// How many of `announced` ops can be in the bytes that are left.
    pub fn ops_possible(&self, announced: u16) -> usize {
        usize::from(announced).min(self.rest.len() / 8)
    }

    /// Checks that nothing follows.
    pub fn end(&self) -> Result<(), Problem> {
        if self.rest.is_empty() {
            Ok(())
        } else {
            Err(Problem::Trailing { found: self.rest.len(), at: self.at() })
        }
    }

    fn sized(&mut self) -> Option<&'a [u8]> {
        let (size, rest) = self.rest.split_first_chunk::<4>()?;
        let (sized, rest) = rest.split_at_checked(u32::from_be_bytes(*size) as usize)?;
        self.rest = rest;
        Some(sized)
    }

    fn at(&self) -> usize {
        frame::HEADER_BYTES + self.body_bytes - self.rest.len()
    }
}
