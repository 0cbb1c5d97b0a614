//! Harness of the end-to-end tests.
//!
//! XDR on one side ([`XdrClient`]), HTTP on the other ([`Receiver`], [`MiniStack`], [`Envoy`]), a real connector in
//! between ([`Connector`], or as a process of its own [`ConnectorProcess`]).
//! Nothing here decides anything by waiting a fixed time: a test waits for what it wants to see, within [`WITHIN`].
#![allow(clippy::unwrap_used, reason = "a harness fails by panicking, as tests do")]

use std::{
    net::{SocketAddr, TcpListener},
    path::PathBuf,
    time::Duration,
};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty};
use hyper_util::rt::TokioIo;

pub mod chains;
pub mod changes;
mod connector;
mod connector_process;
mod envoy;
mod envoy_balancer;
pub mod fixtures;
mod metadata;
mod ministack;
mod nginx;
pub mod poison;
pub mod pretend;
mod process;
mod receiver;
mod recipe;
pub mod records;
mod shipped;
mod xdr_client;

pub use self::{
    connector::Connector,
    connector_process::ConnectorProcess,
    envoy::{Envoy, Trouble},
    envoy_balancer::EnvoyBalancer,
    metadata::{Metadata, Sessions},
    ministack::{Cloud, MiniStack},
    nginx::Nginx,
    process::Process,
    receiver::{Receiver, Request},
    recipe::Recipe,
    shipped::Shipped,
    xdr_client::{Ack, XdrClient, delete, info_request, version, write},
};

/// How long a test waits for what must happen before it fails. Generous: the machine may be busy.
pub const WITHIN: Duration = Duration::from_secs(60);

/// How often something is asked that cannot be waited for.
const POLL: Duration = Duration::from_millis(20);

/// The top of the repository.
pub fn repository() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/..")).canonicalize().unwrap()
}

/// A port on loopback that was free a moment ago, for programs that cannot be told to choose one.
pub fn free_port() -> u16 {
    TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap().port()
}

/// Status and body of the answer to a GET.
pub async fn get(
    address: SocketAddr,
    path: &str,
) -> Result<(u16, Bytes), Box<dyn std::error::Error + Send + Sync>> {
    let stream = TokioIo::new(tokio::net::TcpStream::connect(address).await?);
    let (mut sender, connection) = hyper::client::conn::http1::handshake(stream).await?;
    let connection = tokio::spawn(connection);
    let request = hyper::Request::get(path).header("host", address.to_string()).body(Empty::<Bytes>::new())?;
    let response = sender.send_request(request).await?;
    let status = response.status().as_u16();
    let body = response.into_body().collect().await?.to_bytes();
    connection.abort();
    Ok((status, body))
}
