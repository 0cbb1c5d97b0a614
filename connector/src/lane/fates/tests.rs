use std::{sync::Arc, time::Instant};

use adapters::ItemFailure;
use bytes::Bytes;

use super::*;
use crate::{
    notification::{Digest, RecordId},
    replies::Replies,
};

const FUNCTION_ERROR: Outcome = Outcome::Retryable(Cause::FunctionError);

fn batch(count: u8) -> Vec<Job> {
    let now = Instant::now();
    let replies = Arc::new(Replies::default());
    let job = |key| Job {
        record: RecordId::new(b"test", Digest([key; 20])),
        piece: Bytes::new(),
        request: None,
        policy: 0,
        order: None,
        tickets: replies.push_record(now, now, 0, 1).next().expect("one ticket").into(),
        entered: now,
        deadline: now,
        attempts: 0,
        original: None,
    };
    (0..count).map(job).collect()
}

fn named(failures: &[(&str, bool)]) -> Report {
    let failure = |(identifier, retryable): &(&str, bool)| ItemFailure {
        identifier: (*identifier).to_owned(),
        retryable: *retryable,
        cause: Cause::FunctionError,
        reason: Some("its words".to_owned()),
    };
    Report::partial(Some(200), failures.iter().map(failure).collect())
}

fn each(report: &Report, count: u8) -> Vec<(Outcome, About)> {
    let batch = batch(count);
    Fates::new(report, &batch).iter().map(|fate| (fate.outcome, fate.about)).collect()
}

fn works(records: usize) -> Sign {
    Sign::Works { records, throttled: 0.0 }
}

fn sign(report: &Report, count: u8) -> Sign {
    Fates::new(report, &batch(count)).sign(false)
}

fn fails(class: Class, cause: Cause) -> Sign {
    Sign::Fails { class, cause, retry_after: None, rule: false }
}

#[test]
fn one_outcome_is_that_of_all_and_one_record_is_alone_with_it() {
    let refused = Report::failed(Class::Record, Cause::Status(400));
    let outcome = Outcome::Rejected(Cause::Status(400));
    assert_eq!(each(&refused, 3), [(outcome, About::Several); 3]);
    assert_eq!(each(&refused, 1), [(outcome, About::Alone)]);
    assert_eq!(sign(&refused, 3), works(0), "it looked at them");
    let hold = Report::failed(Class::Hold, Cause::Status(403));
    assert_eq!(sign(&hold, 3), fails(Class::Hold, Cause::Status(403)));
    assert_eq!(sign(&Report::delivered(Some(200)), 3), works(3));
}

#[test]
fn records_that_are_named_fail_alone_and_the_others_are_delivered() {
    let report = named(&[("2", true), ("0", false)]);
    let expected = [
        (Outcome::Rejected(Cause::FunctionError), About::Named),
        (Outcome::Delivered, About::Several),
        (FUNCTION_ERROR, About::Named),
    ];
    assert_eq!(each(&report, 3), expected);
    let records = batch(3);
    let fates = Fates::new(&report, &records);
    assert_eq!((fates.delivered(), fates.retryable(), fates.class), (1, 1, Class::Partial));
    assert_eq!(fates.iter().map(|fate| fate.reason.is_some()).collect::<Vec<_>>(), [true, false, true]);
    assert_eq!(fates.sign(false), works(3));
}

#[test]
fn who_names_all_records_tells_nothing_of_any() {
    let report = named(&[("0", true), ("1", true)]);
    assert_eq!(each(&report, 2), [(FUNCTION_ERROR, About::Several); 2]);
    assert_eq!(sign(&report, 2), fails(Class::Transient, Cause::FunctionError));
    assert_eq!(each(&named(&[("0", true)]), 1), [(FUNCTION_ERROR, About::Alone)]);
    // Except of those that it does not want again.
    let report = named(&[("0", true), ("1", false)]);
    let refused = (Outcome::Rejected(Cause::FunctionError), About::Named);
    assert_eq!(each(&report, 2), [(FUNCTION_ERROR, About::Several), refused]);
    assert_eq!(sign(&report, 2), works(0));
}

