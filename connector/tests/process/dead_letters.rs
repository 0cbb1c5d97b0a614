//! Records that a destination refuses for good, from the file of dead letters and back.

use std::{
    collections::{BTreeSet, VecDeque},
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
};

use esp_connector::simulator::particle::Particle;
use hyper::StatusCode;

use crate::{
    harness::{Folder, Process, command, service},
    receiver::Receiver,
    xdr_client::{Ack, XdrClient, write},
};

const RECORDS: i64 = 1_000;

fn config(receiver: &Receiver) -> String {
    let url = receiver.url("/");
    format!(
        "{}destinations:
  receiver:
    urls: ['{url}']
    protocol: HTTP_1_1
    max-connections-per-endpoint: 8
    dead-letter: letters
  letters: {{type: file, path: letters}}
format: {{mode: flat-json, metadata-key: _meta}}
routing: {{mode: static, destination: receiver}}
",
        service("")
    )
}

fn record(key: i64) -> Vec<u8> {
    write("demo", key, &[("n", Particle::Integer(key)), ("secret", Particle::String(b"hunter2"))])
}

fn is_poison(key: i64) -> bool {
    key % 50 == 7
}

/// Ships every record until it is acknowledged, and kills the connector twice in between. Gives what was printed.
async fn ship_all(folder: &Folder) -> String {
    let mut pending: Vec<i64> = (0..RECORDS).rev().collect();
    let (mut acked, mut kills) = (0, 0);
    loop {
        let (process, address) = Process::run(folder).await;
        let mut process = Some(process);
        let mut source = XdrClient::connect(address).await.unwrap();
        let kill_at = if kills < 2 { RECORDS * (kills + 1) / 3 } else { i64::MAX };
        let mut shipped = VecDeque::new();
        loop {
            while shipped.len() < 100
                && let Some(key) = pending.pop()
            {
                shipped.push_back(key);
                // A connector that was killed takes nothing; the answers end then, too.
                let _ = source.send(&record(key)).await;
            }
            let Some(&key) = shipped.front() else { break };
            match source.ack().await {
                Ok(ack) => {
                    shipped.pop_front();
                    if ack == Ack::OK {
                        acked += 1;
                    } else {
                        assert!(ack.is_temporary(), "record {key} was given up: {ack:?}");
                        pending.push(key);
                    }
                }
                Err(_) => {
                    assert!(process.is_none(), "only a kill cuts a connection");
                    pending.extend(shipped.drain(..));
                    break;
                }
            }
            if acked >= kill_at
                && let Some(process) = process.take()
            {
                process.kill().await;
                kills += 1;
            }
        }
        if let Some(process) = process {
            assert_eq!((acked, kills), (RECORDS, 2));
            process.terminate();
            return process.end_and_printed().await.1;
        }
    }
}

/// Files of dead letters, the oldest first.
fn letters(folder: &Path) -> Vec<PathBuf> {
    let mut files: Vec<_> = fs::read_dir(folder.join("letters"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.to_string_lossy().contains(".ndjson"))
        .collect();
    files.sort();
    files
}

fn keys(lines: &str) -> BTreeSet<i64> {
    let entries = lines.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
    entries
        .map(|entry| {
            assert_eq!((&entry["destination"], &entry["status"]), (&"receiver".into(), &400.into()));
            entry["userKey"].as_i64().unwrap()
        })
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn poison_goes_to_the_file_whatever_is_killed_and_a_replay_delivers_it() {
    let refuse =
        |request: &crate::receiver::Request, _| match request.json()["n"].as_i64().is_some_and(is_poison) {
            true => StatusCode::BAD_REQUEST,
            false => StatusCode::OK,
        };
    let receiver = Receiver::answering(refuse).await;
    let folder = Folder::with(&config(&receiver));
    let printed = ship_all(&folder).await;
    assert!(printed.contains("goes to the dead letters") && !printed.contains("hunter2"), "{printed}");

    let poison: BTreeSet<i64> = (0..RECORDS).filter(|key| is_poison(*key)).collect();
    let files = letters(folder.path());
    let lines: String = files.iter().map(|file| fs::read_to_string(file).unwrap()).collect();
    assert_eq!(keys(&lines), poison, "those, and nothing else");
    let confirmed: BTreeSet<i64> =
        receiver.confirmed().iter().map(|request| request.json()["n"].as_i64().unwrap()).collect();
    assert_eq!(confirmed, (0..RECORDS).filter(|key| !is_poison(*key)).collect());

    // The consumer was corrected.
    let corrected = Receiver::start().await;
    let folder = Folder::with(&config(&corrected));
    let (process, address) = Process::run(&folder).await;
    let remaining = folder.path().join("remaining");
    let mut arguments: Vec<OsString> = [
        "replay".into(),
        "--to".into(),
        address.to_string().into(),
        "--remaining".into(),
        remaining.clone().into(),
    ]
    .into();
    arguments.extend(files.iter().map(|file| file.clone().into_os_string()));
    let output = tokio::task::spawn_blocking(move || command(arguments)).await.unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(0), "{said}{}", String::from_utf8_lossy(&output.stderr));
    let count = lines.lines().count();
    assert_eq!(said, format!("acknowledged {count}, refused 0, not shipped 0, unreadable 0\n"));
    let delivered: BTreeSet<i64> =
        corrected.confirmed().iter().map(|request| request.json()["n"].as_i64().unwrap()).collect();
    assert_eq!(delivered, poison);
    assert_eq!(fs::read_to_string(remaining).unwrap(), "");
    drop(process);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replay_that_is_refused_ends_with_1_and_names_the_lines() {
    let refuse = |_: &_, _| StatusCode::BAD_REQUEST;
    let receiver = Receiver::answering(refuse).await;
    let config = config(&receiver).replace("    dead-letter: letters\n", "    dead-letter: drop\n");
    let folder = Folder::with(&config);
    let file = folder.path().join("letters.ndjson");
    let frame = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, record(1));
    fs::write(&file, format!("{{\"frame\": \"{frame}\"}}\nhunter2\n")).unwrap();
    let (process, address) = Process::run(&folder).await;
    let arguments: [OsString; 4] =
        ["replay".into(), file.clone().into(), "--to".into(), address.to_string().into()];
    let output = tokio::task::spawn_blocking(move || command(arguments)).await.unwrap();
    assert_eq!(output.status.code(), Some(1));
    let named = String::from_utf8(output.stderr).unwrap();
    let file = file.display();
    assert!(named.contains(&format!("{file}:1: refused: for good, with result code 4")), "{named}");
    assert!(
        named.contains(&format!("{file}:2: unreadable: no JSON")) && !named.contains("hunter2"),
        "{named}"
    );
    drop(process);
}
