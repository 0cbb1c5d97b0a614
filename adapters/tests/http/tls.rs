//! TLS: whom we trust, who we are, and which HTTP version comes of it. Chains are made by `openssl`.

use std::{
    io,
    path::{Path, PathBuf},
    process::Command,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use adapters::{Cause, Outcome, Target};
use rustls::{
    RootCertStore, ServerConfig,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    server::WebPkiClientVerifier,
};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::AbortHandle,
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};

use crate::peer::{OK, outcome, target};

const UNREACHABLE: Outcome = Outcome::Retryable(Cause::Unreachable);

/// Two authorities, server certificates for `localhost`, and a client certificate.
struct Chains(TempDir);

impl Chains {
    fn new() -> Self {
        let chains = Self(tempfile::tempdir().unwrap());
        for authority in ["ca", "other-ca"] {
            chains.openssl(&[
                "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 3650 -sha256",
                &format!("-subj /CN={authority} -keyout {authority}.key -out {authority}.pem"),
                "-addext basicConstraints=critical,CA:TRUE -addext keyUsage=critical,keyCertSign",
            ]);
        }
        std::fs::write(chains.path("register.cnf"), REGISTER).unwrap();
        std::fs::write(chains.path("index.txt"), "").unwrap();
        chains.issue("server", "2099", "subjectAltName=DNS:localhost");
        chains.issue("elsewhere", "2099", "subjectAltName=DNS:elsewhere.example");
        chains.issue("expired", "2021", "subjectAltName=DNS:localhost");
        chains.issue("client", "2099", "extendedKeyUsage=clientAuth");
        chains
    }

    /// A certificate from 2020 on; only `openssl ca` can set dates that are past.
    fn issue(&self, name: &str, until_year: &str, extension: &str) {
        std::fs::write(self.path(&format!("{name}.ext")), extension).unwrap();
        self.openssl(&[
            "req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes",
            &format!("-subj /CN={name} -keyout {name}.key -out {name}.csr"),
        ]);
        self.openssl(&[
            "ca -batch -config register.cnf -cert ca.pem -keyfile ca.key -create_serial -notext",
            &format!("-startdate 20200101000000Z -enddate {until_year}0101000000Z"),
            &format!("-extfile {name}.ext -in {name}.csr -out {name}.pem"),
        ]);
    }

    fn openssl(&self, arguments: &[&str]) {
        let arguments = arguments.join(" ");
        let output = Command::new("openssl")
            .args(arguments.split_whitespace())
            .current_dir(self.0.path())
            .output()
            .expect("the openssl command is needed for this test");
        assert!(output.status.success(), "openssl {arguments}\n{}", String::from_utf8_lossy(&output.stderr));
    }

    fn path(&self, file: &str) -> PathBuf {
        self.0.path().join(file)
    }
}

const REGISTER: &str = "[ca]\ndefault_ca=d\n[d]\ndatabase=index.txt\nserial=serial.txt\nnew_certs_dir=.\n\
                        default_md=sha256\npolicy=p\n[p]\ncommonName=supplied\n";

/// A TLS peer that answers every request, in the HTTP version that ALPN settled on.
struct Peer {
    url: String,
    accepted: Arc<AtomicUsize>,
    task: AbortHandle,
}