#[test]
fn a_named_record_fails_of_what_it_is_named_with() {
    let mut report = named(&[("0", true), ("2", false)]);
    let Outcomes::Except(failures) = &mut report.outcomes else { panic!() };
    (failures[0].cause, failures[1].cause) = (Cause::Overloaded, Cause::Status(400));
    let expected = [
        (Outcome::Retryable(Cause::Overloaded), About::Named),
        (Outcome::Delivered, About::Several),
        (Outcome::Rejected(Cause::Status(400)), About::Named),
    ];
    assert_eq!(each(&report, 3), expected);
}

#[test]
fn a_destination_that_refuses_all_alike_holds_whether_it_names_them_or_not() {
    let held = |report: &Report, count| {
        let mut fates = Fates::new(report, &batch(count)).each_held();
        fates.dedup();
        fates
    };
    let refused = Report::failed(Class::Record, Cause::Status(400));
    assert_eq!(held(&refused, 2), [(Outcome::Retryable(Cause::Status(400)), Class::Hold)]);
    let by_status = |failures: &[(&str, bool)]| {
        let mut report = named(failures);
        let Outcomes::Except(failures) = &mut report.outcomes else { panic!() };
        failures.iter_mut().for_each(|failure| failure.cause = Cause::Status(400));
        report
    };
    let all = by_status(&[("0", false), ("1", false)]);
    assert_eq!(held(&all, 2), [(Outcome::Retryable(Cause::Status(400)), Class::Hold)]);
    // Whoever takes one of them, or wants one again, does not refuse all; and who says so of a record itself is believed.
    assert_eq!(held(&all, 3)[0].1, Class::Partial);
    assert_eq!(held(&by_status(&[("0", false), ("1", true)]), 2)[0].1, Class::Partial);
    assert_eq!(held(&named(&[("0", false)]), 1)[0].1, Class::Partial);
}

impl Fates<'_> {
    fn each_held(mut self) -> Vec<(Outcome, Class)> {
        self.hold();
        self.iter().map(|fate| (fate.outcome, self.class)).collect()
    }
}

#[test]
fn who_names_nobody_fails_as_a_whole() {
    for report in [named(&[("9", true)]), named(&[("1", true), ("x", false)])] {
        assert_eq!(each(&report, 3), [(Outcome::Retryable(Cause::Malformed), About::Several); 3]);
        assert_eq!(sign(&report, 3), fails(Class::Transient, Cause::Malformed));
        assert_eq!(Fates::new(&report, &batch(3)).class, Class::Transient);
    }
    assert_eq!(each(&named(&[]), 2), [(Outcome::Delivered, About::Several); 2]);
}

#[test]
fn only_what_may_come_from_the_record_makes_a_suspect() {
    for cause in [Cause::FunctionError, Cause::Timeout, Cause::Status(500), Cause::Malformed] {
        assert!(may_be_poison(Class::Transient, cause), "{cause}");
        for class in [Class::Throttled, Class::Hold, Class::Credentials] {
            assert!(!may_be_poison(class, cause), "{class:?}");
        }
    }
    for cause in [Cause::Unreachable, Cause::Unauthorized, Cause::Shutdown] {
        assert!(!may_be_poison(Class::Transient, cause), "{cause}");
    }
}

#[test]
fn who_asks_for_less_by_the_record_asks_for_less() {
    let throttled = |retryable: bool| {
        let failures = ["0", "2"].map(|name| ItemFailure {
            identifier: name.to_owned(),
            retryable,
            cause: Cause::Overloaded,
            reason: None,
        });
        Report::partial(Some(200), failures.to_vec())
    };
    assert_eq!(sign(&throttled(true), 4), Sign::Works { records: 4, throttled: 0.5 });
    assert_eq!(sign(&throttled(false), 4), works(4), "what is refused for good asks for nothing");
    assert_eq!(sign(&named(&[("0", true)]), 4), works(4), "a record that failed of itself");
}
