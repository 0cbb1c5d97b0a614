//! nginx as a load balancer between connectors, set up as the documentation says.

use std::{fmt::Write as _, fs, net::SocketAddr, process::Command};

use tempfile::TempDir;
use tokio::net::TcpStream;

use crate::{Process, free_port, repository};

/// A running nginx; ends when dropped.
#[derive(Debug)]
pub struct Nginx {
    address: SocketAddr,
    folder: TempDir,
    _process: Process,
}

impl Nginx {
    /// Starts it in front of `backs`. `None`, with a word, where it is not installed; under `CI` that is a failure.
    pub async fn start(backs: &[SocketAddr], http2: bool) -> Option<Self> {
        if let Err(error) = Command::new("nginx").arg("-v").output() {
            assert!(std::env::var_os("CI").is_none(), "nginx: {error}");
            println!("SKIPPED: nginx cannot be started ({error}); install nginx-light");
            return None;
        }
        let folder = tempfile::tempdir().unwrap();
        let address = SocketAddr::from(([127, 0, 0, 1], free_port()));
        let config = folder.path().join("nginx.conf");
        fs::write(&config, configuration(&folder, address, backs, http2)).unwrap();
        let mut process = Process::start(Command::new("nginx").arg("-c").arg(&config));
        let listening = process.until(async || TcpStream::connect(address).await.ok());
        listening.await.unwrap_or_else(|printed| panic!("nginx does not listen:\n{printed}"));
        Some(Self { address, folder, _process: process })
    }

    /// `http://127.0.0.1:PORT/`.
    pub fn url(&self) -> String {
        format!("http://{}/", self.address)
    }

    /// What it complained of.
    pub fn complaints(&self) -> String {
        fs::read_to_string(self.folder.path().join("error.log")).unwrap_or_default()
    }
}

/// The section of `docs/chains.md` with other addresses, and what has to stand around it.
fn configuration(folder: &TempDir, address: SocketAddr, backs: &[SocketAddr], http2: bool) -> String {
    let page = fs::read_to_string(repository().join("docs/chains.md")).unwrap();
    let section = page.split("```nginx\n").nth(1).and_then(|rest| rest.split("```").next());
    let section = section.expect("docs/chains.md has a configuration of nginx");
    let http2 = if http2 { " http2" } else { "" };
    let mut http = String::new();
    for line in section.lines() {
        match line.trim() {
            "server 10.0.5.11:8901;" => {
                for back in backs {
                    writeln!(http, "server {back};").unwrap();
                }
            }
            "server 10.0.5.12:8901;" | "server 10.0.5.13:8901;" => {}
            "listen 8901;" => writeln!(http, "listen {address}{http2};").unwrap(),
            _ => writeln!(http, "{line}").unwrap(),
        }
    }
    let path = folder.path().display();
    format!(
        "pid {path}/pid; error_log {path}/error.log; daemon off; master_process off; events {{}}\n\
         http {{ access_log off; client_body_temp_path {path}/b; proxy_temp_path {path}/p; \
         fastcgi_temp_path {path}/f; uwsgi_temp_path {path}/u; scgi_temp_path {path}/s;\n{http}}}\n",
    )
}
