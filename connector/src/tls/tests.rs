//! Handshakes over real sockets; what needs certificates of every kind is in `connector/tests/process/tls.rs`.

use std::{fs, path::Path};

use adapters::tls::{KeySource, Version};
use rcgen::{CertificateParams, Issuer, KeyPair};
use rustls::{
    ClientConfig, RootCertStore, SupportedProtocolVersion,
    crypto::aws_lc_rs::{self, cipher_suite},
    pki_types::{CertificateDer, ServerName, pem::PemObject as _},
    version::{TLS12, TLS13},
};
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};
use tokio_rustls::TlsConnector;

use super::*;

/// Writes an authority and a certificate of it for `name`, with its key.
fn chain(folder: &Path, name: &str) {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new([]).unwrap();
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    fs::write(folder.join("ca.pem"), params.self_signed(&key).unwrap().pem()).unwrap();
    let issuer = Issuer::new(params, key);
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new([name.to_owned()]).unwrap();
    fs::write(folder.join("cert.pem"), params.signed_by(&key, &issuer).unwrap().pem()).unwrap();
    fs::write(folder.join("key.pem"), key.serialize_pem()).unwrap();
}

fn settings(folder: &Path) -> ServerTls {
    ServerTls {
        ports: vec![0],
        addresses: vec!["127.0.0.1".to_owned()],
        identity: KeySource::Pem {
            certificate_file: folder.join("cert.pem"),
            key_file: folder.join("key.pem"),
        },
        clients: None,
        protocols: Vec::new(),
        ciphers: Vec::new(),
    }
}

struct Peer {
    acceptor: Arc<Acceptor>,
    listener: TcpListener,
    folder: TempDir,
}

impl Peer {
    async fn new(change: impl FnOnce(&mut ServerTls)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        chain(folder.path(), "localhost");
        let mut settings = settings(folder.path());
        change(&mut settings);
        let acceptor = Arc::new(Acceptor::new(Side::Xdr, &settings).unwrap());
        Self { acceptor, listener: TcpListener::bind("127.0.0.1:0").await.unwrap(), folder }
    }

    /// What becomes of a connection on which `client` does something.
    async fn meet<F: Future>(&self, client: impl FnOnce(TcpStream) -> F) -> (Option<Stream>, F::Output) {
        let connecting = TcpStream::connect(self.listener.local_addr().unwrap());
        let (stream, accepted) = tokio::join!(connecting, self.listener.accept());
        let (ours, peer) = accepted.unwrap();
        tokio::join!(self.acceptor.accept(ours.into(), peer), client(stream.unwrap()))
    }

    async fn handshake(&self, change: impl FnOnce(&mut rustls::crypto::CryptoProvider) -> Versions) -> bool {
        let mut provider = aws_lc_rs::default_provider();
        let versions = change(&mut provider);
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(self.folder.path().join("ca.pem")).unwrap()).unwrap();
        let config = ClientConfig::builder_with_provider(Arc::new(provider))
            .with_protocol_versions(&versions)
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let connector = TlsConnector::from(Arc::new(config));
        let name = ServerName::try_from("localhost").unwrap();
        let (stream, connected) = self.meet(|tcp| async move { connector.connect(name, tcp).await }).await;
        assert_eq!(stream.is_some(), connected.is_ok(), "{connected:?}");
        stream.is_some()
    }

    fn refused(&self) -> Vec<(&'static str, u64)> {
        self.acceptor.refused().read().filter(|(_, count)| *count > 0).collect()
    }
}

type Versions = Vec<&'static SupportedProtocolVersion>;

#[tokio::test]
async fn versions_and_cipher_suites_are_those_configured() {
    let peer = Peer::new(|tls| {
        tls.protocols = vec![Version::Tls13];
        tls.ciphers = vec!["TLS_AES_256_GCM_SHA384".to_owned()];
    })
    .await;
    assert!(peer.handshake(|_| vec![&TLS12, &TLS13]).await);
    assert!(!peer.handshake(|_| vec![&TLS12]).await);
    assert_eq!(peer.refused(), [("protocol-version", 1)]);
    let other = |provider: &mut rustls::crypto::CryptoProvider| -> Versions {
        provider.cipher_suites = vec![cipher_suite::TLS13_AES_128_GCM_SHA256];
        vec![&TLS13]
    };
    assert!(!peer.handshake(other).await);
    assert_eq!(peer.refused(), [("protocol-version", 1), ("cipher-suite", 1)]);
}

#[tokio::test]
async fn who_only_looks_is_no_failure_and_clear_text_is() {
    let peer = Peer::new(|_| {}).await;
    assert!(peer.meet(|tcp| async { drop(tcp) }).await.0.is_none());
    assert_eq!(peer.refused(), []);
    let clear = |mut tcp: TcpStream| async move {
        tcp.write_all(&[2, 1, 0, 0, 0, 0, 0, 0]).await.unwrap();
        let mut answer = Vec::new();
        let _ = tcp.read_to_end(&mut answer).await;
        answer
    };
    let (stream, answer) = peer.meet(clear).await;
    assert!(stream.is_none() && answer.is_empty(), "never a word in clear text");
    assert_eq!(peer.refused(), [("clear-text", 1)]);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_stops_in_the_handshake_is_given_up() {
    let peer = Peer::new(|_| {}).await;
    let half = |mut tcp: TcpStream| async move {
        tcp.write_all(&[22, 3, 1, 2]).await.unwrap();
        tcp
    };
    assert!(peer.meet(half).await.0.is_none());
    assert_eq!(peer.refused(), [("timeout", 1)]);
}

#[tokio::test]
async fn a_key_of_another_certificate_is_named() {
    let folder = tempfile::tempdir().unwrap();
    chain(folder.path(), "localhost");
    fs::write(folder.path().join("key.pem"), KeyPair::generate().unwrap().serialize_pem()).unwrap();
    let error = Acceptor::new(Side::Xdr, &settings(folder.path())).unwrap_err().to_string();
    assert!(error.starts_with("key-file: does not go with the certificate"), "{error}");
}
