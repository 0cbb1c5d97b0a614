//! What the log says of records that a destination does not take: those that it refuses, and that there are too many.
//!
//! Why it cannot be reached, or does not answer, is told by what delivers.

use std::time::{Duration, Instant};

use adapters::{Cause, Outcome};
use tracing::warn;

use crate::{logging::SharedLimited, notification::RecordId};

/// At most one line about refused records in this time: XDR ships them again for ever.
const REFUSED_LOG_EVERY: Duration = Duration::from_secs(5);

/// The same for a full lane: every connection finds that out for itself.
const FULL_LOG_EVERY: Duration = Duration::from_secs(10);

/// The lines of one destination.
#[derive(Debug)]
pub(super) struct Told {
    refused: SharedLimited,
    full: SharedLimited,
}

impl Default for Told {
    fn default() -> Self {
        Self { refused: SharedLimited::new(REFUSED_LOG_EVERY), full: SharedLimited::new(FULL_LOG_EVERY) }
    }
}

impl Told {
    /// The lane holds `capacity` records, and there was no room for another one in time.
    pub(super) fn full(&self, destination: &str, capacity: u64, now: Instant) {
        if let Some(suppressed) = self.full.allow(now) {
            warn!(
                destination,
                capacity,
                suppressed,
                "the source offers more than this destination takes; refusing what cannot be delivered in time"
            );
        }
    }

    /// A record ended with `outcome`, after `attempts`; the last request held `records`.
    pub(super) fn undelivered(
        &self,
        destination: &str,
        record: &RecordId,
        outcome: Outcome,
        (attempts, records): (u32, usize),
        now: Instant,
    ) {
        let namespace = record.namespace().escape_ascii();
        let digest = record.digest();
        match outcome {
            // Every one gets its line: XDR does not ship it again, so this names what was given up.
            Outcome::Rejected(cause) => warn!(
                destination,
                %namespace,
                %digest,
                %cause,
                records,
                "the destination refused a record for good (http-permanent-status-codes); it is given up"
            ),
            Outcome::Retryable(cause) if is_about_the_record(cause) => {
                if let Some(suppressed) = self.refused.allow(now) {
                    warn!(
                        destination,
                        %namespace,
                        %digest,
                        %cause,
                        attempts,
                        records,
                        suppressed,
                        "the destination refuses a record, or one that is sent with it; XDR ships it again"
                    );
                }
            }
            Outcome::Retryable(_) | Outcome::Delivered => {}
        }
    }
}

/// Whether another record might have been taken.
fn is_about_the_record(cause: Cause) -> bool {
    match cause {
        Cause::Status(_) | Cause::TooLarge | Cause::FunctionError | Cause::Malformed => true,
        Cause::Timeout | Cause::Unreachable | Cause::Overloaded | Cause::Unauthorized | Cause::Shutdown => {
            false
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{
        io,
        sync::{Arc, Mutex},
    };

    use super::*;
    use crate::notification::Digest;

    #[derive(Clone, Default)]
    struct Written(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Written {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            io::Write::write(&mut *self.0.lock().unwrap(), bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn logged(test: impl FnOnce()) -> Vec<String> {
        let written = Written::default();
        let writer = written.clone();
        let lines = tracing_subscriber::fmt().with_ansi(false).with_writer(move || writer.clone()).finish();
        tracing::subscriber::with_default(lines, test);
        let bytes = written.0.lock().unwrap();
        std::str::from_utf8(&bytes).unwrap().lines().map(str::to_owned).collect()
    }

    #[test]
    fn records_are_named_and_what_is_given_up_is_never_left_out() {
        let told = Told::default();
        let start = Instant::now();
        let record = RecordId::new(b"shop", Digest([7; 20]));
        let lines = logged(|| {
            let say = |outcome, seconds| {
                let now = start + Duration::from_secs(seconds);
                told.undelivered("orders", &record, outcome, (5, 3), now);
            };
            for cause in [Cause::Timeout, Cause::Unreachable, Cause::Overloaded, Cause::Unauthorized] {
                say(Outcome::Retryable(cause), 0);
            }
            say(Outcome::Delivered, 0);
            for seconds in [0, 1, 5] {
                say(Outcome::Retryable(Cause::Status(400)), seconds);
            }
            for _ in 0..2 {
                say(Outcome::Rejected(Cause::TooLarge), 5);
            }
        });
        let names = "destination=\"orders\" namespace=shop digest=0707070707070707070707070707070707070707";
        assert_eq!(lines.len(), 4, "{lines:#?}");
        assert!(lines.iter().all(|line| line.contains(names)), "{lines:#?}");
        assert!(lines[0].contains("cause=status 400 attempts=5 records=3 suppressed=0"), "{lines:#?}");
        assert!(lines[1].contains("suppressed=1"), "{lines:#?}");
        assert!(lines[2..].iter().all(|line| line.contains("given up")), "{lines:#?}");
    }

    #[test]
    fn a_full_lane_is_told_once_and_not_by_every_connection() {
        let told = Told::default();
        let start = Instant::now();
        let lines = logged(|| {
            for seconds in [0, 0, 0, 10] {
                told.full("orders", 32, start + Duration::from_secs(seconds));
            }
        });
        assert_eq!(lines.len(), 2, "{lines:#?}");
        assert!(lines[1].contains("destination=\"orders\" capacity=32 suppressed=2"), "{lines:#?}");
    }
}
