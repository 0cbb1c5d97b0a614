//! Keeps a failing endpoint from flooding the log. Pure; the clock is an argument.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

/// When the last line was logged, and how many were not since.
#[derive(Default)]
pub(crate) struct Complaints(Mutex<(Option<Instant>, u64)>);

impl Complaints {
    /// Whether a line may be logged now, and how many were not since the last.
    pub(crate) fn due(&self, now: Instant) -> Option<u64> {
        let mut guard = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (last, suppressed) = &mut *guard;
        if last.is_some_and(|last| now.duration_since(last) < COMPLAINT_INTERVAL) {
            *suppressed += 1;
            return None;
        }
        *last = Some(now);
        Some(std::mem::take(suppressed))
    }
}

const COMPLAINT_INTERVAL: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn complaints_are_rare_and_counted() {
        let complaints = Complaints::default();
        let now = Instant::now();
        assert_eq!(complaints.due(now), Some(0));
        assert_eq!(complaints.due(now), None);
        assert_eq!(complaints.due(now + COMPLAINT_INTERVAL / 2), None);
        assert_eq!(complaints.due(now + COMPLAINT_INTERVAL), Some(2));
    }
}
