//! Servers that other people wrote: nginx and nghttpd, when they are installed.

use std::{
    net::TcpListener,
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use adapters::{Outcome, Target};
use futures_util::future::join_all;
use serde_json::{Value, json};
use tokio::net::TcpStream;

use crate::peer::{outcome, target};

/// A server process that ends with the test.
struct Server {
    process: Child,
    port: u16,
}

impl Server {
    /// Starts `program` with the arguments that `arguments` makes of a port; `None`, with a word, when it is
    /// not installed.
    async fn start(program: &str, arguments: impl Fn(u16) -> Vec<String>) -> Option<Self> {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let process =
            Command::new(program).args(arguments(port)).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        let process = match process {
            Ok(process) => process,
            Err(error) => {
                eprintln!(
                    "SKIPPED: {program} cannot be started ({error}); install nginx-light and nghttp2-server"
                );
                return None;
            }
        };
        let server = Self { process, port };
        let begin = Instant::now();
        while TcpStream::connect(("127.0.0.1", port)).await.is_err() {
            assert!(begin.elapsed() < Duration::from_secs(20), "{program} does not listen");
            tokio::task::yield_now().await;
        }
        Some(server)
    }

    fn url(&self) -> String {
        format!("http://127.0.0.1:{}/index.html", self.port)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        _ = self.process.kill();
        _ = self.process.wait();
    }
}

async fn delivers_many(server: &Server, settings: Value, requests: usize, connections: u64, protocol: &str) {
    let target = target(&[&server.url()], settings);
    let outcomes = join_all((0..requests).map(|_| outcome(&target))).await;
    let delivered = outcomes.iter().filter(|outcome| **outcome == Outcome::Delivered).count();
    assert_eq!(delivered, requests);
    let stats = &target.endpoints()[0];
    assert_eq!((stats.success, stats.error), (requests as u64, 0));
    assert!(stats.connections <= connections, "{stats:?}");
    assert_eq!(stats.protocol, Some(protocol));
}

async fn nginx(directory: &Path) -> Option<Server> {
    let configuration = directory.join("nginx.conf");
    // It closes a connection after 50 requests, which tests the replacement under load.
    let text = |port| {
        format!(
            "pid {0}/pid; error_log {0}/error.log; daemon off; master_process off; events {{}} \
             http {{ access_log off; keepalive_requests 50; client_body_temp_path {0}/b; proxy_temp_path {0}/p; \
             fastcgi_temp_path {0}/f; uwsgi_temp_path {0}/u; scgi_temp_path {0}/s; \
             server {{ listen 127.0.0.1:{port}; location / {{ return 204; }} }} }}",
            directory.display(),
        )
    };
    Server::start("nginx", |port| {
        std::fs::write(&configuration, text(port)).unwrap();
        vec!["-c".to_owned(), configuration.display().to_string()]
    })
    .await
}

#[tokio::test]
async fn nginx_takes_all_over_http1() {
    let directory = tempfile::tempdir().unwrap();
    if let Some(server) = nginx(directory.path()).await {
        delivers_many(&server, json!({"max-connections-per-endpoint": 8}), 2_000, 8, "http/1.1").await;
    }
}

#[tokio::test]
async fn nghttpd_takes_all_over_http2() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("index.html"), "ok").unwrap();
    let root = directory.path().display().to_string();
    let arguments =
        |port: u16| ["--no-tls", "-m", "10", "-d", &root, &port.to_string()].map(str::to_owned).to_vec();
    if let Some(server) = Server::start("nghttpd", arguments).await {
        let settings = json!({"protocol": "HTTP_2", "max-connections-per-endpoint": 3});
        delivers_many(&server, settings, 2_000, 3, "h2").await;
    }
}
