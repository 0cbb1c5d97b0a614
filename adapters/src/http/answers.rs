//! Successes that tell of single records: how they are read, and what is said of those that failed.

use super::Answers;
use crate::{
    Cause, Class, Report, bulk,
    client::Answer,
    partial::{self, Answered},
    status::StatusTable,
};

/// Reads such answers.
pub(super) struct Items {
    answers: Answers,
    statuses: StatusTable,
}

impl Items {
    /// `statuses` says what those of requests mean.
    pub(super) fn new(answers: Answers, statuses: &StatusTable) -> Self {
        Self { answers, statuses: statuses.for_items() }
    }

    /// Most bytes of an answer worth reading.
    pub(super) fn answer_bytes_max(&self, records: usize) -> usize {
        match self.answers {
            Answers::BatchItemFailures => partial::answer_bytes_max(records),
            Answers::ElasticsearchBulk => bulk::answer_bytes_max(records),
        }
    }

    /// What an answer comes to that is whole and a success by its status. The log gets numbers only: a receiver's words may
    /// repeat what was sent.
    pub(super) fn report(&self, answer: Answer<'_>, records: usize) -> Report {
        let status = answer.status.as_u16();
        let (read, what) = match self.answers {
            Answers::BatchItemFailures => (
                partial::parse(&answer.body, answer.cut, records),
                "with batchItemFailures that name no record",
            ),
            Answers::ElasticsearchBulk => (
                bulk::parse(&answer.body, answer.cut, records, &self.statuses),
                "with a body that does not tell what became of each record",
            ),
        };
        match &read {
            Answered::AllDone => (),
            Answered::Except(failures) => {
                let failed = failures.len();
                let words = format_args!("{failed} of {records} records were not processed");
                answer.endpoint.complain(Some(answer.status), &words);
            }
            Answered::Alike(_, cause) => {
                let words = format_args!("none of {records} records was processed: {cause} for each of them");
                answer.endpoint.complain(Some(answer.status), &words);
            }
            Answered::Nonsense(why) => answer.endpoint.complain(
                Some(answer.status),
                &format_args!("status {status} {what} ({why}), so all of {records} count as failed"),
            ),
        }
        answer.queued.succeeded();
        match (self.answers, read) {
            (Answers::ElasticsearchBulk, Answered::Nonsense(_)) => {
                Report { status: Some(status), ..Report::failed(Class::Transient, Cause::Malformed) }
            }
            (_, read) => read.into_report(Some(status)),
        }
    }
}
