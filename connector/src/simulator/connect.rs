//! Connections to the connector, clear or TLS, and the connections XDR makes only to see that it can.

use std::{
    fmt, io,
    path::{Path, PathBuf},
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Duration,
};

use adapters::tls::{certificates, private_key, unfit_key};
use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, ServerName, pem::PemObject as _},
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
};
use tokio_rustls::TlsConnector;

use super::source::Source;

/// A connection to the connector.
pub(crate) trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}

impl<T: AsyncRead + AsyncWrite + Unpin + Send> Stream for T {}

/// How to trust the connector's certificate.
#[derive(Clone)]
pub struct Tls {
    connector: TlsConnector,
    name: ServerName<'static>,
}

impl Tls {
    /// Trusts the certificates in the PEM file `authorities`, for a connector called `name`; shows the certificate
    /// `identity`, the files of a chain and its key.
    pub fn load(authorities: &Path, name: &str, identity: Option<(&Path, &Path)>) -> Result<Self, TlsError> {
        let fail =
            |problem: String| TlsError { option: "--tls-ca", path: authorities.to_path_buf(), problem };
        let mut roots = RootCertStore::empty();
        let trusted = CertificateDer::pem_file_iter(authorities).map_err(|e| fail(e.to_string()))?;
        for certificate in trusted {
            let certificate = certificate.map_err(|e| fail(e.to_string()))?;
            roots.add(certificate).map_err(|e| fail(e.to_string()))?;
        }
        if roots.is_empty() {
            return Err(fail("expected at least one PEM certificate".to_owned()));
        }
        let name = ServerName::try_from(name.to_owned())
            .map_err(|_| fail(format!("`{name}` is neither a host name nor an address")))?;
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|e| fail(e.to_string()))?
            .with_root_certificates(roots);
        let config = match identity {
            None => builder.with_no_client_auth(),
            Some((chain, key)) => {
                let fail =
                    |option, path: &Path, problem| TlsError { option, path: path.to_path_buf(), problem };
                let shown = certificates("--tls-certificate", chain)
                    .map_err(|e| fail("--tls-certificate", chain, e.problem))?;
                let private = private_key(key).map_err(|e| fail("--tls-key", key, e.problem))?;
                builder
                    .with_client_auth_cert(shown, private)
                    .map_err(|e| fail("--tls-key", key, unfit_key(&e)))?
            }
        };
        Ok(Self { connector: TlsConnector::from(Arc::new(config)), name })
    }
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls").field("name", &self.name).finish_non_exhaustive()
    }
}

/// Why TLS cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("{option}: {}: {problem}", path.display())]
pub struct TlsError {
    /// What named the file.
    pub option: &'static str,
    /// The file of certificates.
    pub path: PathBuf,
    /// What is wrong.
    pub problem: String,
}

/// How connections are made.
#[derive(Debug, Default)]
pub(super) enum Dial {
    /// As the settings say.
    #[default]
    Network,
    /// To stand-ins in this process, one for each instance: sockets do not mix with a paused clock.
    #[cfg(test)]
    Memory(Vec<tokio::sync::mpsc::Sender<tokio::io::DuplexStream>>),
}

/// Connects to instance number `instance`.
pub(super) async fn connect(source: &Source, instance: usize) -> io::Result<Box<dyn Stream>> {
    match &source.dial {
        Dial::Network => dial(&source.settings.instances[instance], source.settings.tls.as_ref()).await,
        #[cfg(test)]
        Dial::Memory(stand_ins) => {
            let (ours, theirs) = tokio::io::duplex(16 * 1024);
            let refused = |_| io::Error::from(io::ErrorKind::ConnectionRefused);
            stand_ins[instance].send(theirs).await.map_err(refused)?;
            Ok(Box::new(ours))
        }
    }
}

/// Connects to the connector at `address`, a host and a port.
pub(crate) async fn dial(address: &str, tls: Option<&Tls>) -> io::Result<Box<dyn Stream>> {
    let opening = open(address, tls);
    tokio::time::timeout(CONNECT_TIMEOUT, opening).await.unwrap_or_else(|elapsed| Err(elapsed.into()))
}

async fn open(address: &str, tls: Option<&Tls>) -> io::Result<Box<dyn Stream>> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    Ok(match tls {
        None => Box::new(stream),
        Some(tls) => Box::new(tls.connector.connect(tls.name.clone(), stream).await?),
    })
}

/// Opens a connection to `instance` every few seconds, sends nothing and closes it: what a source node does
/// to see whether the connector is there.
pub(super) async fn probe(source: Arc<Source>, instance: usize) {
    let mut finished = source.finished();
    let mut ticks = tokio::time::interval(source.settings.probe_interval);
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            _ = finished.wait_for(|finished| *finished) => return,
        }
        source.totals.probes.fetch_add(1, Relaxed);
        if connect(&source, instance).await.is_err() {
            source.totals.probe_failures.fetch_add(1, Relaxed);
        }
    }
}

const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
