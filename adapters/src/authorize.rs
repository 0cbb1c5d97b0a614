//! What makes a request acceptable to its receiver: a signature, or a token.

#![expect(dead_code, reason = "implemented by the adapters that follow")]

use std::fmt;

use ::http::{HeaderMap, Request, StatusCode};
use bytes::Bytes;
use futures_util::future::BoxFuture;

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
    pub(crate) status: StatusCode,
    pub(crate) headers: &'a HeaderMap,
    /// The answer's body, as far as it was kept.
    pub(crate) body: &'a Bytes,
}
