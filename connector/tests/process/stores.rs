//! Key stores and trust stores of Java in real handshakes, as the listener's and as a destination's.

use std::{fs, path::Path, sync::Arc};

use adapters::tls::{KeySource, Store, TrustSource};
use esp_connector::simulator::particle::Particle;
use rustls::{
    ClientConfig, ServerConfig, crypto::aws_lc_rs::default_provider, pki_types::ServerName,
    server::WebPkiClientVerifier,
};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    net::{TcpListener, TcpStream},
    sync::mpsc,
};
use tokio_rustls::{TlsAcceptor, TlsConnector, client::TlsStream};

use crate::{
    harness::{Folder, Process, command},
    xdr_client::{Ack, XdrClient, write},
};

const FIXTURES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/fixtures/stores");

fn store(file: &str) -> Store {
    let folder = Path::new(FIXTURES);
    Store {
        store_file: folder.join(file),
        store_password_file: folder.join("storepass"),
        key_password_file: None,
        store_type: None,
    }
}

/// A node of the cluster that shows the certificate in `client.jks`.
async fn node(address: std::net::SocketAddr) -> TlsStream<TcpStream> {
    let (chain, key) = KeySource::Store(store("client.jks")).load().unwrap();
    let config = ClientConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(TrustSource::Store(store("ca.jks")).load().unwrap())
        .with_client_auth_cert(chain, key)
        .unwrap();
    let stream = TcpStream::connect(address).await.unwrap();
    let name = ServerName::try_from("localhost").unwrap();
    TlsConnector::from(Arc::new(config)).connect(name, stream).await.unwrap()
}

/// An HTTPS server that wants a certificate; tells the length of each body, and of how many certificates it was shown.
async fn destination() -> (u16, mpsc::Receiver<(usize, usize)>) {
    let provider = Arc::new(default_provider());
    let roots = Arc::new(TrustSource::Store(store("ca.p12")).load().unwrap());
    let clients = WebPkiClientVerifier::builder_with_provider(roots, Arc::clone(&provider)).build().unwrap();
    let (chain, key) = KeySource::Store(store("server.jks")).load().unwrap();
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_client_cert_verifier(clients)
        .with_single_cert(chain, key)
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let (tell, told) = mpsc::channel(16);
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let (acceptor, tell) = (acceptor.clone(), tell.clone());
            tokio::spawn(async move {
                let Ok(stream) = acceptor.accept(stream).await else { return };
                let shown = stream.get_ref().1.peer_certificates().map_or(0, <[_]>::len);
                let mut stream = BufReader::new(stream);
                let (mut line, mut length) = (String::new(), 0);
                while stream.read_line(&mut line).await.is_ok_and(|bytes| bytes > 0) {
                    if let Some((_, value)) = line.to_ascii_lowercase().split_once("content-length:") {
                        length = value.trim().parse().unwrap();
                    }
                    if line.trim().is_empty() {
                        let mut body = vec![0; length];
                        stream.read_exact(&mut body).await.unwrap();
                        tell.send((body.len(), shown)).await.unwrap();
                        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await.unwrap();
                        stream.flush().await.unwrap();
                    }
                    line.clear();
                }
            });
        }
    });
    (port, told)
}

#[tokio::test(flavor = "multi_thread")]
async fn stores_of_java_serve_both_sides_and_are_exchanged() {
    let (port, mut told) = destination().await;
    let folder = Folder::with(&format!(
        "service:
  address: 127.0.0.1
  tls:
    port: 0
    allowed-peer-names: node.example
    key-store: {{store-file: server.jks, store-password-file: pass}}
    trust-store: {{store-file: {FIXTURES}/ca.jks, store-type: JKS, store-password-file: {FIXTURES}/storepass}}
destinations:
  orders:
    urls: ['https://localhost:{port}/']
    protocol: HTTP_1_1
    health-check: {{enabled: false}}
    tls:
      trust-store: {{store-file: {FIXTURES}/ca-openssl.p12, store-password-file: {FIXTURES}/storepass}}
      key-store: {{store-file: {FIXTURES}/client.jks, store-password-file: {FIXTURES}/storepass}}
format: {{mode: flat-json, metadata-key: _meta}}
routing: {{mode: static, destination: orders}}
"
    ));
    let own = |file: &str| folder.config().with_file_name(file);
    let from = |file: &str| Path::new(FIXTURES).join(file);
    fs::copy(from("keytool-legacy.p12"), own("server.jks")).unwrap();
    fs::write(own("pass"), "changeit").unwrap();
    let (mut process, xdr) = Process::run(&folder).await;
    assert!(process.line("TLS is set up listener=\"xdr\"").await.contains("CN=server, valid until"));

    let mut source = XdrClient::over(node(xdr).await);
    source.send(&write("demo", 1, &[("n", Particle::Integer(1))])).await.unwrap();
    assert_eq!(source.ack().await.unwrap(), Ack::OK);
    let (length, shown) = told.recv().await.unwrap();
    assert!(length > 0 && shown == 2, "{length} bytes, {shown} certificates: its own and its authority's");

    // Another store with another password: used when both are there.
    fs::copy(from("own-key.jks"), own("next")).unwrap();
    fs::rename(own("next"), own("server.jks")).unwrap();
    let words = ["cannot be used, those read before stay in use: key-store.store-file: the key `server`"];
    process.line_with(&words).await;
    let mut again = XdrClient::over(node(xdr).await);
    again.send(&write("demo", 2, &[("n", Particle::Integer(2))])).await.unwrap();
    assert_eq!(again.ack().await.unwrap(), Ack::OK);
    fs::copy(from("openssl.p12"), own("next")).unwrap();
    fs::rename(own("next"), own("server.jks")).unwrap();
    process.line_with(&["TLS files changed; new connections use them", "CN=server"]).await;
    node(xdr).await;

    process.terminate();
    let (status, printed) = process.end_and_printed().await;
    assert!(status.success() && !printed.contains("changeit"), "{printed}");
}

#[test]
fn check_tells_what_is_wrong_with_a_store_and_where() {
    for (file, password, code, expected) in [
        ("ca.jks", "storepass", 64, "connector.yml:5: service.tls.key-store.store-file: "),
        ("server.jks", "keypass", 64, "connector.yml:6: service.tls.key-store.store-password-file: "),
        (
            "expired.p12",
            "storepass",
            0,
            "connector.yml:4: service.tls.key-store: the certificate of CN=expired expired on",
        ),
        ("keytool.p12", "storepass", 0, "(TLS 1.2 and 1.3 as CN=server, valid until "),
    ] {
        let folder = Folder::with(&format!(
            "service:
  tls:
    port: 0
    key-store:
      store-file: {FIXTURES}/{file}
      store-password-file: {FIXTURES}/{password}
routing: {{mode: skip}}
"
        ));
        let output = command(["check".as_ref(), "--config".as_ref(), folder.config().as_os_str()]);
        let text = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
        assert_eq!(output.status.code(), Some(code), "{text}");
        assert!(text.contains(expected), "{expected:?} is not in {text}");
    }
}
