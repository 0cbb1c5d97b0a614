//! The Huffman code of HPACK (RFC 7541, appendix B), decoding only: what we send is not worth the time. Pure.
//!
//! The code is canonical, so the lengths tell all of it: codes of one length follow each other in the order of their
//! symbols.

/// Appends what `input` stands for; `None` when it is not the code of anything.
pub(super) fn decode(input: &[u8], out: &mut Vec<u8>) -> Option<()> {
    let mut input = input.iter();
    // The next bits, from the highest on, and how many there are.
    let (mut bits, mut count) = (0u64, 0u32);
    loop {
        while count <= 56
            && let Some(&byte) = input.next()
        {
            bits |= u64::from(byte) << (56 - count);
            count += 8;
        }
        let (symbol, length) = first(bits);
        if length > count {
            break;
        }
        // The end of a string has a code, but may not be sent.
        out.push(u8::try_from(symbol).ok()?);
        bits <<= length;
        count -= length;
    }
    // The last byte is filled up with ones.
    (count < 8 && bits.leading_ones() >= count).then_some(())
}

/// The symbol that `bits` begin with, and the length of its code.
fn first(bits: u64) -> (u16, u32) {
    let (symbol, length) = SHORT[(bits >> 56) as usize];
    if length > 0 {
        return (symbol, length.into());
    }
    let bits = (bits >> (64 - LENGTH_MAX)) as u32;
    let mut length = 9;
    // Of all codes, those with the greatest length end at the greatest number, so this ends.
    while bits >= CODE.ends[length] {
        length += 1;
    }
    let Some(first) = bits.checked_sub(CODE.ends[length - 1]) else { return (END, LENGTH_MAX) };
    (CODE.symbols[CODE.places[length] + (first >> (LENGTH_MAX as usize - length)) as usize], length as u32)
}

/// Most symbols that text has, by their first eight bits; length 0 where more bits are needed.
const SHORT: [(u16, u8); 256] = {
    let mut short = [(0, 0); 256];
    let mut bits = 0;
    while bits < 256 {
        let mut length = 5;
        while length <= 8 {
            let code = (bits as u32) << (LENGTH_MAX - 8);
            if code < CODE.ends[length] {
                let first = (code - CODE.ends[length - 1]) >> (LENGTH_MAX as usize - length);
                short[bits] = (CODE.symbols[CODE.places[length] + first as usize], length as u8);
                break;
            }
            length += 1;
        }
        bits += 1;
    }
    short
};

struct Code {
    /// By length, where the codes of that length end and longer ones begin, with zeros up to [`LENGTH_MAX`] bits.
    ends: [u32; LENGTH_MAX as usize + 1],
    /// By length, where its symbols begin.
    places: [usize; LENGTH_MAX as usize + 1],
    /// By length, then by number.
    symbols: [u16; SYMBOLS],
}

const CODE: Code = {
    let mut code = Code {
        ends: [0; LENGTH_MAX as usize + 1],
        places: [0; LENGTH_MAX as usize + 1],
        symbols: [0; SYMBOLS],
    };
    let (mut length, mut place, mut end) = (1, 0, 0);
    while length <= LENGTH_MAX as usize {
        code.places[length] = place;
        let mut symbol = 0;
        while symbol < SYMBOLS {
            if LENGTHS[symbol] as usize == length {
                code.symbols[place] = symbol as u16;
                place += 1;
                end += 1 << (LENGTH_MAX as usize - length);
            }
            symbol += 1;
        }
        code.ends[length] = end;
        length += 1;
    }
    code
};

const LENGTH_MAX: u32 = 30;
const SYMBOLS: usize = 257;
/// The end of a string.
const END: u16 = 256;

