//! Targets: things that take one encoded batch and report what became of each record in it.
//!
//! An adapter is one file that implements [`Target`] for one kind of service. It sees bytes, a content
//! type and a count; it knows nothing of databases, queues, routes or retries. The caller batches,
//! retries, paces and gives up; a target makes **one attempt** and tells the truth about it.

use std::{fmt, num::NonZeroUsize, sync::Arc, time::Duration};

use bytes::Bytes;
use futures_util::future::BoxFuture;

/// Where encoded records go.
pub trait Target: fmt::Debug + Send + Sync + 'static {
    /// One attempt to hand `payload` over.
    ///
    /// Never retries what may have been processed, never sleeps, never panics on what the peer says.
    /// May be dropped at any await: the record then counts as not delivered.
    fn deliver<'a>(&'a self, payload: &'a Payload) -> BoxFuture<'a, Report>;

    /// How many calls of [`Target::deliver`] can usefully run at once.
    fn concurrency(&self) -> NonZeroUsize;

    /// Counters of each endpoint, for metrics. Stable order; empty when the target has no endpoints.
    fn endpoints(&self) -> Vec<EndpointStats> {
        Vec::new()
    }
}

/// One request body and what must be known to send it.
#[derive(Clone, Debug)]
pub struct Payload {
    /// The body, before any compression the target applies.
    pub body: Bytes,
    /// Media type of `body`, such as `application/json`.
    pub content_type: &'static str,
    /// Records inside `body`.
    pub count: NonZeroUsize,
}

/// What one attempt achieved.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub struct Report {
    /// The fate of each record of the payload.
    pub outcomes: Outcomes,
    /// How long the peer asked to be left alone (`Retry-After`).
    pub retry_after: Option<Duration>,
}

impl Report {
    /// Every record of the payload met the same fate.
    pub fn all(outcome: Outcome) -> Self {
        Self { outcomes: Outcomes::All(outcome), retry_after: None }
    }
}

/// One outcome per record of a payload, in record order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcomes {
    /// All records alike: the usual case, which costs no allocation.
    All(Outcome),
    /// Exactly one outcome per record.
    Each(Vec<Outcome>),
}

/// The fate of one record at one target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Outcome {
    /// The target confirmed it.
    Delivered,
    /// Not confirmed; another attempt may succeed.
    Retryable(Cause),
    /// Refused in a way the operator declared final for this target.
    Rejected(Cause),
}

impl Outcome {
    /// The joint fate of one record at two targets.
    ///
    /// Retryable beats rejected beats delivered: while one target still needs the record, the source
    /// has to send it again.
    pub fn and(self, other: Self) -> Self {
        match (self, other) {
            (retryable @ Self::Retryable(_), _) | (_, retryable @ Self::Retryable(_)) => retryable,
            (rejected @ Self::Rejected(_), _) | (_, rejected @ Self::Rejected(_)) => rejected,
            (Self::Delivered, Self::Delivered) => Self::Delivered,
        }
    }
}

/// Why a record was not delivered. Few values on purpose: also a metric label and a log field.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Cause {
    /// No answer in time.
    Timeout,
    /// No connection to any endpoint, or it broke before an answer.
    Unreachable,
    /// A queue or window is full, or the peer asked for less (429, 503).
    Overloaded,
    /// The peer refused the credentials (401, 407).
    Unauthorized,
    /// Any other status of the peer.
    Status(u16),
    /// The function ran and failed.
    FunctionError,
    /// Larger than the target takes (413 or a known limit).
    TooLarge,
    /// The record cannot be written in the configured format, or the peer's answer makes no sense.
    Malformed,
    /// The connector is stopping, or the part that held the record ended unexpectedly.
    Shutdown,
}

impl Cause {
    /// A short stable word for labels and log fields.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Timeout => "timeout",
            Self::Unreachable => "unreachable",
            Self::Overloaded => "overloaded",
            Self::Unauthorized => "unauthorized",
            Self::Status(_) => "status",
            Self::FunctionError => "function-error",
            Self::TooLarge => "too-large",
            Self::Malformed => "malformed",
            Self::Shutdown => "shutdown",
        }
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Status(code) => write!(f, "status {code}"),
            other => f.write_str(other.as_str()),
        }
    }
}

/// What one endpoint of a target did so far.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndpointStats {
    /// `host:port`.
    pub endpoint: String,
    /// Whether requests are sent there at present.
    pub healthy: bool,
    /// Requests that ended in a success status.
    pub success: u64,
    /// Requests that did not.
    pub error: u64,
    /// Requests in flight or waiting for a connection now.
    pub queued: u64,
    /// Health checks that passed.
    pub health_success: u64,
    /// Health checks that failed.
    pub health_error: u64,
    /// Open connections now.
    pub connections: u64,
    /// Negotiated protocol of the newest connection: `http/1.1` or `h2`.
    pub protocol: Option<&'static str>,
}

/// A shared handle to a target.
pub type SharedTarget = Arc<dyn Target>;

/// Settings of one target; the variant picks the adapter.
#[derive(Clone, Debug)]
pub enum TargetConfig {
    /// Plain HTTP: `type: http`, or no `type`.
    Http(http::Config),
}

impl TargetConfig {
    /// Builds the target. Reads the files and environment variables the settings name; opens no connection.
    pub fn build(self, name: &str) -> Result<SharedTarget, BuildError> {
        match self {
            Self::Http(config) => Ok(Arc::new(http::Http::new(name, config)?)),
        }
    }
}

/// Why a target cannot be built.
#[derive(Debug, thiserror::Error)]
#[error("{key}: {problem}")]
pub struct BuildError {
    /// The setting at fault, as a path inside the destination.
    pub key: String,
    /// What is wrong with it and what was expected.
    pub problem: String,
}

pub mod http;
pub mod tls;

mod client;
mod endpoints;
mod gzip;
mod headers;
mod health;
mod retry_after;
mod status;
mod url;
