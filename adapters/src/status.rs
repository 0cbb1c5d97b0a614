//! Status code to class and outcome: the whole table for everything that answers with one, pure.
//!
//! A change feed may not drop what a receiver refuses for reasons of its own: a wrong password or a deleted function
//! stops the flow and calls an operator, because the source can hold the records. Only what a status says about the
//! *record* is a refusal of the record.

use std::time::Duration;

use crate::{BuildError, Cause, Class, Outcome, Outcomes, Report};

/// Which status means what, the operator's lists included.
#[derive(Clone, Debug, Default)]
pub(crate) struct StatusTable {
    success: Vec<u16>,
    /// `http-permanent-status-codes` and `reject-on`: both refuse the record. That the first may be given up without dead
    /// letters is the caller's to know.
    rejected: Vec<u16>,
    retried: Vec<u16>,
}

/// The lists as they are in the settings.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Lists<'a> {
    /// `http-success-status-codes`; empty stands for 200 to 299.
    pub(crate) success: &'a [u16],
    /// `http-permanent-status-codes`.
    pub(crate) permanent: &'a [u16],
    /// `retry-on`.
    pub(crate) retry_on: &'a [u16],
    /// `reject-on`.
    pub(crate) reject_on: &'a [u16],
}

impl StatusTable {
    /// Checks the lists: a status can have only one meaning.
    pub(crate) fn new(lists: Lists<'_>) -> Result<Self, BuildError> {
        let Lists { success, permanent, retry_on, reject_on } = lists;
        let others = [(PERMANENT, permanent), (REJECT_ON, reject_on), (RETRY_ON, retry_on)];
        for (key, codes) in [(SUCCESS, success)].into_iter().chain(others) {
            if let Some(code) = codes.iter().find(|code| !(200..=599).contains(*code)) {
                let problem = format!("{code} is not the status of a final answer; expected 200 to 599");
                return Err(BuildError { key: key.to_owned(), problem });
            }
        }
        let table = Self {
            success: success.to_vec(),
            rejected: [permanent, reject_on].concat(),
            retried: retry_on.to_vec(),
        };
        for (key, codes) in others {
            if let Some(code) = codes.iter().find(|code| table.is_success(**code)) {
                let whose = if success.is_empty() { "200 to 299 do, unless " } else { "see " };
                let problem = format!(
                    "{code} already counts as a success ({whose}http-success-status-codes); a status can be only \
                     one of the two"
                );
                return Err(BuildError { key: key.to_owned(), problem });
            }
        }
        for (key, codes) in [(PERMANENT, permanent), (REJECT_ON, reject_on)] {
            if let Some(code) = codes.iter().find(|code| retry_on.contains(code)) {
                let problem = format!("{code} is also in {key}; a status can be only one of the two");
                return Err(BuildError { key: RETRY_ON.to_owned(), problem });
            }
        }
        Ok(table)
    }

    /// Whether `code` confirms delivery.
    pub(crate) fn is_success(&self, code: u16) -> bool {
        if self.success.is_empty() { (200..300).contains(&code) } else { self.success.contains(&code) }
    }

    /// The same for a request with its own list of such statuses, unless that is empty.
    pub(crate) fn confirms(&self, code: u16, success: &[u16]) -> bool {
        if success.is_empty() { self.is_success(code) } else { success.contains(&code) }
    }

    /// What an answer with status `code` comes to; `waits` when it asked to be left alone (`Retry-After`).
    pub(crate) fn judge(&self, code: u16, waits: bool) -> (Class, Outcome) {
        self.judge_on(code, waits, &[])
    }

    fn judge_on(&self, code: u16, waits: bool, success: &[u16]) -> (Class, Outcome) {
        if self.confirms(code, success) {
            return (Class::Done, Outcome::Delivered);
        }
        let cause = cause(code);
        if self.rejected.contains(&code) {
            // Final, so it is said exactly which status it was.
            let cause = if code == 413 { Cause::TooLarge } else { Cause::Status(code) };
            return (Class::Record, Outcome::Rejected(cause));
        }
        match usual(code, waits) {
            class @ (Class::Transient | Class::Throttled) => (class, Outcome::Retryable(cause)),
            _ if self.retried.contains(&code) => (Class::Transient, Outcome::Retryable(cause)),
            Class::Record => (Class::Record, Outcome::Rejected(cause)),
            class => (class, Outcome::Retryable(cause)),
        }
    }

