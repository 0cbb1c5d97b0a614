//! Listening sockets: bind, accept, and one task for each connection.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use socket2::{Domain, Protocol, SockRef, Socket, TcpKeepalive, Type};
use tokio::{
    net::{TcpListener, TcpStream, lookup_host},
    sync::watch,
    task::JoinSet,
};
use tracing::warn;

use crate::{
    connection::{self, Shared, stopped},
    recorder::Recorder,
    route::{PortRoutes, Router},
    wire::info::NodeFacts,
};

/// Connections waiting to be accepted.
const BACKLOG: i32 = 1024;

/// Pause after a failed accept, most often because file descriptors ran out.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// After this much silence the kernel asks whether the peer is still there.
const KEEPALIVE: Duration = Duration::from_secs(60);

/// Why a port cannot be opened.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address}:{port}: {source}")]
pub struct BindError {
    address: String,
    port: u16,
    source: io::Error,
}

/// Binds every port on every address.
pub async fn bind(addresses: &[String], ports: &[u16]) -> Result<Vec<TcpListener>, BindError> {
    let mut listeners = Vec::new();
    for address in addresses {
        for &port in ports {
            let fail = |source| BindError { address: address.clone(), port, source };
            let bare = address.trim_start_matches('[').trim_end_matches(']');
            let resolved = lookup_host((bare, port)).await.map_err(fail)?.next();
            let resolved =
                resolved.ok_or_else(|| fail(io::Error::other("the address does not resolve to anything")))?;
            listeners.push(bind_one(resolved).map_err(fail)?);
        }
    }
    Ok(listeners)
}

fn bind_one(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    // A restarted connector must get its port back at once; XDR reconnects within seconds.
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    TcpListener::from_std(socket.into())
}

/// What every accepted connection starts from.
#[derive(Debug)]
pub struct Reception {
    /// Routes by port.
    pub router: Arc<Router>,
    /// What info answers say; the address is filled in for each connection.
    pub facts: NodeFacts,
    /// Raw traffic goes here, when wanted.
    pub recorder: Option<Arc<Recorder>>,
    /// What all connections share.
    pub shared: Arc<Shared>,
}

/// Accepts connections until `stop` turns true, then waits for those that are open.
pub async fn accept(listener: TcpListener, reception: Arc<Reception>, mut stop: watch::Receiver<bool>) {
    let port = listener.local_addr().map_or(0, |address| address.port());
    let routes = reception.router.for_port(port);
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            () = stopped(&mut stop) => break,
            accepted = listener.accept() => match accepted {
                Ok((stream, peer)) => start(&mut connections, stream, peer, &routes, &reception),
                Err(error) => {
                    warn!(port, %error, "cannot accept a connection");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            },
            Some(_) = connections.join_next() => {}
        }
    }
    drop(listener);
    while connections.join_next().await.is_some() {}
}

fn start(
    connections: &mut JoinSet<()>,
    stream: TcpStream,
    peer: SocketAddr,
    routes: &Arc<PortRoutes>,
    reception: &Reception,
) {
    let Ok(local) = tune(&stream) else { return };
    let facts = NodeFacts { address: local, ..reception.facts.clone() };
    let tap = reception.recorder.as_ref().map(Recorder::tap).unwrap_or_default();
    let (reader, writer) = stream.into_split();
    let shared = Arc::clone(&reception.shared);
    connections.spawn(connection::serve(reader, writer, peer, Arc::clone(routes), facts, tap, shared));
}

/// Small answers must not wait for more, and a peer that vanished must be noticed.
fn tune(stream: &TcpStream) -> io::Result<SocketAddr> {
    stream.set_nodelay(true)?;
    SockRef::from(stream).set_tcp_keepalive(&TcpKeepalive::new().with_time(KEEPALIVE))?;
    stream.local_addr()
}
