//! Change notifications of Aerospike, as esp-connector sends them, read from any invocation of a Lambda function.
//!
//! A function behind an API Gateway, a load balancer, its own URL or direct Invoke gets the same records in five kinds of
//! event, and in any of the connector's formats. [`Invocation`] takes any of those events, [`Decoder`] reads any of those
//! formats, and [`Consumer`] runs your handler over the records and answers which of them failed.
//!
//! ```
//! use notification::{Consumer, Failure, Invocation, Value};
//!
//! # tokio::runtime::Builder::new_current_thread().enable_time().build()?.block_on(async {
//! let event = r#"{"version": "2.0", "rawPath": "/", "requestContext": {"http": {"method": "POST"}},
//!     "headers": {"content-type": "application/json"}, "isBase64Encoded": false,
//!     "body": "[{\"_meta\":{\"namespace\":\"shop\",\"set\":\"orders\",\"digest\":\"UisnajVr3zkBPfq+os1D4UHsyeg=\",\"msg\":\"write\",\"gen\":4,\"lut\":1767225600123,\"exp\":0},\"sku\":\"A-9\",\"qty\":0}]"}"#;
//! let invocation: Invocation = serde_json::from_str(event)?;
//!
//! let answer = Consumer::new().each(invocation, None, async |notification| {
//!     match notification.bin("qty").and_then(Value::as_i64) {
//!         Some(quantity) if quantity > 0 => Ok(()),
//!         _ => Err(Failure::never("an order of nothing")),
//!     }
//! }).await?;
//!
//! assert_eq!(answer["statusCode"], 200);
//! assert_eq!(answer["body"], r#"{"batchItemFailures":[{"itemIdentifier":"0","reason":"an order of nothing","retryable":false}]}"#);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! # })?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Delivery is at-least-once: any record may come twice, and an old version after a newer one. Make handlers idempotent by
//! [`Notification::version_id`], or let the destination compare [`Notification::lut_unix_ms`].
//!
//! Nothing in here logs, and no error or `Debug` shows the value of a bin or a user key.

#[cfg(feature = "avro")]
mod avro;
mod batch;
mod body;
mod consumer;
mod decoder;
mod invocation;
mod json;
#[cfg(feature = "message-pack")]
mod message_pack;
mod record;
mod report;
mod value;
mod write;

pub use self::{
    batch::{Batch, Entry, Limits, chunks},
    consumer::Consumer,
    decoder::{Decoder, Malformed, Unreadable},
    invocation::{Invocation, Origin},
    record::{Bin, Digest, Expiry, Key, Notification, Operation},
    report::{Failure, Report},
    value::Value,
    write::FlatJson,
};

/// In Base64 with padding.
pub(crate) fn base64(bytes: &[u8]) -> String {
    use base64::{Engine as _, engine::general_purpose::STANDARD};
    STANDARD.encode(bytes)
}

/// The example in the README of all functions is one that compiles.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
struct Readme;
