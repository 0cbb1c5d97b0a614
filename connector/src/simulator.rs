//! Plays an XDR source against any connector, and keeps the ledger that proves at-least-once.

pub mod encode;
pub mod latency;
pub mod ledger;
pub mod ledger_file;
pub mod particle;
pub mod random;
pub mod workload;
