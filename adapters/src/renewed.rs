//! Things that expire, such as credentials and tokens, replaced ahead of their end.
//!
//! Those that do not expire are fetched once, and again only when a peer refuses them. Others are replaced in the background,
//! so that a request never waits for them but at the very first, and never fails while old ones live.

use std::{
    fmt,
    sync::{Arc, OnceLock},
    time::{Duration, SystemTime},
};

use futures_util::future::BoxFuture;
use tokio::{task::AbortHandle, time::Instant};

pub(crate) use self::cache::Cache;
use crate::{Access, authorize::Unproven};

mod cache;
mod schedule;

/// Something that hands out what expires.
pub(crate) trait Source: fmt::Debug + Send + Sync + 'static {
    /// What it hands out.
    type Item: Item;

    /// What that is called in the log: `AWS credentials`.
    fn what(&self) -> &'static str;

    /// Who is asked, for the log.
    fn name(&self) -> String;

    /// Asks once. An error is words for an operator, without a secret.
    fn fetch(&self) -> BoxFuture<'_, Result<Self::Item, String>>;

    /// How often to ask whether there is something new, where that costs nothing; `None` for ahead of expiry only.
    fn look_every(&self) -> Option<Duration> {
        None
    }
}

/// One of those things.
pub(crate) trait Item: Clone + Send + Sync + 'static {
    /// When it ends; `None` for never.
    fn expiry(&self) -> Option<SystemTime>;

    /// Whether a peer sees no difference.
    fn is_same(&self, other: &Self) -> bool;
}

/// What `S` hands out, as one destination uses it.
pub(crate) struct Renewed<S: Source> {
    cache: Arc<Cache<S>>,
    keeper: OnceLock<AbortHandle>,
}

impl<S: Source> Renewed<S> {
    /// For `destination`. Nothing is fetched yet.
    pub(crate) fn new(destination: &str, source: S) -> Self {
        let cache = Arc::new(Cache::new(destination, source, Box::new(SystemTime::now)));
        Self { cache, keeper: OnceLock::new() }
    }

    /// Sees to it that there is something; waits only while there never was.
    pub(crate) async fn prepare(&self) -> Result<(), Unproven> {
        self.start();
        self.cache.prepare().await
    }

    /// What to use now; `None` before [`Self::prepare`] went well, and when it has expired and cannot be renewed.
    pub(crate) fn current(&self) -> Option<S::Item> {
        self.cache.current()
    }

    /// A peer refused what a call used that began at `began`. Asks the source again, unless that was done a moment ago; true
    /// when there is another now.
    pub(crate) async fn renew_since(&self, began: Instant) -> bool {
        self.start();
        self.cache.renew_since(began).await
    }

    /// For metrics.
    pub(crate) fn access(&self) -> Access {
        self.cache.access()
    }

    /// Who is asked.
    pub(crate) fn source(&self) -> &S {
        self.cache.source()
    }

    /// The cache by itself, for whoever only reads it.
    pub(crate) fn cache(&self) -> Arc<Cache<S>> {
        Arc::clone(&self.cache)
    }

    fn start(&self) {
        self.keeper.get_or_init(|| tokio::spawn(Arc::clone(&self.cache).keep()).abort_handle());
    }
}

impl<S: Source> fmt::Debug for Renewed<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.cache.fmt(f)
    }
}

impl<S: Source> Drop for Renewed<S> {
    fn drop(&mut self) {
        if let Some(keeper) = self.keeper.get() {
            keeper.abort();
        }
    }
}