    /// The same table for the statuses of single records inside an answer: only 200 to 299 say that one is delivered.
    pub(crate) fn for_items(&self) -> Self {
        Self { success: Vec::new(), ..self.clone() }
    }

    /// Whether an operator says what `code` means, when it is no success.
    pub(crate) fn is_listed(&self, code: u16) -> bool {
        self.rejected.contains(&code) || self.retried.contains(&code)
    }

    /// The report on a request that was answered with `code`.
    pub(crate) fn report(&self, code: u16, retry_after: Option<Duration>) -> Report {
        self.report_on(code, retry_after, &[])
    }

    /// The same for a request with its own list of statuses that confirm it, unless that is empty.
    pub(crate) fn report_on(&self, code: u16, retry_after: Option<Duration>, success: &[u16]) -> Report {
        let (class, outcome) = self.judge_on(code, retry_after.is_some(), success);
        Report { class, outcomes: Outcomes::All(outcome), status: Some(code), retry_after }
    }
}

/// What a status that confirms nothing means when nobody says otherwise.
fn usual(code: u16, waits: bool) -> Class {
    match code {
        // In progress elsewhere, or too early: the same request may pass a moment later.
        408 | 409 | 425 => Class::Transient,
        429 => Class::Throttled,
        503 if waits => Class::Throttled,
        401 | 407 => Class::Credentials,
        400 | 413 | 414 | 422 => Class::Record,
        // Another method or version is needed, which only an operator can bring about.
        501 | 505 => Class::Hold,
        500..=599 => Class::Transient,
        // Redirects are never followed with a POST; and whatever is not known may be anything but done.
        _ => Class::Hold,
    }
}

/// Where the operator is to look.
fn cause(code: u16) -> Cause {
    match code {
        401 | 407 => Cause::Unauthorized,
        408 | 504 => Cause::Timeout,
        413 => Cause::TooLarge,
        429 | 503 => Cause::Overloaded,
        other => Cause::Status(other),
    }
}

const SUCCESS: &str = "http-success-status-codes";
const PERMANENT: &str = "http-permanent-status-codes";
const REJECT_ON: &str = "reject-on";
const RETRY_ON: &str = "retry-on";

#[cfg(test)]
mod tests {
    use super::*;

    fn codes(class: Class, waits: bool) -> Vec<u16> {
        let table = StatusTable::default();
        (200..600).filter(|code| table.judge(*code, waits).0 == class).collect()
    }

    #[test]
    fn the_table() {
        assert_eq!(codes(Class::Done, false), (200..300).collect::<Vec<_>>());
        assert_eq!(codes(Class::Partial, false), [0; 0]);
        assert_eq!(codes(Class::Throttled, false), [429]);
        assert_eq!(codes(Class::Throttled, true), [429, 503]);
        assert_eq!(codes(Class::Credentials, false), [401, 407]);
        assert_eq!(codes(Class::Record, false), [400, 413, 414, 422]);
        let transient = codes(Class::Transient, false);
        let server = (500..600).filter(|code| ![501, 505].contains(code));
        assert_eq!(transient, [408, 409, 425].into_iter().chain(server).collect::<Vec<_>>());
        for code in [300, 301, 307, 399, 402, 403, 404, 405, 406, 410, 411, 415, 421, 426, 431, 499, 501, 505]
        {
            assert_eq!(StatusTable::default().judge(code, false).0, Class::Hold, "{code}");
        }
    }

    #[test]
    fn only_what_a_record_is_refused_with_is_final() {
        let table = StatusTable::default();
        // Beyond what HTTP knows as well: a peer may say anything.
        for code in 100..=999 {
            match table.judge(code, false) {
                (Class::Done, Outcome::Delivered) => assert!((200..300).contains(&code), "{code}"),
                (Class::Record, Outcome::Rejected(_)) => {
                    assert!([400, 413, 414, 422].contains(&code), "{code}")
                }
                (Class::Record | Class::Done, _) | (_, Outcome::Delivered | Outcome::Rejected(_)) => {
                    panic!("{code}")
                }
                (_, Outcome::Retryable(_)) => assert!(!(200..300).contains(&code), "{code}"),
            }
        }
    }

