//! A lane from the start of its workers to their end.
//!
//! A lane that takes the place of another one begins to send when the other has nothing left, so that no version of a record
//! overtakes an older one while the configuration changes. From the moment that a lane is retired nobody can hand it a
//! record, however late he comes: what came before goes by the old settings, what comes after by the new ones.

use std::{
    panic::resume_unwind,
    sync::{
        Arc, Weak,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use adapters::{Cause, Outcome};
use tokio::{
    sync::{Notify, oneshot},
    task::JoinSet,
    time::{Instant, sleep, sleep_until, timeout},
};

use super::{Lane, now};

/// What a retired lane holds is answered within eight seconds; a request that takes longer is given up like one that got no
/// answer.
const DRAINED_WITHIN: Duration = Duration::from_secs(10);

/// How long to wait for the last who hold a lane that is over, where its destination bears only one.
const RELEASED_WITHIN: Duration = Duration::from_secs(2);
const RELEASED_EVERY: Duration = Duration::from_millis(20);

/// Whether a lane only works off what it has.
#[derive(Debug, Default)]
pub(super) struct Retired {
    /// Written under the lock of the lane's state.
    retired: AtomicBool,
    succeeded: AtomicBool,
    begins: Notify,
}

impl Retired {
    pub(super) fn is(&self) -> bool {
        self.retired.load(Ordering::Acquire)
    }

    /// Whether another lane goes on with its numbers.
    pub(super) fn is_succeeded(&self) -> bool {
        self.succeeded.load(Ordering::Acquire)
    }
}

/// The end of a lane, for the one that takes its place.
#[derive(Debug)]
pub struct After {
    over: oneshot::Receiver<()>,
    lane: Weak<Lane>,
}

impl After {
    /// The lane, while somebody holds it.
    pub(crate) fn lane(&self) -> Option<Arc<Lane>> {
        self.lane.upgrade()
    }

    /// Waits until the lane has nothing left, and where `alone`, until nobody holds its target any more either.
    async fn over(self, alone: bool) {
        // Whether it was told or dropped: the lane's life is over.
        let _ = self.over.await;
        if alone {
            let released = async {
                while self.lane.strong_count() > 0 {
                    sleep(RELEASED_EVERY).await;
                }
            };
            let _ = timeout(RELEASED_WITHIN, released).await;
        }
    }
}

/// A lane before its workers start.
#[derive(Debug)]
#[must_use]
pub struct Life {
    lane: Arc<Lane>,
    over: oneshot::Sender<()>,
}

impl Life {
    /// Of `lane`, and what the lane has to wait for that takes its place one day.
    pub fn of(lane: &Arc<Lane>) -> (Self, After) {
        let (over, after) = oneshot::channel();
        (Self { lane: Arc::clone(lane), over }, After { over: after, lane: Arc::downgrade(lane) })
    }

    /// Runs the lane after the one whose place it takes, until it is closed, or retired and empty; gives it back then. With
    /// `alone` nobody may hold the other's target any more. Panics when one of its tasks does.
    pub async fn run(self, after: Option<After>, alone: bool) -> Arc<Lane> {
        let Self { lane, over } = self;
        if let Some(after) = after {
            after.over(alone).await;
        }
        let mut tasks = JoinSet::new();
        lane.start(&mut tasks);
        tokio::select! {
            biased;
            all_answered = lane.drained() => {
                lane.close();
                if !all_answered {
                    tasks.shutdown().await;
                    lane.forget_running();
                }
            }
            () = ended(&mut tasks) => {}
        }
        ended(&mut tasks).await;
        drop(over);
        lane
    }
}

/// Waits until every task has ended.
async fn ended(tasks: &mut JoinSet<()>) {
    while let Some(ended) = tasks.join_next().await {
        if let Err(error) = ended
            && error.is_panic()
        {
            resume_unwind(error.into_panic());
        }
    }
}

impl Lane {
    /// Takes no more records. What it holds is worked off, or refused for now where the destination takes nothing at
    /// present. `succeeded` says that another lane goes on with its numbers.
    pub fn retire(&self, succeeded: bool) {
        let refused = {
            let mut state = self.lock();
            self.retired.retired.store(true, Ordering::Release);
            self.retired.succeeded.store(succeeded, Ordering::Release);
            if state.turns.gate.is_closed(now()) { state.turns.queue.drain() } else { Vec::new() }
        };
        // At once, not slowly: they have somewhere else to go now.
        refused.into_iter().for_each(|job| job.tickets.settle(Outcome::Retryable(Cause::Shutdown)));
        self.retired.begins.notify_one();
        self.room.notify_waiters();
    }

    /// Waits until the lane is retired and holds nothing; false when that takes too long.
    async fn drained(&self) -> bool {
        while !self.retired.is() {
            self.retired.begins.notified().await;
        }
        let late = Instant::now() + DRAINED_WITHIN;
        loop {
            let mut room = std::pin::pin!(self.room.notified());
            room.as_mut().enable();
            if self.lock().turns.queue.held() == 0 {
                return true;
            }
            tokio::select! {
                biased;
                () = room => {}
                () = sleep_until(late) => return false,
            }
        }
    }

    /// Requests that were given up are in flight no longer.
    fn forget_running(&self) {
        let running = self.lock().turns.gate.running() as u64;
        self.stats.in_flight.fetch_sub(running, Ordering::Relaxed);
    }
}
