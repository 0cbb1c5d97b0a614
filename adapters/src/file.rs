//! Lines in files of a folder, synced to disk before they are confirmed.
//!
//! Invariant: a confirmed record is a whole line of a file that was synced and is still where its name says. Everything that
//! blocks happens in one thread per target, where all who wait at a time share one sync.

use std::{
    num::{NonZeroU64, NonZeroUsize},
    path::PathBuf,
    sync::{
        Arc, Mutex, PoisonError,
        mpsc::{self, Receiver, SyncSender},
    },
    time::Duration,
};

use futures_util::future::BoxFuture;
use schemars::JsonSchema;
use serde::Deserialize;
use tokio::sync::{Semaphore, oneshot};

use self::{
    fault::Fault,
    writer::{Job, Rotation, Writer},
};
use crate::{BuildError, Cause, Class, Payload, ProbeFailure, Report, Target};

mod fault;
mod folder;
mod lines;
mod names;
mod probe;
mod writer;

/// Settings of a destination that is a folder.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Config {
    /// Folder of the files, made when missing; relative to the configuration file.
    pub path: PathBuf,
    /// Bytes after which a new file is begun.
    #[serde(default = "max_file_bytes")]
    pub max_file_bytes: NonZeroU64,
    /// Seconds after which a new file is begun.
    #[serde(default = "max_file_seconds")]
    pub max_file_seconds: NonZeroU64,
    /// Most files kept, the oldest removed first; all when absent.
    #[serde(default)]
    pub max_files: Option<NonZeroU64>,
}

fn max_file_bytes() -> NonZeroU64 {
    const { NonZeroU64::new(128 * 1024 * 1024).expect("not zero") }
}

fn max_file_seconds() -> NonZeroU64 {
    const { NonZeroU64::new(3600).expect("not zero") }
}

/// A folder of files with one record in each line.
pub struct File {
    path: PathBuf,
    prefix: String,
    rotation: Rotation,
    /// One for each delivery whose bytes are in memory.
    permits: Arc<Semaphore>,
    thread: Mutex<Thread>,
}

/// The thread that writes, from the first delivery on.
enum Thread {
    Idle,
    Runs { jobs: SyncSender<Job>, ended: Receiver<()> },
}

impl File {
    /// Checks the settings; the disk is touched by the first delivery.
    pub fn new(name: &str, config: Config) -> Result<Self, BuildError> {
        if config.path.as_os_str().is_empty() {
            let problem = "empty; expected the path of a folder".to_owned();
            return Err(BuildError { key: "path".to_owned(), problem });
        }
        let rotation = Rotation {
            bytes: config.max_file_bytes.get(),
            // Later arithmetic with instants must not overflow; ten years are for ever here.
            age: Duration::from_secs(config.max_file_seconds.get().min(10 * 366 * 24 * 3600)),
            files: config.max_files.map(|files| usize::try_from(files.get()).unwrap_or(usize::MAX)),
        };
        Ok(Self {
            path: config.path,
            prefix: names::prefix(name),
            rotation,
            permits: Arc::new(Semaphore::new(DELIVERIES_MAX)),
            thread: Mutex::new(Thread::Idle),
        })
    }

    /// Hands `job` to the thread, which is started where it is not running.
    fn enqueue(&self, job: Job) -> Result<(), Fault> {
        let mut thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner);
        let job = match &*thread {
            // There is room for every permit, so this fails only where the thread has ended.
            Thread::Runs { jobs, .. } => match jobs.try_send(job) {
                Ok(()) => return Ok(()),
                Err(mpsc::TrySendError::Full(job) | mpsc::TrySendError::Disconnected(job)) => job,
            },
            Thread::Idle => job,
        };
        let (jobs, queue) = mpsc::sync_channel(DELIVERIES_MAX);
        let (alive, ended) = mpsc::sync_channel(1);
        let writer = Writer::new(self.path.clone(), self.prefix.clone(), self.rotation);
        std::thread::Builder::new()
            .name(format!("file {}", self.prefix))
            .spawn(move || {
                writer.run(&queue);
                drop(alive);
            })
            .map_err(|error| Fault::new("cannot start a thread", &error))?;
        let sent = jobs.try_send(job).map_err(|_| Fault::ended());
        *thread = Thread::Runs { jobs, ended };
        sent
    }

    async fn write(&self, payload: &Payload) -> Result<(), Fault> {
        let permit = Arc::clone(&self.permits).acquire_owned().await.map_err(|_| Fault::ended())?;
        let lines = lines::of(payload);
        let (done, result) = oneshot::channel();
        self.enqueue(Job { lines, done, permit })?;
        result.await.unwrap_or_else(|_| Err(Fault::ended()))
    }
}

impl Target for File {
    fn deliver<'a>(&'a self, payload: &'a Payload) -> BoxFuture<'a, Report> {
        Box::pin(async move {
            // A disk that hangs must not hold a worker: what it writes after all is there twice, which is allowed.
            match tokio::time::timeout(WRITE_TIMEOUT, self.write(payload)).await {
                Ok(Ok(())) => Report::delivered(None),
                Ok(Err(fault)) => Report::failed(fault.class, Cause::Storage),
                Err(_) => Report::failed(Class::Transient, Cause::Timeout),
            }
        })
    }

    fn concurrency(&self) -> NonZeroUsize {
        const { NonZeroUsize::new(DELIVERIES_MAX).expect("not zero") }
    }

    fn probe(&self) -> BoxFuture<'_, Result<String, ProbeFailure>> {
        let (path, prefix) = (self.path.clone(), self.prefix.clone());
        Box::pin(async move {
            match tokio::task::spawn_blocking(move || probe::run(&path, &prefix)).await {
                Ok(result) => result,
                Err(error) => {
                    Err(ProbeFailure { missing: "address", found: format!("the probe failed: {error}") })
                }
            }
        })
    }
}

impl std::fmt::Debug for File {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("File").field("path", &self.path).field("prefix", &self.prefix).finish_non_exhaustive()
    }
}

impl Drop for File {
    /// Waits a moment for the thread, so that the last file has its final name and the folder is free. A disk that hangs
    /// does not hold this up: whatever is unfinished is put right at the next start.
    fn drop(&mut self) {
        let thread = self.thread.get_mut().unwrap_or_else(PoisonError::into_inner);
        if let Thread::Runs { jobs, ended } = std::mem::replace(thread, Thread::Idle) {
            drop(jobs);
            let _ = ended.recv_timeout(FAREWELL);
        }
    }
}

/// Deliveries at once: those that wait for one sync are written together before the next.
const DELIVERIES_MAX: usize = 64;
const WRITE_TIMEOUT: Duration = Duration::from_secs(7);
const FAREWELL: Duration = Duration::from_secs(1);
