//! The real binary as a process: signals, kills, exit codes, what it prints and what it never prints.
#![allow(clippy::unwrap_used, unreachable_pub, reason = "a test crate of its own")]

mod commands;
mod dead_letters;
mod failures;
mod harness;
mod health;
mod logs;
mod recording;
mod reload;
mod secrets;
mod sections;
mod service_manager;
mod stores;
mod templates;
mod tls;

// The two ends of the wire are those of the end-to-end tests. By path, because that crate depends on this one.
#[path = "../../../tests/src/chains.rs"]
#[allow(dead_code, reason = "shared; not everything is used here")]
mod chains;
#[path = "../../../tests/src/receiver.rs"]
#[allow(dead_code, reason = "shared; not everything is used here")]
mod receiver;
#[path = "../../../tests/src/xdr_client.rs"]
#[allow(dead_code, reason = "shared; not everything is used here")]
mod xdr_client;
