//! The spine in memory: XDR bytes into a connection, a scripted target behind its lanes, acks back out.
#![allow(clippy::unwrap_used, unreachable_pub, reason = "a test crate of its own")]
//! The clock is paused, so hours of waiting cost nothing and every instant is exact.

mod acks;
mod batches;
mod breaker;
mod dead_letters;
mod formats;
mod harness;
mod order;
mod ordering;
mod overload;
mod partial;
mod partial_success;
mod poison;
mod terms;
mod throttling;
