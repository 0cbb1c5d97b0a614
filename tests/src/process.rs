//! Programs that a test runs beside itself: what they printed, and their end with the test, however that ends.

use std::{
    io::{BufRead, BufReader, Read},
    os::unix::process::CommandExt,
    process::{Child, Command, ExitStatus, Stdio},
    sync::Arc,
    thread,
};

use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use tokio::{
    sync::watch,
    task::spawn_blocking,
    time::{Instant, sleep, timeout},
};

use crate::WITHIN;

/// A running program, killed with all it started when dropped.
#[derive(Debug)]
pub struct Process {
    child: Option<Child>,
    /// Standard output and error together, as far as they came.
    printed: watch::Receiver<String>,
}

impl Process {
    /// Starts it and returns at once.
    pub fn start(command: &mut Command) -> Self {
        // A group of its own: what the program starts ends with it.
        let command =
            command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0);
        let mut child = command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"));
        let (collect, printed) = watch::channel(String::new());
        let collect = Arc::new(collect);
        gather(child.stdout.take().unwrap(), Arc::clone(&collect));
        gather(child.stderr.take().unwrap(), collect);
        Self { child: Some(child), printed }
    }

    /// Its process id, while it has not been stopped.
    pub fn id(&self) -> u32 {
        self.child.as_ref().expect("not stopped").id()
    }

    /// All that was printed so far.
    pub fn printed(&self) -> String {
        self.printed.borrow().clone()
    }

    /// Waits for the first line that contains `what`.
    pub async fn line(&mut self, what: &str) -> String {
        let found = |printed: &String| printed.lines().any(|line| line.contains(what));
        let waited = timeout(WITHIN, self.printed.wait_for(found)).await.is_ok_and(|waited| waited.is_ok());
        let printed = self.printed.borrow();
        assert!(waited, "{what:?} was not printed, but\n{}", *printed);
        printed.lines().find(|line| line.contains(what)).unwrap().to_owned()
    }

    /// Asks until `ready` has an answer; what was printed when the program ended before.
    pub async fn until<T>(&mut self, mut ready: impl AsyncFnMut() -> Option<T>) -> Result<T, String> {
        let started = Instant::now();
        loop {
            if let Some(answer) = ready().await {
                return Ok(answer);
            }
            let ended = self.child.as_mut().is_none_or(|child| child.try_wait().unwrap().is_some());
            if ended || started.elapsed() > WITHIN {
                return Err(self.printed());
            }
            sleep(crate::POLL).await;
        }
    }

    /// Asks it to end, and waits until it has.
    pub async fn stop(&mut self) -> ExitStatus {
        let mut child = self.child.take().expect("stopped only once");
        kill_process(Pid::from_child(&child), Signal::TERM).unwrap();
        let ended = timeout(WITHIN, spawn_blocking(move || child.wait())).await;
        let status = ended.expect("it ends").unwrap().unwrap();
        // The channel closes when both outputs have been read to their ends.
        while self.printed.changed().await.is_ok() {}
        status
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            // One that ended by itself has left its group behind, or nothing.
            let _ = kill_process_group(Pid::from_child(child), Signal::KILL);
            let _ = child.wait();
        }
    }
}

fn gather(from: impl Read + Send + 'static, to: Arc<watch::Sender<String>>) {
    thread::spawn(move || {
        let mut from = BufReader::new(from);
        let mut line = Vec::new();
        while from.read_until(b'\n', &mut line).is_ok_and(|bytes| bytes > 0) {
            to.send_modify(|printed| printed.push_str(&String::from_utf8_lossy(&line)));
            line.clear();
        }
    });
}
