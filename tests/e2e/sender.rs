//! A target in a process of its own: what tokens are asked for with comes from environment variables. It logs everything that
//! any library has to say, for [`Sender::quiet`] to look through.

use std::{
    env, fs,
    io::{BufRead as _, BufReader, Lines, Write as _},
    num::NonZeroUsize,
    path::{Path, PathBuf},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
};

use adapters::{Payload, SharedTarget, TargetConfig};
use serde_json::{Value, json};

/// Set for the child: `type` and settings of the target.
const TARGET: &str = "SENDER_TARGET";
/// In every record.
const SECRET: &str = "hunter2-of-a-bin";

/// A running child, which is ended with this.
pub(crate) struct Sender {
    child: Child,
    orders: ChildStdin,
    answers: Lines<BufReader<ChildStdout>>,
    log: PathBuf,
}

impl Sender {
    /// A target of `kind` with `settings`, in a process with no other variables than `variables`, that logs into `folder`.
    pub(crate) fn start(kind: &str, settings: &Value, variables: &[(&str, &str)], folder: &Path) -> Self {
        let log = folder.join(format!("sender-{}.log", fs::read_dir(folder).unwrap().count()));
        let mut child = Command::new(env::current_exe().unwrap())
            .args(["sender::child", "--exact", "--nocapture"])
            .env_clear()
            .env("HOME", folder)
            .envs(variables.iter().copied())
            .env(TARGET, json!([kind, settings]).to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(fs::File::create(&log).unwrap())
            .spawn()
            .unwrap();
        let orders = child.stdin.take().unwrap();
        let answers = BufReader::new(child.stdout.take().unwrap()).lines();
        Self { child, orders, answers, log }
    }

    /// Delivers records with these numbers, `at_once` so many to a request; the ends that the requests came to, each once.
    pub(crate) fn deliver(&mut self, numbers: std::ops::Range<u64>, at_once: usize) -> String {
        self.order(&json!({"deliver": [numbers.start, numbers.end], "at-once": at_once}))
    }

    /// What a probe says.
    pub(crate) fn probe(&mut self) -> String {
        self.order(&json!({"probe": true}))
    }

    /// Tokens that were fetched, and fetches that failed.
    pub(crate) fn fetches(&mut self) -> String {
        self.order(&json!({"fetches": true}))
    }

    fn order(&mut self, order: &Value) -> String {
        writeln!(self.orders, "{order}").unwrap();
        let answer = self.answers.find_map(|line| line.unwrap().strip_prefix("ANSWER ").map(str::to_owned));
        answer.unwrap_or_else(|| panic!("the sender ended: {}", fs::read_to_string(&self.log).unwrap()))
    }

    /// Ends it; its log, which holds neither tokens nor records.
    pub(crate) fn quiet(mut self) -> String {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        let log = fs::read_to_string(&self.log).unwrap();
        assert!(!log.is_empty(), "nothing is logged");
        // How JSON web tokens and Google's access tokens begin, and what else is nobody's business.
        for secret in ["eyJ", "ya29.", "the-subject-token", "hunter2", "BEGIN PRIVATE KEY"] {
            let line = log.lines().find(|line| line.contains(secret));
            assert!(line.is_none(), "{secret} is in the log: {line:?}");
        }
        log
    }
}

impl Drop for Sender {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Carries orders out until its input ends. Only with a target.
#[tokio::test(flavor = "multi_thread")]
async fn child() {
    let Ok(settings) = env::var(TARGET) else { return };
    let everything = tracing_subscriber::fmt().with_max_level(tracing_subscriber::filter::LevelFilter::TRACE);
    everything.with_ansi(false).with_writer(std::io::stderr).init();
    let (kind, settings): (String, Value) = serde_json::from_str(&settings).unwrap();
    let config = match kind.as_str() {
        "gcp-functions" => TargetConfig::GcpFunctions(serde_json::from_value(settings).unwrap()),
        "aws-alb" => TargetConfig::AwsAlb(serde_json::from_value(settings).unwrap()),
        other => panic!("{other}"),
    };
    let target = config.build("orders").unwrap();
    for line in std::io::stdin().lines() {
        let order: Value = serde_json::from_str(&line.unwrap()).unwrap();
        let answer = if let Some(range) = order["deliver"].as_array() {
            let numbers = range[0].as_u64().unwrap()..range[1].as_u64().unwrap();
            deliver(&target, numbers, usize::try_from(order["at-once"].as_u64().unwrap()).unwrap()).await
        } else if order["fetches"] == true {
            let access = target.access().unwrap();
            format!("{} and {} failed", access.fetched, access.fetch_failures)
        } else {
            match target.probe().await {
                Ok(words) => format!("fine: {words}"),
                Err(failure) => failure.to_string(),
            }
        };
        println!("ANSWER {answer}");
    }
}

async fn deliver(target: &SharedTarget, numbers: std::ops::Range<u64>, at_once: usize) -> String {
    let numbers: Vec<u64> = numbers.collect();
    let deliveries: Vec<_> = numbers
        .chunks(numbers.len().div_ceil(at_once))
        .map(|numbers| {
            let records: Vec<Value> =
                numbers.iter().map(|number| json!({"number": number, "bin": SECRET})).collect();
            let payload = Payload {
                body: serde_json::to_vec(&records).unwrap().into(),
                content_type: "application/json".into(),
                count: NonZeroUsize::new(numbers.len()).unwrap(),
                request: None,
            };
            let target = target.clone();
            tokio::spawn(async move { target.deliver(&payload).await })
        })
        .collect();
    let mut ends = std::collections::BTreeSet::new();
    for delivery in deliveries {
        let report = delivery.await.unwrap();
        ends.insert(format!("{} {:?}", report.class.as_str(), report.status));
    }
    ends.into_iter().collect::<Vec<_>>().join(", ")
}
