//! From a URL to a connection that speaks HTTP: name lookup, TCP, TLS, protocol.
//!
//! Nothing of a request has been sent when this fails, so a failure here is always safe to repeat.

use std::{
    fmt, io,
    net::SocketAddr,
    pin::Pin,
    sync::{Arc, OnceLock},
    task::{Context, Poll},
    time::Duration,
};

use rustls::{ClientConfig, pki_types::ServerName};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::timeout,
};
use tokio_rustls::{TlsConnector, client::TlsStream};

use crate::{
    tls::{self, Reloading},
    world,
};

/// Where to connect to.
pub(crate) struct Peer {
    /// Host without brackets.
    pub(crate) host: String,
    pub(crate) port: u16,
    /// Present for `https`; ALPN is part of the settings. A new connection takes those of its time.
    pub(crate) tls: Option<(Arc<Reloading<ClientConfig>>, ServerName<'static>)>,
    /// For one TCP connect, and again for the handshakes that follow it.
    pub(crate) timeout: Duration,
}

/// A connected stream and what ALPN settled on.
pub(super) struct Connected {
    pub(super) io: Io,
    pub(super) alpn_h2: bool,
}

impl Peer {
    /// Connects to the first address of the host that answers.
    pub(super) async fn connect(&self) -> Result<Connected, ConnectError> {
        let tcp = self.tcp().await?;
        // Requests are written whole; waiting for more to send would only delay them.
        tcp.set_nodelay(true).map_err(|error| ConnectError::new("cannot set TCP_NODELAY", &error))?;
        let Some((settings, name)) = &self.tls else {
            return Ok(Connected { io: Io::new(Stream::Plain(tcp)), alpn_h2: false });
        };
        let connector = TlsConnector::from(settings.current());
        let stream = timeout(self.timeout, connector.connect(name.clone(), tcp))
            .await
            .map_err(|_| ConnectError::late("TLS handshake", self.timeout))?
            .map_err(|error| ConnectError::new("TLS handshake failed", &error))?;
        let alpn_h2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
        Ok(Connected { io: Io::new(Stream::Tls(Box::new(stream))), alpn_h2 })
    }

    async fn tcp(&self) -> Result<world::Stream, ConnectError> {
        let addresses = world::lookup(&self.host, self.port)
            .await
            .map_err(|error| ConnectError::of("address", format!("name lookup failed: {error}")))?;
        let mut last = ConnectError::of("address", "the name has no address".to_owned());
        for address in addresses {
            match timeout(self.timeout, world::connect(address)).await {
                Ok(Ok(stream)) => return Ok(stream),
                Ok(Err(error)) => last = ConnectError::new(&format!("connect to {address} failed"), &error),
                Err(_) => last = ConnectError::late(&connect_to(address), self.timeout),
            }
        }
        Err(last)
    }
}

fn connect_to(address: SocketAddr) -> String {
    format!("connect to {address}")
}

/// Why there is no connection, in one line for the log.
#[derive(Debug)]
pub(super) struct ConnectError {
    /// Where to look: one of the words of [`crate::ProbeFailure::missing`].
    pub(super) missing: &'static str,
    pub(super) words: String,
}

impl ConnectError {
    pub(super) fn new(what: &str, error: &(dyn std::error::Error + 'static)) -> Self {
        match tls::explain(error) {
            Some(explained) => Self::of("tls", explained),
            None => Self::of("connection", format!("{what}: {error}")),
        }
    }

    pub(super) fn late(what: &str, limit: Duration) -> Self {
        Self::of("connection", format!("{what} took longer than {} ms", limit.as_millis()))
    }

    pub(super) fn of(missing: &'static str, words: String) -> Self {
        Self { missing, words }
    }
}

impl fmt::Display for ConnectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.words)
    }
}

/// A stream that can be asked itself.
pub(super) trait Quiet {
    /// Whether nothing has come and it has not ended, by the word of the system: what the runtime has heard of may be older.
    fn is_quiet(&mut self) -> bool;
}

/// A byte stream that remembers what those above it are not told.
pub(super) struct Io {
    stream: Stream,
    memory: Memory,
}

/// The memory of an [`Io`], which outlives its move into a library.
#[derive(Clone, Default)]
pub(super) struct Memory(Arc<OnceLock<String>>);

impl Memory {
    /// Why TLS ended the connection, if it did. With TLS 1.3 a refused client certificate shows only here,
    /// after the handshake.
    pub(super) fn fault(&self) -> Option<String> {
        self.0.get().cloned()
    }
}

enum Stream {
    Plain(world::Stream),
    Tls(Box<TlsStream<world::Stream>>),
}

impl Io {
    fn new(stream: Stream) -> Self {
        Self { stream, memory: Memory::default() }
    }

    pub(super) fn memory(&self) -> Memory {
        self.memory.clone()
    }
}

impl Quiet for Io {
    fn is_quiet(&mut self) -> bool {
        match &mut self.stream {
            Stream::Plain(tcp) => tcp.is_quiet(),
            Stream::Tls(tls) => tls.get_mut().0.is_quiet(),
        }
    }
}

impl AsyncRead for Io {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let result = match &mut self.stream {
            Stream::Plain(tcp) => Pin::new(tcp).poll_read(cx, buf),
            Stream::Tls(tls) => Pin::new(tls.as_mut()).poll_read(cx, buf),
        };
        if let Poll::Ready(Err(error)) = &result
            && let Some(fault) = tls::explain(error)
        {
            _ = self.memory.0.set(fault);
        }
        result
    }
}

impl AsyncWrite for Io {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match &mut self.stream {
            Stream::Plain(tcp) => Pin::new(tcp).poll_write(cx, buf),
            Stream::Tls(tls) => Pin::new(tls.as_mut()).poll_write(cx, buf),
        }
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match &mut self.stream {
            Stream::Plain(tcp) => Pin::new(tcp).poll_write_vectored(cx, bufs),
            Stream::Tls(tls) => Pin::new(tls.as_mut()).poll_write_vectored(cx, bufs),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match &self.stream {
            Stream::Plain(tcp) => tcp.is_write_vectored(),
            Stream::Tls(tls) => tls.is_write_vectored(),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.stream {
            Stream::Plain(tcp) => Pin::new(tcp).poll_flush(cx),
            Stream::Tls(tls) => Pin::new(tls.as_mut()).poll_flush(cx),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.stream {
            Stream::Plain(tcp) => Pin::new(tcp).poll_shutdown(cx),
            Stream::Tls(tls) => Pin::new(tls.as_mut()).poll_shutdown(cx),
        }
    }
}
