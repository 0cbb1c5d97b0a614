//! TLS: whom we trust, who we are, and which HTTP version comes of it. Chains are made by `openssl`.

use std::{
    fs, io,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use adapters::{Cause, Outcome, Target, http::Http};
use rustls::{
    RootCertStore, ServerConfig,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    server::WebPkiClientVerifier,
};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::AbortHandle,
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};

use crate::{
    chains::Chains,
    log::Log,
    peer::{OK, config, outcome, target},
};

const UNREACHABLE: Outcome = Outcome::Retryable(Cause::Unreachable);

/// Two authorities, server certificates for `localhost`, and a client certificate.
fn chains() -> Option<Chains> {
    let chains = Chains::new()?;
    chains.issue("server", "subjectAltName=DNS:localhost");
    chains.issue("elsewhere", "subjectAltName=DNS:elsewhere.example");
    chains.issue_by("ca", "expired", ["2020", "2021"], "subjectAltName=DNS:localhost");
    chains.issue("client", "extendedKeyUsage=clientAuth");
    Some(chains)
}

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

pub(crate) fn server_config(
    chains: &Chains,
    certificate: &str,
    alpn: &[&str],
    ask_client: bool,
) -> ServerConfig {
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

#[tokio::test]
async fn alpn_settles_on_the_version() {
    let Some(chains) = chains() else { return };
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

/// Head and body are one record of TLS, and so one packet where they fit.
#[tokio::test]
async fn a_request_is_one_record() {
    let Some(chains) = chains() else { return };
    let peer = Peer::start(&chains, "server", &["http/1.1"], false).await;
    let between = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = between.local_addr().unwrap().port();
    let address = peer.url["https://".len()..].trim_end_matches('/').to_owned();
    let passing_on = tokio::spawn(async move {
        let (client, _) = between.accept().await.unwrap();
        let mut server = TcpStream::connect(address).await.unwrap();
        let (mut from_client, mut to_client) = client.into_split();
        let (mut from_server, mut to_server) = server.split();
        let mut seen = Vec::new();
        let there = async {
            while let Ok(length @ 1..) = from_client.read_buf(&mut seen).await {
                let new = seen.len() - length;
                to_server.write_all(&seen[new..]).await.unwrap();
            }
        };
        tokio::select! {
            () = there => (),
            _ = tokio::io::copy(&mut from_server, &mut to_client) => (),
        }
        seen
    });
    let target = target(&[&format!("https://localhost:{port}/")], trusting(&chains, "ca.pem", "HTTP_1_1"));
    assert_eq!(outcome(&target).await, Outcome::Delivered);
    drop(target);
    let sent = passing_on.await.unwrap();
    let (mut rest, mut kinds) = (&sent[..], Vec::new());
    while let [kind, _, _, high, low, ..] = rest {
        kinds.push(*kind);
        rest = &rest[5 + usize::from(u16::from_be_bytes([*high, *low]))..];
    }
    // Hello, a relic, the end of the handshake, the request, and perhaps the alert of a close.
    assert_eq!(kinds[..4], [22, 20, 23, 23], "{kinds:?}");
    assert!(kinds.len() <= 5, "{kinds:?}");
}

#[tokio::test]
async fn who_is_not_trusted_gets_nothing() {
    let Some(chains) = chains() else { return };
    for (certificate, authority, text) in [
        ("server", "other-ca.pem", "signed by an authority that is not trusted"),
        ("elsewhere", "ca.pem", "its certificate is for elsewhere.example, not for localhost"),
        ("expired", "ca.pem", "its certificate expired on Fri, 01 Jan 2021"),
        // As many have it in a trust store of Java.
        ("ca", "ca.pem", "its certificate is that of an authority (CA:TRUE"),
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
    let Some(chains) = chains() else { return };
    let peer = Peer::start(&chains, "server", &["h2"], false).await;
    // Where the system has no authorities at all, the target refuses to be built, and says what to do.
    match Http::new("test", config(&[&peer.url], json!({}))) {
        Ok(target) => assert_eq!(outcome(&target).await, UNREACHABLE),
        Err(error) => assert_eq!(error.key, "tls.ca-file"),
    }
}

#[tokio::test]
async fn a_client_certificate_opens_the_door() {
    let Some(chains) = chains() else { return };
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
    let Some(chains) = chains() else { return };
    let refused = |tls: Value| {
        let config = config(&["https://localhost/"], json!({"tls": tls}));
        Http::new("test", config).unwrap_err().key
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
    let Some(chains) = chains() else { return };
    for (authority, healthy) in [("ca.pem", true), ("other-ca.pem", false)] {
        let (log, _guard) = Log::start();
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
        let reason =
            "reason=\"its certificate is signed by an authority that is not trusted (see tls.ca-file)\"";
        assert_eq!(log.lines().iter().any(|line| line.contains(reason)), !healthy, "{:?}", log.lines());
    }
}

#[tokio::test]
async fn files_that_change_are_used_for_new_connections() {
    let Some(chains) = chains() else { return };
    chains.issue_by("other-ca", "stranger", ["2020", "2099"], "extendedKeyUsage=clientAuth");
    fs::copy(chains.path("other-ca.pem"), chains.path("trusted.pem")).unwrap();
    for kind in ["pem", "key"] {
        fs::copy(chains.path(&format!("stranger.{kind}")), chains.path(&format!("own.{kind}"))).unwrap();
    }
    let peer = Peer::start(&chains, "server", &["h2"], true).await;
    let settings = json!({
        "protocol": "HTTP_2",
        "connection-ttl": 1,
        "health-check": {"interval-seconds": 1, "unhealthy-threshold": 1, "healthy-threshold": 1},
        "tls": {
            "ca-file": chains.path("trusted.pem"),
            "certificate-file": chains.path("own.pem"),
            "key-file": chains.path("own.key"),
        },
    });
    let (log, _guard) = Log::start();
    let log = &log;
    let look_every = Duration::from_millis(10);
    let target = Http::reloading("test", config(&[&peer.url], settings), look_every).unwrap();
    assert_eq!(outcome(&target).await, UNREACHABLE, "the peer's authority is not trusted");

    // Authority and identity one after the other, as an operator who changes both would see it.
    fs::copy(chains.path("ca.pem"), chains.path("trusted.pem")).unwrap();
    logged(log, "new connections use them").await;
    assert_eq!(outcome(&target).await, UNREACHABLE, "the peer does not know our certificate");
    chains.replace("own", "client");
    within(log, async {
        while outcome(&target).await != Outcome::Delivered {
            tokio::task::yield_now().await;
        }
    })
    .await;
    let probed = target.endpoints()[0].health_success;
    within(log, async {
        while target.endpoints()[0].health_success == probed {
            tokio::task::yield_now().await;
        }
    })
    .await;

    // What is broken now is complained about, and what was good is still in use.
    fs::write(chains.path("own.key"), "-----BEGIN PRIVATE KEY----- hunter2").unwrap();
    logged(log, "those read before stay in use: tls.key-file: ").await;
    assert_eq!(outcome(&target).await, Outcome::Delivered);
    let lines = log.lines();
    assert!(lines.iter().any(|line| line.contains("certificate=\"CN=client, valid until")), "{lines:?}");
    assert!(!lines.iter().any(|line| line.contains("hunter2")), "{lines:?}");
}

async fn logged(log: &Log, text: &str) {
    within(log, async {
        while !log.lines().iter().any(|line| line.contains(text)) {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

#[track_caller]
fn within(log: &Log, done: impl Future<Output = ()>) -> impl Future<Output = ()> {
    let from = std::panic::Location::caller();
    async move {
        let done = tokio::time::timeout(Duration::from_secs(60), done).await;
        assert!(done.is_ok(), "{from}: not within a minute, but\n{:#?}", log.lines());
    }
}
