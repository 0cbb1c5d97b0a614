//! The table of ends, case by case.

use serde_json::{Value, json};

use super::*;
use crate::{ItemFailure, Outcomes};

fn judge(more: Value) -> Judge {
    let mut settings = json!({"function-name": "orders"});
    settings.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    Judge::new(&serde_json::from_value(settings).unwrap()).unwrap()
}

fn refusal(status: u16, code: &str) -> Refusal {
    let code = (!code.is_empty()).then(|| code.to_owned());
    Refusal { status, code, ..Refusal::default() }
}

fn class(judge: &Judge, status: u16, code: &str) -> Class {
    judge.refused(&refusal(status, code)).class
}

#[test]
fn errors_of_the_api() {
    let judge = judge(json!({}));
    for (status, code, expected, cause) in [
        (429, "TooManyRequestsException", Class::Throttled, Cause::Overloaded),
        (502, "EC2ThrottledException", Class::Throttled, Cause::Overloaded),
        (413, "RequestTooLargeException", Class::Record, Cause::TooLarge),
        (413, "RequestEntityTooLargeException", Class::Record, Cause::TooLarge),
        (400, "InvalidRequestContentException", Class::Record, Cause::Status(400)),
        (404, "ResourceNotFoundException", Class::Hold, Cause::Status(404)),
        (403, "AccessDeniedException", Class::Hold, Cause::Status(403)),
        (400, "InvalidParameterValueException", Class::Hold, Cause::Status(400)),
        (400, "RecursiveInvocationException", Class::Hold, Cause::Status(400)),
        (415, "UnsupportedMediaTypeException", Class::Hold, Cause::Status(415)),
        (409, "ResourceConflictException", Class::Transient, Cause::Status(409)),
        (409, "SnapStartNotReadyException", Class::Transient, Cause::Status(409)),
        (408, "SnapStartTimeoutException", Class::Transient, Cause::Timeout),
        (408, "EFSMountTimeoutException", Class::Transient, Cause::Timeout),
        (403, "EFSMountFailureException", Class::Transient, Cause::Status(403)),
        (410, "EFSIOException", Class::Transient, Cause::Status(410)),
        (502, "KMSAccessDeniedException", Class::Transient, Cause::Status(502)),
        (502, "ENILimitReachedException", Class::Transient, Cause::Status(502)),
        (502, "SubnetIPAddressLimitReachedException", Class::Transient, Cause::Status(502)),
        (502, "InvalidZipFileException", Class::Transient, Cause::Status(502)),
        (500, "ServiceException", Class::Transient, Cause::Status(500)),
        (403, "ExpiredTokenException", Class::Credentials, Cause::Unauthorized),
        (403, "UnrecognizedClientException", Class::Credentials, Cause::Unauthorized),
        (403, "InvalidSignatureException", Class::Credentials, Cause::Unauthorized),
        (400, "IncompleteSignatureException", Class::Credentials, Cause::Unauthorized),
        // Not known by name, or nameless: the status speaks.
        (503, "SomethingNewException", Class::Transient, Cause::Overloaded),
        (400, "", Class::Hold, Cause::Status(400)),
        (400, "SomethingNewException", Class::Hold, Cause::Status(400)),
        (413, "", Class::Record, Cause::TooLarge),
        (403, "", Class::Hold, Cause::Status(403)),
        (502, "", Class::Transient, Cause::Status(502)),
        (301, "", Class::Hold, Cause::Status(301)),
        (200, "", Class::Hold, Cause::Status(200)),
    ] {
        let report = judge.refused(&refusal(status, code));
        assert_eq!(report.class, expected, "{status} {code}");
        let outcome =
            if expected == Class::Record { Outcome::Rejected(cause) } else { Outcome::Retryable(cause) };
        assert_eq!(report.outcomes, Outcomes::All(outcome), "{status} {code}");
        assert_eq!(report.status, Some(status));
    }
}

#[test]
fn a_wait_that_is_asked_for_is_passed_on() {
    let wait = Some(Duration::from_secs(7));
    let asked = Refusal { retry_after: wait, ..refusal(503, "") };
    let report = judge(json!({})).refused(&asked);
    assert_eq!((report.class, report.retry_after), (Class::Throttled, wait));
}

