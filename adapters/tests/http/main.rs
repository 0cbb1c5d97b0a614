//! The plain HTTP target against peers that answer as scripted, well or badly, and against real servers.
#![allow(clippy::unwrap_used, reason = "a test that fails should say where")]

mod answers;
mod connections;
mod http2;
mod peer;
mod real_peers;
mod requests;
mod tls;
