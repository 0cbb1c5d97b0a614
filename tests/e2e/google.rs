//! Google functions: the functions framework runs one, `google-auth` judges the tokens, which come from where Google's own
//! come from, played by `tests/google/issuer.py`.

use std::{
    fs,
    io::{BufRead as _, BufReader},
    path::{Path, PathBuf},
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

pub(crate) const AUDIENCE: &str = "https://orders-abcdefghij-ew.a.run.app";
const ACCOUNT: &str = "connector@my-project.iam.gserviceaccount.com";

/// A function, and who hands out tokens for it.
pub(crate) struct Bench {
    folder: TempDir,
    pub(crate) issuer: Issuer,
    pub(crate) url: String,
    pub(crate) taken: PathBuf,
    _function: Running,
}

impl Bench {
    /// `None` without Python or PyPI. `invokers` may call the function.
    fn start(invokers: &str) -> Option<Self> {
        Self::failing(invokers, &[])
    }

    /// With `faults`, which are variables for `processing.py`.
    pub(crate) fn failing(invokers: &str, faults: &[(&str, &str)]) -> Option<Self> {
        let python = python::with_google()?;
        let folder = tempfile::tempdir().unwrap();
        let issuer = Issuer::start(&python, folder.path());
        let taken = folder.path().join("taken");
        let source = repository().join("tests/google/function.py");
        let mut function = Command::new(python.with_file_name("functions-framework"));
        function.args(["--target", "records", "--host", "127.0.0.1", "--port", "0", "--source"]).arg(source);
        let settings =
            [("AUDIENCE", AUDIENCE), ("CERTS", &issuer.keys()), ("INVOKERS", invokers), ("OWN", "Basic own")];
        function
            .envs(settings)
            .envs(faults.iter().copied())
            .env("TAKEN", &taken)
            .env("GUNICORN_LOG_LEVEL", "info")
            .env("WORKERS", "1");
        let mut function = piped(&mut function).stderr(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(function.stderr.take().unwrap()).lines().map(Result::unwrap);
        let address =
            lines.find_map(|line| Some(line.split_once("Listening at: ")?.1.split(' ').next()?.to_owned()));
        let address = address.expect("the functions framework starts");
        // Read on, or it would block once the pipe is full.
        std::thread::spawn(move || lines.for_each(drop));
        let url = format!("{address}/records");
        Some(Self { folder, issuer, url, taken, _function: Running(function) })
    }

    /// A sender that finds a metadata server, with settings beside the usual ones.
    fn sender(&self, more: Value) -> Sender {
        self.sender_with(more, &[])
    }

    fn sender_with(&self, more: Value, variables: &[(&str, &str)]) -> Sender {
        let host = format!("127.0.0.1:{}", self.issuer.port);
        let mut settings = json!({
            "urls": [self.url],
            "protocol": "HTTP_1_1",
            "max-connections-per-endpoint": 16,
            "partial-response": true,
            "health-check": {"enabled": false},
            "call-timeout": 20_000,
            "connect-timeout": 10_000,
            "audience": AUDIENCE,
        });
        settings.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let variables: Vec<_> =
            [("GCE_METADATA_HOST", host.as_str())].into_iter().chain(variables.iter().copied()).collect();
        Sender::start("gcp-functions", &settings, &variables, self.folder.path())
    }

    /// Writes a credential file of workload identity federation, as `gcloud` makes it; its path.
    fn federated(&self, account: Option<&str>) -> String {
        let base = format!("http://127.0.0.1:{}/v1", self.issuer.port);
        let subject = self.folder.path().join("subject-token");
        fs::write(&subject, "the-subject-token").unwrap();
        let mut file = json!({
            "type": "external_account",
            "audience": "//iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/p/providers/q",
            "subject_token_type": "urn:ietf:params:oauth:token-type:jwt",
            "token_url": format!("{base}/token"),
            "credential_source": {"file": subject},
        });
        if let Some(account) = account {
            let url = format!("{base}/projects/-/serviceAccounts/{account}:generateAccessToken");
            file["service_account_impersonation_url"] = url.into();
        }
        let path = self.folder.path().join("adc.json");
        fs::write(&path, file.to_string()).unwrap();
        path.to_str().unwrap().to_owned()
    }
}

#[test]
fn tokens_are_replaced_before_they_expire_and_when_their_key_is_revoked() {
    let Some(mut bench) = Bench::start("12345") else { return };
    bench.issuer.order(&json!({"life": 5}));
    let mut sender = bench.sender(json!({}));
    let mut sent = 0;
    // Every token lives for 5 s, and three of them are seen. No request asks for one.
    while sender.fetches() != "3 and 0 failed" {
        assert_eq!(sender.deliver(sent..sent + 10, 5), "done Some(200)");
        sent += 10;
    }
    // Refused all at once, they ask for one together.
    bench.issuer.order(&json!({"life": 3600, "revoke": true}));
    assert_eq!(sender.deliver(sent..sent + 40, 20), "done Some(200)");
    sent += 40;
    assert_eq!(bench.issuer.count("identity"), 4);
    assert_eq!(sender.fetches(), "4 and 0 failed");

    // One that lives serves on while nobody gives another.
    bench.issuer.order(&json!({"fail": 500}));
    assert_eq!(sender.deliver(sent..sent + 10, 2), "done Some(200)");
    sent += 10;
    assert_eq!(taken(&bench.taken), (0..sent).collect::<Vec<_>>(), "each once");
    assert!(sender.probe().starts_with("fine: "));
    let log = sender.quiet();
    assert!(log.contains("TRACE hyper") && log.contains("DEBUG"), "libraries log too");
}

#[test]
fn a_refusal_says_what_is_missing() {
    let Some(mut bench) = Bench::start("12345") else { return };
    let mut sender = bench.sender(json!({"audience": "https://another.run.app"}));
    for _ in 0..3 {
        assert_eq!(sender.deliver(0..2, 1), "credentials Some(401)");
    }
    let asked = bench.issuer.count("identity");
    assert!((2..=3).contains(&asked), "asked {asked} times: once more, and not for every refusal");
    let words = sender.probe();
    assert!(words.starts_with("audience: ") && words.contains("https://another.run.app"), "{words}");
    let log = sender.quiet();
    assert!(log.contains("its audience is https://another.run.app"), "the log says it too");

    // Without `audience` it is the address, which is not what the function is called.
    let mut sender = bench.sender(json!({"audience": null}));
    let words = sender.probe();
    assert!(words.contains("its audience is http://127.0.0.1:"), "{words}");
    sender.quiet();
    assert!(taken(&bench.taken).is_empty());
}

#[test]
fn whoever_may_not_call_is_named() {
    let Some(bench) = Bench::start("somebody-else") else { return };
    let mut sender = bench.sender(json!({}));
    assert_eq!(sender.deliver(0..2, 1), "hold Some(403)");
    let words = sender.probe();
    assert!(
        words.starts_with("permission: ")
            && words.contains("12345 may not")
            && words.contains("roles/run.invoker"),
        "{words}"
    );
    sender.quiet();
}

#[test]
fn nobody_gives_a_token() {
    let Some(mut bench) = Bench::start("12345") else { return };
    bench.issuer.order(&json!({"fail": 404}));
    let mut sender = bench.sender(json!({}));
    assert_eq!(sender.deliver(0..2, 1), "credentials None");
    let words = sender.probe();
    assert!(words.starts_with("credentials: ") && words.contains("from the metadata server"), "{words}");
    // It comes back, and so does the sender, without being told.
    bench.issuer.order(&json!({"fail": 0}));
    while sender.deliver(0..2, 1) != "done Some(200)" {}
    sender.quiet();

    // What no token should be like: one that has no end is used until it is refused.
    bench.issuer.order(&json!({"without": ["exp"]}));
    let mut sender = bench.sender(json!({}));
    assert_eq!(sender.deliver(2..4, 1), "credentials None");
    sender.quiet();
}

#[test]
fn federated_identities_go_by_a_service_account() {
    let Some(mut bench) = Bench::start(ACCOUNT) else { return };
    let file = bench.federated(Some(ACCOUNT));
    let variables = [("GOOGLE_APPLICATION_CREDENTIALS", file.as_str())];
    for (round, more) in [json!({}), json!({"impersonate": ACCOUNT})].into_iter().enumerate() {
        let mut sender = bench.sender_with(more, &variables);
        let first = round as u64 * 10;
        assert_eq!(sender.deliver(first..first + 10, 2), "done Some(200)");
        sender.quiet();
    }
    assert_eq!((bench.issuer.count("exchange"), bench.issuer.count("generate")), (2, 2));
    assert_eq!(bench.issuer.count("identity"), 0);
    assert_eq!(taken(&bench.taken), (0..20).collect::<Vec<_>>());

    // A key that is revoked makes all of it happen again, once.
    let mut sender = bench.sender_with(json!({}), &variables);
    assert_eq!(sender.deliver(20..30, 2), "done Some(200)");
    bench.issuer.order(&json!({"revoke": true}));
    assert_eq!(sender.deliver(30..40, 5), "done Some(200)");
    assert_eq!(bench.issuer.count("generate"), 4);
    sender.quiet();

    let file = bench.federated(None);
    let mut sender = bench.sender_with(json!({}), &[("GOOGLE_APPLICATION_CREDENTIALS", file.as_str())]);
    assert_eq!(sender.deliver(0..1, 1), "credentials None");
    let words = sender.probe();
    assert!(words.starts_with("credentials: ") && words.contains("`impersonate`"), "{words}");
    sender.quiet();
}

#[test]
fn a_header_of_the_services_own_is_left_to_it() {
    let Some(bench) = Bench::start("12345") else { return };
    let mut sender = bench.sender(json!({"headers": {"Authorization": "Basic own"}}));
    assert_eq!(sender.deliver(0..10, 2), "done Some(200)");
    assert_eq!(taken(&bench.taken), (0..10).collect::<Vec<_>>());
    let log = sender.quiet();
    assert!(!log.contains("Basic own"));
}

#[test]
fn credentials_that_are_not_there_or_no_credentials() {
    let Some(bench) = Bench::start("12345") else { return };
    let path = bench.folder.path().join("mine.json");
    let file = path.to_str().unwrap().to_owned();
    let probe = |bench: &Bench| {
        let mut sender = bench.sender_with(json!({}), &[("GOOGLE_APPLICATION_CREDENTIALS", file.as_str())]);
        let words = sender.probe();
        sender.quiet();
        assert!(words.starts_with("credentials: ") && words.contains("mine.json"), "{words}");
        words
    };
    assert!(probe(&bench).contains("cannot read"));
    let write = |path: &Path, text: &str| fs::write(path, text).unwrap();
    write(&path, "{\"private_key\": hunter2}");
    assert!(probe(&bench).contains("is not JSON, line 1"));
    write(&path, "{\"type\": \"service_account\", \"private_key\": {\"hunter2\": 1}}");
    assert!(probe(&bench).contains("cannot be used"));
}

#[test]
fn keys_of_accounts_and_impersonation_by_the_addresses_of_google() {
    let Some(mut bench) = Bench::start(&format!("{ACCOUNT} with-a-key@my-project.iam.gserviceaccount.com"))
    else {
        return;
    };
    let path = |name: &str| bench.folder.path().join(name).to_str().unwrap().to_owned();
    let (proxy, authority, key) =
        (format!("http://127.0.0.1:{}", bench.issuer.port), path("ca.pem"), path("key.json"));
    let google = [("HTTPS_PROXY", proxy.as_str()), ("SSL_CERT_FILE", authority.as_str())];

    let with_key = [google[0], google[1], ("GOOGLE_APPLICATION_CREDENTIALS", key.as_str())];
    let mut sender = bench.sender_with(json!({}), &with_key);
    assert_eq!(sender.deliver(0..10, 2), "done Some(200)");
    bench.issuer.order(&json!({"revoke": true}));
    assert_eq!(sender.deliver(10..20, 5), "done Some(200)");
    assert_eq!(bench.issuer.count("key"), 2);
    sender.quiet();

    // The account of the machine, in the place of another.
    let mut sender = bench.sender_with(json!({"impersonate": ACCOUNT}), &google);
    assert_eq!(sender.deliver(20..30, 2), "done Some(200)");
    assert_eq!((bench.issuer.count("metadata-access"), bench.issuer.count("generate")), (1, 1));
    sender.quiet();
    assert_eq!(taken(&bench.taken), (0..30).collect::<Vec<_>>());
}
