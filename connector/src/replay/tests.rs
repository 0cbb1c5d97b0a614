use std::{
    fs,
    sync::{Arc, Mutex},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
    task::JoinHandle,
};

use super::*;
use crate::{
    simulator::{
        encode::{Change, Head, Message},
        particle::Particle,
    },
    wire::{
        ack::{self, ResultCode},
        frame, message,
    },
};

/// What the connector of a test does with the message of record `key` with value `n`, after so many messages.
type Script = dyn Fn(u8, i64, usize) -> Reply + Send + Sync;

enum Reply {
    Answer(ResultCode),
    /// Closes the connection.
    Cut,
}

use Reply::{Answer, Cut};

struct Connector {
    address: String,
    /// Keys and values, in the order in which they came.
    came: Arc<Mutex<Vec<(u8, i64)>>>,
    serving: JoinHandle<()>,
}

impl Drop for Connector {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

impl Connector {
    async fn start(script: impl Fn(u8, i64, usize) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let came = Arc::new(Mutex::new(Vec::new()));
        let serving = tokio::spawn(serve(listener, Box::new(script), Arc::clone(&came)));
        Self { address, came, serving }
    }

    fn came(&self) -> Vec<(u8, i64)> {
        self.came.lock().unwrap().clone()
    }
}

async fn serve(listener: TcpListener, script: Box<Script>, came: Arc<Mutex<Vec<(u8, i64)>>>) {
    loop {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut input = Vec::new();
        'connection: while stream.read_buf(&mut input).await.is_ok_and(|bytes| bytes > 0) {
            while let Some(whole) = frame::next(&input, 1 << 20).unwrap() {
                let decoded = message::decode(whole.body(), 0).unwrap();
                let key = decoded.notification.digest.0[0];
                let crate::notification::Value::Integer(n) = decoded.notification.bins[0].value else {
                    panic!()
                };
                let bytes = whole.bytes.len();
                input.drain(..bytes);
                let before = {
                    let mut came = came.lock().unwrap();
                    came.push((key, n));
                    came.len() - 1
                };
                match script(key, n, before) {
                    Answer(code) => {
                        let mut answer = Vec::new();
                        ack::encode(code, &mut answer);
                        stream.write_all(&answer).await.unwrap();
                    }
                    Cut => break 'connection,
                }
            }
        }
    }
}

fn entry(key: u8, n: i64) -> String {
    format!("{{\"reason\":\"any\",\"frame\":\"{}\"}}", STANDARD.encode(frame(key, n)))
}

fn frame(key: u8, n: i64) -> Vec<u8> {
    let mut frame = Vec::new();
    let head = Head {
        change: Change::Replace,
        namespace: b"test",
        set: None,
        digest: [key; 20],
        user_key: None,
        generation: 1,
        ttl_seconds: 0,
        lut_unix_ms: Some(1_700_000_000_000),
    };
    let mut message = Message::begin(&mut frame, &head);
    message.bin(b"n", &Particle::Integer(n));
    message.finish();
    frame
}

struct Case {
    folder: TempDir,
    arguments: ReplayArgs,
}

impl Case {
    /// One file for each of `files`.
    fn new(to: &str, files: &[&[String]]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let files = files.iter().enumerate().map(|(index, lines)| {
            let path = folder.path().join(format!("letters-{index}"));
            fs::write(&path, lines.join("\n")).unwrap();
            path
        });
        let arguments = ReplayArgs {
            files: files.collect(),
            to: to.to_owned(),
            remaining: Some(folder.path().join("remaining")),
            depth: 8,
            attempts: 3,
            tls: TlsArgs::default(),
        };
        Self { folder, arguments }
    }

    /// The counts, what was told (file names only), and what remains.
    async fn run(&self) -> (Counts, Vec<String>, Vec<String>) {
        let mut told = Vec::new();
        let counts = self.arguments.replay(None, |line| told.push(line)).await.unwrap();
        let folder = format!("{}/", self.folder.path().display());
        let told = told.into_iter().map(|line| line.replace(&folder, "")).collect();
        let remaining = fs::read_to_string(self.arguments.remaining.as_ref().unwrap()).unwrap();
        (counts, told, remaining.lines().map(str::to_owned).collect())
    }
}

