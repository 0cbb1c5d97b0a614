//! Records that no retry can help, and where they go.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};

use adapters::{Cause, Class, Outcome, Report};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use esp_connector::{
    config::{DeadLetter, DurableMember, Format, JsonRules, NanPolicy, Routing},
    simulator::particle::Particle,
};
use serde_json::Value;
use tokio::time::Instant;

use crate::harness::{Peer, Scripted, Setup, compressed, n_of, numbered, pause, record, version_holding};

/// Refuses every record whose `n` is odd.
fn refusing_odd() -> Arc<Scripted> {
    Scripted::new(4, |body, _| async move {
        if n_of(&body) % 2 == 1 { Outcome::Rejected(Cause::Status(422)) } else { Outcome::Delivered }
    })
}

fn taking() -> Arc<Scripted> {
    Scripted::new(4, |_, _| async { Outcome::Delivered })
}

fn place(index: usize) -> Option<DeadLetter> {
    Some(DeadLetter::To(format!("target-{index}")))
}

/// Records go to target 0, and its dead letters to target 1.
fn two(targets: [Arc<Scripted>; 2]) -> Setup {
    let mut setup = Setup::to(targets);
    setup.routing = Some(Routing::To(vec!["target-0".to_owned()]));
    setup.dead_letters = vec![place(1), None, None];
    setup
}

fn entries(target: &Scripted) -> Vec<Value> {
    target.seen().iter().map(|body| serde_json::from_str(body).unwrap()).collect()
}

fn frame_of(entry: &Value) -> Vec<u8> {
    STANDARD.decode(entry["frame"].as_str().unwrap()).unwrap()
}

/// Sent and confirmed, of one target's dead letters.
fn counted(peer: &Peer, target: usize) -> (u64, u64) {
    let stats = peer.lanes[target].dead_letters().stats();
    (stats.sent.total(), stats.confirmed.load(Relaxed))
}

#[tokio::test(start_paused = true)]
async fn a_refused_record_is_confirmed_elsewhere_and_acknowledged() {
    let (target, letters) = (refusing_odd(), taking());
    let mut peer = two([target, letters.clone()]).start();
    for n in 1..=4 {
        peer.send(&record(n, n.into())).await;
    }
    assert_eq!(peer.acks(4).await, [0, 0, 0, 0]);
    let mut entries = entries(&letters);
    entries.sort_by_key(|entry| entry["digest"].to_string());
    assert_eq!(entries.len(), 2, "{entries:#?}");
    for (entry, n) in entries.iter().zip([1_u8, 3]) {
        assert_eq!(frame_of(entry), record(n, n.into()), "as it came");
        assert_eq!(entry["digest"], format!("{n:02x}").repeat(20));
        assert_eq!(entry["notification"]["bins"][0]["value"], n);
        let facts = [&entry["destination"], &entry["cause"], &entry["status"]];
        assert_eq!(facts, [&Value::from("target-0"), &Value::from("status"), &Value::from(422)]);
    }
    assert_eq!(counted(&peer, 0), (2, 2));
}

/// A wrong path, or a deployment that broke the consumer: refused are all, and none of them is at fault.
#[tokio::test(start_paused = true)]
async fn a_destination_that_refuses_everything_holds_and_does_not_fill_the_dead_letters() {
    for batched in [false, true] {
        let start = Instant::now();
        let target = Scripted::reporting(8, move |_, _| async move {
            pause(10).await;
            let wrong = start.elapsed().as_secs() < 60;
            if wrong {
                Report::failed(Class::Record, Cause::Status(400))
            } else {
                Report::delivered(Some(200))
            }
        });
        let letters = taking();
        let mut setup = two([target.clone(), letters.clone()]);
        if batched {
            setup = setup.in_batches(100, 1_000);
        }
        setup.attempts_max = 5;
        let mut peer = setup.start();
        let lanes = Arc::clone(&peer.lanes);
        let holding = async {
            pause(30_000).await;
            (target.seen().len(), lanes[0].stats().holding.get())
        };
        let shipping = peer.ship(0..5_000, 500, Duration::from_secs(240), numbered);
        let (shipped, (requests, holding)) = tokio::join!(shipping, holding);
        assert_eq!((shipped.confirmed.len(), shipped.given_up.len()), (5_000, 0));
        assert_eq!(holding, Some((Class::Hold, Some(400))));
        assert!(requests < 500, "{requests} requests in half a minute");
        let buried = letters.seen().len();
        assert!((100..150).contains(&buried), "{buried} dead letters");
    }
}

