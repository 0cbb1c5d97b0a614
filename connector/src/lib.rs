//! Turns Aerospike XDR change notifications into HTTP and serverless calls, and answers XDR only when they
//! are confirmed.
#![allow(missing_docs, reason = "skeleton")]

pub mod config;
pub mod demo;
pub mod metrics;
pub mod notification;
pub mod receiver;
pub mod simulator;
pub mod wire;
