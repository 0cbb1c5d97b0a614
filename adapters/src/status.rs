//! Status code to outcome for plain HTTP: the whole table, pure.
//!
//! A refusal is final only where the operator says so: a wrong password or a deleted function must stop the
//! flow, not throw changes away, because the source can hold them.

use crate::{BuildError, Cause, Outcome};

/// Which statuses confirm delivery and which end it.
#[derive(Clone, Debug, Default)]
pub(crate) struct StatusTable {
    success: Vec<u16>,
    permanent: Vec<u16>,
}

impl StatusTable {
    /// Checks both lists. An empty `success` stands for 200 to 299.
    pub(crate) fn new(success: Vec<u16>, permanent: Vec<u16>) -> Result<Self, BuildError> {
        check("http-success-status-codes", &success)?;
        check("http-permanent-status-codes", &permanent)?;
        let table = Self { success, permanent };
        match table.permanent.iter().find(|code| table.is_success(**code)) {
            Some(code) => Err(BuildError {
                key: "http-permanent-status-codes".to_owned(),
                problem: format!("{code} already counts as a success; a status can be only one of the two"),
            }),
            None => Ok(table),
        }
    }

    /// Whether `code` confirms delivery.
    pub(crate) fn is_success(&self, code: u16) -> bool {
        if self.success.is_empty() { (200..300).contains(&code) } else { self.success.contains(&code) }
    }

    /// What an answer with status `code` means for the records of the request.
    pub(crate) fn outcome(&self, code: u16) -> Outcome {
        if self.is_success(code) {
            return Outcome::Delivered;
        }
        if self.permanent.contains(&code) {
            return Outcome::Rejected(if code == 413 { Cause::TooLarge } else { Cause::Status(code) });
        }
        Outcome::Retryable(match code {
            401 | 407 => Cause::Unauthorized,
            408 | 504 => Cause::Timeout,
            413 => Cause::TooLarge,
            429 | 503 => Cause::Overloaded,
            other => Cause::Status(other),
        })
    }
}

fn check(key: &str, codes: &[u16]) -> Result<(), BuildError> {
    match codes.iter().find(|code| !(200..=599).contains(*code)) {
        Some(code) => Err(BuildError {
            key: key.to_owned(),
            problem: format!("{code} is not the status of a final answer; expected 200 to 599"),
        }),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_final_by_default() {
        let table = StatusTable::default();
        for code in 100..=999 {
            match table.outcome(code) {
                Outcome::Delivered => assert!((200..300).contains(&code), "{code}"),
                Outcome::Retryable(_) => assert!(!(200..300).contains(&code), "{code}"),
                Outcome::Rejected(_) => panic!("{code} is final"),
            }
        }
    }

    #[test]
    fn causes_tell_the_operator_where_to_look() {
        let table = StatusTable::default();
        for (code, cause) in [
            (301, Cause::Status(301)),
            (400, Cause::Status(400)),
            (401, Cause::Unauthorized),
            (403, Cause::Status(403)),
            (407, Cause::Unauthorized),
            (408, Cause::Timeout),
            (413, Cause::TooLarge),
            (429, Cause::Overloaded),
            (500, Cause::Status(500)),
            (503, Cause::Overloaded),
            (504, Cause::Timeout),
        ] {
            assert_eq!(table.outcome(code), Outcome::Retryable(cause), "{code}");
        }
    }

    #[test]
    fn lists_of_the_operator_win() {
        let table = StatusTable::new(vec![200, 409], vec![400, 413, 503]).unwrap();
        assert_eq!(table.outcome(409), Outcome::Delivered);
        assert_eq!(table.outcome(201), Outcome::Retryable(Cause::Status(201)));
        assert_eq!(table.outcome(400), Outcome::Rejected(Cause::Status(400)));
        assert_eq!(table.outcome(413), Outcome::Rejected(Cause::TooLarge));
        assert_eq!(table.outcome(503), Outcome::Rejected(Cause::Status(503)));
    }

    #[test]
    fn contradictions_and_impossible_codes_are_refused() {
        let refused = |success: &[u16], permanent: &[u16]| {
            StatusTable::new(success.to_vec(), permanent.to_vec()).unwrap_err().to_string()
        };
        assert!(refused(&[], &[204]).contains("204 already counts as a success"));
        assert!(refused(&[409], &[409]).starts_with("http-permanent-status-codes"));
        assert!(refused(&[100], &[]).starts_with("http-success-status-codes: 100"));
        assert!(refused(&[], &[600]).contains("expected 200 to 599"));
    }
}
