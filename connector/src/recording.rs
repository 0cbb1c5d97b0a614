//! The flight recorder's file format: raw traffic of the XDR port as it came and went, in chunks.
//!
//! A file starts with [`MAGIC`]. Each chunk is a big-endian header (microseconds since the Unix epoch: u64,
//! connection: u64, direction: u8, length: u32) and then its bytes. Chunks are pieces of a TCP stream, not
//! frames: whoever reads a file puts the streams of each connection and direction together again. A file that
//! follows an earlier one may start in the middle of a stream.

use std::{
    borrow::Cow,
    io::{self, Read},
};

/// The first bytes of a recording.
pub const MAGIC: &[u8; 8] = b"ESPREC1\n";

/// Most bytes a chunk may hold. Readers refuse more, so that a damaged length reserves no memory.
pub const CHUNK_BYTES_MAX: usize = 16 << 20;

const HEADER_BYTES: usize = 21;

/// Something that happened on one connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chunk<'a> {
    /// When, in microseconds since the Unix epoch.
    pub time_unix_us: u64,
    /// Which connection: unique within one run of the connector.
    pub connection: u64,
    /// What happened.
    pub direction: Direction,
    /// The bytes that passed; none when the connection opened or closed.
    pub bytes: Cow<'a, [u8]>,
}

/// What a chunk tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Direction {
    /// Bytes the peer sent.
    FromPeer = 0,
    /// Bytes sent to the peer.
    ToPeer = 1,
    /// The connection was accepted.
    Opened = 2,
    /// The connection ended.
    Closed = 3,
}

impl Direction {
    fn from_byte(byte: u8) -> Option<Self> {
        [Self::FromPeer, Self::ToPeer, Self::Opened, Self::Closed].get(usize::from(byte)).copied()
    }
}

/// Appends one chunk; several when the bytes are more than one may hold.
pub fn encode(chunk: &Chunk<'_>, out: &mut Vec<u8>) {
    let mut rest = &*chunk.bytes;
    loop {
        let (piece, after) = rest.split_at(rest.len().min(CHUNK_BYTES_MAX));
        out.reserve(HEADER_BYTES + piece.len());
        out.extend_from_slice(&chunk.time_unix_us.to_be_bytes());
        out.extend_from_slice(&chunk.connection.to_be_bytes());
        out.push(chunk.direction as u8);
        out.extend_from_slice(&(piece.len() as u32).to_be_bytes());
        out.extend_from_slice(piece);
        rest = after;
        if rest.is_empty() {
            return;
        }
    }
}

/// Reads the chunks of a recording, one at a time.
///
/// A file that ends inside a chunk, as it does when the connector was killed, ends with an error of kind
/// [`io::ErrorKind::UnexpectedEof`] after the last whole chunk.
#[derive(Debug)]
pub struct Reader<R> {
    inner: R,
    /// Bytes read so far, for messages.
    offset: u64,
    ended: bool,
}

impl<R: Read> Reader<R> {
    /// Starts at the magic bytes of a file.
    pub fn new(mut inner: R) -> io::Result<Self> {
        let mut magic = [0; MAGIC.len()];
        inner.read_exact(&mut magic)?;
        if magic != *MAGIC {
            return Err(invalid("not a recording: it does not start with ESPREC1".into()));
        }
        Ok(Self { inner, offset: MAGIC.len() as u64, ended: false })
    }

