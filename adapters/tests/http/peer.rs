//! A scripted peer: plain TCP, so that it can misbehave in any way.

use std::{
    num::NonZeroUsize,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use adapters::{
    Outcome, Outcomes, Payload, Report, Target,
    http::{Config, Http},
};
use bytes::Bytes;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::AbortHandle,
};

/// Listens on a port of its own until dropped.
pub(crate) struct Peer {
    pub(crate) url: String,
    accepted: Arc<AtomicUsize>,
    requests: Arc<AtomicUsize>,
    task: AbortHandle,
}

impl Peer {
    /// Runs `script` for each connection, with its number from 0 on.
    pub(crate) async fn start<F, S>(script: S) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
        S: Fn(usize, Connection) -> F + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/hook?x=1", listener.local_addr().unwrap());
        let (accepted, requests) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let (counter, total) = (Arc::clone(&accepted), Arc::clone(&requests));
        let serving = async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let number = counter.fetch_add(1, Ordering::SeqCst);
                let requests = Arc::clone(&total);
                tokio::spawn(script(number, Connection { stream, buffer: Vec::new(), requests }));
            }
        };
        Self { url, accepted, requests, task: tokio::spawn(serving).abort_handle() }
    }

    /// A peer that gives each request the same answer, on connections that stay open.
    pub(crate) async fn answering(answer: &'static str) -> Self {
        Self::start(move |_, mut connection| async move {
            while connection.request().await.is_some() {
                connection.say(answer).await;
            }
        })
        .await
    }

    /// Connections taken so far.
    pub(crate) fn accepted(&self) -> usize {
        self.accepted.load(Ordering::SeqCst)
    }

    /// Whole requests read so far.
    pub(crate) fn requests(&self) -> usize {
        self.requests.load(Ordering::SeqCst)
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// The peer's side of one connection.
pub(crate) struct Connection {
    pub(crate) stream: TcpStream,
    buffer: Vec<u8>,
    requests: Arc<AtomicUsize>,
}

/// A request as it came.
pub(crate) struct Request {
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

impl Connection {
    /// The next request; `None` when the client closed the connection.
    pub(crate) async fn request(&mut self) -> Option<Request> {
        loop {
            if let Some(end) = self.buffer.windows(4).position(|window| window == b"\r\n\r\n") {
                let head = String::from_utf8(self.buffer[..end + 2].to_vec()).unwrap();
                let length = header(&head, "content-length").map_or(0, |length| length.parse().unwrap());
                if self.buffer.len() >= end + 4 + length {
                    let rest = self.buffer.split_off(end + 4 + length);
                    let body = std::mem::replace(&mut self.buffer, rest).split_off(end + 4);
                    self.requests.fetch_add(1, Ordering::SeqCst);
                    return Some(Request { head, body });
                }
            }
            if self.stream.read_buf(&mut self.buffer).await.unwrap_or(0) == 0 {
                return None;
            }
        }
    }

    /// Writes `text`; the client may be gone already.
    pub(crate) async fn say(&mut self, text: &str) {
        _ = self.stream.write_all(text.as_bytes()).await;
    }

    /// Waits until the client closes the connection.
    pub(crate) async fn closed(&mut self) {
        while self.stream.read(&mut [0; 4096]).await.unwrap_or(0) > 0 {}
    }
}

/// The value of a header in a request head.
pub(crate) fn header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    head.lines().find_map(|line| {
        let (key, value) = line.split_once(':')?;
        key.eq_ignore_ascii_case(name).then_some(value.trim())
    })
}

pub(crate) const OK: &str = "HTTP/1.1 204 No Content\r\n\r\n";

/// Settings for `urls`: HTTP/1.1, no probes, and whatever `more` says otherwise.
pub(crate) fn config(urls: &[&str], more: Value) -> Config {
    let mut settings = json!({
        "urls": urls,
        "protocol": "HTTP_1_1",
        "health-check": {"enabled": false},
        "call-timeout": 20_000,
        "connect-timeout": 5_000,
    });
    let Value::Object(more) = more else { panic!("more settings are an object") };
    settings.as_object_mut().unwrap().extend(more);
    serde_json::from_value(settings).unwrap()
}

pub(crate) fn target(urls: &[&str], more: Value) -> Http {
    Http::new("test", config(urls, more)).unwrap()
}

pub(crate) fn payload(body: &'static [u8]) -> Payload {
    Payload {
        body: Bytes::from_static(body),
        content_type: "application/json".into(),
        count: NonZeroUsize::MIN,
        request: None,
    }
}

/// Delivers one small record.
pub(crate) async fn deliver(target: &Http) -> Report {
    target.deliver(&payload(b"{\"a\":1}")).await
}

/// Delivers one small record and tells what became of it.
pub(crate) async fn outcome(target: &Http) -> Outcome {
    match deliver(target).await.outcomes {
        Outcomes::All(outcome) => outcome,
        Outcomes::Except(items) => panic!("{items:?}"),
    }
}
