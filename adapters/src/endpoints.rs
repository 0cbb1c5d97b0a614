//! Which endpoint takes the next request: health of one, choice among several. Pure; the clock is an argument.
//!
//! Health only ever *steers* traffic. When no endpoint is healthy one is tried all the same, because a wrong
//! health check must not stop a flow that would work.

use std::time::Duration;

use tokio::time::Instant;

/// Failed connects in a row after which other endpoints carry the traffic.
const CONNECT_FAILURES: u32 = 3;
/// First pause after that; doubled by every probe that fails too.
const PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(8);

/// What is known of one endpoint: from health checks, and from connects that failed.
#[derive(Debug)]
pub(crate) struct Health {
    healthy_threshold: u32,
    unhealthy_threshold: u32,
    alive: bool,
    /// Checks in a row that contradict `alive`.
    contrary_checks: u32,
    connect_failures: u32,
    /// No connect before this instant while others are healthy.
    probe_at: Option<Instant>,
}

impl Health {
    /// Healthy until something says otherwise.
    pub(crate) fn new(healthy_threshold: u32, unhealthy_threshold: u32) -> Self {
        Self {
            healthy_threshold,
            unhealthy_threshold,
            alive: true,
            contrary_checks: 0,
            connect_failures: 0,
            probe_at: None,
        }
    }

    /// Whether requests should go here at `now`; once a pause is over, one of them may.
    pub(crate) fn admits(&self, now: Instant) -> bool {
        self.alive && self.probe_at.is_none_or(|at| now >= at)
    }

    /// Whether the endpoint is in the balancing set.
    pub(crate) fn is_healthy(&self) -> bool {
        self.alive && self.probe_at.is_none()
    }

    /// A connect begins. During a pause it is the probe, and nobody else follows until it is decided or
    /// another pause has passed.
    pub(crate) fn connecting(&mut self, now: Instant) {
        if self.probe_at.is_some() {
            self.probe_at = Some(now + pause(self.connect_failures));
        }
    }

    /// A connect succeeded.
    pub(crate) fn connected(&mut self) {
        self.connect_failures = 0;
        self.probe_at = None;
    }

    /// A connect failed.
    pub(crate) fn connect_failed(&mut self, now: Instant) {
        self.connect_failures = self.connect_failures.saturating_add(1);
        if self.connect_failures >= CONNECT_FAILURES {
            self.probe_at = Some(now + pause(self.connect_failures));
        }
    }

    /// A health check ended. Returns the new state when it changed.
    pub(crate) fn checked(&mut self, passed: bool) -> Option<bool> {
        if passed == self.alive {
            self.contrary_checks = 0;
            return None;
        }
        self.contrary_checks += 1;
        let threshold = if passed { self.healthy_threshold } else { self.unhealthy_threshold };
        if self.contrary_checks < threshold {
            return None;
        }
        self.alive = passed;
        self.contrary_checks = 0;
        Some(passed)
    }
}

fn pause(connect_failures: u32) -> Duration {
    let doublings = connect_failures.saturating_sub(CONNECT_FAILURES).min(8);
    (PAUSE * (1 << doublings)).min(LONGEST_PAUSE)
}

/// What an endpoint says when asked for a place for one request.
pub(crate) enum Offer<T> {
    /// The place.
    Place(T),
    /// Every connection is taken.
    Busy,
    /// Out of the balancing set, and nothing was taken.
    Unhealthy,
}

impl<T> Offer<T> {
    /// Says more about the place.
    pub(crate) fn map<U>(self, more: impl FnOnce(T) -> U) -> Offer<U> {
        match self {
            Self::Place(place) => Offer::Place(more(place)),
            Self::Busy => Offer::Busy,
            Self::Unhealthy => Offer::Unhealthy,
        }
    }
}

/// Asks the endpoints, from `start` on, until one has a place.
///
/// `ask(index, force)` is asked without `force` first; only when no endpoint is healthy each is asked again
/// with it. `None` means that healthy endpoints exist and are busy (or all were, with none healthy): wait.
pub(crate) fn choose<T>(
    count: usize,
    start: usize,
    mut ask: impl FnMut(usize, bool) -> Offer<T>,
) -> Option<T> {
    let mut healthy = false;
    for force in [false, true] {
        for step in 0..count {
            match ask((start + step) % count, force) {
                Offer::Place(place) => return Some(place),
                Offer::Busy => healthy = true,
                Offer::Unhealthy => (),
            }
        }
        if healthy {
            return None;
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn picked(start: usize, healthy: [bool; 3], free: [bool; 3]) -> Option<usize> {
        choose(3, start, |index, force| {
            if !healthy[index] && !force {
                Offer::Unhealthy
            } else if free[index] {
                Offer::Place(index)
            } else {
                Offer::Busy
            }
        })
    }

    #[test]
    fn round_robin_over_the_healthy_and_free() {
        let all = [true; 3];
        assert_eq!([0, 1, 2, 3].map(|start| picked(start, all, all)), [0, 1, 2, 0].map(Some));
        assert_eq!(picked(0, [false, true, true], all), Some(1));
        assert_eq!(picked(0, all, [false, false, true]), Some(2));
        // A busy healthy endpoint is waited for; an unhealthy one is no shortcut.
        assert_eq!(picked(0, [false, true, false], [true, false, true]), None);
    }

    #[test]
    fn when_none_is_healthy_one_is_tried_all_the_same() {
        assert_eq!(picked(1, [false; 3], [true; 3]), Some(1));
        assert_eq!(picked(1, [false; 3], [true, false, false]), Some(0));
        assert_eq!(picked(1, [false; 3], [false; 3]), None);
    }

    #[test]
    fn failed_connects_pause_and_probe() {
        let now = Instant::now();
        let mut health = Health::new(3, 3);
        health.connect_failed(now);
        health.connect_failed(now);
        assert!(health.admits(now) && health.is_healthy());
        health.connect_failed(now);
        assert!(!health.admits(now) && !health.is_healthy());

        let later = now + PAUSE;
        assert!(health.admits(later), "one may probe");
        health.connecting(later);
        assert!(!health.admits(later), "nobody follows the probe");
        health.connect_failed(later);
        assert!(!health.admits(later + PAUSE), "the pause doubles");
        assert!(health.admits(later + 2 * PAUSE));

        for _ in 0..100 {
            health.connect_failed(later);
        }
        assert!(health.admits(later + LONGEST_PAUSE));
        health.connected();
        assert!(health.is_healthy());
        health.connect_failed(later);
        assert!(health.is_healthy(), "counting starts again");
    }

    #[test]
    fn checks_count_in_a_row() {
        let mut health = Health::new(2, 3);
        let now = Instant::now();
        for passed in [false, false, true, false, false] {
            assert_eq!(health.checked(passed), None);
            assert!(health.admits(now));
        }
        assert_eq!(health.checked(false), Some(false));
        assert!(!health.admits(now));
        assert_eq!(health.checked(true), None);
        assert_eq!(health.checked(false), None);
        assert_eq!(health.checked(true), None);
        assert_eq!(health.checked(true), Some(true));
        assert!(health.admits(now));
    }
}
