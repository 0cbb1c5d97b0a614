//! The log file of a running connector, and a console that says nothing.

use std::{
    fs::{self, File, FileTimes},
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use tokio::time::{sleep, timeout};

use crate::harness::{Folder, Process, WITHIN, binary, get, service};

fn config(logging: &str) -> String {
    format!("{}logging: {{{logging}}}\n", service(""))
}

fn start(folder: &Folder) -> Process {
    Process::start(binary().args(["run", "--config"]).arg(folder.config()))
}

/// Waits until a line of the file contains `what`.
async fn line(file: &Path, what: &str) -> String {
    let looked = timeout(WITHIN, async {
        loop {
            let content = fs::read_to_string(file).unwrap_or_default();
            if let Some(line) = content.lines().find(|line| line.contains(what)) {
                return line.to_owned();
            }
            sleep(Duration::from_millis(5)).await;
        }
    });
    looked.await.unwrap_or_else(|_| panic!("{what:?} is not in {}", file.display()))
}

#[tokio::test]
async fn logs_go_to_the_file_and_not_to_the_console() {
    let folder = Folder::with(&config("file: logs/connector.log, format: json"));
    fs::create_dir(folder.path().join("logs")).unwrap();
    let file = folder.path().join("logs/connector.log");
    let process = start(&folder);
    line(&file, "listening for XDR").await;
    process.terminate();
    let (status, printed) = process.end_and_printed().await;
    assert_eq!((status.code(), printed.as_str()), (Some(0), ""));
    let content = fs::read_to_string(&file).unwrap();
    let messages: Vec<String> = content
        .lines()
        .map(|line| {
            let line: serde_json::Value = serde_json::from_str(line).unwrap();
            assert!(line["timestamp"].is_string() && line["target"].is_string(), "{line}");
            line["message"].as_str().unwrap().to_owned()
        })
        .collect();
    assert!(messages[0].contains("NO RECORD GOES ANYWHERE"), "{messages:?}");
    // The last lines are there: the end of the process waits for them.
    assert_eq!(messages.last().map(String::as_str), Some("stopped"), "{messages:?}");
}

/// Each remark on the destinations is said, and by one voice.
#[tokio::test]
async fn what_the_author_of_the_destinations_should_know_is_logged_once() {
    let destinations = r#"
destinations:
  api: {type: aws-api-gateway, urls: ["http://api.example.net/"], region: eu-west-1}
  queued: {type: aws-lambda, function-name: orders, region: eu-west-1, invocation-type: Event}
  google: {type: gcp-functions, urls: ["https://records.example.net/"]}
"#;
    let folder = Folder::with(&format!("{}{destinations}", config("file: connector.log")));
    let file = folder.path().join("connector.log");
    let process = start(&folder);
    line(&file, "listening for XDR").await;
    process.terminate();
    process.end_and_printed().await;
    let content = fs::read_to_string(&file).unwrap();
    for (about, word) in [("api", "clear text"), ("queued", "Event"), ("google", "custom audience")] {
        let lines: Vec<_> = content
            .lines()
            .filter(|line| {
                [format!("destinations.{about}"), format!("{about:?}")].iter().any(|it| line.contains(it))
            })
            .collect();
        assert!(lines.len() == 1 && lines[0].contains(word), "{about}: {lines:#?}");
    }
}

#[tokio::test]
async fn yesterdays_file_is_rotated_at_the_start() {
    let folder = Folder::with(&config("file: connector.log, max-history: 1"));
    let file = folder.path().join("connector.log");
    fs::write(&file, "old\n").unwrap();
    let long_ago = FileTimes::new().set_modified(SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000));
    File::options().append(true).open(&file).unwrap().set_times(long_ago).unwrap();
    let _process = start(&folder);
    line(&file, "listening for XDR").await;
    assert!(!fs::read_to_string(&file).unwrap().contains("old"));
    assert_eq!(fs::read_to_string(folder.path().join("connector.log.2001-09-09")).unwrap(), "old\n");
}

#[tokio::test]
async fn a_file_that_others_moved_is_made_again() {
    let folder = Folder::with(&config("file: connector.log, ticker-interval: 1"));
    let (file, moved): (PathBuf, PathBuf) =
        (folder.path().join("connector.log"), folder.path().join("moved"));
    let process = start(&folder);
    line(&file, "listening for XDR").await;
    fs::rename(&file, &moved).unwrap();
    line(&file, "statistics").await;
    assert!(fs::read_to_string(&moved).unwrap().contains("listening for XDR"));
    process.terminate();
    assert_eq!(process.end_and_printed().await.0.code(), Some(0));
}

#[tokio::test]
async fn a_full_disk_stops_nothing() {
    let logging = "file: /dev/full, enable-console-logging: true, ticker-interval: 1";
    let folder = Folder::with(&config(logging));
    let mut process = start(&folder);
    let manage = process.address("listening for management").await;
    process.line("cannot write the log file /dev/full: No space left on device").await;
    assert_eq!(get(manage, "/healthz").await.unwrap().0, 200);
    // What is lost is told where it still can be.
    process.line("log-lines-lost=").await;
    process.terminate();
    assert_eq!(process.end().await.code(), Some(0));
}

#[tokio::test]
async fn a_folder_that_is_missing_is_told_before_anything_runs() {
    let folder = Folder::with(&config("file: logs/connector.log"));
    let shown = folder.path().display();
    let why =
        format!("the log file {shown}/logs/connector.log cannot be written: there is no folder {shown}/logs");
    for (command, said) in [
        ("run", format!("esp-connector: {why}\n")),
        ("check", format!("esp-connector: {shown}/connector.yml:2: logging.file: {why}\n")),
    ] {
        let output = binary().args([command, "--config"]).arg(folder.config()).output().unwrap();
        assert_eq!(output.status.code(), Some(64), "{command}");
        assert_eq!(String::from_utf8(output.stderr).unwrap(), said);
    }
}

#[tokio::test]
async fn what_ends_a_run_is_in_the_file_too() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let text = format!("service: {{port: {port}, address: 127.0.0.1}}\nlogging: {{file: connector.log}}\n");
    let folder = Folder::with(&text);
    let output = binary().args(["run", "--config"]).arg(folder.config()).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8(output.stderr).unwrap();
    let why = said.trim_end().strip_prefix("esp-connector: ").unwrap();
    let content = fs::read_to_string(folder.path().join("connector.log")).unwrap();
    assert!(content.lines().last().unwrap().contains(why), "{content}");
}
