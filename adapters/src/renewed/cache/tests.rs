//! A scripted source, a paused clock; the time of day runs with it.

use std::{
    collections::VecDeque,
    sync::atomic::{AtomicUsize, Ordering::SeqCst},
};

use futures_util::future::BoxFuture;
use tokio::{sync::Semaphore, task::JoinHandle, time::advance};

use super::*;

/// How the source answers, once for each fetch; the last answer is repeated.
#[derive(Clone, Debug)]
enum Answer {
    /// Keys of this name that live so long.
    Keys(&'static str, u64),
    /// Keys of this name with this end, seconds after the start.
    Until(&'static str, u64),
    Static(&'static str),
    Fails,
    Panics,
    Hangs,
}

#[derive(Debug)]
struct Script {
    answers: Mutex<VecDeque<Answer>>,
    fetches: Arc<AtomicUsize>,
    start: Instant,
    /// A fetch ends once it has one of these.
    gate: Option<Arc<Semaphore>>,
    look_every: Option<Duration>,
}

#[derive(Clone)]
struct Keys {
    name: &'static str,
    expiry: Option<SystemTime>,
}

impl Item for Keys {
    fn expiry(&self) -> Option<SystemTime> {
        self.expiry
    }

    fn is_same(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Source for Script {
    type Item = Keys;

    fn what(&self) -> &'static str {
        "keys"
    }

    fn look_every(&self) -> Option<Duration> {
        self.look_every
    }

    fn fetch(&self) -> BoxFuture<'_, Result<Keys, String>> {
        Box::pin(async {
            self.fetches.fetch_add(1, SeqCst);
            if let Some(gate) = &self.gate {
                gate.acquire().await.unwrap().forget();
            }
            let answer = {
                let mut answers = self.answers.lock().unwrap();
                if answers.len() > 1 { answers.pop_front() } else { answers.front().cloned() }
            };
            let (name, expiry) = match answer.unwrap() {
                Answer::Keys(name, life_s) => (name, Some(now(self.start) + seconds(life_s))),
                Answer::Until(name, at_s) => (name, Some(MIDNIGHT + seconds(at_s))),
                Answer::Static(name) => (name, None),
                Answer::Fails => return Err("connection refused".to_owned()),
                Answer::Panics => panic!("as scripted"),
                Answer::Hangs => std::future::pending().await,
            };
            Ok(Keys { name, expiry })
        })
    }

    fn name(&self) -> String {
        "script".to_owned()
    }
}

struct Bench {
    cache: Arc<Cache<Script>>,
    fetches: Arc<AtomicUsize>,
    keeper: JoinHandle<()>,
    gate: Option<Arc<Semaphore>>,
}

impl Bench {
    fn new(answers: &[Answer]) -> Self {
        Self::with(answers, None, None)
    }

    /// The source is looked at every other second.
    fn looking(answers: &[Answer]) -> Self {
        Self::with(answers, None, Some(seconds(2)))
    }

    /// Fetches wait until the test lets them end.
    fn gated(answers: &[Answer]) -> Self {
        Self::with(answers, Some(Arc::new(Semaphore::new(0))), None)
    }

    fn with(answers: &[Answer], gate: Option<Arc<Semaphore>>, look_every: Option<Duration>) -> Self {
        let (fetches, start) = (Arc::new(AtomicUsize::new(0)), Instant::now());
        let answers = Mutex::new(answers.iter().cloned().collect());
        let script = Script { answers, fetches: Arc::clone(&fetches), start, gate: gate.clone(), look_every };
        let cache = Arc::new(Cache::new("d", script, Box::new(move || now(start))));
        let keeper = tokio::spawn(Arc::clone(&cache).keep());
        Self { cache, fetches, keeper, gate }
    }

    fn key(&self) -> Option<String> {
        self.cache.current().map(|keys| keys.name.to_owned())
    }

    fn fetches(&self) -> usize {
        self.fetches.load(SeqCst)
    }

    /// Lets the time pass in steps, so that everything due on the way happens.
    async fn pass(&self, total_s: u64) {
        for _ in 0..total_s * 4 {
            advance(Duration::from_millis(250)).await;
            tokio::task::yield_now().await;
        }
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        self.keeper.abort();
    }
}

fn now(start: Instant) -> SystemTime {
    MIDNIGHT + start.elapsed()
}

fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

fn keys(name: &'static str) -> Keys {
    Keys { name, expiry: None }
}

const MIDNIGHT: SystemTime = SystemTime::UNIX_EPOCH;

#[tokio::test(start_paused = true)]
async fn fetches_do_not_grow_with_requests() {
    let bench = Bench::new(&[Answer::Keys("a", 3600), Answer::Keys("b", 3600)]);
    for _ in 0..1000 {
        bench.cache.prepare().await.unwrap();
        assert_eq!(bench.key().unwrap(), "a");
    }
    assert_eq!(bench.fetches(), 1);
    // Five minutes before the end, or up to half a minute later.
    bench.pass(3600 - 301).await;
    assert_eq!((bench.fetches(), bench.key().unwrap().as_str()), (1, "a"));
    bench.pass(40).await;
    assert_eq!((bench.fetches(), bench.key().unwrap().as_str()), (2, "b"));
    let access = bench.cache.access();
    assert_eq!((access.fetched, access.fetch_failures), (2, 0));
    assert!(access.age.unwrap() < seconds(41) && access.expires_in.unwrap() > seconds(3500), "{access:?}");
}

#[tokio::test(start_paused = true)]
async fn those_that_live_for_ever_are_never_fetched_again() {
    let bench = Bench::new(&[Answer::Static("a")]);
    bench.cache.prepare().await.unwrap();
    bench.pass(7200).await;
    assert_eq!((bench.fetches(), bench.key().unwrap().as_str()), (1, "a"));
    assert_eq!(bench.cache.access().expires_in, None);
}

#[tokio::test(start_paused = true)]
async fn waiting_together_and_giving_up_costs_one_fetch() {
    let bench = Bench::gated(&[Answer::Keys("a", 3600)]);
    let waiting: Vec<_> = (0..50)
        .map(|_| {
            let cache = Arc::clone(&bench.cache);
            tokio::spawn(async move { cache.prepare().await })
        })
        .collect();
    bench.pass(1).await;
    // Half of them, the first among them, lose interest.
    waiting.iter().take(25).for_each(JoinHandle::abort);
    bench.gate.as_ref().unwrap().add_permits(1);
    for waiting in waiting.into_iter().skip(25) {
        waiting.await.unwrap().unwrap();
    }
    assert_eq!(bench.fetches(), 1);
}

#[tokio::test(start_paused = true)]
async fn old_ones_serve_while_they_live_when_the_source_fails() {
    let bench = Bench::new(&[Answer::Keys("a", 3600), Answer::Fails]);
    bench.cache.prepare().await.unwrap();
    bench.pass(3599).await;
    // Requests go on, and the source is asked a few times, not all the time.
    bench.cache.prepare().await.unwrap();
    assert_eq!(bench.key().unwrap(), "a");
    let tries = bench.fetches() - 1;
    assert!((5..20).contains(&tries), "{tries}");
    assert_eq!(bench.cache.access().fetch_failures as usize, tries);
    bench.pass(2).await;
    assert_eq!(bench.key(), None);
    assert_eq!(bench.cache.access().expires_in, Some(Duration::ZERO));
    let error = bench.cache.prepare().await.unwrap_err().to_string();
    assert!(error.contains("script") && error.contains("connection refused"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_source_that_recovers_is_used_again() {
    let bench =
        Bench::new(&[Answer::Fails, Answer::Panics, Answer::Fails, Answer::Keys("a", 3600), Answer::Fails]);
    bench.cache.prepare().await.unwrap_err();
    // Who asks meanwhile does not wait.
    let before = Instant::now();
    bench.cache.prepare().await.unwrap_err();
    assert_eq!((before.elapsed(), bench.fetches()), (Duration::ZERO, 1));
    bench.pass(10).await;
    bench.cache.prepare().await.unwrap();
    assert_eq!((bench.fetches(), bench.key().unwrap().as_str()), (4, "a"));
}

#[tokio::test(start_paused = true)]
async fn a_source_that_never_answers_is_given_up() {
    let bench = Bench::new(&[Answer::Hangs]);
    let error = bench.cache.prepare().await.unwrap_err();
    assert!(error.to_string().contains("no answer within 30 s"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_source_without_newer_ones_is_asked_with_pauses() {
    let bench = Bench::new(&[Answer::Until("a", 3600), Answer::Until("a", 3600)]);
    bench.cache.prepare().await.unwrap();
    bench.pass(3590).await;
    assert_eq!(bench.key().unwrap(), "a");
    assert!((5..20).contains(&bench.fetches()), "{}", bench.fetches());
    assert_eq!(bench.cache.access().fetch_failures, 0);
    // Once they have ended, that is a failure, and nobody waits for it to be found out.
    bench.pass(11).await;
    let error = bench.cache.prepare().await.unwrap_err();
    assert!(error.to_string().contains("expired ones again"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn short_lives_are_renewed_in_time() {
    let bench = Bench::new(&[Answer::Keys("a", 30), Answer::Fails, Answer::Keys("b", 30)]);
    bench.cache.prepare().await.unwrap();
    for _ in 0..120 {
        bench.pass(1).await;
        assert!(bench.key().is_some());
    }
    // One about every 24 s, and the one that failed.
    assert!((6..=7).contains(&bench.fetches()), "{}", bench.fetches());
}

#[tokio::test(start_paused = true)]
async fn what_comes_expired_is_used_for_a_moment() {
    let bench = Bench::new(&[Answer::Static("a"), Answer::Until("b", 0), Answer::Keys("c", 3600)]);
    bench.cache.prepare().await.unwrap();
    bench.pass(420).await;
    assert!(bench.cache.renew(&keys("a")).await);
    assert_eq!(bench.key().unwrap(), "b");
    bench.pass(2).await;
    assert_eq!((bench.fetches(), bench.key().unwrap().as_str()), (3, "c"));
}

#[tokio::test(start_paused = true)]
async fn a_refusal_forces_one_fetch_for_all_who_were_refused() {
    let bench = Bench::gated(&[Answer::Keys("a", 3600), Answer::Keys("b", 3600)]);
    bench.gate.as_ref().unwrap().add_permits(1);
    bench.cache.prepare().await.unwrap();
    let refused: Vec<_> = (0..20)
        .map(|_| {
            let cache = Arc::clone(&bench.cache);
            tokio::spawn(async move { cache.renew(&keys("a")).await })
        })
        .collect();
    bench.pass(1).await;
    refused[0].abort();
    bench.gate.as_ref().unwrap().add_permits(1);
    for refused in refused.into_iter().skip(1) {
        assert!(refused.await.unwrap());
    }
    assert_eq!((bench.fetches(), bench.key().unwrap().as_str()), (2, "b"));
    // Late ones, refused with what is no longer used.
    assert!(bench.cache.renew(&keys("a")).await);
    assert_eq!(bench.fetches(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_refuses_everything_does_not_make_us_ask_all_the_time() {
    let bench = Bench::new(&[Answer::Static("a")]);
    bench.cache.prepare().await.unwrap();
    for _ in 0..100 {
        assert!(!bench.cache.renew(&keys("a")).await);
    }
    assert_eq!(bench.fetches(), 2);
    bench.pass(5).await;
    assert!(!bench.cache.renew(&keys("a")).await);
    assert_eq!(bench.fetches(), 3);
    assert_eq!(bench.key().unwrap(), "a", "what is refused now may be accepted later");
}

/// Sessions that end every second: who may not ask at once is not left with what was refused until somebody tries again.
#[tokio::test(start_paused = true)]
async fn what_is_refused_too_soon_is_replaced_as_soon_as_may_be() {
    let bench = Bench::new(&["a", "b", "c"].map(Answer::Static));
    bench.cache.prepare().await.unwrap();
    assert!(bench.cache.renew_since(Instant::now()).await);
    bench.pass(1).await;
    assert_eq!((bench.cache.renew_since(Instant::now()).await, bench.key().as_deref()), (false, Some("b")));
    bench.pass(3).await;
    assert_eq!(bench.fetches(), 2, "not yet");
    bench.pass(2).await;
    assert_eq!((bench.fetches(), bench.key().as_deref()), (3, Some("c")));
    bench.pass(60).await;
    assert_eq!(bench.fetches(), 3, "once");
    // It counts as a forced one.
    assert!(!bench.cache.renew_since(Instant::now()).await);
}

#[tokio::test(start_paused = true)]
async fn a_forced_fetch_that_fails_takes_nothing_away() {
    let bench = Bench::new(&[Answer::Keys("a", 3600), Answer::Fails]);
    bench.cache.prepare().await.unwrap();
    assert!(!bench.cache.renew(&keys("a")).await);
    bench.cache.prepare().await.unwrap();
    assert_eq!(bench.key().unwrap(), "a");
}

#[tokio::test(start_paused = true)]
async fn what_was_refused_in_a_call_is_known_by_when_it_began() {
    let bench = Bench::new(&[Answer::Keys("a", 3600), Answer::Keys("b", 3600), Answer::Keys("c", 3600)]);
    let very_first = Instant::now();
    assert!(!bench.cache.renew_since(very_first).await, "there is nothing yet");
    bench.pass(1).await;
    bench.cache.prepare().await.unwrap();
    // This one waited for the first ones, and was refused with them.
    assert!(bench.cache.renew_since(very_first).await);
    assert_eq!((bench.fetches(), bench.key().unwrap().as_str()), (2, "b"));
    // Late ones, that may have been refused with "a".
    for _ in 0..10 {
        assert!(bench.cache.renew_since(very_first).await);
    }
    assert_eq!(bench.fetches(), 2);
    bench.pass(5).await;
    assert!(bench.cache.renew_since(Instant::now()).await);
    assert_eq!((bench.fetches(), bench.key().unwrap().as_str()), (3, "c"));
}

#[tokio::test(start_paused = true)]
async fn a_source_that_is_looked_at_is_followed() {
    let bench = Bench::looking(&[
        Answer::Static("a"),
        Answer::Static("a"),
        Answer::Keys("b", 3600),
        Answer::Fails,
        Answer::Fails,
        Answer::Until("c", 7200),
    ]);
    bench.cache.prepare().await.unwrap();
    let mut seen = Vec::new();
    for _ in 0..6 {
        seen.push(bench.key().unwrap());
        bench.pass(2).await;
    }
    assert_eq!(seen, ["a", "a", "b", "b", "b", "c"]);
    let access = bench.cache.access();
    assert_eq!((access.fetched, access.fetch_failures), (3, 2), "looks that show nothing new do not count");
}

#[tokio::test(start_paused = true)]
async fn what_is_looked_at_and_has_expired_is_not_used() {
    let bench = Bench::looking(&[Answer::Until("a", 100)]);
    bench.cache.prepare().await.unwrap();
    bench.pass(99).await;
    assert_eq!(bench.key().unwrap(), "a");
    bench.pass(3).await;
    let error = bench.cache.prepare().await.unwrap_err().to_string();
    assert!(error.contains("no keys from script") && error.contains("expired ones again"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn nothing_of_it_shows_in_debug() {
    let bench = Bench::new(&[Answer::Keys("hunter2", 3600)]);
    bench.cache.prepare().await.unwrap();
    let shown = format!("{:?}", bench.cache);
    assert!(shown.contains("script") && !shown.contains("hunter2"), "{shown}");
}
