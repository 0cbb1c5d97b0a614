//! What happened in a run, in order: a hash to compare runs by, and lines for those who look into one.

use std::{
    collections::VecDeque,
    fmt::{Display, Write as _},
    hash::{DefaultHasher, Hasher as _},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::{sync::Notify, time::Instant};

/// Lines that are kept to be shown when something is wrong.
const KEPT_MAX: usize = 60;

/// The log of a run. Clones are the same.
#[derive(Clone)]
pub struct Events(Arc<Shared>);

struct Shared {
    log: Mutex<Log>,
    wrong: Notify,
}

struct Log {
    started: Instant,
    /// Keys of zero: the same in every process.
    hasher: DefaultHasher,
    count: u64,
    line: String,
    prints: bool,
    kept: VecDeque<String>,
    violation: Option<String>,
}

impl Events {
    pub fn new(prints: bool) -> Self {
        let log = Log {
            started: Instant::now(),
            hasher: DefaultHasher::new(),
            count: 0,
            line: String::new(),
            prints,
            kept: VecDeque::new(),
            violation: None,
        };
        Self(Arc::new(Shared { log: Mutex::new(log), wrong: Notify::new() }))
    }

    fn lock(&self) -> MutexGuard<'_, Log> {
        self.0.log.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Something happened.
    pub fn note(&self, what: &dyn Display) {
        let mut log = self.lock();
        let log = &mut *log;
        log.line.clear();
        let ms = log.started.elapsed().as_millis();
        _ = write!(log.line, "{ms:>7} {what}");
        log.hasher.write(log.line.as_bytes());
        log.count += 1;
        if log.prints {
            println!("{}", log.line);
        }
        let reused = if log.kept.len() >= KEPT_MAX { log.kept.pop_front() } else { None };
        let mut kept = reused.unwrap_or_default();
        kept.clone_from(&log.line);
        log.kept.push_back(kept);
    }

    /// What only those want to see who look into a run.
    pub fn detail(&self, what: &dyn Display) {
        let log = self.lock();
        if log.prints {
            println!("{:>7}     {what}", log.started.elapsed().as_millis());
        }
    }

    /// Something happened that must not. The first of them ends the run.
    pub fn violated(&self, what: &dyn Display) {
        self.note(&format_args!("WRONG: {what}"));
        self.lock().violation.get_or_insert_with(|| what.to_string());
        self.0.wrong.notify_one();
    }

    /// Waits until something is wrong.
    pub async fn wrong(&self) {
        self.0.wrong.notified().await;
    }

    /// What is wrong.
    pub fn violation(&self) -> Option<String> {
        self.lock().violation.clone()
    }

    /// The last lines.
    pub fn last_lines(&self) -> String {
        self.lock().kept.iter().fold(String::new(), |all, line| all + line + "\n")
    }

    /// A number that is the same for the same events, and how many there were.
    pub fn hash(&self) -> (u64, u64) {
        let log = self.lock();
        (log.hasher.finish(), log.count)
    }
}
