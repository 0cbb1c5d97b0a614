//! Ends calls that take too long, with timers that outlive them.
//!
//! To set a timer and to take it back costs several hundred instructions, and nearly every call ends long before it goes off. So a
//! timer is set once and serves one call after the other: when it goes off for one that began long ago, it is set again for the
//! present one.

use std::{
    future::{Future, poll_fn},
    pin::Pin,
    sync::{Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, ready},
};

use tokio::time::{Instant, Sleep, sleep_until};

/// Timers that no call uses, set for whenever their last one had to end. As many as there were calls at once.
#[derive(Debug, Default)]
pub(super) struct Timers(Mutex<Vec<Pin<Box<Sleep>>>>);

impl Timers {
    /// What `work` comes to by `deadline`; `None` when that passes first.
    pub(super) async fn within<T>(
        &self,
        deadline: Instant,
        mut work: Pin<&mut impl Future<Output = T>>,
    ) -> Option<T> {
        let mut timer = Timer { timers: self, sleep: None };
        poll_fn(|cx| match work.as_mut().poll(cx) {
            Poll::Ready(done) => Poll::Ready(Some(done)),
            Poll::Pending => timer.poll(deadline, cx).map(|()| None),
        })
        .await
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Pin<Box<Sleep>>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The timer of one call, which goes back when that ends.
struct Timer<'a> {
    timers: &'a Timers,
    /// `None` until the call has to wait.
    sleep: Option<Pin<Box<Sleep>>>,
}

impl Timer<'_> {
    fn poll(&mut self, deadline: Instant, cx: &mut Context<'_>) -> Poll<()> {
        let kept = || self.timers.lock().pop();
        let sleep =
            self.sleep.get_or_insert_with(|| kept().unwrap_or_else(|| Box::pin(sleep_until(deadline))));
        if sleep.deadline() > deadline {
            sleep.as_mut().reset(deadline);
        }
        loop {
            ready!(sleep.as_mut().poll(cx));
            if sleep.deadline() >= deadline {
                return Poll::Ready(());
            }
            sleep.as_mut().reset(deadline);
        }
    }
}

impl Drop for Timer<'_> {
    fn drop(&mut self) {
        self.timers.lock().extend(self.sleep.take());
    }
}

#[cfg(test)]
mod tests {
    use std::{future::pending, pin::pin, time::Duration};

    use tokio::time::sleep;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[tokio::test(start_paused = true)]
    async fn a_call_ends_at_its_deadline_whenever_its_timer_was_set() {
        let timers = Timers::default();
        let quick = timers.within(Instant::now() + SECOND, pin!(sleep(SECOND / 2))).await;
        assert!(quick.is_some());
        // Set half a second earlier than needed, long ago, and for later than needed.
        for pause in [Duration::ZERO, 100 * SECOND, Duration::ZERO] {
            sleep(pause).await;
            let began = Instant::now();
            assert!(timers.within(began + SECOND, pin!(pending::<()>())).await.is_none());
            assert_eq!(began.elapsed(), SECOND);
            assert!(timers.within(Instant::now() + 10 * SECOND, pin!(sleep(SECOND))).await.is_some());
        }
    }

    #[tokio::test(start_paused = true)]
    async fn one_timer_serves_calls_behind_one_another_and_none_those_that_need_not_wait() {
        let timers = Timers::default();
        for _ in 0..10 {
            assert!(timers.within(Instant::now() + SECOND, pin!(async {})).await.is_some());
        }
        assert_eq!(timers.lock().len(), 0);
        for _ in 0..10 {
            assert!(timers.within(Instant::now() + SECOND, pin!(sleep(SECOND / 10))).await.is_some());
        }
        assert_eq!(timers.lock().len(), 1);
    }
}