/// What was found out of one version says nothing of the next.
#[tokio::test(start_paused = true)]
async fn a_later_version_of_a_dead_letter_is_innocent() {
    let outage = Arc::new(AtomicBool::new(false));
    let target = Scripted::reporting(4, {
        let outage = Arc::clone(&outage);
        move |body, _| {
            let fails = outage.load(Relaxed) || body.contains("\"n\":666");
            async move {
                pause(10).await;
                if fails {
                    Report::failed(Class::Transient, Cause::FunctionError)
                } else {
                    Report::delivered(Some(200))
                }
            }
        }
    });
    let letters = taking();
    let mut setup = two([target, letters.clone()]);
    setup.attempts_max = 5;
    let mut peer = setup.start();
    let start = Instant::now();
    loop {
        peer.send(&record(1, 1)).await;
        peer.send(&record(7, 666)).await;
        let codes = peer.acks(2).await;
        assert_eq!(codes[0], 0);
        if codes[1] == 0 {
            break;
        }
        assert!(start.elapsed().as_secs() < 60, "it fails again and again while others pass");
    }
    assert_eq!(letters.seen().len(), 1);
    outage.store(true, Relaxed);
    peer.send(&record(7, 8)).await;
    assert_ne!(peer.ack().await, 0, "everything fails");
    outage.store(false, Relaxed);
    peer.send(&record(7, 9)).await;
    assert_eq!(peer.ack().await, 0);
    assert_eq!(letters.seen().len(), 1, "the new versions are sound");
}

/// As long as others pass, however many there are.
#[tokio::test(start_paused = true)]
async fn a_thousand_refused_records_among_sound_ones_are_dead_letters() {
    let (target, letters) = (refusing_odd(), taking());
    let mut peer = two([target, letters.clone()]).start();
    let shipped = peer.ship(0..2_000, 100, Duration::from_secs(60), numbered).await;
    assert_eq!((shipped.confirmed.len(), letters.seen().len()), (2_000, 1_000));
}

#[tokio::test(start_paused = true)]
async fn a_record_that_cannot_be_written_goes_to_each_destinations_own_place() {
    let nan = version_holding(None, [1; 20], &Particle::Double(f64::NAN), 1);
    let targets: Vec<_> = (0..4).map(|_| taking()).collect();
    let mut setup = Setup::to(targets.clone());
    setup.routing = Some(Routing::To(vec!["target-0".to_owned(), "target-1".to_owned()]));
    setup.dead_letters = vec![place(2), place(3)];
    setup.format = Format::FlatJson {
        metadata_key: "meta".to_owned(),
        durable: DurableMember::Always,
        rules: JsonRules { nan_policy: NanPolicy::Error, ..JsonRules::default() },
    };
    let mut peer = setup.start();
    peer.send(&nan).await;
    assert_eq!(peer.ack().await, 0);
    for (index, destination) in [(2, "target-0"), (3, "target-1")] {
        let entries = entries(&targets[index]);
        assert_eq!(entries.len(), 1);
        assert_eq!((&entries[0]["destination"], frame_of(&entries[0])), (&destination.into(), nan.clone()));
        let reason = entries[0]["reason"].as_str().unwrap();
        assert!(reason.contains("cannot be written") && reason.contains("bin \"n\""), "{reason}");
        assert_eq!((&entries[0]["attempts"], &entries[0]["cause"]), (&0.into(), &"malformed".into()));
    }
    assert!(targets[0].seen().is_empty() && targets[1].seen().is_empty());
    assert_eq!(peer.shared.metrics.totals().held, 0);
}

#[tokio::test(start_paused = true)]
async fn where_one_destination_has_no_place_the_record_is_held_and_the_other_gets_one_dead_letter() {
    let nan = version_holding(None, [1; 20], &Particle::Double(f64::NAN), 1);
    let letters = taking();
    let mut setup = Setup::to([taking(), taking(), letters.clone()]);
    setup.routing = Some(Routing::To(vec!["target-0".to_owned(), "target-1".to_owned()]));
    setup.dead_letters = vec![place(2), None];
    setup.format = Format::FlatJson {
        metadata_key: "meta".to_owned(),
        durable: DurableMember::Always,
        rules: JsonRules { nan_policy: NanPolicy::Error, ..JsonRules::default() },
    };
    let mut peer = setup.start();
    for _ in 0..5 {
        peer.send(&nan).await;
        assert_eq!(peer.ack().await, 18);
    }
    assert_eq!(letters.seen().len(), 1, "not one for each time that XDR ships it");
    assert_eq!(peer.shared.metrics.totals().held, 5);
}

