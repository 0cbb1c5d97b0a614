//! The endpoint that containers (ECS, EKS) and instances (EC2, IMDSv2) take their credentials from. It hands out real
//! STS sessions, counts, and fails on command.

use std::{
    convert::Infallible,
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering::SeqCst},
    },
    time::{Duration, SystemTime},
};

use aws_sdk_sts::{
    config::{BehaviorVersion, Credentials, Region},
    primitives::{DateTime, DateTimeFormat},
};
use bytes::Bytes;
use http_body_util::Full;
use hyper::{Method, Request, Response, body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use serde_json::json;
use tokio::{net::TcpListener, task::JoinHandle};

const TOKEN_OF_CONTAINERS: &str = "token-that-containers-show";
const TOKEN_OF_INSTANCES: &str = "token-that-instances-show";

/// What is handed out.
#[derive(Clone, Debug)]
pub struct Sessions {
    /// `http://HOST:PORT` of STS.
    pub endpoint: String,
    /// ARN of the role.
    pub role: String,
    /// How long a session really lives. AWS has no such short ones; the emulator has.
    pub live: Duration,
    /// How long it is said to live: the holder of a session that is said to live longer hears of its end from others.
    pub said_to_live: Duration,
}

/// The endpoint. Stops when dropped.
#[derive(Debug)]
pub struct Metadata {
    address: SocketAddr,
    shared: Arc<Shared>,
    accepting: JoinHandle<()>,
}

#[derive(Debug)]
struct Shared {
    sts: aws_sdk_sts::Client,
    sessions: Sessions,
    fetches: AtomicU64,
    failing: AtomicBool,
    secrets: Mutex<Vec<String>>,
}

impl Metadata {
    /// Serves sessions on a port of the system's choice.
    pub async fn start(sessions: Sessions) -> Self {
        // The emulator's root.
        let root = Credentials::new("test", "test", None, None, "root");
        let config = aws_sdk_sts::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::from_static("us-east-1"))
            .endpoint_url(&sessions.endpoint)
            .credentials_provider(root);
        let shared = Arc::new(Shared {
            sts: aws_sdk_sts::Client::from_conf(config.build()),
            sessions,
            fetches: AtomicU64::new(0),
            failing: AtomicBool::new(false),
            secrets: Mutex::new(vec![TOKEN_OF_CONTAINERS.to_owned(), TOKEN_OF_INSTANCES.to_owned()]),
        });
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        Self { address, accepting: tokio::spawn(accept(listener, Arc::clone(&shared))), shared }
    }

    /// What a container's environment says.
    pub fn of_container(&self) -> Vec<(&'static str, String)> {
        vec![
            ("AWS_CONTAINER_CREDENTIALS_FULL_URI", format!("http://{}/container", self.address)),
            ("AWS_CONTAINER_AUTHORIZATION_TOKEN", TOKEN_OF_CONTAINERS.to_owned()),
        ]
    }

    /// What tells the AWS tools where the instance's metadata is.
    pub fn of_instance(&self) -> Vec<(&'static str, String)> {
        vec![("AWS_EC2_METADATA_SERVICE_ENDPOINT", format!("http://{}/", self.address))]
    }

    /// How often credentials were asked for.
    pub fn fetches(&self) -> u64 {
        self.shared.fetches.load(SeqCst)
    }

    /// From now on every request fails, or none.
    pub fn fail(&self, failing: bool) {
        self.shared.failing.store(failing, SeqCst);
    }

    /// All that was handed out or asked for and must not be seen anywhere.
    pub fn secrets(&self) -> Vec<String> {
        self.shared.secrets.lock().unwrap().clone()
    }
}

impl Drop for Metadata {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    let mut connections = tokio::task::JoinSet::new();
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        let shared = Arc::clone(&shared);
        connections.spawn(async move {
            let service = service_fn(move |request| answer(request, Arc::clone(&shared)));
            let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

async fn answer(
    request: Request<Incoming>,
    shared: Arc<Shared>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let header = |name: &str| request.headers().get(name).and_then(|value| value.to_str().ok());
    if shared.failing.load(SeqCst) {
        return Ok(response(500, String::new()));
    }
    let roles = "/latest/meta-data/iam/security-credentials";
    Ok(match (request.method(), request.uri().path()) {
        (&Method::PUT, "/latest/api/token") => response(200, TOKEN_OF_INSTANCES.to_owned()),
        (&Method::GET, "/container") if header("authorization") == Some(TOKEN_OF_CONTAINERS) => {
            response(200, shared.session().await)
        }
        // Version 2 of the instance's metadata: nothing without the token.
        (&Method::GET, path) if header("x-aws-ec2-metadata-token") == Some(TOKEN_OF_INSTANCES) => {
            match path.strip_prefix(roles) {
                Some("" | "/") => response(200, "connector".to_owned()),
                Some("/connector") => response(200, shared.session().await),
                _ => response(404, String::new()),
            }
        }
        _ => response(401, String::new()),
    })
}

impl Shared {
    async fn session(&self) -> String {
        self.fetches.fetch_add(1, SeqCst);
        let Sessions { role, live, said_to_live, .. } = &self.sessions;
        let call = self.sts.assume_role().role_arn(role).role_session_name("connector");
        let made = call.duration_seconds(live.as_secs() as i32).send().await.unwrap().credentials.unwrap();
        self.secrets.lock().unwrap().extend([made.secret_access_key.clone(), made.session_token.clone()]);
        let expiration =
            DateTime::from(SystemTime::now() + *said_to_live).fmt(DateTimeFormat::DateTime).unwrap();
        json!({
            "Code": "Success",
            "Type": "AWS-HMAC",
            "AccessKeyId": made.access_key_id,
            "SecretAccessKey": made.secret_access_key,
            "Token": made.session_token,
            "Expiration": expiration,
        })
        .to_string()
    }
}

fn response(status: u16, body: String) -> Response<Full<Bytes>> {
    let response = Response::builder().status(status).header("x-aws-ec2-metadata-token-ttl-seconds", "21600");
    response.body(Full::new(body.into())).unwrap()
}
