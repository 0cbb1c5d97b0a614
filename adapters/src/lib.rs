//! Targets: things that take one encoded batch and report what became of each record in it.
//!
//! An adapter is one file that implements [`Target`] for one kind of service. It sees bytes, a content
//! type and a count; it knows nothing of databases, queues, routes or retries. The caller batches,
//! retries, paces and gives up; a target makes **one attempt** and tells the truth about it.

use std::{borrow::Cow, fmt, num::NonZeroUsize, sync::Arc, time::Duration};

use bytes::Bytes;
use futures_util::future::BoxFuture;

pub use self::request::RequestParts;

/// Where encoded records go.
pub trait Target: fmt::Debug + Send + Sync + 'static {
    /// One attempt to hand `payload` over.
    ///
    /// Never repeats what may have been processed (what was surely not, or was refused only for credentials that could
    /// be renewed, may be sent once more), never sleeps, never panics on what the peer says. May be dropped at any
    /// await: the records then count as not delivered.
    fn deliver<'a>(&'a self, payload: &'a Payload) -> BoxFuture<'a, Report>;

    /// How many calls of [`Target::deliver`] can usefully run at once.
    fn concurrency(&self) -> NonZeroUsize;

    /// How many to begin with, before anything is known of the peer.
    fn concurrency_start(&self) -> NonZeroUsize {
        self.concurrency()
    }

    /// Most bytes of a body of media type `content_type` that the peer takes, before any compression.
    fn body_bytes_max(&self, content_type: &str) -> usize {
        let _ = content_type;
        usize::MAX
    }

    /// Counters of each endpoint, for metrics. Stable order; empty when the target has no endpoints.
    fn endpoints(&self) -> Vec<EndpointStats> {
        Vec::new()
    }

    /// How the target proves who it is; `None` when it does not have to.
    fn access(&self) -> Option<Access> {
        None
    }

    /// One harmless call that shows whether deliveries would be taken; says in words what was found. For an operator,
    /// before anything runs.
    fn probe(&self) -> BoxFuture<'_, Result<String, ProbeFailure>> {
        Box::pin(async { Ok("nothing to probe".to_owned()) })
    }
}

/// One request body and what must be known to send it.
#[derive(Clone, Debug)]
pub struct Payload {
    /// The body, before any compression the target applies.
    pub body: Bytes,
    /// Media type of `body`, such as `application/json`.
    pub content_type: Cow<'static, str>,
    /// Records inside `body`.
    pub count: NonZeroUsize,
    /// What the request is besides the body, where that is not as the target has it. Only targets that speak HTTP can
    /// honour it; no other one is given any.
    pub request: Option<Arc<RequestParts>>,
}

/// What one attempt achieved.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub struct Report {
    /// What kind of end the attempt came to.
    pub class: Class,
    /// The fate of each record of the payload.
    pub outcomes: Outcomes,
    /// Status of the answer, where there was one.
    pub status: Option<u16>,
    /// How long the peer asked to be left alone (`Retry-After`).
    pub retry_after: Option<Duration>,
}

impl Report {
    /// The peer has every record.
    pub fn delivered(status: Option<u16>) -> Self {
        Self { class: Class::Done, outcomes: Outcomes::All(Outcome::Delivered), status, retry_after: None }
    }

    /// The peer has every record but those it named.
    pub fn partial(status: Option<u16>, failures: Vec<ItemFailure>) -> Self {
        Self { class: Class::Partial, outcomes: Outcomes::Except(failures), status, retry_after: None }
    }

    /// The whole payload failed.
    pub fn failed(class: Class, cause: Cause) -> Self {
        let outcome =
            if class == Class::Record { Outcome::Rejected(cause) } else { Outcome::Retryable(cause) };
        let status = if let Cause::Status(code) = cause { Some(code) } else { None };
        Self { class, outcomes: Outcomes::All(outcome), status, retry_after: None }
    }

    /// Every record of the payload met the same fate, of the class that usually goes with it.
    pub fn all(outcome: Outcome) -> Self {
        match outcome {
            Outcome::Delivered => Self::delivered(None),
            Outcome::Rejected(cause) => Self::failed(Class::Record, cause),
            Outcome::Retryable(cause @ Cause::Overloaded) => Self::failed(Class::Throttled, cause),
            Outcome::Retryable(cause @ Cause::Unauthorized) => Self::failed(Class::Credentials, cause),
            Outcome::Retryable(cause) => Self::failed(Class::Transient, cause),
        }
    }
}

/// The kinds of ends that an attempt can come to; the caller's whole policy hangs on them. Also a metric label.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Class {
    /// All is delivered.
    Done,
    /// Delivered but for the records that the peer named.
    Partial,
    /// Failed in a way that may well pass: no connection, no answer in time, an error inside the peer.
    Transient,
    /// The peer asked for less.
    Throttled,
    /// The peer does not accept who we say we are, renewed credentials or a corrected clock included. Needs an operator.
    Credentials,
    /// The peer will not take anything until an operator acts: no permission, no such address, a redirect.
    Hold,
    /// The peer refused what was sent, and would refuse the same again.
    Record,
}

impl Class {
    /// A short stable word for labels and log fields.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Partial => "partial",
            Self::Transient => "transient",
            Self::Throttled => "throttled",
            Self::Credentials => "credentials",
            Self::Hold => "hold",
            Self::Record => "record",
        }
    }

    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::Done,
        Self::Partial,
        Self::Transient,
        Self::Throttled,
        Self::Credentials,
        Self::Hold,
        Self::Record,
    ];
}

