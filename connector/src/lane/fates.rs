//! What a report says of each record of its request, and of the destination. Pure.

use std::time::Duration;

use adapters::{Cause, Class, Outcome, Outcomes, Report};

use super::{
    gate::Sign,
    items::{self, Named},
    job::Job,
};

/// A report, held against the request that it is about.
#[derive(Debug)]
pub(super) struct Fates<'r> {
    each: Each<'r>,
    records: usize,
    /// The kind of end; another one than reported when the answer makes no sense.
    pub(super) class: Class,
    retry_after: Option<Duration>,
}

#[derive(Debug)]
enum Each<'r> {
    All(Outcome),
    Except(Vec<Named<'r>>),
}

/// What is said of one record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Fate<'r> {
    pub(super) outcome: Outcome,
    /// In the destination's own words.
    pub(super) reason: Option<&'r str>,
    /// Who is meant.
    pub(super) about: About,
}

/// Whom a failure is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum About {
    /// The request, which held several records.
    Several,
    /// This record, which was alone in its request.
    Alone,
    /// This record, named beside others that are delivered.
    Named,
}

impl<'r> Fates<'r> {
    pub(super) fn new(report: &'r Report, batch: &[Job]) -> Self {
        let mut class = report.class;
        let each = match &report.outcomes {
            Outcomes::All(outcome) => Each::All(*outcome),
            Outcomes::Except(failures) => {
                match items::find(failures, batch.len(), |index| *batch[index].record.digest()) {
                    Some(named) => Each::Except(named),
                    None => {
                        class = Class::Transient;
                        Each::All(Outcome::Retryable(Cause::Malformed))
                    }
                }
            }
        };
        Self { each, records: batch.len(), class, retry_after: report.retry_after }
    }

    /// Takes a refusal of the whole request for one of the destination, whatever was sent: no record is at fault.
    pub(super) fn hold(&mut self) {
        let refused = match &self.each {
            Each::All(Outcome::Rejected(cause)) => Some(*cause),
            // A consumer that says of a record that it does not want it again is believed; a status says less.
            Each::Except(named)
                if named.len() == self.records && named.iter().all(Named::is_refused_by_status) =>
            {
                named.first().map(|named| named.cause)
            }
            Each::All(_) | Each::Except(_) => None,
        };
        if let Some(cause) = refused {
            (self.each, self.class) = (Each::All(Outcome::Retryable(cause)), Class::Hold);
        }
    }

    /// The fates, in the order of the request.
    pub(super) fn iter(&self) -> impl Iterator<Item = Fate<'r>> {
        let mut next_named = match &self.each {
            Each::All(_) => [].iter(),
            Each::Except(named) => named.iter(),
        }
        .peekable();
        let others_delivered = self.delivered() > 0;
        (0..self.records).map(move |index| {
            match (&self.each, next_named.next_if(|next| next.index == index)) {
                (Each::All(outcome), _) => Fate { outcome: *outcome, reason: None, about: self.about_all() },
                (Each::Except(_), None) => {
                    Fate { outcome: Outcome::Delivered, reason: None, about: self.about_all() }
                }
                (Each::Except(_), Some(named)) => {
                    let about = match (named.retryable, others_delivered) {
                        // Nobody else is meant by it, whoever else failed.
                        (false, _) if self.records > 1 => About::Named,
                        (_, true) => About::Named,
                        _ => self.about_all(),
                    };
                    Fate { outcome: named.outcome(), reason: named.reason, about }
                }
            }
        })
    }

    fn about_all(&self) -> About {
        if self.records > 1 { About::Several } else { About::Alone }
    }

    /// Whether the destination has all of them, which is the usual end.
    pub(super) fn are_all_delivered(&self) -> bool {
        matches!(self.each, Each::All(Outcome::Delivered))
    }

    /// Records that the destination has.
    pub(super) fn delivered(&self) -> usize {
        match &self.each {
            Each::All(Outcome::Delivered) => self.records,
            Each::All(_) => 0,
            Each::Except(named) => self.records - named.len(),
        }
    }

    /// Records that need another attempt.
    pub(super) fn retryable(&self) -> usize {
        match &self.each {
            Each::All(Outcome::Retryable(_)) => self.records,
            Each::All(_) => 0,
            Each::Except(named) => named.iter().filter(|named| named.retryable).count(),
        }
    }

    /// Share of the records that were named.
    pub(super) fn named_share(&self) -> f64 {
        match &self.each {
            Each::All(_) => 0.0,
            Each::Except(named) => named.len() as f64 / self.records.max(1) as f64,
        }
    }

    /// Share of the records for which the destination asked for less, where it took others.
    fn throttled_share(&self) -> f64 {
        let Each::Except(named) = &self.each else { return 0.0 };
        let asks = |named: &&Named<'_>| named.retryable && is_throttling(named.cause);
        named.iter().filter(asks).count() as f64 / self.records.max(1) as f64
    }

    /// What this says of the destination. `rule` tells whether most requests failed lately.
    pub(super) fn sign(&self, rule: bool) -> Sign {
        if self.delivered() > 0 {
            return Sign::Works { records: self.records, throttled: self.throttled_share() };
        }
        let cause = match &self.each {
            Each::All(Outcome::Retryable(cause)) => *cause,
            Each::Except(named) if named.iter().all(|named| named.retryable) => {
                named.first().map_or(Cause::FunctionError, |named| named.cause)
            }
            // It looked at what came, and refused it.
            Each::All(_) | Each::Except(_) => return Sign::Works { records: 0, throttled: 0.0 },
        };
        let class = match self.class {
            Class::Done | Class::Partial | Class::Record => Class::Transient,
            class => class,
        };
        Sign::Fails { class, cause, retry_after: self.retry_after, rule }
    }
}

/// Whether it was asked for less, as far as an answer for one record of several tells.
fn is_throttling(cause: Cause) -> bool {
    matches!(cause, Cause::Overloaded | Cause::Status(429))
}

/// Whether a failure of this kind may come from what was sent.
pub(super) fn may_be_poison(class: Class, cause: Cause) -> bool {
    let transient = matches!(class, Class::Transient | Class::Partial);
    transient
        && match cause {
            // A gateway may say 503 of a consumer that failed; one that is throttled is of another class.
            Cause::FunctionError
            | Cause::Timeout
            | Cause::Malformed
            | Cause::Status(_)
            | Cause::Overloaded => true,
            Cause::Unreachable | Cause::Storage | Cause::Unauthorized | Cause::TooLarge | Cause::Shutdown => {
                false
            }
        }
}

/// Whether a failure that [`may_be_poison`] may as well be that of whoever stands before the consumer, and then is about
/// no record: a gateway without a consumer that is free answers like one whose consumer failed.
pub(super) fn may_be_of_gateway(cause: Cause) -> bool {
    matches!(cause, Cause::Status(502 | 520..=530) | Cause::Overloaded | Cause::Timeout)
}

#[cfg(test)]
mod tests;
