//! Lanes that take each other's place, with the clock paused and targets that answer when the test says.

use std::{num::NonZeroUsize, path::Path, sync::Mutex, time::Duration};

use adapters::{Cause, Class, Outcome, Payload, Report, Target};
use bytes::Bytes;
use futures_util::future::BoxFuture;
use tokio::{
    sync::Semaphore,
    time::{Instant as Clock, timeout},
};

use super::*;
use crate::{
    lane::Job,
    notification::{Digest, RecordId},
    replies::{Answer, Replies},
    route::Route,
};

/// Bodies in the order in which they were sent, each behind the name of the target.
type Sent = Arc<Mutex<Vec<String>>>;

/// A target that answers as often as it is allowed to.
#[derive(Debug)]
struct Slow {
    name: &'static str,
    sent: Sent,
    answers: Semaphore,
    report: Report,
}

impl Target for Slow {
    fn deliver<'a>(&'a self, payload: &'a Payload) -> BoxFuture<'a, Report> {
        Box::pin(async move {
            let body = String::from_utf8_lossy(&payload.body);
            self.sent.lock().unwrap().push(format!("{} {body}", self.name));
            self.answers.acquire().await.unwrap().forget();
            self.report.clone()
        })
    }

    fn concurrency(&self) -> NonZeroUsize {
        NonZeroUsize::MIN.saturating_add(3)
    }
}

/// A fleet, who sent what, and the replies that are owed.
#[derive(Default)]
struct Harbour {
    fleet: Fleet,
    router: Option<Router>,
    sent: Sent,
    replies: Arc<Replies>,
}

const QUICK: usize = 1_000_000;

impl Harbour {
    fn target(&self, name: &'static str, answers: usize) -> Arc<Slow> {
        let (sent, answers) = (Arc::clone(&self.sent), Semaphore::new(answers));
        Arc::new(Slow { name, sent, answers, report: Report::delivered(Some(200)) })
    }

    /// Goes on with a configuration, of which these are the new targets.
    fn follow(&mut self, text: &str, targets: &[(&str, &Arc<Slow>)]) -> Destinations {
        let config =
            config::parse(text, Path::new("")).unwrap_or_else(|problems| panic!("{problems}")).config;
        let now = Clock::now().into_std();
        let router = match &self.router {
            None => Router::new(&config, now),
            Some(before) => before.followed_by(&config, now),
        };
        let shared =
            |(name, target): &(&str, &Arc<Slow>)| ((*name).to_owned(), Arc::clone(target) as SharedTarget);
        let targets = targets.iter().map(shared).collect();
        let secrets = secrets(&config);
        let mut built = Built { config, router: router.unwrap(), targets, secrets };
        let changes = self.fleet.follow(&mut built);
        self.router = Some(built.router);
        changes
    }

    fn lane(&self, name: &str) -> Arc<Lane> {
        let lanes = self.fleet.lanes();
        Arc::clone(lanes.iter().find(|lane| lane.name() == name).unwrap())
    }

    /// A version of record `key`, in the form that the routes say at present.
    fn job(&self, key: u8, version: u32) -> Job {
        let routes = self.router.as_ref().unwrap().for_port(1);
        let Route::To(delivery) = routes.route(b"n", None) else { panic!("skipped") };
        let entered = Clock::now().into_std();
        let deadline = entered + Duration::from_secs(8);
        let mut tickets = self.replies.push_record(entered, deadline, 10, 1);
        Job {
            record: RecordId::new(b"n", Digest([key; 20])),
            piece: Bytes::from(format!("{key}:{version}")),
            request: None,
            policy: delivery.batch,
            order: None,
            tickets: tickets.next().unwrap().into(),
            entered,
            deadline,
            attempts: 0,
            original: None,
        }
    }

    /// Whether the lane is one that takes records.
    async fn hand_over(&self, lane: &Arc<Lane>, key: u8, version: u32) -> bool {
        let job = self.job(key, version);
        let now = job.entered;
        lane.enqueue(job, now, now).await
    }

    /// What was sent once everybody has done what there is to do at this time.
    async fn sent(&self) -> Vec<String> {
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
        self.sent.lock().unwrap().clone()
    }

