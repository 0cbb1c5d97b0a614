//! Compressed header blocks of a destination: what can be read is the same when it is written and read again.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| adapters::http2_fuzzed::hpack(input));
