//! The thread that writes: takes all who wait, writes their lines, syncs once, answers them.
//!
//! Invariant: between two writes a file holds whole confirmed lines and nothing else. After a failure it is cut back to them,
//! or left alone for good.

use std::{
    collections::VecDeque,
    io::{self, Write as _},
    path::PathBuf,
    sync::mpsc::{Receiver, RecvTimeoutError},
    time::{Duration, Instant},
};

use bytes::Bytes;
use tokio::sync::{OwnedSemaphorePermit, oneshot};
use tracing::{info, warn};

use super::{
    fault::Fault,
    folder::{Folder, Open},
};

/// Lines to write, and who waits for them.
pub(super) struct Job {
    pub(super) lines: Bytes,
    pub(super) done: oneshot::Sender<Result<(), Fault>>,
    /// Given back when the lines leave memory, whether anyone still waits or not.
    pub(super) permit: OwnedSemaphorePermit,
}

/// When a new file is begun, and how many are kept.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rotation {
    pub(super) bytes: u64,
    pub(super) age: Duration,
    pub(super) files: Option<usize>,
}

pub(super) struct Writer {
    path: PathBuf,
    prefix: String,
    rotation: Rotation,
    folder: Option<Folder>,
    open: Option<Open>,
    trouble: Option<Trouble>,
}

/// When the log was told last, and of how many deliveries it was not since.
struct Trouble {
    told: Instant,
    untold: u64,
}

impl Writer {
    pub(super) fn new(path: PathBuf, prefix: String, rotation: Rotation) -> Self {
        Self { path, prefix, rotation, folder: None, open: None, trouble: None }
    }

    /// Writes until nobody can send any more.
    pub(super) fn run(mut self, jobs: &Receiver<Job>) {
        let mut waiting = VecDeque::new();
        loop {
            if waiting.is_empty() {
                match jobs.recv_timeout(self.rotation_due_in()) {
                    Ok(job) => waiting.push_back(job),
                    Err(RecvTimeoutError::Timeout) => {
                        self.finish();
                        continue;
                    }
                    Err(RecvTimeoutError::Disconnected) => break,
                }
            }
            waiting.extend(jobs.try_iter());
            // A record that nobody waits for any more comes again anyway.
            waiting.retain(|job: &Job| !job.done.is_closed());
            let group = self.fitting(&mut waiting);
            if group.is_empty() {
                continue;
            }
            let result = self.write(&group);
            self.tell(&result, group.len());
            for Job { lines, done, permit } in group {
                drop((lines, permit));
                let _ = done.send(result.clone());
            }
        }
        self.finish();
    }

    /// Takes what the file that is open has room for; an old or full one is finished, and something is always taken.
    fn fitting(&mut self, waiting: &mut VecDeque<Job>) -> Vec<Job> {
        let size = |job: &Job| job.lines.len() as u64;
        let Some(first) = waiting.front().map(size) else { return Vec::new() };
        let full =
            self.open.as_ref().is_some_and(|open| open.bytes.saturating_add(first) > self.rotation.bytes);
        if full || self.rotation_due_in().is_zero() {
            self.finish();
        }
        let mut bytes = self.open.as_ref().map_or(0, |open| open.bytes);
        let mut group = Vec::new();
        while let Some(job) = waiting.front()
            && (group.is_empty() || bytes.saturating_add(size(job)) <= self.rotation.bytes)
        {
            bytes = bytes.saturating_add(size(job));
            group.extend(waiting.pop_front());
        }
        group
    }

    /// On disk for sure, or not confirmed.
    fn write(&mut self, group: &[Job]) -> Result<(), Fault> {
        for _ in 0..ATTEMPTS {
            let open = self.current()?;
            let path = open.path.display().to_string();
            match append(open, group) {
                Ok(()) if open.is_in_place() => return Ok(()),
                Ok(()) => {
                    // Deleted, moved or changed: nobody can count on finding in it what was just written.
                    warn!(
                        file = path,
                        "somebody else took or changed the file that is being written; beginning another"
                    );
                    self.open = None;
                }
                Err(Failed::Write(error)) => {
                    let full = error.kind() == io::ErrorKind::FileTooLarge && open.bytes > 0;
                    self.cut_back();
                    if !full {
                        return Err(Fault::new(&format!("cannot write to {path}"), &error));
                    }
                    // As large as the system lets it be: once more, in an empty one.
                    self.finish();
                }
                Err(Failed::Sync(error)) => {
                    // What is in memory may now pass for written though it is not: no later sync of this file proves anything.
                    self.cut_back();
                    self.finish();
                    return Err(Fault::new(&format!("cannot sync {path}"), &error));
                }
            }
        }
        Err(Fault::passing(format!(
            "files in folder {} do not stay as they are written",
            self.path.display()
        )))
    }

