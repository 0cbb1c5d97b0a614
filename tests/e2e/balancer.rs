//! A load balancer that takes JSON web tokens, from a file and from the AWS security token service.

use std::{
    fs,
    io::{BufRead as _, BufReader},
    path::PathBuf,
    process::{Command, Stdio},
};

use e2e::repository;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{
    issuer::{Issuer, Running, piped, taken},
    python,
    sender::Sender,
};

const ISSUER: &str = "https://issuer.tokens.sts.global.api.aws";
pub(crate) const AUDIENCE: &str = "records.example.net";

/// A load balancer, and who hands out tokens for it.
pub(crate) struct Bench {
    folder: TempDir,
    pub(crate) issuer: Issuer,
    pub(crate) port: u16,
    pub(crate) taken: PathBuf,
    _balancer: Running,
}

impl Bench {
    fn start() -> Option<Self> {
        Self::failing(&[])
    }

    /// With `faults`, which are variables for `processing.py`.
    pub(crate) fn failing(faults: &[(&str, &str)]) -> Option<Self> {
        let python = python::with_google()?;
        let folder = tempfile::tempdir().unwrap();
        let issuer = Issuer::start(&python, folder.path());
        let taken = folder.path().join("taken");
        let script = repository().join("tests/google/balancer.py");
        let mut balancer = Command::new(python);
        balancer.arg(script).args([&issuer.keys(), ISSUER, AUDIENCE]).stderr(Stdio::null());
        balancer.envs(faults.iter().copied()).env("TAKEN", &taken);
        let mut balancer = piped(&mut balancer).spawn().unwrap();
        let mut lines = BufReader::new(balancer.stdout.take().unwrap()).lines();
        let port = lines.next().unwrap().unwrap().parse().unwrap();
        Some(Self { folder, issuer, port, taken, _balancer: Running(balancer) })
    }

    fn sender(&self, token: Value) -> Sender {
        let sts = format!("http://127.0.0.1:{}", self.issuer.port);
        let variables = [
            ("AWS_ENDPOINT_URL_STS", sts.as_str()),
            ("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE"),
            ("AWS_SECRET_ACCESS_KEY", "hunter2"),
            ("AWS_REGION", "eu-west-1"),
            ("AWS_EC2_METADATA_DISABLED", "true"),
        ];
        let settings = json!({
            "urls": [format!("http://127.0.0.1:{}/orders", self.port)],
            "protocol": "HTTP_1_1",
            "max-connections-per-endpoint": 16,
            "health-check": {"enabled": false},
            "call-timeout": 20_000,
            "connect-timeout": 10_000,
            "token": token,
        });
        Sender::start("aws-alb", &settings, &variables, self.folder.path())
    }
}

#[test]
fn tokens_of_aws_are_replaced_before_they_expire_and_when_they_are_refused() {
    let Some(mut bench) = Bench::start() else { return };
    bench.issuer.order(&json!({"life": 5}));
    let mut sender = bench.sender(json!({"aws-web-identity": {"audience": AUDIENCE}}));
    let mut sent = 0;
    while sender.fetches() != "3 and 0 failed" {
        assert_eq!(sender.deliver(sent..sent + 10, 5), "done Some(200)");
        sent += 10;
    }
    bench.issuer.order(&json!({"life": 3600, "revoke": true}));
    assert_eq!(sender.deliver(sent..sent + 40, 20), "done Some(200)");
    sent += 40;
    assert_eq!(bench.issuer.count("web-identity"), 4);
    assert_eq!(taken(&bench.taken), (0..sent).collect::<Vec<_>>(), "each once");
    assert!(sender.probe().starts_with("fine: "));
    sender.quiet();

    let mut sender = bench.sender(json!({"aws-web-identity": {"audience": "somebody.else"}}));
    assert_eq!(sender.deliver(0..1, 1), "credentials Some(401)");
    let words = sender.probe();
    assert!(
        words.starts_with("credentials: ")
            && words.contains("AWS STS (GetWebIdentityToken for audience somebody.else)"),
        "{words}"
    );
    sender.quiet();

    bench.issuer.order(&json!({"fail": 403}));
    let mut sender = bench.sender(json!({"aws-web-identity": {"audience": AUDIENCE}}));
    assert_eq!(sender.deliver(0..1, 1), "credentials None");
    let words = sender.probe();
    assert!(words.contains("AccessDenied") && words.contains("sts:GetWebIdentityToken"), "{words}");
    sender.quiet();
}

#[test]
fn a_token_in_a_file_is_read_again() {
    let Some(mut bench) = Bench::start() else { return };
    let file = bench.folder.path().join("token");
    // Something else gets the tokens and writes them; here, a probe that asks for one.
    let mut sender = bench.sender(json!({"file": file}));
    assert_eq!(sender.deliver(0..1, 1), "credentials None");
    assert!(sender.probe().contains("cannot open it"));
    let write = |bench: &mut Bench| {
        let token = bench.issuer.token(ISSUER, AUDIENCE);
        fs::write(file.with_extension("new"), format!("{token}\n")).unwrap();
        fs::rename(file.with_extension("new"), &file).unwrap();
    };
    write(&mut bench);
    // One by one, or some of the first would be delivered, and come again with the others.
    while sender.deliver(0..1, 1) != "done Some(200)" {}
    assert_eq!(taken(&bench.taken), [0]);
    assert_eq!(sender.deliver(1..10, 2), "done Some(200)");

    // Replaced together with the key: refused once, and read again at once.
    bench.issuer.order(&json!({"revoke": true}));
    write(&mut bench);
    assert_eq!(sender.deliver(10..20, 5), "done Some(200)");
    assert_eq!(taken(&bench.taken), (0..20).collect::<Vec<_>>());
    let log = sender.quiet();
    assert!(log.contains("file "), "the log says whose token it is");
}