/// Bits of each symbol's code.
#[rustfmt::skip]
const LENGTHS: [u8; SYMBOLS] = [
    13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 28,
    6, 10, 10, 12, 13, 6, 8, 11, 10, 10, 8, 11, 8, 6, 6, 6, 5, 5, 5, 6, 6, 6, 6, 6, 6, 6, 7, 8, 15, 6, 12, 10,
    13, 6, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 8, 7, 8, 13, 19, 13, 14, 6,
    15, 5, 6, 5, 6, 5, 6, 6, 6, 5, 7, 7, 6, 6, 6, 5, 6, 7, 6, 5, 5, 6, 7, 7, 7, 7, 7, 15, 11, 14, 13, 28,
    20, 22, 20, 20, 22, 22, 22, 23, 22, 23, 23, 23, 23, 23, 24, 23, 24, 24, 22, 23, 24, 23, 23, 23, 23, 21, 22, 23, 22, 23, 23, 24,
    22, 21, 20, 22, 22, 23, 23, 21, 23, 22, 22, 24, 21, 22, 23, 23, 21, 21, 22, 21, 23, 22, 23, 23, 20, 22, 22, 22, 23, 22, 22, 23,
    26, 26, 20, 19, 22, 23, 22, 25, 26, 26, 26, 27, 27, 26, 24, 25, 19, 21, 26, 27, 27, 26, 27, 24, 21, 21, 26, 26, 28, 27, 27, 27,
    20, 24, 20, 21, 22, 21, 21, 23, 22, 22, 25, 25, 24, 24, 26, 23, 26, 27, 26, 26, 27, 27, 27, 27, 27, 28, 27, 27, 27, 27, 27, 26,
    30,
];

#[cfg(test)]
mod tests {
    use super::*;

    /// The code of every symbol, made the other way round.
    fn encode(text: &[u16]) -> Vec<u8> {
        let mut bits = String::new();
        for &symbol in text {
            let length = usize::from(LENGTHS[usize::from(symbol)]);
            let before =
                |other: &u16| (LENGTHS[usize::from(*other)], *other) < (LENGTHS[usize::from(symbol)], symbol);
            let code: u64 =
                (0..SYMBOLS as u16).filter(before).map(|other| 1 << (30 - LENGTHS[usize::from(other)])).sum();
            bits += &format!("{:0length$b}", code >> (30 - length));
        }
        while !bits.len().is_multiple_of(8) {
            bits.push('1');
        }
        bits.as_bytes()
            .chunks(8)
            .map(|bits| u8::from_str_radix(str::from_utf8(bits).unwrap(), 2).unwrap())
            .collect()
    }

    fn decoded(input: &[u8]) -> Option<Vec<u8>> {
        let mut out = Vec::new();
        decode(input, &mut out).map(|()| out)
    }

    #[test]
    fn examples_of_the_rfc() {
        let examples: [(&[u8], &str); 3] = [
            (&[0xf1, 0xe3, 0xc2, 0xe5, 0xf2, 0x3a, 0x6b, 0xa0, 0xab, 0x90, 0xf4, 0xff], "www.example.com"),
            (&[0x25, 0xa8, 0x49, 0xe9, 0x5b, 0xb8, 0xe8, 0xb4, 0xbf], "custom-value"),
            (
                &[
                    0xd0, 0x7a, 0xbe, 0x94, 0x10, 0x54, 0xd4, 0x44, 0xa8, 0x20, 0x05, 0x95, 0x04, 0x0b, 0x81,
                    0x66, 0xe0, 0x82, 0xa6, 0x2d, 0x1b, 0xff,
                ],
                "Mon, 21 Oct 2013 20:13:21 GMT",
            ),
        ];
        for (code, text) in examples {
            assert_eq!(decoded(code).unwrap(), text.as_bytes());
            assert_eq!(encode(&text.bytes().map(u16::from).collect::<Vec<_>>()), code);
        }
        assert_eq!(decoded(b""), Some(Vec::new()));
    }

    #[test]
    fn every_symbol_comes_back_alone_and_between_others() {
        for symbol in 0..=255u8 {
            for text in [vec![symbol], vec![b'a', symbol, symbol, b'0'], vec![symbol; 9]] {
                let code = encode(&text.iter().map(|&byte| byte.into()).collect::<Vec<_>>());
                assert_eq!(decoded(&code), Some(text), "{symbol}");
            }
        }
    }

    #[test]
    fn what_is_no_code_is_refused() {
        assert_eq!(decoded(&[0xff]), None, "a whole byte of padding");
        assert_eq!(decoded(&[0b0001_1000]), None, "padding with zeros");
        assert_eq!(decoded(&[0b0001_1111, 0xff]), None, "more padding than needed");
        assert_eq!(decoded(&encode(&[b'a'.into(), END, b'a'.into()])), None, "the end within");
        assert_eq!(decoded(&encode(&[END])), None, "the end alone");
        assert_eq!(decoded(&[0xff; 40]), None);
    }
}
