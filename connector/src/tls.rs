//! The server side of TLS: for XDR and for the management endpoint.
//!
//! A connection that is not what the settings ask for is closed, never served in clear text, and one line says why.
//! Nothing of a key or a password is in those lines.

use std::{
    fmt,
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use adapters::{
    BuildError,
    tls::{Built, Identity, Reloading, offer},
    world,
};
use rustls::{
    ServerConfig,
    server::{NoServerSessionStorage, WebPkiClientVerifier, danger::ClientCertVerifier},
};
use tokio::{io::BufReader, sync::Semaphore, time::timeout};
use tokio_rustls::{TlsAcceptor, server::TlsStream};
use tracing::{debug, info, warn};

use self::peers::AllowedPeers;
pub use self::refusal::Refusal;
use crate::{
    config::{Incoming, ServerTls},
    logging::Limited,
    metrics::{ByRefusal, REFUSALS},
};

mod peers;
mod refusal;

/// A client must be done with the handshake by then. XDR's own limit is shorter.
const HANDSHAKE_WITHIN: Duration = Duration::from_secs(10);

/// Handshakes under way at once. Each takes some 30 KB that its client does not have to earn; others wait for their turn.
const HANDSHAKES_MAX: usize = 1024;

/// At most one line about each kind of refusal in this time: XDR tries again for ever, from every node.
const REFUSAL_LOG_EVERY: Duration = Duration::from_secs(10);

/// Bytes taken from the socket at a time: a whole record of TLS. rustls alone asks for a quarter of that.
const READ_BYTES: usize = 16 * 1024 + 64;

/// A connection after its handshake.
pub type Stream = TlsStream<BufReader<world::Stream>>;

/// Who listens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// For XDR.
    Xdr,
    /// For XDR's messages over HTTP/1.1.
    Http1,
    /// The same over HTTP/2 too.
    Http2,
    /// For the management endpoint.
    Manage,
}

impl Side {
    /// That of the service, by what it speaks.
    pub fn of(protocol: Incoming) -> Self {
        match protocol {
            Incoming::Tcp => Self::Xdr,
            Incoming::Http1 => Self::Http1,
            Incoming::Http2 => Self::Http2,
        }
    }

    /// What is spoken within TLS, the best first, where clients ask.
    fn alpn(self) -> Vec<Vec<u8>> {
        let names: &[&[u8]] = match self {
            Self::Xdr => &[],
            Self::Http1 | Self::Manage => &[b"http/1.1"],
            Self::Http2 => &[b"h2", b"http/1.1"],
        };
        names.iter().map(|name| name.to_vec()).collect()
    }

    /// Label and log field.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Xdr | Self::Http1 | Self::Http2 => "xdr",
            Self::Manage => "manage",
        }
    }

    /// The path of its settings.
    pub fn path(self) -> &'static str {
        match self {
            Self::Xdr | Self::Http1 | Self::Http2 => "service.tls",
            Self::Manage => "service.manage.tls",
        }
    }
}

/// Makes TLS connections of accepted ones, with the settings of the moment.
pub struct Acceptor {
    side: Side,
    settings: Arc<Reloading<ServerConfig>>,
    refused: Arc<ByRefusal>,
    /// One for each kind, so that many of one kind do not hide the others.
    complaints: [Mutex<Limited>; REFUSALS],
    within: Duration,
    slots: Semaphore,
}

impl Acceptor {
    /// Reads the files that `tls` names. The key of an error is that of `tls`.
    pub fn new(side: Side, tls: &ServerTls) -> Result<Self, BuildError> {
        let mut files = tls.identity.files();
        files.extend(tls.clients.iter().flat_map(|clients| clients.authorities.files()));
        let tls = tls.clone();
        let settings =
            Reloading::new(format!("{} listener", side.as_str()), files, move || settings(side, &tls))?;
        Ok(Self {
            side,
            settings: Arc::new(settings),
            refused: Arc::default(),
            complaints: std::array::from_fn(|_| Mutex::new(Limited::new(REFUSAL_LOG_EVERY))),
            within: HANDSHAKE_WITHIN,
            slots: Semaphore::new(HANDSHAKES_MAX),
        })
    }

    /// The same, with the numbers of the one whose place it takes.
    pub fn counting_on(self, before: &Self) -> Self {
        Self { refused: Arc::clone(&before.refused), ..self }
    }

