//! Turns Aerospike XDR change notifications into HTTP and serverless calls, and answers XDR only when they
//! are confirmed.
#![allow(missing_docs, reason = "skeleton")]

pub mod admin;
pub mod check;
pub mod config;
pub mod logging;
pub mod metrics;
pub mod notification;
pub mod wire;