fn counts(acknowledged: u64, refused: u64, not_shipped: u64, unreadable: u64) -> Counts {
    Counts { acknowledged, refused, not_shipped, unreadable }
}

#[tokio::test]
async fn everything_is_shipped_in_the_order_of_the_files() {
    let connector = Connector::start(|_, _, _| Answer(ResultCode::Ok)).await;
    let first: Vec<_> = (1..=20).map(|key| entry(key, 1)).collect();
    let second: Vec<_> = (1..=20).map(|key| entry(key, 2)).collect();
    let (counted, told, remaining) = Case::new(&connector.address, &[&first, &second]).run().await;
    assert_eq!((counted, told, remaining), (counts(40, 0, 0, 0), vec![], vec![]));
    assert!(counted.is_complete());
    let expected: Vec<_> = (1..=2).flat_map(|n| (1..=20).map(move |key| (key, n))).collect();
    assert_eq!(connector.came(), expected);
}

#[tokio::test]
async fn several_are_on_their_way_at_once() {
    // Answers nothing until four came.
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let serving = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut input = vec![0; frame(1, 1).len() * 4];
        stream.read_exact(&mut input).await.unwrap();
        let mut answers = Vec::new();
        (0..4).for_each(|_| ack::encode(ResultCode::Ok, &mut answers));
        stream.write_all(&answers).await.unwrap();
        let _ = stream.read(&mut [0]).await;
    });
    let lines: Vec<_> = (1..=4).map(|key| entry(key, 1)).collect();
    let (counted, ..) = Case::new(&address, &[&lines]).run().await;
    assert_eq!(counted, counts(4, 0, 0, 0));
    serving.await.unwrap();
}

#[tokio::test]
async fn what_is_refused_for_now_goes_again_before_later_ones_of_its_record() {
    let connector = Connector::start(|_, _, before| {
        Answer(if before == 0 { ResultCode::DeviceOverload } else { ResultCode::Ok })
    })
    .await;
    let lines = [entry(1, 1), entry(1, 2), entry(2, 3)];
    let (counted, told, _) = Case::new(&connector.address, &[&lines]).run().await;
    assert_eq!((counted, told), (counts(3, 0, 0, 0), vec![]));
    assert_eq!(connector.came(), [(1, 1), (1, 1), (1, 2), (2, 3)]);
}

#[tokio::test]
async fn what_is_not_acknowledged_is_named_and_remains_with_what_depends_on_it() {
    let connector = Connector::start(|key, _, _| {
        Answer(match key {
            1 => ResultCode::Parameter,
            2 => ResultCode::Timeout,
            _ => ResultCode::Ok,
        })
    })
    .await;
    let lines = [entry(1, 1), entry(2, 1), entry(3, 1), entry(1, 2), entry(2, 2), entry(3, 2)];
    let (counted, mut told, remaining) = Case::new(&connector.address, &[&lines]).run().await;
    assert_eq!(counted, counts(2, 2, 2, 0));
    assert!(!counted.is_complete());
    told.sort();
    let behind = "not shipped: an earlier one of the same record was not acknowledged";
    assert_eq!(
        told,
        [
            "letters-0:1: refused: for good, with result code 4".to_owned(),
            "letters-0:2: refused: for now, with result code 9, 3 times".to_owned(),
            format!("letters-0:4: {behind}"),
            format!("letters-0:5: {behind}"),
        ]
    );
    // Of each record in the order of the file.
    let of = |key| {
        remaining.iter().filter(|line| [entry(key, 1), entry(key, 2)].contains(line)).collect::<Vec<_>>()
    };
    assert_eq!(remaining.len(), 4);
    assert_eq!(of(1), [&entry(1, 1), &entry(1, 2)]);
    assert_eq!(of(2), [&entry(2, 1), &entry(2, 2)]);
}

