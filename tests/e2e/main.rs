//! XDR in, HTTP out, and the house rules.
#![allow(clippy::unwrap_used, reason = "all of this is a test, but clippy looks for #[test] only")]

mod client;
mod documents;
mod formats;
mod python;
mod roundtrip;
mod sigv4;
mod tidy;
mod vendor_options;
