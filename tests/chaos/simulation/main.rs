//! The whole connector in one process, on a simulated network and a paused clock: what a seed stands for happens the same
//! way each time.
//!
//! `CHAOS_SEEDS=10000` runs so many, `CHAOS_SEED=7` runs one and prints what happens.
#![allow(clippy::unwrap_used, unreachable_pub, missing_docs, reason = "a test crate of its own")]

mod bounds;
mod events;
mod ledger;
mod network;
mod process;
mod receiver;
mod scenario;
mod simulation;
mod source;
mod tests;
