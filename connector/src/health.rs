//! `esp-connector health`: asks a running connector's management endpoint whether it is well.
//!
//! For container health checks and scripts, where neither curl nor a shell needs to be there. Clear text only, as such
//! checks are made from beside the connector.

use std::{path::PathBuf, time::Duration};

use bytes::Bytes;
use clap::Args;
use http::{Request, StatusCode, Uri, header::HOST};
use http_body_util::{BodyExt, Empty, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::{net::TcpStream, time::timeout};

use crate::config::{self, Incoming, Service};

/// Asks a running connector whether it is well.
///
/// Exit code 0 when it is, 1 when it is not or does not answer, 64 when the file does not say where to ask.
#[derive(Args, Clone, Debug)]
pub struct HealthArgs {
    /// Ask the connector that runs on this machine with this configuration file
    #[arg(long, short, value_name = "FILE", required_unless_present = "url", conflicts_with = "url")]
    config: Option<PathBuf>,
    /// Ask this management endpoint: http://HOST:PORT
    #[arg(long, value_name = "URL")]
    url: Option<Uri>,
    /// Ask whether records are taken (/readyz), not only whether the connector runs (/healthz)
    #[arg(long)]
    ready: bool,
    /// How long to wait for the answer
    #[arg(long, value_name = "SECONDS", default_value_t = 3, value_parser = clap::value_parser!(u64).range(1..=60))]
    timeout_seconds: u64,
}

/// Why a connector is not known to be well.
#[derive(Debug, thiserror::Error)]
pub enum HealthError {
    /// There is no telling whom to ask.
    #[error("{0}")]
    Whom(String),
    /// It does not answer.
    #[error("{endpoint}: {reason}")]
    Silent {
        /// What was asked.
        endpoint: String,
        /// Why there is no answer.
        reason: String,
    },
    /// It says no.
    #[error("{endpoint}: status {status}: {said}")]
    Unwell {
        /// What was asked.
        endpoint: String,
        /// With what it answered.
        status: StatusCode,
        /// In its words.
        said: String,
    },
}

impl HealthArgs {
    /// Asks, and returns the connector's words when it is well.
    pub async fn execute(&self) -> Result<String, HealthError> {
        let address = match (&self.config, &self.url) {
            (Some(file), _) => {
                let loaded =
                    config::load(file).map_err(|problems| HealthError::Whom(problems.to_string()))?;
                of_service(&loaded.config.service)
                    .map_err(|why| HealthError::Whom(format!("{}: {why}", file.display())))?
            }
            (None, Some(url)) => {
                of_url(url).map_err(|why| HealthError::Whom(format!("--url {url}: {why}")))?
            }
            (None, None) => return Err(HealthError::Whom("--config or --url is needed".to_owned())),
        };
        let path = if self.ready { "/readyz" } else { "/healthz" };
        let endpoint = format!("http://{address}{path}");
        let silent = |reason: String| HealthError::Silent { endpoint: endpoint.clone(), reason };
        let within = Duration::from_secs(self.timeout_seconds);
        let (status, said) = timeout(within, ask(&address, path))
            .await
            .map_err(|_| silent(format!("no answer within {} s", self.timeout_seconds)))?
            .map_err(silent)?;
        if status == StatusCode::OK { Ok(said) } else { Err(HealthError::Unwell { endpoint, status, said }) }
    }
}

/// Where the connector with this `service` can be asked from its own machine.
fn of_service(service: &Service) -> Result<String, &'static str> {
    let (addresses, ports) = match &service.manage {
        Some(manage) => (&manage.addresses, &manage.ports),
        // Health is told where records come in.
        None if service.protocol != Incoming::Tcp => (&service.addresses, &service.ports),
        None => return Err("service.manage is missing: without it there is no management endpoint to ask"),
    };
    match (addresses.first(), ports.first()) {
        (_, Some(0)) => Err("the port is 0, any free port: use --url"),
        (Some(address), Some(port)) => Ok(match address.trim_matches(['[', ']']) {
            "0.0.0.0" => format!("127.0.0.1:{port}"),
            "::" => format!("[::1]:{port}"),
            v6 if v6.contains(':') => format!("[{v6}]:{port}"),
            host => format!("{host}:{port}"),
        }),
        _ => Err("the management endpoint speaks TLS only: add service.manage.port with address 127.0.0.1"),
    }
}

fn of_url(url: &Uri) -> Result<String, &'static str> {
    match (url.scheme_str(), url.authority(), url.path()) {
        (Some("http"), Some(authority), "" | "/") => Ok(match authority.port() {
            Some(_) => authority.to_string(),
            None => format!("{authority}:80"),
        }),
        _ => Err("http://HOST:PORT was expected"),
    }
}

/// Status and body of the answer to a GET.
async fn ask(address: &str, path: &str) -> Result<(StatusCode, String), String> {
    let words = |error: hyper::Error| error.to_string();
    let stream = TcpStream::connect(address).await.map_err(|error| error.to_string())?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(words)?;
    let request = Request::get(path).header(HOST, address).body(Empty::<Bytes>::new());
    let request = request.map_err(|error| error.to_string())?;
    let answered = async {
        let answer = sender.send_request(request).await.map_err(words)?;
        let status = answer.status();
        let body = Limited::new(answer.into_body(), ANSWER_BYTES_MAX).collect().await;
        let body = body.map_err(|error| error.to_string())?.to_bytes();
        Ok((status, String::from_utf8_lossy(&body).trim_end().to_owned()))
    };
    tokio::pin!(connection, answered);
    tokio::select! {
        biased;
        answer = &mut answered => answer,
        // It may end with the answer already read.
        ended = connection => match ended {
            Ok(()) => answered.await,
            Err(error) => Err(error.to_string()),
        },
    }
}

const ANSWER_BYTES_MAX: usize = 16 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    fn service(manage: &str) -> Service {
        config::parse(&format!("service: {{{manage}}}"), std::path::Path::new("")).unwrap().config.service
    }

    #[test]
    fn a_file_says_where_to_ask_from_the_same_machine() {
        for (manage, address) in [
            ("manage: {port: 8902}", "127.0.0.1:8902"),
            ("manage: {port: [8902, 8903], address: 127.0.0.1}", "127.0.0.1:8902"),
            ("manage: {port: 8902, address: '::'}", "[::1]:8902"),
            ("manage: {port: 8902, address: 'fd00::1'}", "[fd00::1]:8902"),
            ("manage: {port: 8902, address: localhost}", "localhost:8902"),
            ("protocol: HTTP_2, port: 8901", "127.0.0.1:8901"),
            ("protocol: HTTP_1_1, port: 8901, manage: {port: 8902}", "127.0.0.1:8902"),
        ] {
            assert_eq!(of_service(&service(manage)).as_deref(), Ok(address), "{manage}");
        }
        for (manage, word) in [("port: 8901", "service.manage is missing"), ("manage: {port: 0}", "--url")] {
            assert!(of_service(&service(manage)).unwrap_err().contains(word), "{manage}");
        }
    }

    #[test]
    fn a_url_is_host_and_port() {
        let address = |url: &'static str| of_url(&Uri::from_static(url));
        assert_eq!(address("http://10.0.0.7:8902"), Ok("10.0.0.7:8902".to_owned()));
        assert_eq!(address("http://[::1]:8902/"), Ok("[::1]:8902".to_owned()));
        assert_eq!(address("http://connector"), Ok("connector:80".to_owned()));
        for wrong in ["https://10.0.0.7:8902", "10.0.0.7:8902", "http://10.0.0.7:8902/healthz"] {
            assert!(address(wrong).is_err(), "{wrong}");
        }
    }
}
