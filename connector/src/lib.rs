//! Turns Aerospike XDR change notifications into HTTP and serverless calls, and answers XDR only when they
//! are confirmed.
//!
//! The path of a record, in the order data meets the modules: [`listener`] → [`connection`] →
//! [`wire`] → [`notification`] → [`route`] → [`encode`] → [`lane`] → `adapters` → [`replies`] → back
//! through [`connection`]. `ARCHITECTURE.md` has the picture and the invariants.

pub mod admin;
pub mod admission;
pub mod batch;
pub mod breaker;
pub mod check;
pub mod concurrency;
pub mod config;
pub mod connection;
pub mod cost;
pub mod dead_letter;
pub mod decode;
pub mod delivered;
pub mod demo;
pub mod encode;
#[cfg(fuzzing)]
pub mod fuzzing;
pub mod health;
pub mod lane;
pub mod listener;
pub mod logging;
pub mod manual;
pub mod metrics;
pub mod migrate;
pub mod notification;
pub mod ordering;
pub mod receiver;
pub mod recorder;
pub mod recording;
pub mod reload;
pub mod replay;
pub mod replies;
pub mod retry;
pub mod route;
pub mod run;
pub mod service_manager;
pub mod simulator;
mod template;
pub mod tls;
pub mod transform;
pub mod watch;
pub mod window;
pub mod wire;

pub use run::{Options, RunError};
