//! The body of a request to a service that speaks HTTP: a frame, a message, either of them in gzip.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|body: &[u8]| esp_connector::fuzzing::incoming_body(body));
