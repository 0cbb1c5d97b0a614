//! Where records go that no retry can help: refused as they are, impossible to write, too large.
//!
//! The default never loses one: it is refused for now, again and again, until somebody acts. With a dead-letter
//! destination the record goes there, and its confirmation there acknowledges it; as long as it is not confirmed, it is
//! refused for now as well. Nothing here waits. A dead letter that its own destination does not take is held: it becomes
//! no other dead letter, and nobody gives it up.

use std::{sync::Arc, time::SystemTime};

use adapters::{Cause, Outcome};
use futures_util::FutureExt as _;

use self::entry::Letter;
pub use self::{
    entry::Original,
    places::{Place, Places},
};
use crate::{encode::EncodeError, lane::Job};

mod entry;
mod places;

/// What becomes of a destination's dead letters.
#[derive(Clone, Debug)]
pub enum DeadLetters {
    /// They are refused for now, again and again, until somebody acts: nothing is lost.
    Hold,
    /// They are given up: XDR is told not to ship them again. Only where the operator asked for it.
    Drop,
    /// They go to another destination, whose confirmation acknowledges them.
    To(Place),
}

/// Why a record is a dead letter.
#[derive(Clone, Debug)]
pub struct Why<'a> {
    /// The destination that does not take it.
    pub destination: &'a str,
    /// What happened.
    pub cause: Cause,
    /// Status of the answer, where there was one.
    pub status: Option<u16>,
    /// The destination's own words, when it has a contract for such.
    pub reason: Option<&'a str>,
}

impl DeadLetters {
    /// Whether a [`Job`] has to keep its [`Original`].
    pub fn keeps_originals(&self) -> bool {
        matches!(self, Self::To(_))
    }

    /// Takes a record over, with everyone who waits for it.
    pub fn take(&self, job: Job, why: &Why<'_>) {
        self.bury(job, why, None);
    }

    /// Takes over a record that cannot be written for `destination`.
    pub fn take_unwritten(&self, job: Job, destination: &str, error: &EncodeError) {
        let why = Why { destination, cause: Cause::Malformed, status: None, reason: None };
        self.bury(job, &why, Some(error));
    }

    fn bury(&self, job: Job, why: &Why<'_>, unwritten: Option<&EncodeError>) {
        match self {
            _ if job.tickets.is_letter() => job.tickets.refuse(why.cause),
            Self::Hold => job.tickets.refuse(why.cause),
            Self::Drop => job.tickets.settle(Outcome::Rejected(why.cause)),
            Self::To(place) => place.send(job, why, unwritten),
        }
    }
}

impl Place {
    fn send(&self, job: Job, why: &Why<'_>, unwritten: Option<&EncodeError>) {
        let (Some(original), Some(lane)) = (&job.original, self.lane()) else {
            return job.tickets.refuse(why.cause);
        };
        let letter = Letter { why, unwritten, attempts: job.attempts, record: &job.record, original };
        let piece = letter.to_json(SystemTime::now()).into();
        self.stats.sent.add(why.cause, 1);
        let Job { record, tickets, entered, deadline, .. } = job;
        let letter = Job {
            record,
            piece,
            policy: self.policy,
            // Every dead letter counts: none stands for another.
            order: None,
            tickets: tickets.of_letter(Arc::clone(&self.stats)),
            entered,
            deadline,
            attempts: 0,
            original: None,
        };
        // Without any patience it is taken in or refused at once. A future that were not ready would refuse it too.
        let _ = lane.enqueue(letter, entered).now_or_never();
    }
}