/// One outcome per record of a payload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcomes {
    /// All records alike: the usual case, which costs no allocation.
    All(Outcome),
    /// Delivered, all but these. The caller knows which record a name stands for; a name that stands for none means that
    /// nothing is known of any record, so all have failed.
    Except(Vec<ItemFailure>),
}

/// A record that the peer says it could not process: an entry of `batchItemFailures`, or one that the peer answered by its
/// place in the request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ItemFailure {
    /// `itemIdentifier`: the name of the record, as the peer understood it.
    pub identifier: String,
    /// `retryable`: whether another attempt may succeed. True unless the peer says otherwise.
    pub retryable: bool,
    /// What it failed of, as far as the peer told.
    pub cause: Cause,
    /// `reason`, for the log and the dead letter; cut to [`REASON_BYTES_MAX`].
    pub reason: Option<String>,
}

/// Most bytes of a peer's own words that are kept.
pub const REASON_BYTES_MAX: usize = 1024;

/// The fate of one record at one target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Outcome {
    /// The target confirmed it.
    Delivered,
    /// Not confirmed; another attempt may succeed.
    Retryable(Cause),
    /// Refused in a way that no other attempt with the same content changes.
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
    /// What it is to be kept in cannot be written: permission, space, a fault of the disk.
    Storage,
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
            Self::Storage => "storage",
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
#[derive(Clone, Debug, Default, PartialEq, Eq)]
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
    /// Bytes of request bodies sent, after compression, repeats included.
    pub sent_bytes: u64,
    /// Requests sent once more at once: surely not processed, sent on a connection that had died, or refused for
    /// credentials that could be renewed.
    pub repeats: u64,
    /// Answers by status, those that came at all, in order. 600 stands for every status beyond 599.
    pub answers: Vec<(u16, u64)>,
}

/// How a target proves who it is, at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Access {
    /// Age of the credentials or the token in use; `None` before the first ones came.
    pub age: Option<Duration>,
    /// How long they live on; `None` when they do not expire, or there are none. Zero once they have.
    pub expires_in: Option<Duration>,
    /// Times they were fetched.
    pub fetched: u64,
    /// Times that failed.
    pub fetch_failures: u64,
    /// How far the peer's clock is ahead of ours, milliseconds, as far as its answers told.
    pub clock_offset_ms: i64,
}

/// Why a probe says that deliveries would fail.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{missing}: {found}")]
pub struct ProbeFailure {
    /// What to look at: `permission`, `credentials`, `region`, `audience`, `clock`, `tls`, `address`, `connection`.
    pub missing: &'static str,
    /// What was found, and what helps.
    pub found: String,
}

/// A shared handle to a target.
pub type SharedTarget = Arc<dyn Target>;

/// Settings of one target; the variant picks the adapter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TargetConfig {
    /// Plain HTTP: `type: http`, or no `type`.
    Http(http::Config),
    /// `type: aws-api-gateway`: an HTTP or REST API behind IAM authorization.
    AwsApiGateway(aws_http::Config),
    /// `type: aws-function-url`: the URL of a Lambda function behind IAM authorization.
    AwsFunctionUrl(aws_http::Config),
    /// `type: aws-opensearch`: a domain of OpenSearch Service, or a serverless collection.
    AwsOpensearch(aws_http::Config),
    /// `type: aws-alb`: an application load balancer.
    AwsAlb(aws_alb::Config),
    /// `type: aws-lambda`: direct Invoke.
    AwsLambda(aws_lambda::Config),
    /// `type: gcp-functions`: a Google Cloud function, or a Cloud Run service.
    GcpFunctions(gcp_functions::Config),
    /// `type: webhook`: any receiver of Standard Webhooks.
    Webhook(webhook::Config),
    /// `type: file`: lines in files of a folder.
    File(file::Config),
}

impl TargetConfig {
    /// Builds the target. Reads the files and environment variables the settings name; opens no connection.
    pub fn build(self, name: &str) -> Result<SharedTarget, BuildError> {
        match self {
            Self::Http(config) => Ok(Arc::new(http::Http::new(name, config)?)),
            Self::AwsApiGateway(config) => {
                Ok(Arc::new(aws_http::build(name, aws_http::Kind::ApiGateway, config)?))
            }
            Self::AwsFunctionUrl(config) => {
                Ok(Arc::new(aws_http::build(name, aws_http::Kind::FunctionUrl, config)?))
            }
            Self::AwsOpensearch(config) => {
                Ok(Arc::new(aws_http::build(name, aws_http::Kind::OpenSearch, config)?))
            }
            Self::AwsAlb(config) => Ok(Arc::new(aws_alb::build(name, config)?)),
            Self::AwsLambda(config) => Ok(Arc::new(aws_lambda::AwsLambda::new(name, config)?)),
            Self::GcpFunctions(config) => Ok(Arc::new(gcp_functions::build(name, config)?)),
            Self::Webhook(config) => Ok(Arc::new(webhook::build(name, config)?)),
            Self::File(config) => Ok(Arc::new(file::File::new(name, config)?)),
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

pub mod aws_alb;
pub mod aws_http;
pub mod aws_lambda;
pub mod credentials;
pub mod file;
#[cfg(fuzzing)]
pub mod fuzzing;
pub mod gcp_functions;
pub mod http;
pub mod http1;
pub mod request;
pub mod tls;
pub mod token;
pub mod webhook;
pub mod world;

#[cfg(fuzzing)]
pub use client::http2::fuzzed as http2_fuzzed;

mod authorize;
mod bulk;
mod client;
mod endpoints;
mod gzip;
mod headers;
mod health;
mod partial;
mod renewed;
mod retry_after;
mod sigv4;
mod status;
mod url;
