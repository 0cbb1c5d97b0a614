//! A whole connection's bytes: frames, what is inside compressed ones, and the answers that need no record.
#![no_main]

use esp_connector::wire::{
    frame::{self, HEADER_BYTES, Kind},
    info::{self, NodeFacts},
    message, security,
};
use libfuzzer_sys::fuzz_target;

const FRAME_BYTES_MAX: usize = 1 << 20;

fuzz_target!(|stream: &[u8]| {
    let facts = NodeFacts {
        node_id: info::node_id("fuzz"),
        build: "8.1.0.0".into(),
        cluster_name: None,
        namespaces: vec!["test".into()],
        address: ([127, 0, 0, 1], 8901).into(),
    };
    let mut rest = stream;
    while let Ok(Some(frame)) = frame::next(rest, FRAME_BYTES_MAX) {
        assert!(frame.bytes.len() >= HEADER_BYTES);
        assert_eq!(frame.bytes.len(), frame::needed(rest));
        rest = &rest[frame.bytes.len()..];
        let mut out = Vec::new();
        match frame.kind {
            Kind::Info => info::answer(frame.body(), &facts, &mut out),
            Kind::Security => {
                security::answer(frame.body(), &mut out);
                assert_eq!(out.len(), 24);
            }
            Kind::Message => _ = message::decode(frame.body(), 1_700_000_000_000),
            Kind::Compressed => {
                if let Ok(inner) = frame::inflate(frame, FRAME_BYTES_MAX, &mut out) {
                    assert_eq!(inner.kind, Kind::Message);
                    assert!(inner.bytes.len() <= FRAME_BYTES_MAX + HEADER_BYTES);
                    let _ = message::decode(inner.body(), 1_700_000_000_000);
                }
                assert!(out.len() <= FRAME_BYTES_MAX + HEADER_BYTES);
            }
        }
    }
});
