//! What makes a request acceptable to its receiver: a signature, or a token.

use std::fmt;

use ::http::{HeaderMap, Request, StatusCode};
use bytes::Bytes;
use futures_util::future::BoxFuture;
use tokio::time::Instant;

use crate::Access;

/// Proves to a receiver who sends.
pub(crate) trait Authorize: fmt::Debug + Send + Sync + 'static {
    /// Sees to it that there is something to prove it with. Waits only while there is nothing at all; what is about to
    /// expire is renewed in the background.
    fn prepare(&self) -> BoxFuture<'_, Result<(), Unproven>>;

    /// Adds headers to a request that is otherwise complete: method, URI with the query, every header, `body` as it is sent.
    fn authorize(&self, request: &mut Request<()>, body: &[u8]) -> Result<(), Unproven>;

    /// The receiver refused a request. True when something was renewed or corrected since, so that one more attempt is
    /// worth it.
    fn refused<'a>(&'a self, refusal: Refusal<'a>) -> BoxFuture<'a, bool>;

    /// What a refusal comes to that stands: the second one, or the first when nothing could be renewed. `None` when the
    /// status says all there is to say.
    fn verdict(&self, refusal: &Refusal<'_>) -> Option<Verdict> {
        let _ = refusal;
        None
    }

    /// For metrics.
    fn access(&self) -> Access;
}

/// There is nothing to prove it with. The text names the source and never holds a secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Unproven(pub(crate) String);

/// An answer that refuses a request, as far as it tells why.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Refusal<'a> {
    /// Where the request went: `host` or `host:port`, as signed.
    pub(crate) host: &'a str,
    /// When the refused call began: it was authorized with what there was then, or later.
    pub(crate) began: Instant,
    pub(crate) status: StatusCode,
    pub(crate) headers: &'a HeaderMap,
    /// The answer's body, as far as it was kept.
    pub(crate) body: &'a Bytes,
}

/// What a refusal comes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Verdict {
    /// Whether it is about who we say we are. Otherwise the receiver knows us, and that is not enough: no permission.
    pub(crate) credentials: bool,
    /// What to look at: one of the words of [`crate::ProbeFailure::missing`].
    pub(crate) missing: &'static str,
    /// What the receiver said and what helps, for the log; never holds a secret, or what was sent.
    pub(crate) words: String,
}
