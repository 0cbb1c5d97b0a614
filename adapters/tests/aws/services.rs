//! The services around a connector in AWS, as far as credentials go, all on one port of loopback: the metadata services of
//! instances (IMDSv2 only) and of containers, the token service, and the Lambda API, which says whose signature it saw.

use std::{
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicBool, AtomicU64, Ordering::SeqCst},
    },
    thread,
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, request::Parts};
use http_body_util::{BodyExt as _, Full};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use serde_json::json;
use tokio::{net::TcpListener, sync::oneshot};

/// Serves until dropped.
pub(crate) struct Services {
    pub(crate) url: String,
    state: Arc<State>,
    _stop: oneshot::Sender<()>,
}

#[derive(Default)]
struct State {
    /// Sessions handed out so far.
    sessions: AtomicU64,
    /// The metadata services are broken once they have handed out this many; 0 for never.
    breaks_after: AtomicU64,
    /// The Lambda API refuses its second call.
    refuses: AtomicBool,
    log: Mutex<Vec<Seen>>,
}

/// A request.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) path: String,
    pub(crate) body: String,
    pub(crate) authorization: String,
}

impl Seen {
    /// The access key it is signed with.
    pub(crate) fn key(&self) -> &str {
        let (_, rest) = self.authorization.split_once("Credential=").unwrap();
        rest.split('/').next().unwrap()
    }

    pub(crate) fn region(&self) -> &str {
        self.authorization.split('/').nth(2).unwrap()
    }
}

impl Services {
    pub(crate) fn start() -> Self {
        let (address, told) = std::sync::mpsc::channel();
        let (stop, stopped) = oneshot::channel::<()>();
        let state = Arc::new(State::default());
        let shared = Arc::clone(&state);
        thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
                address.send(listener.local_addr().unwrap()).unwrap();
                tokio::select! {
                    _ = stopped => (),
                    () = accept(listener, shared) => (),
                }
            });
        });
        Self { url: format!("http://{}", told.recv().unwrap()), state, _stop: stop }
    }

    /// The metadata services answer 500 once they have handed out so many sessions.
    pub(crate) fn break_after(&self, sessions: u64) {
        self.state.breaks_after.store(sessions, SeqCst);
    }

    /// The second call of the function is refused, whoever makes it.
    pub(crate) fn refuse_the_second_call(&self) {
        self.state.refuses.store(true, SeqCst);
    }

    /// Requests whose path begins like this.
    pub(crate) fn seen(&self, path: &str) -> Vec<Seen> {
        self.state.log().iter().filter(|seen| seen.path.starts_with(path)).cloned().collect()
    }

    /// Calls of the function, but for the probe at the end.
    pub(crate) fn calls(&self) -> Vec<Seen> {
        self.seen(LAMBDA)
    }
}

