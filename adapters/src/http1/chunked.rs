//! The chunks of a body. Extensions and trailers are skipped.
//!
//! By hand, because `httparse` reads a line that holds no size as the last chunk, and wants each line whole.

use super::Malformed;

/// Most bytes of all that is neither content nor the size of a chunk: extensions and trailers.
const ASIDE_BYTES_MAX: usize = 16 * 1024;
/// Digits of a size, which fit into 64 bits.
const DIGITS_MAX: u8 = 16;

/// Chunks, as far as they have not come yet.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Chunks {
    at: At,
    /// Bytes of the chunk that have not come yet, or its size as far as it was read.
    left: u64,
    digits: u8,
    aside: usize,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum At {
    #[default]
    Size,
    SpaceAfterSize,
    Extension,
    SizeLineFeed,
    Data,
    DataReturn,
    DataLineFeed,
    /// The begin of a line behind the last chunk.
    Line,
    TrailerName,
    TrailerValue,
    TrailerLineFeed,
    LastLineFeed,
    End,
}

impl Chunks {
    /// As [`super::Body::read`]. Ends at the end of each piece of content.
    pub(super) fn read<'a>(&mut self, bytes: &'a [u8]) -> Result<(usize, &'a [u8]), Malformed> {
        for (index, byte) in bytes.iter().enumerate() {
            if self.at == At::End {
                return Ok((index, &[]));
            }
            if self.at == At::Data {
                let rest = &bytes[index..];
                let length = usize::try_from(self.left).unwrap_or(usize::MAX).min(rest.len());
                self.left -= length as u64;
                if self.left == 0 {
                    self.at = At::DataReturn;
                }
                return Ok((index + length, &rest[..length]));
            }
            self.at = self.step(*byte)?;
        }
        Ok((bytes.len(), &[]))
    }

    /// Whether the empty line behind the last chunk has come.
    pub(super) fn is_whole(&self) -> bool {
        self.at == At::End
    }

    fn step(&mut self, byte: u8) -> Result<At, Malformed> {
        Ok(match (self.at, byte) {
            (At::Size, digit) if digit.is_ascii_hexdigit() => self.digit(digit)?,
            (At::Size, _) if self.digits == 0 => return Err(Malformed("a chunk without a size")),
            (At::Size | At::SpaceAfterSize, b' ' | b'\t') => self.skip(At::SpaceAfterSize)?,
            (At::Size | At::SpaceAfterSize, b';') => self.skip(At::Extension)?,
            (At::Size | At::SpaceAfterSize | At::Extension, b'\r') => At::SizeLineFeed,
            (At::Extension, byte) if byte != b'\n' => self.skip(At::Extension)?,
            (At::SizeLineFeed, b'\n') => {
                self.digits = 0;
                if self.left == 0 { At::Line } else { At::Data }
            }
            (At::DataReturn, b'\r') => At::DataLineFeed,
            (At::DataLineFeed, b'\n') => At::Size,
            (At::Line, b'\r') => At::LastLineFeed,
            (At::TrailerName, b':') => self.skip(At::TrailerValue)?,
            (At::Line | At::TrailerName, byte) if is_of_a_name(byte) => self.skip(At::TrailerName)?,
            (At::TrailerValue, b'\r') => At::TrailerLineFeed,
            (At::TrailerValue, byte) if byte == b'\t' || !byte.is_ascii_control() => {
                self.skip(At::TrailerValue)?
            }
            (At::TrailerLineFeed, b'\n') => At::Line,
            (At::LastLineFeed, b'\n') => At::End,
            (At::Size | At::SpaceAfterSize, _) => return Err(Malformed("the size of a chunk is no number")),
            (At::Line | At::TrailerName | At::TrailerValue, _) => {
                return Err(Malformed("what follows its chunks is no header"));
            }
            _ => return Err(Malformed("a line of its chunks ends wrongly")),
        })
    }

    fn digit(&mut self, digit: u8) -> Result<At, Malformed> {
        self.digits += 1;
        if self.digits > DIGITS_MAX {
            return Err(Malformed("the size of a chunk has more than 16 digits"));
        }
        let value = char::from(digit).to_digit(16).unwrap_or_default();
        self.left = self.left << 4 | u64::from(value);
        Ok(At::Size)
    }

    fn skip(&mut self, next: At) -> Result<At, Malformed> {
        self.aside += 1;
        if self.aside > ASIDE_BYTES_MAX {
            return Err(Malformed("its extensions and trailers are longer than 16384 bytes"));
        }
        Ok(next)
    }
}

/// RFC 9110, 5.6.2.
fn is_of_a_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}
