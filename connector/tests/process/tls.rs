//! TLS of both listeners against real clients: who is refused and what the log says of it, who is let in, and
//! certificates exchanged under traffic.

use std::{
    fs,
    io::Write as _,
    net::SocketAddr,
    process::{Command, Stdio},
    sync::Arc,
};

use esp_connector::simulator::particle::Particle;
use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject as _},
};
use tokio::{net::TcpStream, task::spawn_blocking};
use tokio_rustls::{TlsConnector, client::TlsStream};

use crate::{
    chains::Chains,
    harness::{Folder, Process, binary, command, get},
    receiver::Receiver,
    xdr_client::{Ack, XdrClient, write},
};

/// Certificates for the connector, and for every kind of client.
fn chains() -> Option<Chains> {
    let chains = Chains::new()?;
    let client = |name: &str| format!("extendedKeyUsage=clientAuth\nsubjectAltName=DNS:{name}.example");
    chains.issue("server", "subjectAltName=DNS:localhost,IP:127.0.0.1");
    chains.issue("node", &client("node"));
    chains.issue("old-node", "extendedKeyUsage=clientAuth");
    chains.issue("visitor", &client("visitor"));
    chains.issue("web", "extendedKeyUsage=serverAuth\nsubjectAltName=DNS:node.example");
    chains.issue_by("ca", "expired", ["2020", "2021"], &client("node"));
    chains.issue_by("ca", "early", ["2098", "2099"], &client("node"));
    chains.issue_by("other-ca", "stranger", ["2020", "2099"], &client("node"));
    Some(chains)
}

/// Mutual TLS on both listeners and nothing in clear text: names for XDR, any name for management.
fn config(chains: &Chains, receiver: &Receiver) -> String {
    let (folder, url) = (chains.folder().display(), receiver.url("/"));
    format!(
        "service:
  address: 127.0.0.1
  tls:
    port: 0
    certificate-file: {folder}/server.pem
    key-file: {folder}/server.key
    ca-file: {folder}/ca.pem
    allowed-peer-names: [NODE.example, old-node]
  manage:
    address: 127.0.0.1
    tls:
      port: 0
      certificate-file: {folder}/server.pem
      key-file: {folder}/server.key
      ca-file: {folder}/ca.pem
      mutual-auth: true
destinations:
  receiver: {{urls: ['{url}'], protocol: HTTP_1_1, max-connections-per-endpoint: 4}}
format: {{mode: flat-json, metadata-key: _meta}}
routing: {{mode: static, destination: receiver}}
"
    )
}

/// `openssl s_client` with more options; says `say` when it is connected, and tells what it got.
async fn s_client(chains: &Chains, address: SocketAddr, options: &[&str], say: &'static str) -> String {
    let mut command = Command::new("openssl");
    command.args(["s_client", "-connect", &address.to_string(), "-CAfile", "ca.pem", "-quiet", "-ign_eof"]);
    command.args(["-verify_return_error"]).args(options).current_dir(chains.folder());
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let run = spawn_blocking(move || {
        let mut child = command.spawn().unwrap();
        // It may be refused before it has read this.
        let _ = child.stdin.take().unwrap().write_all(say.as_bytes());
        child.wait_with_output().unwrap()
    });
    let output = tokio::time::timeout(crate::harness::WITHIN, run).await.expect("it ends").unwrap();
    String::from_utf8_lossy(&output.stdout).into_owned()
}

const HEALTH: &str = "GET /healthz HTTP/1.1\r\nHost: connector\r\nConnection: close\r\n\r\n";
const METRICS: &str =
    "GET /manage/rest/v1/prometheus HTTP/1.1\r\nHost: connector\r\nConnection: close\r\n\r\n";

