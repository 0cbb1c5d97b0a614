//! The configuration read again while the connector runs: who asks for it, and what comes of it.
//!
//! The whole file is checked, every target built, every new port opened and every certificate read before anything changes.
//! What is wrong with it leaves the old configuration running in every respect; what is right is swapped in by steps that
//! cannot fail. One reload at a time: who asks while another one is under way gets his own after it.

use std::{
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    time::{SystemTime, UNIX_EPOCH},
};

use tokio::sync::{mpsc, oneshot};

pub use self::changes::Changes;
use crate::config::{Loaded, Outline, Problem, Problems};

pub(crate) mod changes;

/// Reloads that may wait for their turn. Whoever comes then waits to be put in line.
const WAITING_MAX: usize = 8;

/// Asks for reloads, and tells how they went. Clones are the same.
#[derive(Clone, Debug)]
pub struct Reloads {
    orders: Option<mpsc::Sender<Order>>,
    history: Arc<History>,
}

/// How reloads went so far. The configuration of the start counts as taken.
#[derive(Debug)]
pub struct History {
    taken: AtomicU64,
    refused: AtomicU64,
    last_refused: AtomicBool,
    /// When a configuration was taken last, seconds since the Unix epoch.
    last_taken_unix_s: AtomicU64,
}

/// Why the old configuration goes on.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// The new one cannot run.
    #[error(transparent)]
    Wrong(#[from] Problems),
    /// There is no file that could be read again.
    #[error("this connector has no configuration file that could be read again")]
    NoFile,
    /// There is no use in it any more.
    #[error("the connector is stopping")]
    Stopping,
}

/// One request to read the configuration again.
#[derive(Debug)]
pub(crate) struct Order {
    pub(crate) answer: oneshot::Sender<Result<Changes, Refusal>>,
}

/// Where a running connector has its configuration from.
#[derive(Debug)]
pub struct Source {
    pub(crate) path: PathBuf,
    /// Of the file as it was read last.
    pub(crate) outline: Outline,
    pub(crate) orders: mpsc::Receiver<Order>,
}

impl Reloads {
    /// For a connector whose configuration is no file.
    pub fn none() -> Self {
        Self { orders: None, history: Arc::new(History::starting_now()) }
    }

    /// For one that was `loaded` from the file at `path`.
    pub fn of_file(path: PathBuf, loaded: &Loaded) -> (Self, Source) {
        let (orders, ordered) = mpsc::channel(WAITING_MAX);
        let reloads = Self { orders: Some(orders), history: Arc::new(History::starting_now()) };
        (reloads, Source { path, outline: loaded.outline(), orders: ordered })
    }

    /// Has the file read again, and waits for what comes of it. The log tells it as well.
    pub async fn reload(&self) -> Result<Changes, Refusal> {
        let orders = self.orders.as_ref().ok_or(Refusal::NoFile)?;
        let (answer, answered) = oneshot::channel();
        orders.send(Order { answer }).await.map_err(|_| Refusal::Stopping)?;
        answered.await.map_err(|_| Refusal::Stopping)?
    }

    /// How they went so far.
    pub fn history(&self) -> &History {
        &self.history
    }
}

impl History {
    fn starting_now() -> Self {
        Self {
            taken: AtomicU64::new(0),
            refused: AtomicU64::new(0),
            last_refused: AtomicBool::new(false),
            last_taken_unix_s: AtomicU64::new(now_unix_s()),
        }
    }

    pub(crate) fn taken(&self) {
        self.taken.fetch_add(1, Relaxed);
        self.last_refused.store(false, Relaxed);
        self.last_taken_unix_s.store(now_unix_s(), Relaxed);
    }

    pub(crate) fn refused(&self) {
        self.refused.fetch_add(1, Relaxed);
        self.last_refused.store(true, Relaxed);
    }

    /// Reloads by what came of them.
    pub fn counts(&self) -> [(&'static str, u64); 2] {
        [("success", self.taken.load(Relaxed)), ("failure", self.refused.load(Relaxed))]
    }

    /// Whether the configuration that was read last is the one that runs.
    pub fn is_up_to_date(&self) -> bool {
        !self.last_refused.load(Relaxed)
    }

    /// When a configuration was taken last, seconds since the Unix epoch.
    pub fn last_taken_unix_s(&self) -> u64 {
        self.last_taken_unix_s.load(Relaxed)
    }
}

/// Something wrong that no line of the file shows, in the form of all others.
pub(crate) fn problem(source: &Source, path: &str, message: String) -> Problems {
    Problems(vec![Problem { file: source.path.clone(), line: 0, path: path.to_owned(), message }])
}

fn now_unix_s() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}