    /// Waits until a lane is over.
    async fn over(&mut self) {
        let lane =
            timeout(Duration::from_secs(60), self.fleet.ended()).await.expect("over").expect("no panic");
        self.fleet.forget(&lane);
    }

    fn outcomes(&self) -> Vec<Outcome> {
        let mut outcomes = Vec::new();
        // Long after the deadlines, so that everything is answered.
        let late = Clock::now().into_std() + Duration::from_secs(20);
        self.replies.collect(late, 0.0, usize::MAX, |answer| {
            if let Answer::Record(record) = answer {
                outcomes.push(record.outcome);
            }
        });
        outcomes
    }
}

fn file(destinations: &str, more: &str) -> String {
    format!(
        "destinations: {{{destinations}}}\nformat: json\nrouting: {{mode: static, destination: a}}\n{more}"
    )
}

fn at(name: &str, path: &str) -> String {
    format!("{name}: {{urls: ['http://127.0.0.1:1/{path}']}}")
}

#[tokio::test(start_paused = true)]
async fn the_next_lane_begins_when_the_old_one_has_nothing_left() {
    let mut harbour = Harbour::default();
    let (old, new) = (harbour.target("old", 0), harbour.target("new", QUICK));
    harbour.follow(&file(&at("a", "x"), ""), &[("a", &old)]);
    let first = harbour.lane("a");
    assert!(harbour.hand_over(&first, 1, 1).await && harbour.hand_over(&first, 1, 2).await);
    let changes = harbour.follow(&file(&at("a", "y"), ""), &[("a", &new)]);
    assert_eq!(changes.changed, ["a"]);
    let second = harbour.lane("a");
    assert!(!Arc::ptr_eq(&first, &second));
    assert!(harbour.hand_over(&second, 1, 3).await && harbour.hand_over(&second, 2, 1).await);
    assert!(!harbour.hand_over(&first, 1, 9).await, "too late");
    tokio::time::advance(Duration::from_secs(3)).await;
    assert_eq!(harbour.sent().await, ["old 1:1"], "whatever record it is");
    old.answers.add_permits(1);
    assert_eq!(harbour.sent().await, ["old 1:1", "old 1:2"]);
    old.answers.add_permits(1);
    assert_eq!(harbour.sent().await, ["old 1:1", "old 1:2", "new 1:3", "new 2:1"]);
    harbour.over().await;
    let late = Outcome::Retryable(Cause::Shutdown);
    let delivered = Outcome::Delivered;
    assert_eq!(harbour.outcomes(), [delivered, delivered, delivered, delivered, late]);
    let stats = second.stats();
    let load = |number: &std::sync::atomic::AtomicU64| number.load(std::sync::atomic::Ordering::Relaxed);
    assert_eq!((load(&stats.requests), load(&stats.records_delivered), load(&stats.in_flight)), (4, 4, 0));
}