#[tokio::test(flavor = "multi_thread")]
async fn who_must_not_connect_is_refused_with_a_line_that_says_why() {
    let Some(chains) = chains() else { return };
    let receiver = Receiver::start().await;
    let folder = Folder::with(&config(&chains, &receiver));
    let (mut process, xdr) = Process::run(&folder).await;
    let manage = process.address("listening for management").await;
    assert!(process.line("TLS is set up listener=\"xdr\"").await.contains("CN=server, valid until"));

    let cert = |name: &'static str| {
        vec!["-cert".to_owned(), format!("{name}.pem"), "-key".to_owned(), format!("{name}.key")]
    };
    let plain = |text: &str| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    let old = plain("-cert node.pem -key node.key -tls1_1 -cipher DEFAULT:@SECLEVEL=0");
    let ciphers = plain("-cert node.pem -key node.key -tls1_2 -cipher ECDHE-RSA-AES128-SHA");
    let everywhere = [
        (cert("expired"), "expired", "its certificate, or one above it, expired on Fri, 01 Jan 2021"),
        (cert("early"), "not-yet-valid", "its certificate is not valid before Wed, 01 Jan 2098"),
        (cert("stranger"), "unknown-ca", "its certificate is not signed by an authority in ca-file"),
        (vec![], "no-certificate", "it shows no certificate, and mutual TLS asks for one"),
        (
            cert("web"),
            "bad-certificate",
            "its certificate is not for clients (extended key usage clientAuth)",
        ),
        (old, "protocol-version", "it offers no version of TLS that is accepted here"),
        (ciphers, "cipher-suite", "it offers no cipher suite that is accepted here"),
    ];
    let wrong_name = (
        cert("visitor"),
        "wrong-name",
        "its certificate is for visitor.example, and allowed-peer-names has NODE.example, old-node",
    );
    let mut reasons = Vec::new();
    for (address, listener) in [(xdr, "xdr"), (manage, "manage")] {
        let named = (listener == "xdr").then_some(&wrong_name);
        for (options, reason, words) in everywhere.iter().chain(named) {
            let options: Vec<&str> = options.iter().map(String::as_str).collect();
            let got = s_client(&chains, address, &options, HEALTH).await;
            assert_eq!(got, "", "{reason}: nothing is served to who is refused");
            let line = format!("listener=\"{listener}\" suppressed=0");
            let all =
                process.line_with(&[words, "refused a TLS connection: ", &line, "peer=127.0.0.1:"]).await;
            assert!(all.contains("WARN"), "{all}");
            reasons.push(format!("listener=\"{listener}\",reason=\"{reason}\"}} 1"));
        }
    }

    // In clear text to the TLS ports: a source, and a browser.
    let mut clear = XdrClient::connect(xdr).await.unwrap();
    clear.send(&write("demo", 1, &[("n", Particle::Integer(1))])).await.unwrap();
    clear.ack().await.unwrap_err();
    process.line_with(&["it speaks clear text to the TLS port; give the source a tls-name", "\"xdr\""]).await;
    // Closed with what it said unread, which is an error and not an end to who said it.
    get(manage, "/healthz").await.unwrap_err();
    process.line_with(&["it speaks clear-text HTTP to the TLS port; ask with https://", "\"manage\""]).await;

    // And those who may: a name among the alternative ones, a common name, any name for management.
    for name in ["node", "old-node"] {
        let mut source = XdrClient::over(connect(&chains, xdr, name).await);
        source.send(&write("demo", 1, &[("n", Particle::Integer(1))])).await.unwrap();
        assert_eq!(source.ack().await.unwrap(), Ack::OK, "{name}");
    }
    let visitor = ["-cert", "visitor.pem", "-key", "visitor.key"];
    let health = s_client(&chains, manage, &visitor, HEALTH).await;
    assert!(health.starts_with("HTTP/1.1 200"), "{health}");
    let metrics = s_client(&chains, manage, &visitor, METRICS).await;
    for reason in reasons {
        let line = metrics.lines().find(|line| line.ends_with(&reason));
        assert!(
            line.is_some_and(|line| line.starts_with("esp_connector_tls_handshake_failures_total{")),
            "{reason} in {metrics}"
        );
    }
    assert!(metrics.contains("esp_connector_tls_certificate_expiry_seconds{"), "{metrics}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_simulated_cluster_ships_over_mutual_tls() {
    let Some(chains) = chains() else { return };
    let receiver = Receiver::start().await;
    let folder = Folder::with(&config(&chains, &receiver));
    let (_process, xdr) = Process::run(&folder).await;
    let simulate = |identity: &'static str| {
        let mut command = binary();
        command.args(["simulate", "--records", "2000", "--deadline", "60", "--to"]).arg(xdr.to_string());
        command.args(["--tls-name", "localhost", "--tls-ca"]).arg(chains.path("ca.pem"));
        command.arg("--tls-certificate").arg(chains.path(&format!("{identity}.pem")));
        command.arg("--tls-key").arg(chains.path(&format!("{identity}.key")));
        spawn_blocking(move || command.output().unwrap())
    };
    let output = simulate("node").await.unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{text}{}", String::from_utf8_lossy(&output.stderr));
    assert!(receiver.confirmed().len() >= 2000, "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn certificates_are_exchanged_under_traffic() {
    let Some(chains) = chains() else { return };
    chains.issue("next", "subjectAltName=DNS:localhost");
    let receiver = Receiver::start().await;
    let folder = Folder::with(&config(&chains, &receiver));
    let (mut process, xdr) = Process::run(&folder).await;
    let mut source = XdrClient::over(connect(&chains, xdr, "node").await);
    let mut shipped = 0;
    let mut ship_until = async |process: &mut Process, words: &[&str]| -> String {
        let line = process.line_with(words);
        tokio::pin!(line);
        loop {
            shipped += 1;
            source.send(&write("demo", shipped, &[("n", Particle::Integer(shipped))])).await.unwrap();
            assert_eq!(source.ack().await.unwrap(), Ack::OK, "the connection from before goes on");
            tokio::select! {
                biased;
                line = &mut line => return line,
                () = tokio::task::yield_now() => {}
            }
        }
    };

    // A certificate without its key: nothing changes, and that is said.
    let own = fs::read(chains.path("server.pem")).unwrap();
    fs::copy(chains.path("next.pem"), chains.path("server.pem")).unwrap();
    let words = ["cannot be used, those read before stay in use: key-file: does not go with", "xdr listener"];
    ship_until(&mut process, &words).await;
    assert_eq!(shown(&chains, xdr).await, own_der(&own));

    fs::copy(chains.path("next.key"), chains.path("server.key")).unwrap();
    let line =
        ship_until(&mut process, &["TLS files changed; new connections use them", "xdr listener"]).await;
    assert!(line.contains("CN=next, valid until"), "{line}");
    assert_eq!(shown(&chains, xdr).await, own_der(&fs::read(chains.path("next.pem")).unwrap()));
    ship_until(&mut process, &["TLS files changed; new connections use them", "manage listener"]).await;

    // Authorities too: who was trusted is not any more, on new connections.
    fs::copy(chains.path("other-ca.pem"), chains.path("ca.pem.next")).unwrap();
    let trusted = fs::read(chains.path("ca.pem")).unwrap();
    fs::rename(chains.path("ca.pem.next"), chains.path("ca.pem")).unwrap();
    process.lines("TLS files changed; new connections use them", 4).await;
    fs::write(chains.path("trusted.pem"), trusted).unwrap();
    let got =
        s_client(&chains, xdr, &["-CAfile", "trusted.pem", "-cert", "node.pem", "-key", "node.key"], HEALTH)
            .await;
    assert_eq!(got, "");
    process
        .line_with(&["refused a TLS connection: its certificate is not signed by an authority in ca-file"])
        .await;
    ship_until(&mut process, &["refused a TLS connection"]).await;

    process.terminate();
    let (status, printed) = process.end_and_printed().await;
    assert_eq!(status.code(), Some(0), "{printed}");
    assert_eq!(receiver.confirmed().len(), usize::try_from(shipped).unwrap());
    assert!(!printed.contains("PRIVATE KEY") && !printed.contains("connection lost"), "{printed}");
}

