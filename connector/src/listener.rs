//! Listening sockets: bind, accept, and one task for each connection.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use adapters::world::{self, Stream};
use socket2::{Domain, Protocol, SockRef, Socket, TcpKeepalive, Type};
use tokio::{
    io,
    net::{TcpListener, lookup_host},
    task::JoinSet,
};
use tracing::warn;

use crate::{
    connection::{self, Http, Posted, Shared, closed},
    recorder::Recorder,
    tls::Acceptor,
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

impl BindError {
    /// The same, where the port is one of our own at another address.
    pub(crate) fn of_an_open_port(self) -> Self {
        let more = "this connector listens on that port at another address, which only a restart changes";
        let source = io::Error::new(self.source.kind(), format!("{}; {more}", self.source));
        Self { source, ..self }
    }
}

/// A bound socket, and what its connections speak.
#[derive(Debug)]
pub struct Listener {
    /// Address and port as they are configured, where they are.
    pub configured: Option<(String, u16)>,
    /// Accepts connections.
    pub socket: world::Listener,
    /// Makes TLS of them; clear text without.
    pub tls: Option<Arc<Acceptor>>,
}

impl Listener {
    /// Where it listens.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }
}

/// In clear text.
impl From<TcpListener> for Listener {
    fn from(socket: TcpListener) -> Self {
        Self { configured: None, socket: socket.into(), tls: None }
    }
}

/// Binds every port on every address.
pub async fn bind(
    addresses: &[String],
    ports: &[u16],
    tls: Option<&Arc<Acceptor>>,
) -> Result<Vec<Listener>, BindError> {
    let mut listeners = Vec::new();
    for address in addresses {
        for &port in ports {
            let fail = |source| BindError { address: address.clone(), port, source };
            let bare = address.trim_start_matches('[').trim_end_matches(']');
            let resolved = lookup_host((bare, port)).await.map_err(fail)?.next();
            let resolved =
                resolved.ok_or_else(|| fail(io::Error::other("the address does not resolve to anything")))?;
            let configured = Some((address.clone(), port));
            let socket = bind_one(resolved).map_err(fail)?;
            listeners.push(Listener { configured, socket, tls: tls.cloned() });
        }
    }
    Ok(listeners)
}

fn bind_one(address: SocketAddr) -> io::Result<world::Listener> {
    if let Some(simulated) = world::bind_simulated(address) {
        return simulated;
    }
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    // A restarted connector must get its port back at once; XDR reconnects within seconds.
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(TcpListener::from_std(socket.into())?.into())
}

/// What every accepted connection starts from.
#[derive(Debug)]
pub struct Reception {
    /// The terms of the port.
    pub posted: Posted,
    /// Raw traffic goes here, when wanted.
    pub recorder: Option<Arc<Recorder>>,
    /// When senders speak HTTP.
    pub http: Option<Arc<Http>>,
    /// What all connections share.
    pub shared: Arc<Shared>,
}

/// Accepts connections until the port closes, then waits for those that are open.
pub async fn accept(listener: world::Listener, reception: Reception) {
    let port = listener.local_addr().map_or(0, |address| address.port());
    let mut posted = reception.posted.clone();
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            biased;
            () = closed(&mut posted) => break,
            Some(_) = connections.join_next() => {}
            accepted = listener.accept() => match accepted {
                Ok((stream, peer)) => start(&mut connections, stream, peer, &reception),
                Err(error) => {
                    warn!(port, %error, "cannot accept a connection");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            },
        }
    }
    drop(listener);
    while connections.join_next().await.is_some() {}
}

fn start(connections: &mut JoinSet<()>, stream: Stream, peer: SocketAddr, reception: &Reception) {
    let Ok(local) = tune(&stream) else { return };
    if let Some(http) = &reception.http {
        return start_http(connections, stream, peer, reception, http);
    }
    let ends = [local, peer];
    let tap = reception.recorder.as_ref().map(Recorder::tap).unwrap_or_default();
    let (mut posted, shared) = (reception.posted.clone(), Arc::clone(&reception.shared));
    let acceptor = posted.borrow().tls.clone();
    let Some(acceptor) = acceptor else {
        match stream {
            Stream::Tcp(tcp) => {
                let (reader, writer) = tcp.into_split();
                connections.spawn(connection::serve(reader, writer, ends, tap, posted, shared));
            }
            Stream::Simulated(pipe) => {
                let (reader, writer) = io::split(pipe);
                connections.spawn(connection::serve(reader, writer, ends, tap, posted, shared));
            }
        }
        return;
    };
    connections.spawn(async move {
        let stream = tokio::select! {
            biased;
            () = closed(&mut posted) => return,
            stream = acceptor.accept(stream, peer) => stream,
        };
        if let Some(stream) = stream {
            // Both halves are polled by this task alone: the lock between them is always free.
            let (reader, writer) = io::split(stream);
            connection::serve(reader, writer, ends, tap, posted, shared).await;
        }
    });
}

fn start_http(
    connections: &mut JoinSet<()>,
    stream: Stream,
    peer: SocketAddr,
    reception: &Reception,
    http: &Arc<Http>,
) {
    let Reception { posted, recorder, shared, .. } = reception;
    let (mut posted, recorder, shared) = (posted.clone(), recorder.clone(), Arc::clone(shared));
    let http = Arc::clone(http);
    let acceptor = posted.borrow().tls.clone();
    let Some(acceptor) = acceptor else {
        connections.spawn(http.serve(stream, peer, posted, recorder, shared));
        return;
    };
    connections.spawn(async move {
        let stream = tokio::select! {
            biased;
            () = closed(&mut posted) => return,
            stream = acceptor.accept(stream, peer) => stream,
        };
        if let Some(stream) = stream {
            http.serve(stream, peer, posted, recorder, shared).await;
        }
    });
}

/// Small answers must not wait for more, and a peer that vanished must be noticed.
fn tune(stream: &Stream) -> io::Result<SocketAddr> {
    let Stream::Tcp(stream) = stream else { return Ok(([0, 0, 0, 0], 0).into()) };
    stream.set_nodelay(true)?;
    SockRef::from(stream).set_tcp_keepalive(&TcpKeepalive::new().with_time(KEEPALIVE))?;
    stream.local_addr()
}