    /// Who listens.
    pub fn side(&self) -> Side {
        self.side
    }

    /// The certificate shown to clients.
    pub fn identity(&self) -> Option<Identity> {
        self.settings.identity()
    }

    /// Refused connections, by reason.
    pub fn refused(&self) -> &ByRefusal {
        &self.refused
    }

    /// Follows the files, looking `every` so often, until dropped.
    pub fn watch(&self, every: Duration) -> impl Future<Output = ()> + use<> {
        Arc::clone(&self.settings).watch(every)
    }

    /// The handshake. `None` when there is no connection to serve; it was told why.
    pub async fn accept(&self, stream: world::Stream, peer: SocketAddr) -> Option<Stream> {
        match timeout(self.within, self.handshake(stream)).await {
            Ok(Ok(stream)) => return stream,
            Ok(Err((refusal, words))) => self.complain(refusal, peer, &words),
            Err(_) => {
                let words = format!("no handshake within {} s", self.within.as_secs());
                self.complain(Refusal::Timeout, peer, &words);
            }
        }
        None
    }

    async fn handshake(&self, mut stream: world::Stream) -> Result<Option<Stream>, (Refusal, String)> {
        match stream.peek().await {
            // Came only to see that the port is open, as XDR and load balancers do.
            Ok(None) | Err(_) => {
                debug!(listener = self.side.as_str(), "a connection ended before its handshake");
                return Ok(None);
            }
            Ok(Some(first)) => refusal::of_clear_text(first, self.side).map_or(Ok(()), Err)?,
        }
        // Never closed.
        let _slot = self.slots.acquire().await;
        let acceptor = TlsAcceptor::from(self.settings.current());
        // The settings are large on the stack of whoever waits; a handshake can afford the allocation.
        let accepted = Box::pin(acceptor.accept(BufReader::with_capacity(READ_BYTES, stream))).await;
        accepted.map(Some).map_err(|error| refusal::explain(&error))
    }

    fn complain(&self, refusal: Refusal, peer: SocketAddr, words: &str) {
        self.refused.add(refusal);
        let limited = &self.complaints[refusal as usize];
        let allowed = limited.lock().unwrap_or_else(PoisonError::into_inner).allow(Instant::now());
        if let Some(suppressed) = allowed {
            warn!(%peer, listener = self.side.as_str(), suppressed, "refused a TLS connection: {words}");
        }
    }

    /// One line about the certificate in use.
    pub(crate) fn introduce(&self) {
        let certificate =
            self.identity().map_or_else(|| "unknown".to_owned(), |identity| identity.to_string());
        info!(listener = self.side.as_str(), certificate, "TLS is set up");
    }
}

impl fmt::Debug for Acceptor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Acceptor").field("side", &self.side).finish_non_exhaustive()
    }
}

fn settings(side: Side, tls: &ServerTls) -> Result<Built<ServerConfig>, BuildError> {
    let fail = |key: &str, problem: String| BuildError { key: key.to_owned(), problem };
    let offer = offer(&tls.protocols, &tls.ciphers)?;
    let builder = ServerConfig::builder_with_provider(Arc::clone(&offer.provider))
        .with_protocol_versions(&offer.versions)
        .map_err(|error| fail("protocols", error.to_string()))?;
    let builder = match &tls.clients {
        None => builder.with_no_client_auth(),
        Some(clients) => {
            let roots = Arc::new(clients.authorities.load()?);
            let chain: Arc<dyn ClientCertVerifier> =
                WebPkiClientVerifier::builder_with_provider(roots, offer.provider)
                    .build()
                    .map_err(|error| fail(clients.authorities.key(), error.to_string()))?;
            builder.with_client_cert_verifier(match clients.allowed_names.as_slice() {
                [] => chain,
                names => Arc::new(AllowedPeers::new(chain, names)),
            })
        }
    };
    let (chain, key) = tls.identity.load()?;
    let identity = Identity::of(&chain);
    let mut config = builder.with_single_cert(chain, key).map_err(|error| tls.identity.unfit(&error))?;
    config.alpn_protocols = side.alpn();
    if tls.clients.is_some() {
        // A resumed session would not look at the client's certificate again, though it may have expired since.
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
    }
    Ok((config, identity))
}

#[cfg(test)]
mod tests;
