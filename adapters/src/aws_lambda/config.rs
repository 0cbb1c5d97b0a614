//! Settings of a Lambda function as a destination.

use std::{collections::BTreeMap, num::NonZeroUsize};

use schemars::JsonSchema;
use serde::Deserialize;

use crate::{
    credentials,
    http::{Compression, HeaderValue},
};

/// Settings of a destination that is a Lambda function.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub struct Config {
    /// Name, ARN or partial ARN of the function.
    pub function_name: String,
    /// Version or alias of the function.
    #[serde(default)]
    pub qualifier: Option<String>,
    /// Whether the function's own answer confirms delivery, or its queue does.
    #[serde(default)]
    pub invocation_type: InvocationType,
    /// What the function is called with.
    #[serde(default)]
    pub payload: PayloadShape,
    /// Another address of the Lambda API, for a VPC endpoint or an emulator.
    #[serde(default)]
    pub endpoint_url: Option<String>,
    /// Whose credentials call.
    #[serde(flatten)]
    pub credentials: credentials::Config,
    /// Milliseconds for a whole call.
    #[serde(default = "call_timeout")]
    pub call_timeout: u64,
    /// Milliseconds for a TCP connect, and for the TLS handshake after it.
    #[serde(default = "connect_timeout")]
    pub connect_timeout: u64,
    /// Compression of bodies inside the event.
    #[serde(default)]
    pub compression: Compression,
    /// Only bodies larger than this many bytes are compressed.
    #[serde(default)]
    pub compression_threshold: usize,
    /// Static headers of the event.
    #[serde(default)]
    pub headers: BTreeMap<String, HeaderValue>,
    /// Statuses of the function's own answer that confirm delivery; 200 to 299 when empty.
    #[serde(default)]
    pub http_success_status_codes: Vec<u16>,
    /// Statuses that make a refusal final, as with plain HTTP.
    #[serde(default)]
    pub http_permanent_status_codes: Vec<u16>,
    /// Statuses that say that another attempt may succeed, whatever they usually mean.
    #[serde(default)]
    pub retry_on: Vec<u16>,
    /// Statuses that refuse the record, whatever they usually mean.
    #[serde(default)]
    pub reject_on: Vec<u16>,
    /// Whether the function's answer is searched for `batchItemFailures`, the records that were not processed.
    #[serde(default = "partial_response")]
    pub partial_response: bool,
    /// Most bytes of a body; larger batches are split, larger records refused.
    #[serde(default)]
    pub max_request_bytes: Option<NonZeroUsize>,
}

/// How a function is invoked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
pub enum InvocationType {
    /// The function's answer confirms delivery.
    #[default]
    RequestResponse,
    /// Lambda's queue confirms delivery; what the function does with it later is not known.
    Event,
}

/// What a function is called with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum PayloadShape {
    /// The event that a function URL or an HTTP API would give (payload format 2.0).
    #[default]
    Event,
    /// The body alone, which has to be JSON.
    Raw,
}

fn call_timeout() -> u64 {
    7000
}

fn connect_timeout() -> u64 {
    3000
}

fn partial_response() -> bool {
    true
}
