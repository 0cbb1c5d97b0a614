use std::{io::Read as _, path::Path};

use flate2::read::ZlibDecoder;

use super::*;
use crate::simulator::particle::{MapOrder, Particle};

const LUT_UNIX_MS: u64 = 1_698_586_936_461;

/// The bytes of a vector, which were captured or assembled elsewhere (see `tests/fixtures/wire/README.md`).
fn golden(name: &str) -> Vec<u8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../tests/fixtures/wire/{name}.hex"));
    let text: String = std::fs::read_to_string(path).unwrap().split_whitespace().collect();
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
}

fn key1_head(change: Change) -> Head<'static> {
    Head {
        change,
        namespace: b"test",
        set: Some(b"demo"),
        digest: digest(Some(b"demo"), UserKey::String(b"key1")),
        user_key: Some(UserKey::String(b"key1")),
        generation: 2,
        ttl_seconds: 0,
        lut_unix_ms: Some(LUT_UNIX_MS),
    }
}

fn message(head: &Head<'_>, bins: &[(&str, Particle<'_>)]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut message = Message::begin(&mut out, head);
    for (name, value) in bins {
        message.bin(name.as_bytes(), value);
    }
    message.finish();
    out
}

fn all_types() -> Vec<u8> {
    use Particle::{
        Blob, Boolean, Double, GeoJson, Hll, Integer, LanguageBlob, List, Map, Null, String as Text,
    };
    let head = Head { generation: 7, ttl_seconds: 2_592_000, ..key1_head(Change::Replace) };
    let hll = [&[0u8, 4][..], &[0; 21]].concat();
    let point = br#"{"type":"Point","coordinates":[-122.0,37.5]}"#;
    message(
        &head,
        &[
            ("i", Integer(42)),
            ("ineg", Integer(-1)),
            ("d", Double(3.5)),
            ("s", Text("héllo".as_bytes())),
            ("b", Blob(&[0, 1, 255])),
            ("t", Boolean(true)),
            ("f", Boolean(false)),
            ("h", Hll(&hll)),
            (
                "m",
                Map {
                    order: MapOrder::None,
                    entries: &[(Text(b"a"), Integer(1)), (Integer(7), Text(b"seven"))],
                },
            ),
            (
                "om",
                Map { order: MapOrder::Key, entries: &[(Text(b"a"), Integer(1)), (Text(b"z"), Integer(26))] },
            ),
            (
                "kvm",
                Map {
                    order: MapOrder::KeyValue,
                    entries: &[(Integer(1), List { ordered: false, items: &[Integer(1), Integer(2)] })],
                },
            ),
            (
                "l",
                List {
                    ordered: false,
                    items: &[Integer(1), Text(b"a"), Blob(&[1]), Boolean(true), Double(1.5), Null],
                },
            ),
            ("ol", List { ordered: true, items: &[Integer(1), Integer(2), Integer(3)] }),
            ("g", GeoJson { cells: &[], text: point }),
            ("gcell", GeoJson { cells: &[0x8085_9c00_0000_0000], text: point }),
            ("jb", LanguageBlob(7, &[0xac, 0xed, 0, 5])),
            ("pb", LanguageBlob(9, &[0x80, 4, 0x4b, 1, b'.'])),
        ],
    )
}

#[test]
fn digests_match_the_published_ones() {
    let hex = |bytes: [u8; 20]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    assert_eq!(
        hex(digest(Some(b"demo"), UserKey::String(b"key1"))),
        "ec91192d4b7f8ce35d5d78d34bca65cbaaaac960"
    );
    assert_eq!(hex(digest(Some(b"demo"), UserKey::Integer(123))), "595a7b63eb185dbebd842553a44802b1a30ec159");
    assert_eq!(
        hex(digest(Some(b"demo"), UserKey::Blob(&[0xde, 0xad]))),
        "83108d371206c9b4f983a2d34bf8ba3d1e57db0f"
    );
    assert_eq!(hex(digest(None, UserKey::Integer(-5))), "f99b30f8b25a3bfdb9226de38332fbb1da23b8c8");
}

#[test]
fn every_bin_type_is_byte_equal() {
    assert_eq!(all_types(), golden("xdr-01-write-all-types"));
}

#[test]
fn the_measured_write_is_byte_equal() {
    let head = Head {
        digest: digest(Some(b"demo"), UserKey::Integer(123)),
        user_key: Some(UserKey::Integer(123)),
        generation: 1,
        ttl_seconds: 2_592_000,
        ..key1_head(Change::Replace)
    };
    let bytes = message(&head, &[("tval", Particle::String(b"test-value-ankush-first"))]);
    assert_eq!(bytes.len(), 135);
    assert_eq!(bytes, golden("xdr-02-write-135"));
}

