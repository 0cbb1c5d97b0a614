//! How long sessions of TLS are resumed: a server shows its certificate once a day, and never after that has expired.

use std::{
    io,
    net::SocketAddr,
    pin::Pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    task::{Context, Poll, ready},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use adapters::{
    Cause, Outcome,
    world::{self, Pipe, Port, World},
};
use futures_util::future::BoxFuture;
use rustls::HandshakeKind;
use serde_json::json;
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, ReadBuf},
    net::{TcpListener, TcpStream},
};
use tokio_rustls::TlsAcceptor;

use crate::{
    chains::Chains,
    log::Log,
    peer::{outcome, target},
    tls::server_config,
};

/// The last second of the certificates that [`Chains`] issues, 31 December 2098.
const LAST_SECOND: u64 = 4_070_908_799;
const HOUR: u64 = 3_600;

/// The real world, at another time of day.
struct At(Arc<AtomicU64>);

impl World for At {
    fn lookup(&self, _: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
        Ok(vec![([127, 0, 0, 1], port).into()])
    }

    fn connect(&self, address: SocketAddr) -> BoxFuture<'static, io::Result<Box<dyn Pipe>>> {
        Box::pin(async move { Ok(Box::new(Real(TcpStream::connect(address).await?)) as Box<dyn Pipe>) })
    }

    fn bind(&self, _: SocketAddr) -> io::Result<Box<dyn Port>> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn now(&self) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(self.0.load(Relaxed))
    }
}

struct Real(TcpStream);

impl Pipe for Real {
    fn poll_peek(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Option<u8>>> {
        let mut byte = [0];
        let count = ready!(self.0.poll_peek(cx, &mut ReadBuf::new(&mut byte)))?;
        Poll::Ready(Ok((count > 0).then_some(byte[0])))
    }
}

impl AsyncRead for Real {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, into)
    }
}

impl AsyncWrite for Real {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}

/// A server that closes each connection behind its answer, and what the handshakes were.
async fn peer(chains: &Chains) -> (String, Arc<Mutex<Vec<HandshakeKind>>>) {
    let acceptor = TlsAcceptor::from(Arc::new(server_config(chains, "server", &["http/1.1"], false)));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://localhost:{}/", listener.local_addr().unwrap().port());
    let kinds = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&kinds);
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let Ok(mut stream) = acceptor.accept(stream).await else { continue };
            seen.lock().unwrap().push(stream.get_ref().1.handshake_kind().unwrap());
            let mut request = Vec::new();
            while !request.ends_with(b"}") && stream.read_buf(&mut request).await.unwrap() > 0 {}
            stream.write_all(b"HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n").await.unwrap();
            stream.shutdown().await.unwrap();
        }
    });
    (url, kinds)
}

#[tokio::test]
async fn a_server_shows_its_certificate_once_a_day_and_never_after_its_end() {
    use HandshakeKind::{Full, Resumed};

    let Some(chains) = Chains::new() else { return };
    chains.issue("server", "subjectAltName=DNS:localhost");
    for version in ["TLSv1.2", "TLSv1.3"] {
        let time = Arc::new(AtomicU64::new(0));
        let _entered = world::enter(Arc::new(At(Arc::clone(&time))));
        let (log, _guard) = Log::start();
        let (url, kinds) = peer(&chains).await;
        let tls = json!({"ca-file": chains.path("ca.pem"), "protocols": [version]});
        let target = target(&[&url], json!({"protocol": "HTTP_1_1", "tls": tls}));
        // Each resumed session brings the next one, so that none of them is old.
        for (hours_before, kind) in
            [(48, Full), (40, Resumed), (25, Resumed), (23, Full), (12, Resumed), (1, Resumed), (0, Resumed)]
        {
            time.store(LAST_SECOND - hours_before * HOUR, Relaxed);
            assert_eq!(outcome(&target).await, Outcome::Delivered, "{version}: {:?}", log.lines());
            let last = kinds.lock().unwrap().last().copied();
            assert_eq!(last, Some(kind), "{version}, {hours_before} h before its end");
        }
        time.store(LAST_SECOND + 2, Relaxed);
        assert_eq!(outcome(&target).await, Outcome::Retryable(Cause::Unreachable), "{version}");
        assert!(log.lines()[0].contains("its certificate expired on"), "{version}: {:?}", log.lines());
        // What was refused is not resumed where the clock was wrong, but the server may show its certificate again.
        time.store(LAST_SECOND - 72 * HOUR, Relaxed);
        assert_eq!(outcome(&target).await, Outcome::Delivered, "{version}");
        assert_eq!(kinds.lock().unwrap().last().copied(), Some(Full), "{version}");
    }
}
