//! What the log says of a destination that does not take records: which records, and what to do about it.
//!
//! No line says what is in a record, and so none repeats a destination's own words, which may. Why it cannot be reached,
//! or does not answer, is told by what delivers.

use std::time::{Duration, Instant};

use adapters::{Cause, Class};
use tracing::{error, info, warn};

use super::{gate::Change, job::Job};
use crate::logging::SharedLimited;

/// At most one line about refused records in this time: XDR ships them again for ever.
const REFUSED_LOG_EVERY: Duration = Duration::from_secs(5);

/// The same for what is about the destination as a whole: every connection and every request finds that out for itself.
const DESTINATION_LOG_EVERY: Duration = Duration::from_secs(10);

/// The lines of one destination.
#[derive(Debug)]
pub(super) struct Told {
    refused: SharedLimited,
    full: SharedLimited,
    holds: ByClass,
    shut: ByClass,
    throttled: SharedLimited,
    split: ByClass,
}

/// A line that says something else for each class: none of them hides another.
#[derive(Debug)]
struct ByClass([SharedLimited; Class::ALL.len()]);

impl ByClass {
    fn allow(&self, class: Class, now: Instant) -> Option<u64> {
        self.0[class as usize].allow(now)
    }
}

impl Default for Told {
    fn default() -> Self {
        let destination = || SharedLimited::new(DESTINATION_LOG_EVERY);
        let by_class = || ByClass(Class::ALL.map(|_| destination()));
        Self {
            refused: SharedLimited::new(REFUSED_LOG_EVERY),
            full: destination(),
            holds: by_class(),
            shut: by_class(),
            throttled: destination(),
            split: by_class(),
        }
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

    /// A request ended. `holds` says that no other goes before an operator acted, but for one that asks.
    pub(super) fn ended(
        &self,
        destination: &str,
        class: Class,
        status: Option<u16>,
        holds: bool,
        now: Instant,
    ) {
        let Some(what) = what_to_do(class, status) else { return };
        if let Some(suppressed) = self.holds.allow(class, now) {
            let class = class.as_str();
            error!(
                destination,
                class,
                status,
                ready = !holds,
                suppressed,
                "{what}; its records are kept, and nothing is lost"
            );
        }
    }

    /// The destination gets fewer requests, or more again.
    pub(super) fn changed(
        &self,
        destination: &str,
        change: Change,
        class: Class,
        status: Option<u16>,
        now: Instant,
    ) {
        let ms = |duration: Duration| duration.as_millis() as u64;
        match change {
            Change::Opened(after) => {
                info!(destination, after_ms = ms(after), "the destination takes records again");
            }
            Change::Shut(pause) => {
                if let Some(suppressed) = self.shut.allow(class, now) {
                    let class = class.as_str();
                    warn!(
                        destination,
                        class,
                        status,
                        pause_ms = ms(pause),
                        suppressed,
                        "the destination takes nothing: one request at a time asks again"
                    );
                }
            }
            Change::Throttled(pause, limit) => {
                if let Some(suppressed) = self.throttled.allow(now) {
                    warn!(
                        destination,
                        status,
                        pause_ms = ms(pause),
                        limit,
                        suppressed,
                        "the destination asks for less: it gets fewer requests at once"
                    );
                }
            }
        }
    }

    /// A request of several records is sent again in parts, to find the one that it fails of.
    pub(super) fn split(
        &self,
        destination: &str,
        records: usize,
        class: Class,
        status: Option<u16>,
        now: Instant,
    ) {
        if let Some(suppressed) = self.split.allow(class, now) {
            let class = class.as_str();
            info!(
                destination,
                records, class, status, suppressed, "a request failed and is sent again in halves"
            );
        }
    }

    /// A record was not delivered, and XDR is told to ship it again; the last request held `records`.
    pub(super) fn later(&self, destination: &str, job: &Job, cause: Cause, records: usize, now: Instant) {
        if !is_about_the_record(cause) {
            return;
        }
        if let Some(suppressed) = self.refused.allow(now) {
            warn!(
                destination,
                namespace = %job.record.namespace().escape_ascii(),
                digest = %job.record.digest(),
                %cause,
                attempts = job.attempts,
                records,
                suppressed,
                "the destination refuses a record, or one that is sent with it; XDR ships it again"
            );
        }
    }
}

/// What keeps a destination from taking anything, and what helps; `None` where no operator is needed.
pub(crate) fn what_to_do(class: Class, status: Option<u16>) -> Option<&'static str> {
    match (class, status) {
        (Class::Credentials, _) => Some(
            "the destination does not accept the connector's credentials: correct them, or what they may be used for",
        ),
        (Class::Hold, Some(300..=399)) => {
            Some("the destination redirects, which is never followed: configure the final address")
        }
        (Class::Hold, Some(403)) => {
            Some("the destination forbids what the connector does: grant it the permission")
        }
        (Class::Hold, Some(404 | 410 | 421)) => {
            Some("the destination does not exist at this address: correct the address, or create it")
        }
        // What would be about one record, if it were not about all of them.
        (Class::Hold, Some(400 | 413 | 414 | 422)) => Some(
            "the destination refuses every record alike, so they are no dead letters: correct the address, the format, or \
             the consumer",
        ),
        // No answer, so no receiver: a disk, or what was not even sent.
        (Class::Hold, None) => Some(
            "the destination cannot be used as it is set: its own line in the log says why; correct the settings, or the \
             permission or place they ask for",
        ),
        (Class::Hold, _) => {
            Some("the destination takes nothing in this way: correct its settings, or the consumer")
        }
        _ => None,
    }
}

/// Whether another record might have been taken.
fn is_about_the_record(cause: Cause) -> bool {
    match cause {
        Cause::Status(_) | Cause::TooLarge | Cause::FunctionError | Cause::Malformed => true,
        Cause::Timeout
        | Cause::Unreachable
        | Cause::Storage
        | Cause::Overloaded
        | Cause::Unauthorized
        | Cause::Shutdown => false,
    }
}

#[cfg(test)]
mod tests;