#[tokio::test(start_paused = true)]
async fn reloads_on_reloads_keep_the_order_and_so_does_what_went_and_came_back() {
    let mut harbour = Harbour::default();
    let targets = ["1", "2", "3", "4"].map(|name| harbour.target(name, 0));
    let [one, two, three, four] = &targets;
    harbour.follow(&file(&at("a", "1"), ""), &[("a", one)]);
    harbour.hand_over(&harbour.lane("a"), 1, 1).await;
    harbour.follow(&file(&at("a", "2"), ""), &[("a", two)]);
    harbour.hand_over(&harbour.lane("a"), 1, 2).await;
    // The third takes the place of one that never began, and has nothing when the fourth comes.
    harbour.follow(&file(&at("a", "3"), ""), &[("a", three)]);
    let elsewhere = file(&at("b", "b"), "").replace("destination: a", "destination: b");
    assert_eq!(harbour.follow(&elsewhere, &[("b", three)]).removed, ["a"]);
    let changes = harbour.follow(&file(&at("a", "4"), ""), &[("a", four)]);
    assert_eq!((changes.added, changes.removed), (vec!["a".to_owned()], vec!["b".to_owned()]));
    harbour.hand_over(&harbour.lane("a"), 1, 4).await;
    for target in [four, three, two] {
        target.answers.add_permits(QUICK);
    }
    assert_eq!(harbour.sent().await, ["1 1:1"]);
    one.answers.add_permits(1);
    assert_eq!(harbour.sent().await, ["1 1:1", "2 1:2", "4 1:4"]);
    for _ in 0..4 {
        harbour.over().await;
    }
    assert_eq!(harbour.fleet.views().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_request_without_end_is_given_up() {
    let mut harbour = Harbour::default();
    let (old, new) = (harbour.target("old", 0), harbour.target("new", QUICK));
    harbour.follow(&file(&at("a", "x"), ""), &[("a", &old)]);
    harbour.hand_over(&harbour.lane("a"), 1, 1).await;
    harbour.sent().await;
    harbour.follow(&file(&at("a", "y"), ""), &[("a", &new)]);
    let lane = harbour.lane("a");
    let began = Clock::now();
    harbour.over().await;
    assert_eq!(began.elapsed().as_secs(), 10);
    harbour.hand_over(&lane, 1, 2).await;
    assert_eq!(harbour.sent().await, ["old 1:1", "new 1:2"]);
    assert_eq!(harbour.outcomes(), [Outcome::Retryable(Cause::Shutdown), Outcome::Delivered]);
    assert_eq!(lane.stats().in_flight.load(std::sync::atomic::Ordering::Relaxed), 0, "of both");
}

#[tokio::test(start_paused = true)]
async fn what_waits_for_a_destination_that_takes_nothing_is_not_waited_for() {
    let mut harbour = Harbour::default();
    let report = Report::failed(Class::Hold, Cause::Status(404));
    let old = Arc::new(Slow { report, ..Arc::into_inner(harbour.target("old", QUICK)).unwrap() });
    let new = harbour.target("new", QUICK);
    harbour.follow(&file(&at("a", "wrong"), ""), &[("a", &old)]);
    let lane = harbour.lane("a");
    for key in 1..=10 {
        harbour.hand_over(&lane, key, 1).await;
        harbour.sent().await;
        tokio::time::advance(Duration::from_millis(10)).await;
    }
    let before = harbour.sent().await.len();
    assert!(before < 10 && lane.stats().holding.get().is_some(), "{before}");
    harbour.follow(&file(&at("a", "right"), ""), &[("a", &new)]);
    harbour.hand_over(&harbour.lane("a"), 1, 2).await;
    assert_eq!(harbour.sent().await[before..], ["new 1:2"], "at once");
    assert_eq!(harbour.lane("a").stats().holding.get(), None);
    let outcomes = harbour.outcomes();
    assert_eq!(outcomes.iter().filter(|outcome| **outcome == Outcome::Delivered).count(), 1, "{outcomes:?}");
}

#[tokio::test(start_paused = true)]
async fn a_lane_changes_only_for_what_concerns_it_and_its_target_only_for_its_own_settings() {
    let mut harbour = Harbour::default();
    let (a, b, other) =
        (harbour.target("a", QUICK), harbour.target("b", QUICK), harbour.target("other", QUICK));
    let both = format!("{}, {}", at("a", "a"), at("b", "b"));
    let namespace = "namespaces: {m: {routing: {mode: static, destination: b}";
    let first = file(&both, &format!("{namespace}}}}}"));
    harbour.follow(&first, &[("a", &a), ("b", &b)]);
    let lanes = harbour.fleet.lanes();
    let same = |one: &Arc<Lane>, other: &Arc<Lane>| {
        let targets = std::ptr::addr_eq(Arc::as_ptr(one.target()), Arc::as_ptr(other.target()));
        (Arc::ptr_eq(one, other), targets)
    };
    let is_same = |harbour: &Harbour| {
        let now = harbour.fleet.lanes();
        [same(&now[0], &lanes[0]), same(&now[1], &lanes[1])]
    };
    let new = [("a", &other), ("b", &other)];
    harbour.follow(&first, &new);
    assert_eq!(is_same(&harbour), [(true, true); 2]);
    // Routes, formats, transforms and whatever else is no batch.
    let changed = first.replace("format: json", "format: {mode: flat-json, metadata-key: m}")
        + "\nbin-transforms: {map: {a: b}}\nrecord-ordering: {}";
    assert_eq!(harbour.follow(&changed, &new).kept, ["a", "b"]);
    assert_eq!(is_same(&harbour), [(true, true); 2]);
    // Batches for one of them.
    let batches = first.replace("destination: b}", "destination: b}, batching: {max-records: 7}");
    assert_eq!(harbour.follow(&batches, &new).changed, ["b"]);
    assert_eq!(is_same(&harbour), [(true, true), (false, true)]);
    // And for the other: what is there of the first stays as it is.
    let b_then = harbour.lane("b");
    let more = batches.clone() + "\nbatching: {max-records: 3}";
    assert_eq!(harbour.follow(&more, &new).changed, ["a"]);
    assert_eq!((same(&harbour.lane("b"), &b_then), is_same(&harbour)[0]), ((true, true), (false, true)));
    harbour.hand_over(&harbour.lane("a"), 1, 1).await;
    assert_eq!(harbour.sent().await, ["a [1:1]"]);
    // Its own settings.
    let own = more.replace("/b'", "/elsewhere'");
    assert_eq!(harbour.follow(&own, &new).changed, ["b"]);
    assert_eq!(same(&harbour.lane("b"), &b_then), (false, false));
}

#[tokio::test(start_paused = true)]
async fn a_secret_in_a_file_that_changed_makes_a_new_target() {
    let folder = tempfile::tempdir().unwrap();
    let secret = folder.path().join("secret");
    std::fs::write(&secret, "one").unwrap();
    let text = file(
        &at("a", "x").replace('}', &format!(", headers: {{X-Key: {{file: {}}}}}}}", secret.display())),
        "",
    );
    let mut harbour = Harbour::default();
    let (one, two) = (harbour.target("one", QUICK), harbour.target("two", QUICK));
    harbour.follow(&text, &[("a", &one)]);
    assert_eq!(harbour.follow(&text, &[("a", &two)]).kept, ["a"]);
    std::fs::write(&secret, "two").unwrap();
    assert_eq!(harbour.follow(&text, &[("a", &two)]).changed, ["a"]);
    harbour.hand_over(&harbour.lane("a"), 1, 1).await;
    assert_eq!(harbour.sent().await, ["two 1:1"]);
}

#[tokio::test(start_paused = true)]
async fn dead_letters_find_the_lane_that_took_the_place_of_another() {
    let mut harbour = Harbour::default();
    let (a, old, new) =
        (harbour.target("a", QUICK), harbour.target("old", QUICK), harbour.target("new", QUICK));
    let text = |path: &str| {
        let a = at("a", "a").replace('}', ", dead-letter: letters}");
        file(&format!("{a}, {}", at("letters", path)), "")
    };
    harbour.follow(&text("x"), &[("a", &a), ("letters", &old)]);
    let lane = harbour.lane("a");
    let changes = harbour.follow(&text("y"), &[("a", &a), ("letters", &new)]);
    assert_eq!((changes.kept, changes.changed), (vec!["a".to_owned()], vec!["letters".to_owned()]));
    let why =
        crate::dead_letter::Why { destination: "a", cause: Cause::TooLarge, status: None, reason: None };
    let frame = esp_frame();
    let original = Some(Arc::new(crate::dead_letter::Original::new(&frame, 1)));
    lane.dead_letters().take(Job { original, ..harbour.job(1, 1) }, &why);
    let sent = harbour.sent().await;
    assert!(sent.len() == 1 && sent[0].starts_with("new {"), "{sent:?}");
    assert_eq!(harbour.outcomes(), [Outcome::Delivered]);
}

/// Some message: the letter holds it whatever it is.
fn esp_frame() -> Vec<u8> {
    vec![0; 30]
}

#[test]
fn positions_of_batches_stay_and_are_given_up_when_there_are_too_many() {
    let config = |records: usize| {
        let text = file(&at("a", "a"), &format!("batching: {{max-records: {records}}}"));
        config::parse(&text, Path::new("")).unwrap().config
    };
    let now = Instant::now().into_std();
    let mut router = Router::new(&config(1), now).unwrap();
    let first = Arc::clone(router.batching());
    for records in 2..400 {
        router = router.followed_by(&config(records), now).unwrap();
        assert!(!router.batches_within(0, &first), "{records} records are no business of the first lane");
        if records < 200 {
            let again = router.followed_by(&config(1), now).unwrap();
            assert!(again.batches_within(0, &first) && again.batching().len() == router.batching().len());
        }
    }
    assert!(router.batching().len() < 300, "{}", router.batching().len());
}
