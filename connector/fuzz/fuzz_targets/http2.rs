//! What a destination sends on an HTTP/2 connection: every request comes to an end, and nothing piles up.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| adapters::http2_fuzzed::peer(input));
