//! Header blocks to fields. Pure.
//!
//! Whatever a block holds, decoding it takes no more memory than the table and the block itself: fields are shown, not
//! gathered.

use super::{
    huffman,
    table::{FIELD_BYTES, Table},
};

/// The receiving half of HPACK.
#[derive(Debug)]
pub(crate) struct Decoder {
    table: Table,
    /// Most that the sender may make of the table.
    table_bytes_max: usize,
    name: Vec<u8>,
    value: Vec<u8>,
}

/// The block cannot be read, and with it no later one.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Unreadable;

impl Decoder {
    pub(crate) fn new(table_bytes_max: usize) -> Self {
        Self { table: Table::new(table_bytes_max), table_bytes_max, name: Vec::new(), value: Vec::new() }
    }

    /// Shows every field of a block, name and value, and what it counts in a list of fields.
    pub(crate) fn decode(
        &mut self,
        mut block: &[u8],
        mut field: impl FnMut(&[u8], &[u8], usize),
    ) -> Result<(), Unreadable> {
        let Self { table, table_bytes_max, name, value } = self;
        let block = &mut block;
        let mut begun = false;
        let mut show = |name: &[u8], value: &[u8]| field(name, value, name.len() + value.len() + FIELD_BYTES);
        while let Some(&first) = block.first() {
            if first & 0xe0 == 0x20 {
                let bytes = number(block, 5)?;
                if begun || bytes > *table_bytes_max {
                    return Err(Unreadable);
                }
                table.resize(bytes);
                continue;
            }
            begun = true;
            if first & 0x80 != 0 {
                let (name, value) = table.field(number(block, 7)?).ok_or(Unreadable)?;
                show(name, value);
                continue;
            }
            let added = first & 0x40 != 0;
            let index = number(block, if added { 6 } else { 4 })?;
            name.clear();
            if index == 0 {
                text(block, name)?;
            } else {
                name.extend_from_slice(table.field(index).ok_or(Unreadable)?.0);
            }
            value.clear();
            text(block, value)?;
            show(name, value);
            if added {
                table.add(name, value);
            }
        }
        Ok(())
    }
}

/// Takes a number that begins in the last `bits` of the next byte: section 5.1.
fn number(block: &mut &[u8], bits: u32) -> Result<usize, Unreadable> {
    let full = (1usize << bits) - 1;
    let mut number = usize::from(take(block)?) & full;
    if number < full {
        return Ok(number);
    }
    // Nothing here is larger than that.
    for shift in [0, 7, 14, 21] {
        let byte = usize::from(take(block)?);
        number += (byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Ok(number);
        }
    }
    Err(Unreadable)
}

/// Takes a string: section 5.2.
fn text(block: &mut &[u8], out: &mut Vec<u8>) -> Result<(), Unreadable> {
    let coded = block.first().is_some_and(|first| first & 0x80 != 0);
    let length = number(block, 7)?;
    let (text, rest) = block.split_at_checked(length).ok_or(Unreadable)?;
    *block = rest;
    if coded {
        huffman::decode(text, out).ok_or(Unreadable)
    } else {
        out.extend_from_slice(text);
        Ok(())
    }
}

fn take(block: &mut &[u8]) -> Result<u8, Unreadable> {
    block.split_off_first().copied().ok_or(Unreadable)
}