impl Peer {
    async fn start(chains: &Chains, certificate: &str, alpn: &[&str], ask_client: bool) -> Self {
        let acceptor = TlsAcceptor::from(Arc::new(server_config(chains, certificate, alpn, ask_client)));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("https://localhost:{}/", listener.local_addr().unwrap().port());
        let accepted = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&accepted);
        let serving = async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                counter.fetch_add(1, Ordering::SeqCst);
                let acceptor = acceptor.clone();
                tokio::spawn(async move {
                    if let Ok(stream) = acceptor.accept(stream).await {
                        _ = serve(stream).await;
                    }
                });
            }
        };
        Self { url, accepted, task: tokio::spawn(serving).abort_handle() }
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(mut stream: TlsStream<TcpStream>) -> io::Result<()> {
    if stream.get_ref().1.alpn_protocol() == Some(b"h2") {
        let mut connection = h2::server::handshake(stream).await.map_err(io::Error::other)?;
        while let Some(request) = connection.accept().await {
            let (_, mut reply) = request.map_err(io::Error::other)?;
            reply.send_response(http::Response::new(()), true).map_err(io::Error::other)?;
        }
        return Ok(());
    }
    let mut head = Vec::new();
    while stream.read_buf(&mut head).await? > 0 {
        if head.ends_with(b"}") || (head.starts_with(b"GET") && head.ends_with(b"\r\n\r\n")) {
            head.clear();
            stream.write_all(OK.as_bytes()).await?;
        }
    }
    Ok(())
}

fn server_config(chains: &Chains, certificate: &str, alpn: &[&str], ask_client: bool) -> ServerConfig {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .unwrap();
    let builder = if ask_client {
        let mut roots = RootCertStore::empty();
        roots.add(read(&chains.path("ca.pem"))).unwrap();
        builder.with_client_cert_verifier(
            WebPkiClientVerifier::builder_with_provider(roots.into(), provider).build().unwrap(),
        )
    } else {
        builder.with_no_client_auth()
    };
    let key = PrivateKeyDer::from_pem_file(chains.path(&format!("{certificate}.key"))).unwrap();
    let chain = vec![read(&chains.path(&format!("{certificate}.pem")))];
    let mut config = builder.with_single_cert(chain, key).unwrap();
    config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
    config
}

fn read(file: &Path) -> CertificateDer<'static> {
    CertificateDer::from_pem_file(file).unwrap()
}

fn trusting(chains: &Chains, authority: &str, protocol: &str) -> Value {
    json!({"protocol": protocol, "tls": {"ca-file": chains.path(authority)}})
}

/// Collects what is logged on this thread.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        io::Write::write(&mut *self.0.lock().unwrap(), bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Log {
    fn start() -> (Self, tracing::subscriber::DefaultGuard) {
        let log = Self::default();
        let writer = log.clone();
        let subscriber =
            tracing_subscriber::fmt().with_ansi(false).with_writer(move || writer.clone()).finish();
        (log, tracing::subscriber::set_default(subscriber))
    }

    fn lines(&self) -> Vec<String> {
        let bytes = self.0.lock().unwrap();
        String::from_utf8(bytes.clone()).unwrap().lines().map(str::to_owned).collect()
    }
}

#[tokio::test]
async fn alpn_settles_on_the_version() {
    let chains = Chains::new();
    let both = ["h2", "http/1.1"];
    for (ours, theirs, protocol) in [
        ("HTTP_2", &both[..], "h2"),
        ("HTTP_1_1", &both[..], "http/1.1"),
        ("HTTP_2", &both[1..], "http/1.1"),
        ("HTTP_2", &[], "http/1.1"),
        ("HTTP_1_1", &[], "http/1.1"),
    ] {
        let (log, _guard) = Log::start();
        let peer = Peer::start(&chains, "server", theirs, false).await;
        let target = target(&[&peer.url], trusting(&chains, "ca.pem", ours));
        for _ in 0..3 {
            assert_eq!(outcome(&target).await, Outcome::Delivered, "{ours} to {theirs:?}");
        }
        assert_eq!(target.endpoints()[0].protocol, Some(protocol), "{ours} to {theirs:?}");
        assert_eq!(peer.accepted.load(Ordering::SeqCst), 1);
        let warned = log.lines().iter().filter(|line| line.contains("HTTP/1.1 is used")).count();
        assert_eq!(warned, usize::from(ours == "HTTP_2" && protocol == "http/1.1"), "{:?}", log.lines());
    }
}

