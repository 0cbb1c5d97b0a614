//! Tells the service manager how the connector is: systemd's `Type=notify` and `WatchdogSec`.
//!
//! Messages go to the socket that `NOTIFY_SOCKET` names. Without one, as under Kubernetes or by hand, nothing is said. A
//! message that cannot be sent is logged and never ends the connector: the service manager notices by itself.

use std::time::Duration;

use sd_notify::NotifyState;
use tokio::time::{MissedTickBehavior, interval};
use tracing::warn;

/// Who started the connector, if it wants to hear of it.
#[derive(Clone, Copy, Debug)]
pub struct ServiceManager {
    listens: bool,
    /// Within this time it wants a sign of life.
    watchdog: Option<Duration>,
}

impl ServiceManager {
    /// Nobody.
    pub fn none() -> Self {
        Self { listens: false, watchdog: None }
    }

    /// The one that the environment names.
    pub fn of_environment() -> Self {
        let listens = std::env::var_os("NOTIFY_SOCKET").is_some();
        Self { listens, watchdog: sd_notify::watchdog_enabled().filter(|every| listens && !every.is_zero()) }
    }

    /// Records are taken from now on.
    pub fn ready(self) {
        self.tell(&[NotifyState::Ready, NotifyState::Status("takes records")]);
    }

    /// The configuration is read again. [`Self::reloaded`] follows, however that ends.
    pub fn reloading(self) {
        match NotifyState::monotonic_usec_now() {
            Ok(now) => self.tell(&[
                NotifyState::Reloading,
                now,
                NotifyState::Status("takes records; reads the configuration again"),
            ]),
            Err(error) => warn!(%error, "cannot tell the service manager"),
        }
    }

    /// That is over. Records were taken all the time.
    pub fn reloaded(self, taken: bool) {
        let status = if taken {
            "takes records"
        } else {
            "takes records; the configuration that was read last is wrong, the one before goes on"
        };
        self.tell(&[NotifyState::Ready, NotifyState::Status(status)]);
    }

    /// No more records are taken; those in process are answered, which may take until `grace` is over.
    pub fn stopping(self, grace: Duration) {
        let micros = u32::try_from((grace + AFTER_GRACE).as_micros()).unwrap_or(u32::MAX);
        self.tell(&[
            NotifyState::Stopping,
            NotifyState::Status("answers the records in process"),
            // A longer grace period than the unit's `TimeoutStopSec` needs no second setting.
            NotifyState::ExtendTimeoutUsec(micros),
        ]);
    }

    /// Gives a sign of life again and again, each after `check` came back, for as long as it is polled.
    pub async fn watch(self, check: impl Fn()) {
        let Some(within) = self.watchdog else { return };
        // Half of the time allowed, as sd_watchdog_enabled(3) advises.
        let mut ticks = interval((within / 2).max(SIGN_OF_LIFE_MIN));
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            check();
            self.tell(&[NotifyState::Watchdog]);
        }
    }

    fn tell(self, states: &[NotifyState<'_>]) {
        if self.listens
            && let Err(error) = sd_notify::notify(states)
        {
            warn!(%error, "cannot tell the service manager");
        }
    }
}

/// To end what is left after the grace period.
const AFTER_GRACE: Duration = Duration::from_secs(10);

/// However short the time allowed.
const SIGN_OF_LIFE_MIN: Duration = Duration::from_millis(10);

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

    use tokio::time::timeout;

    use super::*;

    async fn checks_within(manager: ServiceManager, time: Duration) -> u32 {
        let checks = AtomicU32::new(0);
        let watching = manager.watch(|| {
            checks.fetch_add(1, Relaxed);
        });
        let _ = timeout(time, watching).await;
        checks.load(Relaxed)
    }

    #[tokio::test(start_paused = true)]
    async fn every_sign_of_life_follows_a_check() {
        let every = |watchdog| ServiceManager { listens: false, watchdog };
        let time = Duration::from_millis(5_500);
        // At once, then each half of the time.
        assert_eq!(checks_within(every(Some(Duration::from_secs(2))), time).await, 6);
        assert_eq!(checks_within(every(None), time).await, 0);
        assert_eq!(checks_within(every(Some(Duration::from_nanos(1))), Duration::from_millis(95)).await, 10);
    }
}
