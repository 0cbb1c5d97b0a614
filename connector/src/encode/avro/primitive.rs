//! The primitive types of Avro's binary encoding.

use super::super::text::utf8;

/// Appends an `int`, a `long`, a length or the index of a branch.
#[inline]
pub(super) fn write_long(long: i64, out: &mut Vec<u8>) {
    // Lengths and indexes, nearly always.
    match zigzag(long) {
        short @ 0..0x80 => out.push(short as u8),
        long => write_varint(long, out),
    }
}

fn write_varint(mut rest: u64, out: &mut Vec<u8>) {
    let mut bytes = [0; 10];
    let mut len = 0;
    while rest >= 0x80 {
        bytes[len] = rest as u8 | 0x80;
        rest >>= 7;
        len += 1;
    }
    bytes[len] = rest as u8;
    out.extend_from_slice(&bytes[..=len]);
}

/// Appends a length or a count.
#[inline]
pub(super) fn write_len(len: usize, out: &mut Vec<u8>) {
    write_long(len as i64, out);
}

/// Bytes that [`write_len`] takes.
pub(super) fn len_bytes(len: usize) -> usize {
    let significant_bits = 64 - (zigzag(len as i64) | 1).leading_zeros() as usize;
    significant_bits.div_ceil(7)
}

/// Appends `bytes`, or text that is known to be UTF-8.
#[inline]
pub(super) fn write_bytes(bytes: &[u8], out: &mut Vec<u8>) {
    write_len(bytes.len(), out);
    out.extend_from_slice(bytes);
}

/// Appends a `string`. What is not UTF-8 becomes U+FFFD: the record still arrives.
#[inline]
pub(super) fn write_text(text: &[u8], out: &mut Vec<u8>) {
    write_bytes(&utf8(text), out);
}

fn zigzag(long: i64) -> u64 {
    ((long << 1) ^ (long >> 63)) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn longs_are_zigzag_varints() {
        // The table of the specification, and the ends of the range.
        let cases: [(i64, &[u8]); 9] = [
            (0, &[0]),
            (-1, &[1]),
            (1, &[2]),
            (-64, &[0x7f]),
            (64, &[0x80, 1]),
            (8191, &[0xfe, 0x7f]),
            (8192, &[0x80, 0x80, 1]),
            (i64::MAX, &[0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1]),
            (i64::MIN, &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1]),
        ];
        for (long, expected) in cases {
            let mut out = Vec::new();
            write_long(long, &mut out);
            assert_eq!(out, expected, "{long}");
        }
    }

    #[test]
    fn the_size_of_a_length_is_known_before_it_is_written() {
        for len in [0, 1, 63, 64, 8191, 8192, 1 << 20, (1 << 20) - 1, usize::MAX >> 1] {
            let mut out = Vec::new();
            write_len(len, &mut out);
            assert_eq!(len_bytes(len), out.len(), "{len}");
        }
    }
}
