//! Keeps a line that could repeat for every record from filling the log.

use std::{
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

/// Lets one line through per interval and counts the rest. One of these per line of code.
#[derive(Debug)]
pub struct Limited {
    every: Duration,
    last: Option<Instant>,
    suppressed: u64,
}

impl Limited {
    /// At most one line in `every`.
    pub fn new(every: Duration) -> Self {
        Self { every, last: None, suppressed: 0 }
    }

    /// `Some` when the line may be written, with the number of those held back since the last one.
    pub fn allow(&mut self, now: Instant) -> Option<u64> {
        if self.last.is_some_and(|last| now.saturating_duration_since(last) < self.every) {
            self.suppressed += 1;
            return None;
        }
        self.last = Some(now);
        Some(std::mem::take(&mut self.suppressed))
    }
}

/// The same for a line that many tasks may have to say.
#[derive(Debug)]
pub struct SharedLimited(Mutex<Limited>);

impl SharedLimited {
    /// At most one line in `every`.
    pub fn new(every: Duration) -> Self {
        Self(Mutex::new(Limited::new(every)))
    }

    /// As [`Limited::allow`].
    pub fn allow(&self, now: Instant) -> Option<u64> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).allow(now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_per_interval_with_the_count_of_the_others() {
        let start = Instant::now();
        let at = |millis| start + Duration::from_millis(millis);
        let mut limited = Limited::new(Duration::from_secs(1));
        let allowed: Vec<_> = [0, 1, 999, 1000, 1001, 5000].map(|millis| limited.allow(at(millis))).into();
        assert_eq!(allowed, [Some(0), None, None, Some(2), None, Some(1)]);
    }
}
