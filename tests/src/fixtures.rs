//! The golden vectors of the wire, cut into records.

use std::{fs, path::PathBuf};

use esp_connector::wire::frame::{self, Kind};

const FRAME_BYTES_MAX: usize = 16 << 20;

/// The body of one message, named like its golden file in `fixtures/format`.
#[derive(Debug)]
pub struct Record {
    /// The vector's name; in a stream with the position of the frame, from 1.
    pub name: String,
    /// What follows the frame's header, inflated when it was compressed.
    pub body: Vec<u8>,
}

/// A folder of the fixtures.
pub fn folder(name: &str) -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures")).join(name)
}

/// Every message of the vectors `xdr-*` and `client-*`, and of `format/records`.
pub fn records() -> Vec<Record> {
    let mut records = Vec::new();
    for folder in ["wire", "format/records"].map(folder) {
        for entry in fs::read_dir(folder).unwrap() {
            let file = entry.unwrap().path();
            let name = file.file_stem().unwrap().to_str().unwrap();
            let wanted = ["xdr-", "client-", "own-"].iter().any(|prefix| name.starts_with(prefix));
            if wanted && file.extension().is_some_and(|extension| extension == "hex") {
                records.append(&mut records_of(name, &unhex(&fs::read_to_string(&file).unwrap())));
            }
        }
    }
    records
}

fn records_of(name: &str, bytes: &[u8]) -> Vec<Record> {
    let bodies = bodies(bytes);
    let alone = bodies.len() == 1;
    let name_of = |index: usize| if alone { name.to_owned() } else { format!("{name}-{}", index + 1) };
    bodies.into_iter().enumerate().map(|(index, body)| Record { name: name_of(index), body }).collect()
}

/// The bodies of all messages in `bytes`, which are whole frames, inflated where they are compressed.
pub fn bodies(mut bytes: &[u8]) -> Vec<Vec<u8>> {
    let mut bodies = Vec::new();
    while !bytes.is_empty() {
        let frame = frame::next(bytes, FRAME_BYTES_MAX).unwrap().expect("the last frame is whole");
        bytes = &bytes[frame.bytes.len()..];
        let mut inflated = Vec::new();
        bodies.push(match frame.kind {
            Kind::Compressed => {
                frame::inflate(frame, FRAME_BYTES_MAX, &mut inflated).unwrap().body().to_vec()
            }
            _ => frame.body().to_vec(),
        });
    }
    bodies
}

fn unhex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.bytes().filter(u8::is_ascii_hexdigit).collect();
    let byte = |pair: &[u8]| u8::from_str_radix(str::from_utf8(pair).unwrap(), 16).unwrap();
    digits.chunks(2).map(byte).collect()
}
