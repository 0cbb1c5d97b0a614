//! The plain HTTP target against peers that answer as scripted, well or badly, and against real servers.
#![allow(clippy::unwrap_used, reason = "a test that fails should say where")]

mod answers;
mod bulk;
mod connections;
mod frames;
mod http2;
mod log;
mod partial;
mod peer;
mod real_peers;
mod requests;
mod sessions;
mod signed;
mod tls;
mod webhook;

// Shared with the tests of the connector. By path, because that crate depends on this one.
#[path = "../../../tests/src/chains.rs"]
#[allow(dead_code, unreachable_pub, reason = "shared; not everything is used here")]
mod chains;
