//! Where records go that no retry can help: refused as they are, impossible to write, too large.

use std::sync::Arc;

use adapters::{Cause, Outcome};

use crate::lane::{Job, Lane};

/// What becomes of a destination's dead letters.
#[derive(Clone, Debug)]
pub enum DeadLetters {
    /// They are refused for now, again and again, until somebody acts: nothing is lost.
    Hold,
    /// They are given up: XDR is told not to ship them again. Only where the operator asked for it.
    Drop,
    /// They go to another destination, whose confirmation acknowledges them.
    To(Arc<Lane>),
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
    /// Takes a record over, with everyone who waits for it.
    pub fn take(&self, job: Job, why: &Why<'_>) {
        match self {
            Self::Drop => job.tickets.settle(Outcome::Rejected(why.cause)),
            Self::Hold | Self::To(_) => job.tickets.refuse(why.cause),
        }
    }
}
