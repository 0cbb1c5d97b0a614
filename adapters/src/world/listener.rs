//! An open port, real or simulated.

use std::{
    fmt, io,
    net::SocketAddr,
    task::{Context, Poll},
};

use tokio::net::TcpListener;

use super::stream::{Pipe, Stream};

/// A port of a simulation. It closes when it is dropped.
pub trait Port: Send + Sync {
    /// The next connection, and who opened it.
    fn poll_accept(&self, cx: &mut Context<'_>) -> Poll<io::Result<(Box<dyn Pipe>, SocketAddr)>>;

    /// Where it is open.
    fn local_addr(&self) -> SocketAddr;
}

/// Accepts connections.
pub enum Listener {
    /// From outside.
    Tcp(TcpListener),
    /// From another part of a simulation.
    Simulated(Box<dyn Port>),
}

impl Listener {
    /// The next connection, and who opened it. May be dropped while it waits.
    pub async fn accept(&self) -> io::Result<(Stream, SocketAddr)> {
        match self {
            Self::Tcp(tcp) => tcp.accept().await.map(|(stream, peer)| (Stream::Tcp(stream), peer)),
            Self::Simulated(port) => {
                let accepted = std::future::poll_fn(|cx| port.poll_accept(cx)).await;
                accepted.map(|(pipe, peer)| (Stream::Simulated(pipe), peer))
            }
        }
    }

    /// Where it listens.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        match self {
            Self::Tcp(tcp) => tcp.local_addr(),
            Self::Simulated(port) => Ok(port.local_addr()),
        }
    }
}

impl From<TcpListener> for Listener {
    fn from(tcp: TcpListener) -> Self {
        Self::Tcp(tcp)
    }
}

impl fmt::Debug for Listener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(tcp) => tcp.fmt(f),
            Self::Simulated(port) => write!(f, "Simulated({})", port.local_addr()),
        }
    }
}