#[test]
fn the_operators_lists_hold_for_the_api_too() {
    let judge =
        judge(json!({"reject-on": [502], "http-permanent-status-codes": [409], "retry-on": [404, 403]}));
    assert_eq!(class(&judge, 502, "KMSDisabledException"), Class::Record);
    assert_eq!(class(&judge, 409, "ResourceConflictException"), Class::Record);
    assert_eq!(class(&judge, 404, "ResourceNotFoundException"), Class::Transient);
    assert_eq!(class(&judge, 403, "AccessDeniedException"), Class::Transient);
    // Whatever is retried anyway stays what it is.
    assert_eq!(class(&judge, 429, "TooManyRequestsException"), Class::Throttled);
}

/// A session that ended says nothing of the records that met it, whatever the status means elsewhere.
#[test]
fn no_list_makes_dead_letters_of_refused_credentials() {
    let judge = judge(json!({"reject-on": [403, 429], "http-permanent-status-codes": [400, 404]}));
    assert_eq!(class(&judge, 403, "ExpiredTokenException"), Class::Credentials);
    assert_eq!(class(&judge, 403, "InvalidSignatureException"), Class::Credentials);
    assert_eq!(class(&judge, 400, "UnrecognizedClientException"), Class::Credentials);
    assert_eq!(class(&judge, 429, "TooManyRequestsException"), Class::Throttled);
    assert_eq!(class(&judge, 403, "AccessDeniedException"), Class::Record, "as it was asked for");
}

#[test]
fn no_status_of_the_api_confirms_delivery() {
    let judge = judge(json!({"http-success-status-codes": [200, 404]}));
    assert_eq!(class(&judge, 404, "ResourceNotFoundException"), Class::Hold);
    assert_eq!(class(&judge, 404, ""), Class::Hold);
    assert_eq!(judge.answered(404, None, b"", 1).report.class, Class::Done);
}

#[test]
fn answers_of_the_function() {
    let judge = judge(json!({}));
    let verdict = judge.answered(200, None, br#"{"batchItemFailures":[{"itemIdentifier":"1"}]}"#, 3);
    let failure = ItemFailure {
        identifier: "1".to_owned(),
        retryable: true,
        cause: Cause::FunctionError,
        reason: None,
    };
    assert_eq!(verdict.report, Report::partial(Some(200), vec![failure]));
    assert_eq!(verdict.words.unwrap(), "1 of 3 records were not processed");

    let verdict = judge.answered(200, None, br#"{"batchItemFailures":7}"#, 3);
    assert_eq!(verdict.report.class, Class::Transient);
    assert!(verdict.words.unwrap().contains("all of 3 count as failed"));

    let verdict = judge.answered(503, Some(Duration::ZERO), b"{}", 3);
    assert_eq!((verdict.report.class, verdict.report.status), (Class::Throttled, Some(503)));
    assert_eq!(judge.answered(400, None, b"", 3).report.class, Class::Record);
    assert_eq!(
        judge.answered(201, None, b"", 3),
        Verdict { report: Report::delivered(Some(201)), words: None }
    );
}

#[test]
fn who_does_not_want_partial_answers_gets_none() {
    let judge = judge(json!({"partial-response": false}));
    let answer = br#"{"batchItemFailures":[{"itemIdentifier":"1"}]}"#;
    assert_eq!(judge.answered(200, None, answer, 3).report, Report::delivered(Some(200)));
}

#[test]
fn messages_that_may_repeat_what_was_sent_are_not_told() {
    let said = |status, code: &str| {
        let message = Some("User: arn:aws:sts::1:x\nhunter2".to_owned());
        Refusal { message, ..refusal(status, code) }.words()
    };
    for code in [
        "InvalidSignatureException",
        "InvalidRequestContentException",
        "ExpiredTokenException",
        "NewException",
    ] {
        assert_eq!(said(403, code), format!("status 403 {code}"));
    }
    assert_eq!(
        said(403, "AccessDeniedException"),
        "status 403 AccessDeniedException: User: arn:aws:sts::1:x hunter2"
    );
    assert_eq!(said(502, ""), "status 502");
    assert!(said(400, &format!("A b\n{}", "c".repeat(1000))).len() < 130);
}
