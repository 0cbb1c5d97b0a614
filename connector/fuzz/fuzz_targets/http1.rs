//! An answer of HTTP/1.1: the first byte says how large the pieces are that it comes in. Whole or in pieces, it must say the same.
#![no_main]

use adapters::http1::{HEAD_BYTES_MAX, Head, HeadReader, Malformed};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let Some((&first, bytes)) = input.split_first() else { return };
    let (to_head, piece) = (first >= 128, usize::from(first % 128) + 1);
    assert_eq!(read(bytes, piece, to_head), read(bytes, bytes.len().max(1), to_head));
});

/// Status, number of headers, content, whether it ended, and how much of `bytes` it was; `None` when no head came.
type Answer = Option<(u16, usize, Vec<u8>, bool, usize)>;

fn read(bytes: &[u8], piece: usize, to_head: bool) -> Answer {
    let (mut reader, mut unread, mut used) = (HeadReader::new(to_head), Vec::new(), 0);
    let mut pieces = bytes.chunks(piece);
    let mut head = loop {
        unread.extend_from_slice(pieces.next()?);
        let (length, head) = reader.read(&unread).ok()?;
        used += take(&mut unread, length);
        if let Some(head) = head {
            break head;
        }
        assert!(unread.len() < HEAD_BYTES_MAX, "kept without bound");
    };
    let mut content = Vec::new();
    loop {
        match body(&mut head, &mut unread, &mut content) {
            Ok(length) => used += length,
            Err(_) => return Some((head.status.as_u16(), head.headers.len(), content, false, 0)),
        }
        let whole = head.body.is_whole();
        let Some(next) = pieces.next().filter(|_| !whole) else {
            return Some((head.status.as_u16(), head.headers.len(), content, whole, used));
        };
        unread.extend_from_slice(next);
    }
}

fn body(head: &mut Head, unread: &mut Vec<u8>, content: &mut Vec<u8>) -> Result<usize, Malformed> {
    let mut used = 0;
    while !head.body.is_whole() && !unread.is_empty() {
        let (length, found) = head.body.read(unread)?;
        assert!(length > 0, "stands still");
        content.extend_from_slice(found);
        used += take(unread, length);
    }
    Ok(used)
}

fn take(unread: &mut Vec<u8>, length: usize) -> usize {
    unread.drain(..length);
    length
}
