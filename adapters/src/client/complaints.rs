//! Keeps a failing endpoint from flooding the log, and what fails often from hiding what fails for another reason. Pure; the
//! clock is an argument.

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use ::http::StatusCode;

use tokio::time::Instant;

/// For each status, and for what has none, when its last line was logged and how many were not since.
#[derive(Default)]
pub(crate) struct Complaints(Mutex<BTreeMap<Option<StatusCode>, (Instant, u64)>>);

impl Complaints {
    /// Whether a line about an answer with `status`, or about none, may be logged now, and how many of its kind were not since
    /// the last.
    pub(crate) fn due(&self, status: Option<StatusCode>, now: Instant) -> Option<u64> {
        let mut lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Some((last, suppressed)) = lines.get_mut(&status) else {
            lines.insert(status, (now, 0));
            return Some(0);
        };
        if now.duration_since(*last) < COMPLAINT_INTERVAL {
            *suppressed += 1;
            return None;
        }
        *last = now;
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
        let busy = Some(StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(complaints.due(busy, now), Some(0));
        assert_eq!(complaints.due(busy, now), None);
        assert_eq!(complaints.due(busy, now + COMPLAINT_INTERVAL / 2), None);
        assert_eq!(complaints.due(Some(StatusCode::FORBIDDEN), now), Some(0), "another one is not hidden");
        assert_eq!(complaints.due(None, now), Some(0));
        assert_eq!(complaints.due(busy, now + COMPLAINT_INTERVAL), Some(2));
    }
}
