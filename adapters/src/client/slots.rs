//! How many connections an endpoint may have.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering::Relaxed},
};

use tokio::sync::Notify;

/// The connections that are open or being opened, and who waits for a place.
pub(super) struct Slots {
    open: AtomicUsize,
    /// Shared by all endpoints of a destination.
    freed: Arc<Notify>,
}

impl Slots {
    pub(super) fn new(freed: Arc<Notify>) -> Self {
        Self { open: AtomicUsize::new(0), freed }
    }

    /// Connections that are open or being opened.
    pub(super) fn open(&self) -> usize {
        self.open.load(Relaxed)
    }

    /// A place for one request came free.
    pub(super) fn tell_one(&self) {
        self.freed.notify_one();
    }

    /// Places for many requests came free, or where they are has changed.
    pub(super) fn tell_all(&self) {
        self.freed.notify_waiters();
    }
}

/// Leave to have one connection open.
pub(super) struct Permit(Arc<Slots>);

impl Permit {
    /// `None` when `connections_max` are open already.
    pub(super) fn take(slots: &Arc<Slots>, connections_max: usize) -> Option<Self> {
        slots
            .open
            .fetch_update(Relaxed, Relaxed, |open| (open < connections_max).then_some(open + 1))
            .is_ok()
            .then(|| Self(Arc::clone(slots)))
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Relaxed);
        self.0.tell_one();
    }
}