#[tokio::test]
async fn a_line_that_is_no_dead_letter_stops_nothing_and_is_kept() {
    let connector = Connector::start(|_, _, _| Answer(ResultCode::Ok)).await;
    let good = entry(1, 1);
    let cut = good[..good.len() - 8].to_owned() + "\"}";
    let bad: Vec<String> = [
        "{\"secret\": \"hunter2\"}",
        "{\"frame\": 5, \"secret\": \"hunter2\"}",
        "{\"frame\": \"hunter2!\"}",
        "{\"frame\": \"AgEAAAAAAAA=\"}",
        "hunter2",
        "[{\"frame\": \"hunter2",
        cut.as_str(),
    ]
    .map(str::to_owned)
    .into();
    let mut lines = bad.clone();
    lines.push(String::new());
    lines.push(format!("{good}\r"));
    lines.insert(3, entry(2, 1));
    let (counted, told, remaining) = Case::new(&connector.address, &[&lines]).run().await;
    assert_eq!(counted, counts(2, 0, 0, 7), "{told:?}");
    assert_eq!(remaining, bad);
    let numbers: Vec<_> = told.iter().map(|line| line.split(':').nth(1).unwrap()).collect();
    assert_eq!(numbers, ["1", "2", "3", "5", "6", "7", "8"]);
    assert!(
        told.iter().all(|line| line.contains(": unreadable: ") && !line.contains("hunter2")),
        "{told:#?}"
    );
}

#[tokio::test]
async fn a_connection_that_breaks_costs_nothing() {
    let connector =
        Connector::start(
            |_, _, before| {
                if before % 7 == 3 && before < 20 { Cut } else { Answer(ResultCode::Ok) }
            },
        )
        .await;
    let lines: Vec<_> = (1..=30).map(|key| entry(key, 1)).collect();
    let mut case = Case::new(&connector.address, &[&lines]);
    case.arguments.attempts = 10;
    let (counted, told, _) = case.run().await;
    assert_eq!((counted, told), (counts(30, 0, 0, 0), vec![]));
}

#[tokio::test]
async fn when_nobody_is_there_everything_remains() {
    let nobody = TcpListener::bind(("127.0.0.1", 0)).await.unwrap().local_addr().unwrap().to_string();
    let lines: Vec<_> = (1..=10).map(|key| entry(key, 1)).collect();
    let (counted, told, remaining) = Case::new(&nobody, &[&lines]).run().await;
    assert_eq!((counted, remaining.len()), (counts(0, 1, 9, 0), 10));
    assert!(told.iter().all(|line| line.contains(&format!("{nobody} cannot be reached"))), "{told:#?}");
}

#[tokio::test]
async fn what_remains_may_replace_what_was_read() {
    let connector =
        Connector::start(|key, _, _| Answer(if key == 2 { ResultCode::Parameter } else { ResultCode::Ok }))
            .await;
    let lines = [entry(1, 1), entry(2, 1), entry(3, 1)];
    let mut case = Case::new(&connector.address, &[&lines]);
    case.arguments.remaining = Some(case.arguments.files[0].clone());
    let (counted, _, remaining) = case.run().await;
    assert_eq!((counted, remaining), (counts(2, 1, 0, 0), vec![entry(2, 1)]));
    assert_eq!(fs::read_dir(case.folder.path()).unwrap().count(), 1, "nothing else is left behind");
}

#[tokio::test]
async fn a_file_that_is_not_there_is_an_error_and_leaves_what_remained_before() {
    let connector = Connector::start(|_, _, _| Answer(ResultCode::Ok)).await;
    let mut case = Case::new(&connector.address, &[&[entry(1, 1)]]);
    case.arguments.files.push("/nowhere/letters".into());
    fs::write(case.arguments.remaining.as_ref().unwrap(), "before").unwrap();
    let error = case.arguments.replay(None, |_| ()).await.unwrap_err().to_string();
    assert!(error.starts_with("/nowhere/letters: cannot be read"), "{error}");
    assert_eq!(fs::read_to_string(case.arguments.remaining.as_ref().unwrap()).unwrap(), "before");
}