#[test]
fn deletes_are_byte_equal() {
    assert_eq!(message(&key1_head(Change::Delete), &[]), golden("xdr-03-delete"));
    assert_eq!(message(&key1_head(Change::DurableDelete), &[]), golden("xdr-04-delete-durable"));
    let minimal =
        Head { set: None, user_key: None, generation: 0, lut_unix_ms: None, ..key1_head(Change::Delete) };
    assert_eq!(message(&minimal, &[]), golden("xdr-05-delete-minimal"));
}

#[test]
fn fields_that_are_absent_and_bins_that_are_gone_are_byte_equal() {
    let bare =
        Head { set: None, user_key: None, generation: 3, ttl_seconds: u32::MAX, ..key1_head(Change::Update) };
    assert_eq!(message(&bare, &[("a", Particle::Integer(1))]), golden("xdr-06-write-no-key-no-set"));
    let head = Head { generation: 4, ttl_seconds: 60, ..key1_head(Change::Update) };
    let bins = [("a", Particle::Integer(1)), ("gone", Particle::Null)];
    assert_eq!(message(&head, &bins), golden("xdr-08-write-bin-deleted"));
    let head = Head { generation: 5, ..head };
    assert_eq!(message(&head, &[]), golden("xdr-10-write-no-ops"));
}

#[test]
fn a_compressed_frame_holds_the_whole_plain_one() {
    let plain = all_types();
    let mut out = b"before".to_vec();
    let head = Head { generation: 7, ttl_seconds: 2_592_000, ..key1_head(Change::Replace) };
    let mut message = Message::begin(&mut out, &head);
    let text = [b'x'; 300];
    message.bin(b"s", &Particle::String(&text));
    assert!(message.finish_compressed());
    assert_eq!(&out[..6], b"before");
    let frame = &out[6..];
    assert_eq!(&frame[..2], &golden("xdr-13-write-compressed")[..2]);
    let size = u64::from_be_bytes([0, 0, frame[2], frame[3], frame[4], frame[5], frame[6], frame[7]]);
    assert_eq!(size as usize, frame.len() - 8);
    let mut inner = Vec::new();
    ZlibDecoder::new(&frame[16..]).read_to_end(&mut inner).unwrap();
    assert_eq!(u64::from_be_bytes(frame[8..16].try_into().unwrap()) as usize, inner.len());
    assert_eq!(&inner[30..30 + 9], &plain[30..30 + 9], "same namespace field");
    assert!(inner.ends_with(&text));
}

#[test]
fn small_and_incompressible_messages_stay_plain() {
    let mut out = Vec::new();
    assert!(!Message::begin(&mut out, &key1_head(Change::Delete)).finish_compressed());
    assert_eq!(out, golden("xdr-03-delete"));
    out.clear();
    let mut message = Message::begin(&mut out, &key1_head(Change::Update));
    let noise: Vec<u8> = (0u64..64).flat_map(|i| super::super::random::mix(i).to_be_bytes()).collect();
    message.bin(b"b", &Particle::Blob(&noise));
    assert!(!message.finish_compressed());
    assert_eq!(out[1], 3);
}

#[test]
fn list_elements_are_packed_as_the_official_client_packs_them() {
    use Particle::{Blob, Boolean, Double, GeoJson, Integer, List, Map, Null, String as Text};
    let mut out = Vec::new();
    let inner = [Integer(3)];
    let numbers =
        [1, -1, 127, 128, 255, 256, 65535, 65536, 4_294_967_296, -32, -33, -129, -32769, -2_147_483_649];
    let mut items: Vec<Particle<'_>> = numbers.into_iter().map(Integer).collect();
    let nested = [Integer(2), List { ordered: false, items: &inner }];
    let entries = [(Text(b"k"), Integer(1))];
    items.extend([
        Double(1.5),
        Text(b"a"),
        Text(b""),
        Blob(&[1, 2]),
        Blob(&[]),
        Boolean(true),
        Boolean(false),
        Null,
        List { ordered: false, items: &nested },
        Map { order: MapOrder::None, entries: &entries },
        GeoJson { cells: &[], text: br#"{"type": "Point", "coordinates": [1.0, 2.0]}"# },
    ]);
    List { ordered: false, items: &items }.write(&mut out);
    assert!(golden("client-02-put-list").ends_with(&out), "{out:02x?}");
}
