//! The Lambda API as a script.

use std::{
    convert::Infallible,
    io,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use bytes::Bytes;
use http::{Request, Response, request::Parts};
use http_body_util::{BodyExt as _, Full, StreamBody, combinators::BoxBody};
use hyper::{
    body::{Frame, Incoming},
    service::service_fn,
};
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto::Builder,
};
use tokio::{net::TcpListener, sync::Notify, task::AbortHandle};

/// Answers requests in turn as scripted; the last answer is repeated.
pub(super) struct Peer {
    pub(super) url: String,
    seen: Arc<Mutex<Vec<Seen>>>,
    task: AbortHandle,
}

/// A request as it came.
pub(super) struct Seen {
    pub(super) head: Parts,
    pub(super) body: Bytes,
}

impl Seen {
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.head.headers.get(name).map(|value| value.to_str().unwrap())
    }

    /// Whose signature it carries.
    pub(super) fn key(&self) -> &str {
        let (_, rest) = self.header("authorization").unwrap().split_once("Credential=").unwrap();
        rest.split('/').next().unwrap()
    }
}

/// One answer.
#[derive(Clone, Debug)]
pub(super) enum Answer {
    /// Status, headers, body.
    Say(u16, Vec<(&'static str, String)>, String),
    /// None, ever.
    Silence,
    /// Closes the connection instead.
    HangUp,
    /// Closes it inside the answer.
    Cut(u16),
    /// Says it once it may.
    Held(Arc<Notify>, Box<Self>),
}

/// What a function answers.
pub(super) fn ok(payload: &str) -> Answer {
    Answer::Say(200, vec![], payload.to_owned())
}

/// What the API refuses with.
pub(super) fn error(status: u16, code: &str, message: &str) -> Answer {
    let body = serde_json::json!({"Type": "User", "message": message}).to_string();
    Answer::Say(status, vec![("x-amzn-errortype", code.to_owned())], body)
}

impl Answer {
    pub(super) fn with(self, name: &'static str, value: impl Into<String>) -> Self {
        match self {
            Self::Say(status, mut headers, body) => {
                headers.push((name, value.into()));
                Self::Say(status, headers, body)
            }
            other => other,
        }
    }
}

impl Peer {
    pub(super) async fn start(answers: &[Answer]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let seen = Arc::new(Mutex::new(Vec::new()));
        let (answers, log) = (Arc::new(answers.to_vec()), Arc::clone(&seen));
        let serving = async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let (answers, log) = (Arc::clone(&answers), Arc::clone(&log));
                let service =
                    service_fn(move |request| serve(request, Arc::clone(&answers), Arc::clone(&log)));
                tokio::spawn(async move {
                    let connection = Builder::new(TokioExecutor::new());
                    let _ = connection.serve_connection(TokioIo::new(stream), service).await;
                });
            }
        };
        Self { url, seen, task: tokio::spawn(serving).abort_handle() }
    }

    /// Every request so far.
    pub(super) fn seen(&self) -> MutexGuard<'_, Vec<Seen>> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(
    request: Request<Incoming>,
    answers: Arc<Vec<Answer>>,
    log: Arc<Mutex<Vec<Seen>>>,
) -> Result<Response<BoxBody<Bytes, io::Error>>, Box<dyn std::error::Error + Send + Sync>> {
    let (head, body) = request.into_parts();
    let body = body.collect().await?.to_bytes();
    let mut answer = {
        let mut log = log.lock().unwrap();
        let answer = answers[log.len().min(answers.len() - 1)].clone();
        log.push(Seen { head, body });
        answer
    };
    if let Answer::Held(may, then) = answer {
        may.notified().await;
        answer = *then;
    }
    match answer {
        Answer::Say(status, headers, body) => {
            let mut response = Response::builder().status(status);
            for (name, value) in headers {
                response = response.header(name, value);
            }
            Ok(response.body(Full::from(body).map_err(|never| match never {}).boxed())?)
        }
        Answer::Silence => {
            let never: Infallible = std::future::pending().await;
            match never {}
        }
        Answer::HangUp | Answer::Held(..) => Err("as scripted".into()),
        Answer::Cut(status) => {
            let pieces = [Ok(Frame::data(Bytes::from_static(b"{"))), Err(io::Error::other("as scripted"))];
            let body = StreamBody::new(futures_util::stream::iter(pieces)).boxed();
            Ok(Response::builder().status(status).header("content-length", 100).body(body)?)
        }
    }
}
