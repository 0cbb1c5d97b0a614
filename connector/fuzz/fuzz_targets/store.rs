//! A key store, JKS or PKCS12, with the password of the stores it starts from.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| adapters::fuzzing::store(bytes, "changeit"));