    /// The file to write to, begun where there is none.
    fn current(&mut self) -> Result<&mut Open, Fault> {
        if self.open.is_none() {
            self.folder.take_if(|folder| !folder.is_in_place());
            let folder = match &mut self.folder {
                Some(folder) => folder,
                none => none.insert(Folder::open(&self.path, &self.prefix)?),
            };
            self.open = Some(folder.begin()?);
            if let Some(max) = self.rotation.files {
                folder.prune(max);
            }
        }
        self.open.as_mut().ok_or_else(Fault::ended)
    }

    /// Leaves only what is confirmed in the file. One that does not let itself be cut is left to the next start.
    fn cut_back(&mut self) {
        self.open.take_if(|open| open.file.set_len(open.bytes).is_err() || !open.is_in_place());
    }

    fn finish(&mut self) {
        if let (Some(folder), Some(open)) = (&self.folder, self.open.take()) {
            folder.finish(&open);
        }
    }

    fn rotation_due_in(&self) -> Duration {
        match &self.open {
            Some(open) => self.rotation.age.saturating_sub(open.begun.elapsed()),
            None => Duration::MAX,
        }
    }

    /// Tells the log that nothing can be written, now and then, and that it can again.
    fn tell(&mut self, result: &Result<(), Fault>, deliveries: usize) {
        match (result, &mut self.trouble) {
            (Ok(()), None) => {}
            (Ok(()), trouble) => {
                *trouble = None;
                info!(folder = %self.path.display(), "records are written again");
            }
            (Err(_), Some(trouble)) if trouble.told.elapsed() < COMPLAINT_INTERVAL => {
                trouble.untold += deliveries as u64;
            }
            (Err(fault), trouble) => {
                let untold = trouble.as_ref().map_or(0, |trouble| trouble.untold);
                warn!(
                    folder = %self.path.display(), deliveries, untold,
                    "nothing is confirmed: {}", fault.text
                );
                *trouble = Some(Trouble { told: Instant::now(), untold: 0 });
            }
        }
    }
}

enum Failed {
    Write(io::Error),
    Sync(io::Error),
}

/// Adds the lines of all of `group` and waits until they are on disk.
fn append(open: &mut Open, group: &[Job]) -> Result<(), Failed> {
    for job in group {
        open.file.write_all(&job.lines).map_err(Failed::Write)?;
    }
    open.file.sync_data().map_err(Failed::Sync)?;
    open.bytes += group.iter().map(|job| job.lines.len() as u64).sum::<u64>();
    Ok(())
}

/// Files that one write may lose before it gives up.
const ATTEMPTS: usize = 3;
const COMPLAINT_INTERVAL: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use std::{fs, sync::mpsc};

    use super::*;

    #[test]
    fn a_file_that_is_old_is_finished_though_nothing_comes() {
        let folder = tempfile::tempdir().unwrap();
        let rotation = Rotation { bytes: u64::MAX, age: Duration::from_millis(1), files: None };
        let writer = Writer::new(folder.path().to_owned(), "a".to_owned(), rotation);
        let (jobs, queue) = mpsc::sync_channel(1);
        let thread = std::thread::spawn(move || writer.run(&queue));
        let permits = std::sync::Arc::new(tokio::sync::Semaphore::new(1));
        let permit = permits.try_acquire_owned().unwrap();
        let (done, result) = oneshot::channel();
        jobs.send(Job { lines: Bytes::from_static(b"{}\n"), done, permit }).unwrap();
        result.blocking_recv().unwrap().unwrap();
        let names = || fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name());
        // Ends because the file is renamed while the channel is open.
        while !names().any(|name| name.to_str().unwrap().ends_with(".ndjson")) {
            std::thread::yield_now();
        }
        drop(jobs);
        thread.join().unwrap();
    }
}
