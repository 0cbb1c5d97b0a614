//! The most an endpoint takes in a second.

use std::time::Duration;

use tokio::{sync::Mutex, time::Instant};

/// One server that works its requests off one after the other, each record taking the same time.
///
/// Requests wait in order of arrival and cost nothing if their client leaves before their turn: offered more
/// than it takes, such a server still works at its full rate.
#[derive(Debug)]
pub(super) struct Pace {
    record: Duration,
    /// When the server is done with all it has begun.
    free_at: Mutex<Instant>,
}

impl Pace {
    pub(super) fn new(records_per_second: u32) -> Self {
        let record = Duration::from_secs(1) / records_per_second.max(1);
        Self { record, free_at: Mutex::new(Instant::now()) }
    }

    /// Waits until the server has worked off a request of `records`.
    pub(super) async fn turn(&self, records: u32) {
        let mut free_at = self.free_at.lock().await;
        let now = Instant::now();
        // Timers are late, on a busy machine by several milliseconds: that much is made up for, no more.
        let start = (*free_at).max(now.checked_sub(CREDIT).unwrap_or(now));
        *free_at = start + self.record * records;
        // Held while waiting, so that the next one begins when this one is done.
        tokio::time::sleep_until(*free_at).await;
    }
}

const CREDIT: Duration = Duration::from_millis(20);

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_crowd_is_served_at_the_set_rate() {
        let pace = Arc::new(Pace::new(2000));
        let started = Instant::now();
        let crowd: Vec<_> = (0..1000)
            .map(|_| {
                let pace = Arc::clone(&pace);
                tokio::spawn(async move { pace.turn(4).await })
            })
            .collect();
        for one in crowd {
            one.await.unwrap();
        }
        let elapsed = started.elapsed().as_secs_f64();
        assert!((1.98..2.02).contains(&elapsed), "{elapsed}");
    }

    #[tokio::test(start_paused = true)]
    async fn who_leaves_before_the_turn_costs_nothing() {
        let pace = Pace::new(10);
        let started = Instant::now();
        let first = pace.turn(10);
        let left = tokio::time::timeout(Duration::from_millis(100), async {
            tokio::join!(first, pace.turn(100));
        });
        assert!(left.await.is_err());
        pace.turn(1).await;
        let elapsed = started.elapsed().as_secs_f64();
        assert!((1.09..1.11).contains(&elapsed), "the begun second and one turn: {elapsed}");
    }
}