#[tokio::test(start_paused = true)]
async fn a_place_that_does_not_confirm_never_costs_the_record() {
    for (outcome, fate) in [
        (Outcome::Retryable(Cause::Unreachable), None),
        // No chains, and its own setting is about its own records.
        (Outcome::Rejected(Cause::TooLarge), None),
        (Outcome::Rejected(Cause::Status(400)), None),
        (Outcome::Rejected(Cause::TooLarge), Some(DeadLetter::Drop)),
        (Outcome::Rejected(Cause::TooLarge), place(2)),
    ] {
        let other = taking();
        let failing = Scripted::new(1, move |_, _| async move { outcome });
        let mut setup = two([refusing_odd(), failing.clone()]);
        setup.targets.push(other.clone());
        setup.dead_letters = vec![place(1), fate];
        setup.give_up_on = vec![400];
        let mut peer = setup.start();
        peer.send(&record(1, 1)).await;
        let code = peer.ack().await;
        assert!([18, 11].contains(&code), "{outcome:?}: {code}");
        assert_eq!((failing.seen().len(), other.seen().len()), (1, 0));
        assert_eq!(counted(&peer, 0), (1, 0));
    }
}

#[tokio::test(start_paused = true)]
async fn a_place_that_hangs_stops_nobody_else_and_the_record_is_answered_in_time() {
    let hung = Scripted::new(1, |_, _| std::future::pending());
    let mut peer = two([refusing_odd(), hung]).start();
    let start = Instant::now();
    for n in 1..=20 {
        peer.send(&record(n, 1)).await;
    }
    peer.send(&record(21, 2)).await;
    let codes = peer.acks(21).await;
    assert_eq!(codes[20], 0, "{codes:?}");
    // The first is in flight, some wait, and for the others there was no room.
    assert!(codes[..20].iter().all(|code| [9, 18].contains(code)), "{codes:?}");
    assert!(start.elapsed() <= Duration::from_secs(8), "{:?}", start.elapsed());
}

#[tokio::test(start_paused = true)]
async fn dead_letters_of_one_record_keep_their_order() {
    let letters = Scripted::new(4, |_, before| async move {
        // The first takes longest.
        pause(400_u64.saturating_sub(before as u64 * 100)).await;
        Outcome::Delivered
    });
    let mut peer = two([refusing_odd(), letters.clone()]).start();
    for n in [1, 3, 5, 7] {
        peer.send(&record(1, n)).await;
    }
    assert_eq!(peer.acks(4).await, [0; 4]);
    let values: Vec<_> = entries(&letters)
        .iter()
        .map(|entry| entry["notification"]["bins"][0]["value"].as_i64().unwrap())
        .collect();
    assert_eq!(values, [1, 3, 5, 7]);
    let times = letters.times();
    assert!(times[1] - times[0] >= Duration::from_millis(400), "one at a time");
}

#[tokio::test(start_paused = true)]
async fn two_destinations_may_take_each_others_dead_letters() {
    let even = Scripted::new(4, |body, _| async move {
        // A dead letter has no `n`.
        match serde_json::from_str::<Value>(&body).unwrap()["n"].as_i64() {
            Some(n) if n % 2 == 1 => Outcome::Rejected(Cause::Status(400)),
            _ => Outcome::Delivered,
        }
    });
    let odd = Scripted::new(4, |body, _| async move {
        match serde_json::from_str::<Value>(&body).unwrap()["n"].as_i64() {
            Some(n) if n % 2 == 0 => Outcome::Rejected(Cause::Status(400)),
            _ => Outcome::Delivered,
        }
    });
    let mut setup = Setup::to([even.clone(), odd.clone()]);
    setup.dead_letters = vec![place(1), place(0)];
    let mut peer = setup.start();
    peer.send(&record(1, 1)).await;
    peer.send(&record(2, 2)).await;
    assert_eq!(peer.acks(2).await, [0, 0]);
    let letters = |target: &Scripted| entries(target).iter().filter(|body| body["frame"].is_string()).count();
    assert_eq!((letters(&even), letters(&odd)), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn a_compressed_message_is_kept_as_it_was_before() {
    let letters = taking();
    let mut peer = two([refusing_odd(), letters.clone()]).start();
    let plain = record(1, 1);
    peer.send(&compressed(&plain)).await;
    assert_eq!(peer.ack().await, 0);
    assert_eq!(frame_of(&entries(&letters)[0]), plain);
}

#[tokio::test(start_paused = true)]
async fn what_is_kept_for_a_dead_letter_counts_in_the_window_and_nothing_is_kept_without_a_place() {
    let mut bytes = Vec::new();
    for dead_letter in [None, place(1)] {
        let hung = Scripted::new(1, |_, _| std::future::pending());
        let mut setup = two([hung, taking()]);
        setup.dead_letters = vec![dead_letter];
        let mut peer = setup.start();
        peer.send(&record(1, 1)).await;
        pause(10).await;
        bytes.push(peer.shared.window.bytes());
    }
    assert_eq!(bytes[1] - bytes[0], record(1, 1).len());
}