    #[test]
    fn causes_tell_the_operator_where_to_look() {
        let table = StatusTable::default();
        for (code, outcome) in [
            (301, Outcome::Retryable(Cause::Status(301))),
            (400, Outcome::Rejected(Cause::Status(400))),
            (401, Outcome::Retryable(Cause::Unauthorized)),
            (403, Outcome::Retryable(Cause::Status(403))),
            (407, Outcome::Retryable(Cause::Unauthorized)),
            (408, Outcome::Retryable(Cause::Timeout)),
            (413, Outcome::Rejected(Cause::TooLarge)),
            (429, Outcome::Retryable(Cause::Overloaded)),
            (500, Outcome::Retryable(Cause::Status(500))),
            (503, Outcome::Retryable(Cause::Overloaded)),
            (504, Outcome::Retryable(Cause::Timeout)),
        ] {
            assert_eq!(table.judge(code, false).1, outcome, "{code}");
        }
    }

    #[test]
    fn lists_of_the_operator_win() {
        let table = StatusTable::new(Lists {
            success: &[200, 409],
            permanent: &[404, 413, 503],
            reject_on: &[404, 415],
            retry_on: &[400, 401, 403, 429, 500],
        })
        .unwrap();
        let judge = |code| table.judge(code, true);
        assert_eq!(judge(409), (Class::Done, Outcome::Delivered));
        assert_eq!(judge(201), (Class::Hold, Outcome::Retryable(Cause::Status(201))));
        assert_eq!(judge(404), (Class::Record, Outcome::Rejected(Cause::Status(404))));
        assert_eq!(judge(413), (Class::Record, Outcome::Rejected(Cause::TooLarge)));
        assert_eq!(judge(415), (Class::Record, Outcome::Rejected(Cause::Status(415))));
        assert_eq!(judge(503), (Class::Record, Outcome::Rejected(Cause::Status(503))));
        assert_eq!(judge(400), (Class::Transient, Outcome::Retryable(Cause::Status(400))));
        assert_eq!(judge(401), (Class::Transient, Outcome::Retryable(Cause::Unauthorized)));
        assert_eq!(judge(403), (Class::Transient, Outcome::Retryable(Cause::Status(403))));
        // Retried anyway, and more gently than a list knows.
        assert_eq!(judge(429), (Class::Throttled, Outcome::Retryable(Cause::Overloaded)));
        let report = table.report(429, Some(Duration::from_secs(3)));
        assert_eq!((report.status, report.retry_after), (Some(429), Some(Duration::from_secs(3))));
    }

    #[test]
    fn a_request_may_have_its_own_statuses() {
        let table = StatusTable::new(Lists { permanent: &[404], ..Lists::default() }).unwrap();
        assert_eq!(table.report_on(404, None, &[200, 404]).class, Class::Done);
        assert_eq!(table.report_on(404, None, &[]).class, Class::Record);
        assert_eq!(
            table.report_on(204, None, &[200, 404]).class,
            Class::Hold,
            "they replace the destination's"
        );
        assert_eq!(table.report_on(503, None, &[200]).class, Class::Transient);
    }

    #[test]
    fn contradictions_and_impossible_codes_are_refused() {
        let refused = |lists| StatusTable::new(lists).unwrap_err().to_string();
        let empty = Lists::default();
        for (lists, expected) in [
            (
                Lists { permanent: &[204], ..empty },
                "http-permanent-status-codes: 204 already counts as a success",
            ),
            (Lists { reject_on: &[204], ..empty }, "reject-on: 204 already counts as a success"),
            (Lists { retry_on: &[204], ..empty }, "retry-on: 204 already counts as a success"),
            (
                Lists { success: &[409], permanent: &[409], ..empty },
                "http-permanent-status-codes: 409 already",
            ),
            (
                Lists { permanent: &[409], retry_on: &[409], ..empty },
                "retry-on: 409 is also in http-permanent",
            ),
            (
                Lists { reject_on: &[409], retry_on: &[408, 409], ..empty },
                "retry-on: 409 is also in reject-on",
            ),
            (Lists { success: &[100], ..empty }, "http-success-status-codes: 100 is not"),
            (Lists { permanent: &[600], ..empty }, "http-permanent-status-codes: 600 is not"),
            (Lists { retry_on: &[0], ..empty }, "retry-on: 0 is not"),
            (Lists { reject_on: &[65535], ..empty }, "reject-on: 65535 is not"),
        ] {
            assert!(refused(lists).starts_with(expected), "{}", refused(lists));
        }
        assert!(refused(Lists { permanent: &[600], ..empty }).contains("expected 200 to 599"));
        let limited = Lists { success: &[200], retry_on: &[202], permanent: &[404], reject_on: &[404] };
        assert!(StatusTable::new(limited).is_ok());
    }
}
