use std::{
    io,
    sync::{Arc, Mutex},
};

use bytes::Bytes;

use super::*;
use crate::{
    notification::{Digest, RecordId},
    replies::Replies,
};

#[derive(Clone, Default)]
struct Written(Arc<Mutex<Vec<u8>>>);

impl io::Write for Written {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        io::Write::write(&mut *self.0.lock().unwrap(), bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn logged(test: impl FnOnce()) -> Vec<String> {
    let written = Written::default();
    let writer = written.clone();
    let lines = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_ansi(false)
        .with_writer(move || writer.clone())
        .finish();
    tracing::subscriber::with_default(lines, test);
    let bytes = written.0.lock().unwrap();
    std::str::from_utf8(&bytes).unwrap().lines().map(str::to_owned).collect()
}

fn job() -> Job {
    let now = Instant::now();
    let ticket = Arc::new(Replies::default()).push_record(now, now, 0, 1).next().unwrap();
    Job {
        record: RecordId::new(b"shop", Digest([7; 20])),
        piece: Bytes::from_static(b"hunter2"),
        request: None,
        policy: 0,
        order: None,
        tickets: ticket.into(),
        entered: now,
        deadline: now,
        attempts: 5,
        original: None,
    }
}

const NAMES: &str = "destination=\"orders\" namespace=shop digest=0707070707070707070707070707070707070707";

#[test]
fn records_that_go_again_are_named_now_and_then() {
    let told = Told::default();
    let start = Instant::now();
    let lines = logged(|| {
        let at = |seconds| start + Duration::from_secs(seconds);
        for cause in [Cause::Timeout, Cause::Unreachable, Cause::Overloaded, Cause::Unauthorized] {
            told.later("orders", &job(), cause, 3, at(0));
        }
        for seconds in [0, 1, 5] {
            told.later("orders", &job(), Cause::Status(400), 3, at(seconds));
        }
    });
    assert_eq!(lines.len(), 2, "{lines:#?}");
    assert!(lines.iter().all(|line| line.contains(NAMES) && !line.contains("hunter2")), "{lines:#?}");
    assert!(lines[0].contains("cause=status 400 attempts=5 records=3 suppressed=0"), "{lines:#?}");
    assert!(lines[1].contains("suppressed=1"), "{lines:#?}");
}

#[test]
fn a_full_lane_is_told_once_and_not_by_every_connection() {
    let told = Told::default();
    let start = Instant::now();
    let lines = logged(|| {
        for seconds in [0, 0, 0, 10] {
            told.full("orders", 32, start + Duration::from_secs(seconds));
        }
    });
    assert_eq!(lines.len(), 2, "{lines:#?}");
    assert!(lines[1].contains("destination=\"orders\" capacity=32 suppressed=2"), "{lines:#?}");
}

#[test]
fn what_needs_an_operator_is_an_error_that_says_what_to_do() {
    for (class, status, word) in [
        (Class::Credentials, Some(401), "credentials"),
        (Class::Hold, Some(403), "permission"),
        (Class::Hold, Some(404), "address"),
        (Class::Hold, Some(302), "final address"),
        (Class::Hold, Some(400), "every record alike"),
        (Class::Hold, None, "settings"),
    ] {
        let told = Told::default();
        let start = Instant::now();
        let lines = logged(|| {
            for seconds in [0, 1, 9, 10] {
                told.ended("orders", class, status, true, start + Duration::from_secs(seconds));
            }
        });
        assert_eq!(lines.len(), 2, "{lines:#?}");
        assert!(lines.iter().all(|line| line.contains("ERROR") && line.contains(word)), "{lines:#?}");
        assert!(lines[1].contains(&format!("class=\"{}\"", class.as_str())), "{lines:#?}");
        assert!(lines[1].contains("ready=false suppressed=2"), "{lines:#?}");
    }
    let told = Told::default();
    let others = [Class::Done, Class::Partial, Class::Transient, Class::Throttled, Class::Record];
    let lines = logged(|| {
        others.iter().for_each(|class| told.ended("orders", *class, Some(500), false, Instant::now()));
    });
    assert_eq!(lines, [""; 0]);
}

#[test]
fn one_class_does_not_hide_another() {
    let told = Told::default();
    let start = Instant::now();
    let lines = logged(|| {
        for seconds in [0, 1] {
            let now = start + Duration::from_secs(seconds);
            for (class, status) in [(Class::Credentials, Some(401)), (Class::Hold, Some(403))] {
                told.ended("orders", class, status, false, now);
                told.changed("orders", Change::Shut(Duration::from_secs(1)), class, status, now);
            }
            told.split("orders", 3, Class::Record, Some(400), now);
            told.split("orders", 3, Class::Transient, Some(500), now);
        }
    });
    for class in ["credentials", "hold"] {
        let of_class = lines.iter().filter(|line| line.contains(&format!("class=\"{class}\"")));
        assert_eq!(of_class.count(), 2, "{class}: {lines:#?}");
    }
    assert_eq!(lines.len(), 6, "{lines:#?}");
}

#[test]
fn that_a_destination_gets_less_and_more_again_is_told() {
    let told = Told::default();
    let now = Instant::now();
    let second = Duration::from_secs(1);
    let lines = logged(|| {
        for change in [Change::Throttled(second, 4), Change::Throttled(second, 2), Change::Shut(second)] {
            told.changed("orders", change, Class::Throttled, Some(429), now);
        }
        told.changed("orders", Change::Opened(second), Class::Done, Some(200), now);
        told.split("orders", 100, Class::Record, Some(400), now);
    });
    for (line, part) in lines.iter().zip([
        "status=429 pause_ms=1000 limit=4",
        "class=\"throttled\" status=429 pause_ms=1000",
        "after_ms=1000",
        "records=100 class=\"record\" status=400",
    ]) {
        assert!(line.contains(part), "{part}: {lines:#?}");
    }
    assert_eq!(lines.len(), 4, "{lines:#?}");
}
