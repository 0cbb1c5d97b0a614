//! XDR in, HTTP out, and the house rules.
#![allow(clippy::unwrap_used, reason = "all of this is a test, but clippy looks for #[test] only")]

mod aws;
mod balancer;
mod chain;
mod client;
mod cloudevents;
mod commands;
mod consumers;
mod documents;
mod envoy;
mod formats;
mod gcs;
mod getting_started;
mod google;
mod issuer;
mod least_privilege;
mod partial_failures;
mod pipelines;
mod python;
mod recipes;
mod roundtrip;
mod schema;
mod sender;
mod sigv4;
mod terraform;
mod tidy;
mod tokens;
mod topology;
mod vendor_options;
