//! Fields to header blocks. Pure.
//!
//! Texts go as they are: the Huffman code saves bytes and costs time. What is the same in every request is added to the table
//! and then takes one byte.

use super::table::{Table, fixed};

/// The sending half of HPACK.
#[derive(Debug)]
pub(crate) struct Encoder {
    table: Table,
    /// The smallest size since the last block, and the present one, which the next block has to tell.
    resized: Option<(usize, usize)>,
    /// Changes whenever an index may mean another field.
    generation: u64,
}

/// Whether a field may be remembered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Remember {
    /// It will come again.
    Yes,
    /// It differs from request to request.
    No,
    /// It is a secret: nobody on the way may remember it either.
    Never,
}

impl Encoder {
    pub(crate) fn new() -> Self {
        Self { table: Table::new(TABLE_BYTES_MAX), resized: None, generation: 0 }
    }

    /// The peer keeps so many bytes, of which we use some.
    pub(crate) fn resize(&mut self, bytes: usize) {
        let bytes = bytes.min(TABLE_BYTES_MAX);
        if bytes == self.table.bytes_max() {
            return;
        }
        let smallest = self.resized.map_or(bytes, |(smallest, _)| smallest.min(bytes));
        self.resized = Some((smallest, bytes));
        self.table.resize(bytes);
        self.generation += 1;
    }

    /// While this stays the same, so do the bytes of a block that remembers nothing new.
    pub(crate) fn generation(&self) -> u64 {
        self.generation
    }

    /// What has to stand before the first field of a block.
    pub(crate) fn begin(&mut self, out: &mut Vec<u8>) {
        if let Some((smallest, last)) = self.resized.take() {
            if smallest < last {
                number(out, 0x20, 5, smallest);
            }
            number(out, 0x20, 5, last);
        }
    }

    /// Appends a field.
    pub(crate) fn field(&mut self, name: &[u8], value: &[u8], remember: Remember, out: &mut Vec<u8>) {
        let (index, whole) = fixed(name, value);
        if remember != Remember::Never {
            if whole {
                return number(out, 0x80, 7, index);
            }
            if let Some(index) = self.table.find(name, value) {
                return number(out, 0x80, 7, index);
            }
        }
        match remember {
            Remember::Yes => {
                number(out, 0x40, 6, index);
                self.table.add(name, value);
                self.generation += 1;
            }
            Remember::No => number(out, 0x00, 4, index),
            Remember::Never => number(out, 0x10, 4, index),
        }
        if index == 0 {
            text(out, name);
        }
        text(out, value);
    }

    /// Appends `content-length`, the one field that differs in every request.
    pub(crate) fn content_length(length: usize, out: &mut Vec<u8>) {
        let mut digits = [0; 20];
        let mut at = digits.len();
        let mut rest = length;
        loop {
            at -= 1;
            digits[at] = b'0' + (rest % 10) as u8;
            rest /= 10;
            if rest == 0 {
                break;
            }
        }
        number(out, 0x00, 4, fixed(b"content-length", b"").0);
        text(out, &digits[at..]);
    }
}

/// Appends a number whose first bits share a byte with `mark`.
fn number(out: &mut Vec<u8>, mark: u8, bits: u32, number: usize) {
    let full = (1usize << bits) - 1;
    if number < full {
        out.push(mark | number as u8);
        return;
    }
    out.push(mark | full as u8);
    let mut rest = number - full;
    while rest >= 0x80 {
        out.push(rest as u8 | 0x80);
        rest >>= 7;
    }
    out.push(rest as u8);
}

fn text(out: &mut Vec<u8>, text: &[u8]) {
    number(out, 0x00, 7, text.len());
    out.extend_from_slice(text);
}

/// As much as every peer keeps that says nothing else.
const TABLE_BYTES_MAX: usize = 4096;
