//! The window: records read and not yet answered, over the whole connector, bounded in number and bytes.
//!
//! While it is full no further record is read from any socket, and TCP holds the source back.

use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::{Notify, Semaphore, SemaphorePermit};

/// Bytes that large compressed messages may become together before their records are let in. One larger than this goes alone.
pub const INFLATING_BYTES_MAX: usize = 64 * 1024 * 1024;

/// Counts what is in process.
#[derive(Debug)]
pub struct Window {
    records_max: AtomicUsize,
    bytes_max: AtomicUsize,
    records: AtomicUsize,
    bytes: AtomicUsize,
    waiting: AtomicUsize,
    freed: Notify,
    inflating: Semaphore,
}

impl Window {
    /// A window for `records_max` records that together hold `bytes_max` bytes. One record is always let in, however
    /// large, when nothing else is in process.
    pub fn new(records_max: usize, bytes_max: usize) -> Self {
        Self {
            records_max: AtomicUsize::new(records_max),
            bytes_max: AtomicUsize::new(bytes_max),
            records: AtomicUsize::new(0),
            bytes: AtomicUsize::new(0),
            waiting: AtomicUsize::new(0),
            freed: Notify::new(),
            inflating: Semaphore::new(INFLATING_BYTES_MAX),
        }
    }

    /// Room for a message that will have `bytes` when it is inflated, for as long as it is held. A few kilobytes become
    /// megabytes, which every connection would hold while it waits to be let in.
    pub async fn room_to_inflate(&self, bytes: usize) -> Option<SemaphorePermit<'_>> {
        // Never closed, so there always is some in the end.
        self.inflating.acquire_many(bytes.min(INFLATING_BYTES_MAX) as u32).await.ok()
    }

    /// Lets one record of `bytes` in, waiting until there is room. May be dropped while it waits.
    pub async fn enter(&self, bytes: usize) {
        if self.try_enter(bytes) {
            return;
        }
        let _waiting = Waiting::new(&self.waiting);
        loop {
            let mut freed = std::pin::pin!(self.freed.notified());
            freed.as_mut().enable();
            if self.admit(bytes) {
                break;
            }
            freed.await;
        }
        // Several may have left at once while only one waiter is woken: pass the word on.
        self.freed.notify_one();
    }

    /// Lets one record in if there is room now, and nobody waits for it: who comes often would take it all.
    pub fn try_enter(&self, bytes: usize) -> bool {
        self.waiting.load(Ordering::Acquire) == 0 && self.admit(bytes)
    }

    fn admit(&self, bytes: usize) -> bool {
        let records_before = self.records.fetch_add(1, Ordering::AcqRel);
        let bytes_before = self.bytes.fetch_add(bytes, Ordering::AcqRel);
        let (records_max, bytes_max) = self.limits();
        let fits = records_before < records_max && bytes_before.saturating_add(bytes) <= bytes_max;
        if fits || records_before == 0 {
            return true;
        }
        self.records.fetch_sub(1, Ordering::AcqRel);
        self.bytes.fetch_sub(bytes, Ordering::AcqRel);
        false
    }

    /// Lets `records` records out, which held `bytes` together.
    pub fn leave(&self, records: usize, bytes: usize) {
        self.records.fetch_sub(records, Ordering::AcqRel);
        self.bytes.fetch_sub(bytes, Ordering::AcqRel);
        self.freed.notify_one();
    }

    /// Records in process.
    pub fn records(&self) -> usize {
        self.records.load(Ordering::Relaxed)
    }

    /// Bytes they hold.
    pub fn bytes(&self) -> usize {
        self.bytes.load(Ordering::Relaxed)
    }

    /// The limits: records, bytes.
    pub fn limits(&self) -> (usize, usize) {
        (self.records_max.load(Ordering::Relaxed), self.bytes_max.load(Ordering::Relaxed))
    }

    /// Sets other limits. What is in process stays, whether it fits or not.
    pub fn set_limits(&self, records_max: usize, bytes_max: usize) {
        self.records_max.store(records_max, Ordering::Relaxed);
        self.bytes_max.store(bytes_max, Ordering::Relaxed);
        self.freed.notify_one();
    }

    /// How full the window is, by the fuller of its two measures: 0.0 to about 1.0.
    pub fn fill(&self) -> f64 {
        let (records_max, bytes_max) = self.limits();
        let records = self.records() as f64 / records_max as f64;
        let bytes = self.bytes() as f64 / bytes_max as f64;
        records.max(bytes)
    }
}

/// Counts as one who waits until it is dropped.
struct Waiting<'a>(&'a AtomicUsize);

impl<'a> Waiting<'a> {
    fn new(count: &'a AtomicUsize) -> Self {
        count.fetch_add(1, Ordering::AcqRel);
        Self(count)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
    use std::{sync::Arc, time::Duration};

    use super::*;

    #[test]
    fn both_bounds_hold_and_one_record_always_fits() {
        let window = Window::new(2, 100);
        assert!(window.try_enter(1_000), "alone, however large");
        assert!(!window.try_enter(1));
        window.leave(1, 1_000);
        assert!(window.try_enter(60));
        assert!(!window.try_enter(41), "bytes");
        assert!(window.try_enter(40));
        assert!(!window.try_enter(0), "records");
        assert_eq!((window.records(), window.bytes()), (2, 100));
    }

    #[tokio::test(start_paused = true)]
    async fn what_inflates_waits_for_its_turn_and_the_largest_goes_alone() {
        let window = Window::new(1, 1);
        let soon = Duration::from_secs(1);
        let first = window.room_to_inflate(INFLATING_BYTES_MAX - 1).await;
        let second = window.room_to_inflate(1).await;
        assert!(tokio::time::timeout(soon, window.room_to_inflate(1)).await.is_err(), "there is no more");
        drop((first, second));
        assert!(tokio::time::timeout(soon, window.room_to_inflate(usize::MAX)).await.is_ok(), "alone");
    }

    #[tokio::test(start_paused = true)]
    async fn all_who_wait_get_in_when_several_leave_at_once() {
        let window = Arc::new(Window::new(3, 1_000));
        for _ in 0..3 {
            window.enter(1).await;
        }
        let waiting: Vec<_> = (0..3)
            .map(|_| {
                let window = Arc::clone(&window);
                tokio::spawn(async move { window.enter(1).await })
            })
            .collect();
        tokio::task::yield_now().await;
        window.leave(3, 3);
        for waiter in waiting {
            tokio::time::timeout(Duration::from_secs(1), waiter).await.expect("woken").expect("no panic");
        }
        assert_eq!(window.records(), 3);
    }

    #[tokio::test(start_paused = true)]
    async fn who_waits_gets_in_before_who_comes_later() {
        let window = Arc::new(Window::new(1, 1_000));
        window.enter(1).await;
        let first = tokio::spawn({
            let window = Arc::clone(&window);
            async move { window.enter(1).await }
        });
        tokio::task::yield_now().await;
        window.leave(1, 1);
        assert!(!window.try_enter(1), "there is room, but not for who has not waited");
        first.await.unwrap();
        window.leave(1, 1);
        assert!(window.try_enter(1));
    }

    #[tokio::test(start_paused = true)]
    async fn who_gives_up_waiting_keeps_nobody_out() {
        let window = Window::new(1, 1_000);
        window.enter(1).await;
        tokio::time::timeout(Duration::from_secs(1), window.enter(1)).await.unwrap_err();
        window.leave(1, 1);
        assert!(window.try_enter(1));
    }
}