#[test]
fn check_and_run_tell_what_is_wrong_with_certificates() {
    let Some(chains) = chains() else { return };
    fs::write(chains.path("nonsense.pem"), "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
        .unwrap();
    let said = |subcommand: &str, certificate: &str, key: &str| {
        let folder = Folder::with(&format!(
            "service:
  tls:
    port: 0
    certificate-file: {0}/{certificate}
    key-file: {0}/{key}
routing: {{mode: skip}}
",
            chains.folder().display()
        ));
        let output = command([subcommand.as_ref(), "--config".as_ref(), folder.config().as_os_str()]);
        let text = [output.stdout, output.stderr].concat();
        (output.status.code(), String::from_utf8(text).unwrap())
    };
    for (certificate, key, expected) in [
        (
            "missing.pem",
            "server.key",
            ["connector.yml:4: service.tls.certificate-file: cannot read ", "missing.pem"],
        ),
        ("server.pem", "server.pem", ["connector.yml:5: service.tls.key-file: ", "holds no PEM private key"]),
        (
            "server.key",
            "server.key",
            ["connector.yml:4: service.tls.certificate-file: ", "holds no PEM certificate"],
        ),
        (
            "server.pem",
            "node.key",
            ["connector.yml:5: service.tls.key-file: ", "does not go with the certificate"],
        ),
        (
            "nonsense.pem",
            "server.key",
            ["connector.yml:4: service.tls.certificate-file: ", "certificate 1 in "],
        ),
    ] {
        for subcommand in ["check", "run"] {
            let (code, text) = said(subcommand, certificate, key);
            assert_eq!(code, Some(64), "{text}");
            for part in expected {
                assert!(text.contains(part), "{part:?} is not in {text}");
            }
        }
    }
    let (code, text) = said("check", "expired.pem", "expired.key");
    assert_eq!(code, Some(0), "{text}");
    let warning = "connector.yml:4: service.tls.certificate-file: the certificate of CN=expired expired on Fri, 01 Jan 2021";
    assert!(text.contains(warning), "{text}");
    let folder = Folder::with(&format!(
        "destinations:
  orders:
    urls: ['https://localhost/']
    tls: {{ca-file: {0}/ca.pem, certificate-file: {0}/expired.pem, key-file: {0}/expired.key}}
format: json
routing: {{mode: static, destination: orders}}
",
        chains.folder().display()
    ));
    let output = command(["check".as_ref(), "--config".as_ref(), folder.config().as_os_str()]);
    let text = String::from_utf8(output.stdout).unwrap();
    let warning =
        "connector.yml:4: destinations.orders.tls.certificate-file: the certificate of CN=expired expired on";
    assert!(output.status.success() && text.contains(warning), "{text}");

    let (code, text) = said("check", "server.pem", "server.key");
    assert_eq!(code, Some(0), "{text}");
    assert!(text.contains("(TLS 1.2 and 1.3 as CN=server, valid until Thu, 01 Jan 2099"), "{text}");
}

async fn connect(chains: &Chains, address: SocketAddr, identity: &str) -> TlsStream<TcpStream> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(chains.path("ca.pem")).unwrap()).unwrap();
    let chain = vec![CertificateDer::from_pem_file(chains.path(&format!("{identity}.pem"))).unwrap()];
    let key = PrivateKeyDer::from_pem_file(chains.path(&format!("{identity}.key"))).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_client_auth_cert(chain, key)
        .unwrap();
    let name = ServerName::try_from("localhost").unwrap();
    let stream = TcpStream::connect(address).await.unwrap();
    TlsConnector::from(Arc::new(config)).connect(name, stream).await.unwrap()
}

/// The certificate a new connection gets to see.
async fn shown(chains: &Chains, address: SocketAddr) -> Vec<u8> {
    let stream = connect(chains, address, "node").await;
    stream.get_ref().1.peer_certificates().unwrap()[0].to_vec()
}

fn own_der(pem: &[u8]) -> Vec<u8> {
    CertificateDer::from_pem_slice(pem).unwrap().to_vec()
}