impl State {
    fn log(&self) -> MutexGuard<'_, Vec<Seen>> {
        self.log.lock().unwrap()
    }

    fn answer(&self, head: &Parts, seen: &Seen) -> Response<Full<Bytes>> {
        let has_token =
            head.headers.get("x-aws-ec2-metadata-token").is_some_and(|token| token == "imds-token");
        match (&head.method, seen.path.as_str()) {
            (&Method::PUT, "/latest/api/token") => {
                let mut answer = say(StatusCode::OK, "imds-token");
                answer.headers_mut().insert("x-aws-ec2-metadata-token-ttl-seconds", "21600".parse().unwrap());
                answer
            }
            (_, path) if path.starts_with("/latest/") && !has_token => say(StatusCode::UNAUTHORIZED, ""),
            (_, "/latest/meta-data/iam/security-credentials/") => say(StatusCode::OK, "role"),
            (_, "/latest/meta-data/placement/region") => say(StatusCode::OK, "eu-north-1"),
            (_, "/latest/meta-data/iam/security-credentials/role" | "/container") => self.session(),
            (&Method::POST, "/") => self.token_service(seen),
            (_, path) if path.starts_with(LAMBDA) => {
                let calls = self.log().iter().filter(|seen| seen.path.starts_with(LAMBDA)).count();
                if calls == 2 && self.refuses.load(SeqCst) {
                    let mut answer = say(StatusCode::FORBIDDEN, r#"{"message":"expired"}"#);
                    answer.headers_mut().insert("x-amzn-errortype", "ExpiredTokenException".parse().unwrap());
                    return answer;
                }
                say(StatusCode::OK, "{}")
            }
            _ => say(StatusCode::NOT_FOUND, ""),
        }
    }

    /// A session of an hour, as both metadata services give it.
    fn session(&self) -> Response<Full<Bytes>> {
        let number = self.sessions.fetch_add(1, SeqCst) + 1;
        let most = self.breaks_after.load(SeqCst);
        if most > 0 && number > most {
            return say(StatusCode::INTERNAL_SERVER_ERROR, "broken");
        }
        let session = json!({
            "Code": "Success", "Type": "AWS-HMAC", "LastUpdated": in_an_hour(), "Expiration": in_an_hour(),
            "AccessKeyId": format!("ASIA{number}"), "SecretAccessKey": "hunter2", "Token": "hunter2-token",
        });
        say(StatusCode::OK, &session.to_string())
    }

    fn token_service(&self, seen: &Seen) -> Response<Full<Bytes>> {
        let action = if seen.body.contains("Action=AssumeRoleWithWebIdentity") {
            "AssumeRoleWithWebIdentity"
        } else if seen.body.contains("Action=AssumeRole&") {
            "AssumeRole"
        } else {
            return say(StatusCode::BAD_REQUEST, "");
        };
        let number = self.sessions.fetch_add(1, SeqCst) + 1;
        let expiration = in_an_hour();
        say(
            StatusCode::OK,
            &format!(
                "<{action}Response xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><{action}Result>\
                 <AssumedRoleUser><Arn>arn:aws:sts::1:assumed-role/r/s</Arn><AssumedRoleId>A:s</AssumedRoleId></AssumedRoleUser>\
                 <Credentials><AccessKeyId>STS{number}</AccessKeyId><SecretAccessKey>hunter2</SecretAccessKey>\
                 <SessionToken>hunter2-token</SessionToken><Expiration>{expiration}</Expiration></Credentials>\
                 </{action}Result></{action}Response>"
            ),
        )
    }
}

async fn accept(listener: TcpListener, state: Arc<State>) {
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        let state = Arc::clone(&state);
        let service = service_fn(move |request| serve(request, Arc::clone(&state)));
        tokio::spawn(async move {
            let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

async fn serve(request: Request<Incoming>, state: Arc<State>) -> Result<Response<Full<Bytes>>, hyper::Error> {
    let (head, body) = request.into_parts();
    let body = String::from_utf8_lossy(&body.collect().await?.to_bytes()).into_owned();
    let authorization =
        head.headers.get("authorization").and_then(|value| value.to_str().ok()).unwrap_or_default();
    let seen = Seen { path: head.uri.path().to_owned(), body, authorization: authorization.to_owned() };
    state.log().push(seen.clone());
    Ok(state.answer(&head, &seen))
}

fn say(status: StatusCode, body: &str) -> Response<Full<Bytes>> {
    let mut answer = Response::new(Full::from(body.to_owned()));
    *answer.status_mut() = status;
    answer
}

/// `2026-11-21T12:00:00Z`, made of `Sat, 21 Nov 2026 12:00:00 GMT`.
fn in_an_hour() -> String {
    let http = httpdate::fmt_http_date(SystemTime::now() + Duration::from_secs(3600));
    let months = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let month = months.iter().position(|month| *month == &http[8..11]).unwrap() + 1;
    format!("{}-{month:02}-{}T{}Z", &http[12..16], &http[5..7], &http[17..25])
}

const LAMBDA: &str = "/2015-03-31/functions/";
