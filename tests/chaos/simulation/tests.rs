//! The seeds that are run.

use std::{
    env, panic,
    process::Command,
    sync::{
        Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    thread,
    time::Instant,
};

use crate::{
    network::Link,
    receiver::Mood,
    scenario::Scenario,
    simulation::{self, Outcome},
    source::Habits,
};

/// Seeds that are run when nobody says how many.
const SEEDS: u64 = 200;

fn number(variable: &str) -> Option<u64> {
    env::var(variable)
        .ok()
        .map(|text| text.parse().unwrap_or_else(|_| panic!("{variable}: no number: {text}")))
}

fn assert_good(seed: u64, outcome: &Outcome) {
    if let Some((what, events)) = &outcome.violation {
        panic!("seed {seed}: {what}\n{events}\nCHAOS_SEED={seed} shows all of it");
    }
}

#[test]
fn whatever_fails_nothing_is_lost_and_all_is_answered_in_order() {
    if let Some(seed) = number("CHAOS_SEED") {
        tracing_subscriber::fmt()
            .with_max_level(tracing_subscriber::filter::LevelFilter::DEBUG)
            .without_time()
            .init();
        let outcome = simulation::run(seed, true);
        println!("{:#?}", outcome.totals);
        println!("{}", fingerprint(&outcome));
        return assert_good(seed, &outcome);
    }
    let (first, count) = (number("CHAOS_FIRST").unwrap_or(1), number("CHAOS_SEEDS").unwrap_or(SEEDS));
    let (next, begun) = (AtomicU64::new(first), Instant::now());
    let (stop, stops) = (AtomicBool::new(false), env::var_os("CHAOS_STOP").is_some());
    let (all, panics) = (Mutex::new((0, 0, 0, Vec::new())), AtomicU64::new(0));
    thread::scope(|scope| {
        for _ in 0..number("CHAOS_THREADS")
            .unwrap_or_else(|| thread::available_parallelism().map_or(1, usize::from) as u64)
        {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Relaxed);
                    if seed >= first + count || stop.load(Relaxed) {
                        return;
                    }
                    let Ok(outcome) = panic::catch_unwind(|| simulation::run(seed, false)) else {
                        println!("seed {seed} panicked");
                        panics.fetch_add(1, Relaxed);
                        continue;
                    };
                    let mut all = all.lock().unwrap();
                    all.0 += outcome.totals.acks;
                    all.1 += outcome.virtual_time.as_secs();
                    all.2 += outcome.events;
                    if outcome.violation.is_some() {
                        stop.fetch_or(stops, Relaxed);
                        all.3.push((seed, outcome));
                    }
                }
            });
        }
    });
    let (acks, virtual_s, events, mut bad) = all.into_inner().unwrap();
    let took = begun.elapsed();
    println!(
        "{count} seeds, {events} events, {acks} acks, {virtual_s} s of their time in {took:.1?} of ours"
    );
    bad.sort_by_key(|(seed, _)| *seed);
    for (seed, outcome) in bad.iter().take(20) {
        println!("seed {seed}: {}", outcome.violation.as_ref().unwrap().0);
    }
    println!("{} of them bad", bad.len());
    assert_eq!(panics.into_inner(), 0, "panics");
    if let Some((seed, outcome)) = bad.first() {
        println!("first bad seed {seed}: {}", outcome.violation.as_ref().unwrap().0);
        assert_good(*seed, outcome);
    }
}

fn fingerprint(outcome: &Outcome) -> String {
    format!("events: {}, hash {:016x}", outcome.events, outcome.hash)
}

#[test]
fn a_seed_is_the_same_twice() {
    for seed in [1, 2, 3, 4, 5, 6, 7, 8] {
        let (first, second) = (simulation::run(seed, false), simulation::run(seed, false));
        assert_eq!(first.hash, second.hash, "seed {seed}");
        assert_eq!(first, second, "seed {seed}");
    }
}

#[test]
fn a_seed_is_the_same_in_another_process() {
    // Where hash maps have other seeds, and memory other addresses.
    for seed in [5, 9] {
        let test = "tests::whatever_fails_nothing_is_lost_and_all_is_answered_in_order";
        let mut other = Command::new(env::current_exe().unwrap());
        other.args(["--exact", "--nocapture", test]).env("CHAOS_SEED", seed.to_string());
        let printed = String::from_utf8(other.output().unwrap().stdout).unwrap();
        let here = fingerprint(&simulation::run(seed, false));
        assert!(printed.lines().any(|line| line == here), "seed {seed}: {here} is not in\n{printed}");
    }
}

/// Found as seed 25 of its time: records of one connection waited for the window while another one took each place that came
/// free, until XDR gave them up.
#[test]
fn a_window_of_one_record_starves_no_connection() {
    let busy = Habits {
        connections: 1,
        window: 100,
        overlapping: true,
        pause_ms: 2,
        deletes: 0,
        questions: 0,
        compressed: 0,
        bytes: 100,
        nonsense: 0,
    };
    let single = Habits { connections: 2, window: 1, ..busy.clone() };
    let mut scenario = Scenario::of(25);
    scenario.config["service"]["max-concurrent-records"] = 1.into();
    let scenario = Scenario {
        records: 15,
        nodes: vec![busy.clone(), single, Habits { window: 5, ..busy }],
        roaming: true,
        mood: Mood { takes_ms: 50, ..Mood::default() },
        source_link: Link::default(),
        receiver_link: Link { delay_ms: (20, 60), ..Link::default() },
        write_pause_ms: 40,
        writes: 1_000,
        faults: Vec::new(),
        ..scenario
    };
    assert_good(25, &simulation::play(25, scenario, false));
}
