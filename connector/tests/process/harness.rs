//! A running `esp-connector`, what it printed, and how it ended.

use std::{
    ffi::OsStr,
    fs,
    io::{BufRead, BufReader, Read},
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Output, Stdio},
    sync::Arc,
    thread,
    time::Duration,
};

use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::watch,
    task::spawn_blocking,
    time::{sleep, timeout},
};

pub const WITHIN: Duration = Duration::from_secs(60);

/// `esp-connector` with arguments, run to its end.
pub fn command<S: AsRef<OsStr>>(arguments: impl IntoIterator<Item = S>) -> Output {
    binary().args(arguments).output().unwrap()
}

pub fn binary() -> Command {
    Command::new(env!("CARGO_BIN_EXE_esp-connector"))
}

/// A folder with a configuration file in it.
#[derive(Debug)]
pub struct Folder(TempDir);

impl Folder {
    pub fn with(config: &str) -> Self {
        let folder = Self(tempfile::tempdir().unwrap());
        fs::write(folder.config(), config).unwrap();
        folder
    }

    pub fn path(&self) -> &Path {
        self.0.path()
    }

    pub fn config(&self) -> PathBuf {
        self.path().join("connector.yml")
    }
}

/// `service` with ports of the system's choice on loopback, and `more` settings of the section.
pub fn service(more: &str) -> String {
    format!(
        "service: {{port: 0, address: 127.0.0.1, manage: {{port: 0, address: 127.0.0.1}}{more}}}
"
    )
}

/// `esp-connector run`, killed when dropped.
#[derive(Debug)]
pub struct Process {
    child: Option<Child>,
    id: u32,
    /// Standard output and error together, as far as they came.
    printed: watch::Receiver<String>,
}

impl Process {
    /// Starts it and returns at once.
    pub fn start(command: &mut Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let (collect, printed) = watch::channel(String::new());
        let collect = Arc::new(collect);
        gather(child.stdout.take().unwrap(), Arc::clone(&collect));
        gather(child.stderr.take().unwrap(), collect);
        Self { id: child.id(), child: Some(child), printed }
    }

    /// Starts `run` with the folder's configuration and waits until it listens.
    pub async fn run(folder: &Folder) -> (Self, SocketAddr) {
        let mut process = Self::start(binary().args(["run", "--config"]).arg(folder.config()));
        let address = process.address("listening for XDR").await;
        (process, address)
    }

    /// The address in the line that says `what`.
    pub async fn address(&mut self, what: &str) -> SocketAddr {
        let line = self.line(what).await;
        let address = line.split_whitespace().find_map(|word| word.strip_prefix("address="));
        address.and_then(|address| address.parse().ok()).unwrap_or_else(|| panic!("no address in {line:?}"))
    }

    /// Waits for the first line that contains `what`.
    pub async fn line(&mut self, what: &str) -> String {
        self.line_with(&[what]).await
    }

    /// Waits for the first line that contains all of `parts`.
    pub async fn line_with(&mut self, parts: &[&str]) -> String {
        self.wait_for(parts, 1).await
    }

    /// Waits until `count` lines contain `what`.
    pub async fn lines(&mut self, what: &str, count: usize) {
        self.wait_for(&[what], count).await;
    }

    async fn wait_for(&mut self, parts: &[&str], count: usize) -> String {
        let fits = |line: &&str| parts.iter().all(|part| line.contains(part));
        let found = |printed: &String| printed.lines().filter(fits).count() >= count;
        let waited = timeout(WITHIN, self.printed.wait_for(found)).await.is_ok_and(|waited| waited.is_ok());
        let printed = self.printed.borrow();
        assert!(waited, "{parts:?} was not printed {count} times, but\n{}", *printed);
        printed.lines().find(fits).unwrap().to_owned()
    }

    /// Sends SIGTERM.
    pub fn terminate(&self) {
        self.signal("TERM");
    }

    /// Sends SIGHUP.
    pub fn hangup(&self) {
        self.signal("HUP");
    }

    fn signal(&self, name: &str) {
        // The shell's own kill: there need not be one on the disk.
        let status = Command::new("sh").arg("-c").arg(format!("kill -{name} {}", self.id)).status().unwrap();
        assert!(status.success());
    }

    /// Ends it without any chance to clean up, as `kill -9` does.
    pub async fn kill(mut self) {
        self.child.as_mut().unwrap().kill().unwrap();
        self.end().await;
    }

    /// Waits for the end.
    pub async fn end(&mut self) -> ExitStatus {
        let mut child = self.child.take().expect("waited for only once");
        timeout(WITHIN, spawn_blocking(move || child.wait())).await.expect("it ends").unwrap().unwrap()
    }

    /// Waits for the end, and for all that was printed until then.
    pub async fn end_and_printed(mut self) -> (ExitStatus, String) {
        let status = self.end().await;
        // The channel closes when both outputs have been read to their ends.
        while self.printed.changed().await.is_ok() {}
        (status, self.printed.borrow().clone())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            let _ = child.kill();
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

/// A port on loopback that was free a moment ago.
pub fn free_port() -> u16 {
    std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap().port()
}

/// Status and everything else of the answer to a GET.
pub async fn get(address: SocketAddr, path: &str) -> std::io::Result<(u16, String)> {
    let mut stream = TcpStream::connect(address).await?;
    let request = format!("GET {path} HTTP/1.1\r\nHost: connector\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut answer = String::new();
    timeout(WITHIN, stream.read_to_string(&mut answer)).await.expect("an answer")?;
    let status = answer.split(' ').nth(1).and_then(|status| status.parse().ok());
    Ok((status.unwrap_or_else(|| panic!("{answer:?}")), answer))
}

/// Asks until the answer has this status.
pub async fn wait_for_status(address: SocketAddr, path: &str, status: u16) {
    let asked = timeout(WITHIN, async {
        while get(address, path).await.unwrap().0 != status {
            sleep(Duration::from_millis(5)).await;
        }
    });
    asked.await.unwrap_or_else(|_| panic!("{path} never answered {status}"));
}
