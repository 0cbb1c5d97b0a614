//! A value that is shown to many, who can wait for it to change.
//!
//! What `tokio::sync::watch` is, but for one thing: that one wakes those who wait in an order it throws dice for, which no seed
//! of a simulation reaches. Here all with the same place wake in the order in which they began to wait.

use std::{
    ops::Deref,
    sync::{
        Arc, PoisonError, RwLock, RwLockReadGuard,
        atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
    },
};

use tokio::sync::Notify;

/// Those who wait are spread over so many lists, each behind a lock of its own.
const PLACES: usize = 8;

/// A value, and someone to see it change.
pub fn channel<T>(value: T) -> (Sender<T>, Receiver<T>) {
    let sender = Sender::new(value);
    let receiver = sender.subscribe();
    (sender, receiver)
}

/// Changes the value.
#[derive(Debug)]
pub struct Sender<T>(Arc<Shared<T>>);

/// Sees the value, and when it has changed.
#[derive(Debug)]
pub struct Receiver<T> {
    shared: Arc<Shared<T>>,
    seen: usize,
    place: usize,
}

/// Nobody is there any more to change the value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("nobody changes the value any more")]
pub struct Closed;

#[derive(Debug)]
struct Shared<T> {
    value: RwLock<T>,
    version: AtomicUsize,
    closed: AtomicBool,
    waiting: [Notify; PLACES],
    receivers: AtomicUsize,
}

impl<T> Sender<T> {
    /// A value that nobody sees yet.
    pub fn new(value: T) -> Self {
        Self(Arc::new(Shared {
            value: RwLock::new(value),
            version: AtomicUsize::new(0),
            closed: AtomicBool::new(false),
            waiting: std::array::from_fn(|_| Notify::new()),
            receivers: AtomicUsize::new(0),
        }))
    }

    /// Someone else to see it change from now on.
    pub fn subscribe(&self) -> Receiver<T> {
        Receiver::new(&self.0, self.0.version.load(SeqCst))
    }

    /// Shows another value.
    pub fn send_replace(&self, value: T) {
        self.send_modify(|shown| *shown = value);
    }

    /// Changes the value in its place.
    pub fn send_modify(&self, change: impl FnOnce(&mut T)) {
        {
            let mut value = self.0.value.write().unwrap_or_else(PoisonError::into_inner);
            change(&mut value);
            self.0.version.fetch_add(1, SeqCst);
        }
        self.0.wake();
    }

    /// The value. Nobody can change it while this is held.
    pub fn borrow(&self) -> impl Deref<Target = T> + '_ {
        self.0.read()
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        self.0.closed.store(true, SeqCst);
        self.0.wake();
    }
}

impl<T> Receiver<T> {
    fn new(shared: &Arc<Shared<T>>, seen: usize) -> Self {
        let place = shared.receivers.fetch_add(1, SeqCst) % PLACES;
        Self { shared: Arc::clone(shared), seen, place }
    }

    /// The value, seen or not. Nobody can change it while this is held.
    pub fn borrow(&self) -> impl Deref<Target = T> + '_ {
        self.shared.read()
    }

    /// The value, which counts as seen.
    pub fn borrow_and_update(&mut self) -> impl Deref<Target = T> + '_ {
        let value = self.shared.read();
        self.seen = self.shared.version.load(SeqCst);
        value
    }

    /// Whether there is a value that was not seen.
    pub fn has_changed(&self) -> Result<bool, Closed> {
        match self.shared.closed.load(SeqCst) {
            true => Err(Closed),
            false => Ok(self.shared.version.load(SeqCst) != self.seen),
        }
    }

    /// Waits for a value that was not seen, which counts as seen then. May be dropped while it waits.
    pub async fn changed(&mut self) -> Result<(), Closed> {
        loop {
            // Before the look: a change between look and wait must not be missed.
            let changed = self.shared.waiting[self.place].notified();
            let version = self.shared.version.load(SeqCst);
            if version != self.seen {
                self.seen = version;
                return Ok(());
            }
            if self.shared.closed.load(SeqCst) {
                return Err(Closed);
            }
            changed.await;
        }
    }

    /// Waits for a value that fits.
    pub async fn wait_for(&mut self, mut fits: impl FnMut(&T) -> bool) -> Result<(), Closed> {
        while !fits(&self.borrow_and_update()) {
            self.changed().await?;
        }
        Ok(())
    }
}

impl<T> Clone for Receiver<T> {
    fn clone(&self) -> Self {
        Self::new(&self.shared, self.seen)
    }
}

impl<T> Shared<T> {
    fn read(&self) -> RwLockReadGuard<'_, T> {
        self.value.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn wake(&self) {
        self.waiting.iter().for_each(Notify::notify_waiters);
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    #[tokio::test]
    async fn each_change_is_seen_once_by_everyone() {
        let (sender, mut first) = channel(1);
        let mut second = first.clone();
        assert_eq!(first.has_changed(), Ok(false));
        assert!(first.changed().now_or_never().is_none());
        sender.send_replace(2);
        sender.send_modify(|value| *value += 1);
        assert_eq!((*first.borrow(), first.has_changed()), (3, Ok(true)), "looking alone is not seeing");
        assert_eq!((first.changed().await, first.has_changed()), (Ok(()), Ok(false)));
        assert_eq!(*second.borrow_and_update(), 3);
        assert!(second.changed().now_or_never().is_none());
        assert_eq!(sender.subscribe().has_changed(), Ok(false));
    }

    #[tokio::test]
    async fn who_waits_is_woken_by_a_change_and_by_the_end() {
        let (sender, receiver) = channel(0);
        let waiting: Vec<_> = (0..20)
            .map(|_| {
                let mut receiver = receiver.clone();
                tokio::spawn(async move {
                    (receiver.wait_for(|value| *value == 2).await, receiver.changed().await)
                })
            })
            .collect();
        tokio::task::yield_now().await;
        for value in 1..=2 {
            sender.send_replace(value);
            tokio::task::yield_now().await;
        }
        drop(sender);
        for waiting in waiting {
            assert_eq!(waiting.await.unwrap(), (Ok(()), Err(Closed)));
        }
        assert_eq!(receiver.has_changed(), Err(Closed));
    }

    #[tokio::test]
    async fn what_changed_last_is_seen_after_the_end() {
        let (sender, mut receiver) = channel(0);
        sender.send_replace(1);
        drop(sender);
        assert_eq!((receiver.changed().await, receiver.changed().await), (Ok(()), Err(Closed)));
        assert_eq!(
            (receiver.wait_for(|value| *value == 1).await, receiver.wait_for(|value| *value == 2).await),
            (Ok(()), Err(Closed))
        );
    }
}
