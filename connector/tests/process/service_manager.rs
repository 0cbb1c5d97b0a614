//! What a service manager is told, over the socket that systemd would make.

use std::{
    os::unix::net::UnixDatagram,
    path::Path,
    time::{Duration, Instant},
};

use crate::harness::{Folder, Process, WITHIN, binary, service};

struct Socket {
    folder: Folder,
    socket: UnixDatagram,
}

impl Socket {
    fn new() -> Self {
        let folder = Folder::with(&service(", shutdown-grace-period: 120000"));
        let socket = UnixDatagram::bind(folder.path().join("notify")).unwrap();
        socket.set_read_timeout(Some(WITHIN)).unwrap();
        Self { folder, socket }
    }

    fn path(&self) -> std::path::PathBuf {
        self.folder.path().join("notify")
    }

    /// The next message.
    fn told(&self) -> String {
        let mut message = [0; 4096];
        let length = self.socket.recv(&mut message).expect("a message");
        String::from_utf8(message[..length].to_vec()).unwrap()
    }

    /// The next message that is not a sign of life.
    fn told_of_state(&self) -> String {
        let end = Instant::now() + WITHIN;
        while Instant::now() < end {
            let told = self.told();
            if told.trim_end() != "WATCHDOG=1" {
                return told;
            }
        }
        panic!("nothing but signs of life");
    }

    fn start(&self, socket: &Path, watchdog_us: Option<&str>) -> Process {
        let mut command = binary();
        command.args(["run", "--config"]).arg(self.folder.config()).env("NOTIFY_SOCKET", socket);
        command.env_remove("WATCHDOG_PID").env_remove("WATCHDOG_USEC");
        if let Some(watchdog_us) = watchdog_us {
            command.env("WATCHDOG_USEC", watchdog_us);
        }
        Process::start(&mut command)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn it_hears_that_records_are_taken_that_all_is_well_and_that_it_ends() {
    let socket = Socket::new();
    let mut process = socket.start(&socket.path(), Some("200000"));
    // Not a word before the ports are open.
    let ready = socket.told_of_state();
    assert!(ready.lines().any(|line| line == "READY=1"), "{ready}");
    assert!(ready.contains("STATUS="), "{ready}");
    let address = process.address("listening for XDR").await;
    std::net::TcpStream::connect(address).expect("it listens when it says so");
    for _ in 0..5 {
        assert_eq!(socket.told().trim_end(), "WATCHDOG=1");
    }
    process.terminate();
    let stopping = socket.told_of_state();
    assert!(stopping.lines().any(|line| line == "STOPPING=1"), "{stopping}");
    // The grace period of the file and what comes after it.
    assert!(stopping.lines().any(|line| line == "EXTEND_TIMEOUT_USEC=130000000"), "{stopping}");
    let (status, printed) = process.end_and_printed().await;
    assert_eq!(status.code(), Some(0), "{printed}");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_watchdog_there_is_no_sign_of_life() {
    let socket = Socket::new();
    let mut process = socket.start(&socket.path(), None);
    assert!(socket.told().contains("READY=1"));
    process.terminate();
    assert!(socket.told().contains("STOPPING=1"));
    assert_eq!(process.end().await.code(), Some(0));
    socket.socket.set_read_timeout(Some(Duration::from_millis(1))).unwrap();
    assert!(socket.socket.recv(&mut [0; 64]).is_err(), "nothing more was said");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_does_not_listen_ends_nothing() {
    let socket = Socket::new();
    let mut process = socket.start(&socket.folder.path().join("nobody"), None);
    process.line("cannot tell the service manager").await;
    process.terminate();
    assert_eq!(process.end().await.code(), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn it_hears_of_a_reload_and_of_its_end() {
    let socket = Socket::new();
    let mut process = socket.start(&socket.path(), None);
    assert!(socket.told().contains("READY=1"));
    for (config, status) in [(Some("servce: {}"), "wrong"), (None, "takes records")] {
        let good = std::fs::read_to_string(socket.folder.config()).unwrap();
        if let Some(config) = config {
            std::fs::write(socket.folder.config(), config).unwrap();
        }
        process.hangup();
        let reloading = socket.told();
        assert!(reloading.lines().any(|line| line == "RELOADING=1"), "{reloading}");
        // What `Type=notify-reload` needs to know that this answers its signal.
        let since = reloading.lines().find_map(|line| line.strip_prefix("MONOTONIC_USEC="));
        assert!(since.is_some_and(|since| since.parse::<u64>().is_ok()), "{reloading}");
        let ready = socket.told();
        assert!(ready.lines().any(|line| line == "READY=1"), "{ready}");
        assert!(ready.contains(status), "{ready}");
        std::fs::write(socket.folder.config(), good).unwrap();
    }
    process.terminate();
    assert!(socket.told().contains("STOPPING=1"));
    assert_eq!(process.end().await.code(), Some(0));
}
