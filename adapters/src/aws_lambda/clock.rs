//! How far the peer's clock is from ours, as its answers tell. The SDK corrects its signatures by the same header; this is
//! for whoever has to know that it did.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicI64, Ordering::Relaxed},
    },
    time::{Duration, SystemTime},
};

use aws_smithy_runtime_api::{
    box_error::BoxError,
    client::{
        interceptors::{Intercept, context::BeforeDeserializationInterceptorContextRef},
        runtime_components::RuntimeComponents,
    },
};
use aws_smithy_types::config_bag::ConfigBag;
use tracing::{info, warn};

/// The offset of one API's clock.
#[derive(Debug, Default)]
pub(super) struct Clock {
    destination: String,
    /// Milliseconds that the peer is ahead.
    offset_ms: AtomicI64,
    told: AtomicBool,
}

impl Clock {
    pub(super) fn new(destination: &str) -> Self {
        Self { destination: destination.to_owned(), ..Self::default() }
    }

    pub(super) fn offset_ms(&self) -> i64 {
        self.offset_ms.load(Relaxed)
    }

    /// An answer came at `now` with this `Date`.
    fn heard(&self, date: &str, now: SystemTime) {
        let Some(offset_ms) = offset_ms(date, now) else { return };
        self.offset_ms.store(offset_ms, Relaxed);
        let destination = &self.destination;
        let far = offset_ms.unsigned_abs() > FAR.as_millis() as u64;
        if far != self.told.swap(far, Relaxed) {
            if far {
                warn!(destination, offset_ms, "the clock of this machine differs from that of AWS");
            } else {
                info!(destination, offset_ms, "the clock of this machine agrees with that of AWS again");
            }
        }
    }
}

/// What is seen of each answer.
#[derive(Debug)]
pub(super) struct Watch(pub(super) Arc<Clock>);

impl Intercept for Watch {
    fn name(&self) -> &'static str {
        "ClockWatch"
    }

    fn read_before_deserialization(
        &self,
        context: &BeforeDeserializationInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        if let Some(date) = context.response().headers().get("date") {
            self.0.heard(date, SystemTime::now());
        }
        Ok(())
    }
}

/// A date has no fractions of a second: half of one is the best guess.
fn offset_ms(date: &str, now: SystemTime) -> Option<i64> {
    let peer = httpdate::parse_http_date(date).ok()? + Duration::from_millis(500);
    let offset = match peer.duration_since(now) {
        Ok(ahead) => i64::try_from(ahead.as_millis()).ok()?,
        Err(behind) => -i64::try_from(behind.duration().as_millis()).ok()?,
    };
    Some(offset)
}

/// Services refuse what was signed five minutes off; before that someone should know.
const FAR: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: SystemTime = SystemTime::UNIX_EPOCH;

    fn heard(clock: &Clock, ahead_s: i64) -> i64 {
        let date = if ahead_s >= 0 {
            NOW + YEAR + Duration::from_secs(ahead_s.unsigned_abs())
        } else {
            NOW + YEAR - Duration::from_secs(ahead_s.unsigned_abs())
        };
        clock.heard(&httpdate::fmt_http_date(date), NOW + YEAR);
        clock.offset_ms()
    }

    const YEAR: Duration = Duration::from_secs(365 * 24 * 3600);

    #[test]
    fn ahead_and_behind() {
        let clock = Clock::new("d");
        assert_eq!(heard(&clock, 420), 420_500);
        assert_eq!(heard(&clock, -420), -419_500);
        assert!(clock.told.load(Relaxed));
        assert_eq!(heard(&clock, 0), 500);
        assert!(!clock.told.load(Relaxed));
        clock.heard("yesterday", NOW);
        assert_eq!(clock.offset_ms(), 500, "what is no date tells nothing");
    }
}