    fn read_chunk(&mut self) -> io::Result<Option<Chunk<'static>>> {
        let mut header = Vec::with_capacity(HEADER_BYTES);
        (&mut self.inner).take(HEADER_BYTES as u64).read_to_end(&mut header)?;
        if header.is_empty() {
            return Ok(None);
        }
        let cut = || {
            let text = format!("the recording ends inside the chunk at byte {}", self.offset);
            io::Error::new(io::ErrorKind::UnexpectedEof, text)
        };
        let Some((times, rest)) = header.split_first_chunk::<8>() else { return Err(cut()) };
        let Some((connection, rest)) = rest.split_first_chunk::<8>() else { return Err(cut()) };
        let Ok([direction, length @ ..]) = <[u8; 5]>::try_from(rest) else { return Err(cut()) };
        let Some(direction) = Direction::from_byte(direction) else {
            let at = self.offset + 16;
            return Err(invalid(format!(
                "direction {direction} at byte {at} of the recording, expected 0 to 3"
            )));
        };
        let length = u32::from_be_bytes(length) as usize;
        if length > CHUNK_BYTES_MAX {
            let at = self.offset + 17;
            return Err(invalid(format!(
                "a chunk of {length} bytes at byte {at} of the recording, expected at most {CHUNK_BYTES_MAX}"
            )));
        }
        let mut bytes = Vec::new();
        (&mut self.inner).take(length as u64).read_to_end(&mut bytes)?;
        if bytes.len() < length {
            return Err(cut());
        }
        self.offset += (HEADER_BYTES + length) as u64;
        Ok(Some(Chunk {
            time_unix_us: u64::from_be_bytes(*times),
            connection: u64::from_be_bytes(*connection),
            direction,
            bytes: Cow::Owned(bytes),
        }))
    }
}

impl<R: Read> Iterator for Reader<R> {
    type Item = io::Result<Chunk<'static>>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        let chunk = self.read_chunk().transpose();
        self.ended = !matches!(chunk, Some(Ok(_)));
        chunk
    }
}

fn invalid(text: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chunks() -> Vec<Chunk<'static>> {
        let chunk = |time_unix_us, connection, direction, bytes: &[u8]| Chunk {
            time_unix_us,
            connection,
            direction,
            bytes: Cow::Owned(bytes.to_vec()),
        };
        vec![
            chunk(1, 7, Direction::Opened, b""),
            chunk(2, 7, Direction::FromPeer, b"hello"),
            chunk(u64::MAX, u64::MAX, Direction::ToPeer, &[0; 300]),
            chunk(4, 7, Direction::Closed, b""),
        ]
    }

    fn file() -> Vec<u8> {
        let mut file = MAGIC.to_vec();
        chunks().iter().for_each(|chunk| encode(chunk, &mut file));
        file
    }

    #[test]
    fn bytes_are_as_documented() {
        let mut file = Vec::new();
        encode(&chunks()[1], &mut file);
        assert_eq!(file[..21], [0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 7, 0, 0, 0, 0, 5]);
        assert_eq!(&file[21..], b"hello");
    }

    #[test]
    fn what_was_written_is_read() {
        let read: Vec<_> = Reader::new(&*file()).unwrap().map(Result::unwrap).collect();
        assert_eq!(read, chunks());
    }

    #[test]
    fn every_cut_gives_the_whole_chunks_and_says_so_once() {
        let file = file();
        let ends = [8, 29, 55, 376, 397];
        for end in MAGIC.len()..file.len() {
            let read: Vec<_> = Reader::new(&file[..end]).unwrap().collect();
            let whole = ends.iter().filter(|&&whole| whole <= end).count() - 1;
            assert_eq!(read.iter().filter(|chunk| chunk.is_ok()).count(), whole, "{end}");
            assert_eq!(read.len() - whole, usize::from(!ends.contains(&end)), "{end}");
        }
    }

    #[test]
    fn damage_is_named() {
        assert!(Reader::new(&b"ESPREC2\n"[..]).is_err());
        let mut wrong = file();
        wrong[8 + 16] = 9;
        let error = Reader::new(&*wrong).unwrap().next().unwrap().unwrap_err();
        assert_eq!(error.to_string(), "direction 9 at byte 24 of the recording, expected 0 to 3");
        let mut huge = file();
        huge[8 + 17] = 0xff;
        let error = Reader::new(&*huge).unwrap().next().unwrap().unwrap_err();
        assert!(error.to_string().starts_with("a chunk of 4278190080 bytes at byte 25"), "{error}");
    }

    #[test]
    fn large_pieces_are_split() {
        let chunk = Chunk { bytes: Cow::Owned(vec![1; CHUNK_BYTES_MAX + 1]), ..chunks()[1].clone() };
        let mut file = MAGIC.to_vec();
        encode(&chunk, &mut file);
        let lengths: Vec<_> = Reader::new(&*file).unwrap().map(|chunk| chunk.unwrap().bytes.len()).collect();
        assert_eq!(lengths, [CHUNK_BYTES_MAX, 1]);
    }
}