#[tokio::test]
async fn who_is_not_trusted_gets_nothing() {
    let chains = Chains::new();
    for (certificate, authority, text) in [
        ("server", "other-ca.pem", "signed by an authority that is not trusted"),
        ("elsewhere", "ca.pem", "is for DnsName(\"elsewhere.example\"), not for localhost"),
        ("expired", "ca.pem", "expired"),
    ] {
        let (log, _guard) = Log::start();
        let peer = Peer::start(&chains, certificate, &["h2"], false).await;
        let target = target(&[&peer.url], trusting(&chains, authority, "HTTP_2"));
        for _ in 0..5 {
            assert_eq!(outcome(&target).await, UNREACHABLE, "{certificate}");
        }
        let lines = log.lines();
        assert_eq!(lines.len(), 1, "one line, not one per request: {lines:?}");
        assert!(lines[0].contains(text), "{lines:?}");
        assert!(lines[0].contains("endpoint=\"localhost:"), "{lines:?}");
    }
}

#[tokio::test]
async fn the_systems_authorities_do_not_vouch_for_strangers() {
    let chains = Chains::new();
    let peer = Peer::start(&chains, "server", &["h2"], false).await;
    // Where the system has no authorities at all, the target refuses to be built, and says what to do.
    match adapters::http::Http::new("test", crate::peer::config(&[&peer.url], json!({}))) {
        Ok(target) => assert_eq!(outcome(&target).await, UNREACHABLE),
        Err(error) => assert_eq!(error.key, "tls.ca-file"),
    }
}

#[tokio::test]
async fn a_client_certificate_opens_the_door() {
    let chains = Chains::new();
    for protocol in ["HTTP_1_1", "HTTP_2"] {
        let peer = Peer::start(&chains, "server", &["h2", "http/1.1"], true).await;
        let (log, _guard) = Log::start();
        let without = target(&[&peer.url], trusting(&chains, "ca.pem", protocol));
        assert_eq!(outcome(&without).await, UNREACHABLE);
        assert!(log.lines()[0].contains("asks for a client certificate"), "{:?}", log.lines());

        let tls = json!({
            "ca-file": chains.path("ca.pem"),
            "certificate-file": chains.path("client.pem"),
            "key-file": chains.path("client.key"),
        });
        let with = target(&[&peer.url], json!({"protocol": protocol, "tls": tls}));
        assert_eq!(outcome(&with).await, Outcome::Delivered);
    }
}

#[test]
fn a_key_that_does_not_fit_is_refused() {
    let chains = Chains::new();
    let refused = |tls: Value| {
        let config = crate::peer::config(&["https://localhost/"], json!({"tls": tls}));
        adapters::http::Http::new("test", config).unwrap_err().key
    };
    let (ca, client) = (chains.path("ca.pem"), chains.path("client.pem"));
    let other = chains.path("server.key");
    assert_eq!(
        refused(json!({"ca-file": ca, "certificate-file": client, "key-file": other})),
        "tls.key-file"
    );
    assert_eq!(refused(json!({"ca-file": ca, "certificate-file": client})), "tls.key-file");
    assert_eq!(refused(json!({"ca-file": ca, "key-file": other})), "tls.certificate-file");
    assert_eq!(refused(json!({"ca-file": other})), "tls.ca-file");
}

#[tokio::test]
async fn probes_use_the_same_trust() {
    let chains = Chains::new();
    for (authority, healthy) in [("ca.pem", true), ("other-ca.pem", false)] {
        let peer = Peer::start(&chains, "server", &["h2"], false).await;
        let mut settings = trusting(&chains, authority, "HTTP_2");
        settings["health-check"] = json!({"interval-seconds": 1, "unhealthy-threshold": 1});
        let target = target(&[&peer.url], settings);
        let stats = || target.endpoints().remove(0);
        while stats().health_success + stats().health_error == 0 {
            tokio::task::yield_now().await;
        }
        assert_eq!(stats().healthy, healthy);
        assert_eq!(stats().health_error == 0, healthy);
    }
}
