//! What is answered: the records that failed, in the contract of AWS's event sources. Pure.

use std::{collections::BTreeMap, error::Error};

use serde_json::{Value, json};

use crate::Origin;

/// Why a record failed. Any error becomes one that is worth a retry, by `?`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    retryable: bool,
    reason: String,
}

impl Failure {
    /// It may work later: the record is sent again.
    pub fn retry(reason: impl Into<String>) -> Self {
        Self { retryable: true, reason: clean(&reason.into()) }
    }

    /// It will never work: the record is a dead letter at once. The reason goes with it; keep values out of it.
    pub fn never(reason: impl Into<String>) -> Self {
        Self { retryable: false, reason: clean(&reason.into()) }
    }

    pub(crate) fn panicked() -> Self {
        Self::retry("the handler panicked")
    }

    /// Whether the record is worth another try.
    pub fn is_retryable(&self) -> bool {
        self.retryable
    }

    /// Why, in at most 200 bytes.
    pub fn reason(&self) -> &str {
        &self.reason
    }
}

/// With the errors that caused it.
impl<E: Error> From<E> for Failure {
    fn from(error: E) -> Self {
        let mut reason = error.to_string();
        let mut source = error.source();
        while let Some(cause) = source {
            reason.push_str(": ");
            reason.push_str(&cause.to_string());
            source = cause.source();
        }
        Self::retry(reason)
    }
}

/// The records of a batch that failed, by position.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report(BTreeMap<usize, Failure>);

impl Report {
    /// Counts a record as failed.
    pub fn fail(&mut self, position: usize, failure: Failure) {
        self.0.insert(position, failure);
    }

    /// The failures, by position.
    pub fn failures(&self) -> impl ExactSizeIterator<Item = (usize, &Failure)> {
        self.0.iter().map(|(position, failure)| (*position, failure))
    }

    /// Whether every record is done.
    pub fn is_success(&self) -> bool {
        self.0.is_empty()
    }

    /// The answer alone.
    pub fn to_json(&self) -> Value {
        let failures = self.0.iter().map(|(position, failure)| {
            let mut item = json!({"itemIdentifier": position.to_string(), "reason": failure.reason});
            if !failure.retryable {
                item["retryable"] = json!(false);
            }
            item
        });
        json!({"batchItemFailures": failures.collect::<Vec<_>>()})
    }

    /// The answer in the shape that `origin` reads.
    pub fn answer(&self, origin: Origin) -> Value {
        origin.answer(200, &self.to_json())
    }
}

/// One line, and short: the connector reads answers of 1 KiB for each record, and JSON may escape what is in them twice.
fn clean(reason: &str) -> String {
    let mut reason = reason.replace(char::is_control, " ");
    reason.truncate(reason.floor_char_boundary(REASON_BYTES_MAX));
    reason
}

const REASON_BYTES_MAX: usize = 200;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_are_named_as_the_connector_reads_them() {
        let mut report = Report::default();
        assert!(report.is_success());
        assert_eq!(report.to_json(), json!({"batchItemFailures": []}));
        report.fail(11, Failure::never("no\nsuch \"customer\""));
        report.fail(2, std::io::Error::other("queue is full").into());
        let expected = json!({"batchItemFailures": [
            {"itemIdentifier": "2", "reason": "queue is full"},
            {"itemIdentifier": "11", "reason": "no such \"customer\"", "retryable": false},
        ]});
        assert_eq!(report.answer(Origin::Bare), expected);
        let answer = report.answer(Origin::HttpApi);
        assert_eq!(serde_json::from_str::<Value>(answer["body"].as_str().unwrap()).unwrap(), expected);
    }

    #[test]
    fn the_longest_reasons_fit_into_what_is_read() {
        let mut report = Report::default();
        for position in 0..500 {
            report.fail(position, Failure::never("\"\u{1}é".repeat(1000)));
        }
        assert!(report.answer(Origin::HttpApi).to_string().len() < 500 * 1024);
    }
}
