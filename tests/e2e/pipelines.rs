//! Each example of `infra/terraform` from end to end: the functions that it deploys, the roles and the configuration of its plan,
//! and every record that was shipped looked for where the pipeline ends.
//!
//! ```sh
//! PIPELINE_RECORDS=10000 cargo test -p e2e --test e2e -- pipelines --nocapture
//! ```
//!
//! prints the table of `infra/terraform/README.md`: one after the other, with as many records as asked for, and what
//! `terraform test` says of each example.

use std::{
    collections::{BTreeMap, BTreeSet},
    env,
    path::Path,
    pin::Pin,
    process::Command,
    time::{Duration, Instant},
};

use e2e::{
    ConnectorProcess,
    records::{archived, digest, shipped},
    repository,
};
use esp_connector::simulator::{
    Settings, Simulation,
    workload::{BinType, KeyType, Workload},
};
use futures_util::future::join_all;
use serde_json::Value;

use crate::{
    consumers::{archive_to_gcs, to_gcs},
    gcs::Bucket,
    issuer::Issuer,
    python,
    topology::{EndsIn, Topology, plan},
};

/// Where nobody asks for a table.
const RECORDS: u32 = 500;

/// Of AWS, each with the function that its README deploys.
const EXAMPLES: [(&str, &str, &str); 4] = [
    ("direct-invoke-sqs", "to-sqs", env!("CARGO_BIN_EXE_to-sqs-under-test")),
    ("http-api-s3", "to-s3", env!("CARGO_BIN_EXE_to-s3-under-test")),
    ("alb-sqs", "to-sqs", env!("CARGO_BIN_EXE_to-sqs-under-test")),
    ("function-url-s3", "to-s3", env!("CARGO_BIN_EXE_to-s3-under-test")),
];

/// Example, function, and what became of the records; nothing where something is missing to run it.
type Row = (&'static str, &'static str, Option<Account>);

#[tokio::test(flavor = "multi_thread")]
async fn pipelines_lose_nothing() {
    let asked = env::var("PIPELINE_RECORDS").ok().map(|records| records.parse().expect("a number"));
    let records = asked.unwrap_or(RECORDS);
    let told = match asked {
        Some(_) => tokio::task::spawn_blocking(terraform_tests).await.unwrap(),
        None => BTreeMap::new(),
    };
    println!(
        "| example | `terraform test` | function | shipped | calls | at the end | lost | changed | twice | s |"
    );
    println!("|---|---|---|---|---|---|---|---|---|---|");
    let mut rows: Vec<Pin<Box<dyn Future<Output = Row>>>> = Vec::new();
    for (example, function, bootstrap) in EXAMPLES {
        let row = async move { (example, function, on_aws(example, bootstrap, records).await) };
        rows.push(Box::pin(row));
    }
    for function in ["archive-to-gcs", "to-gcs"] {
        let row = async move { ("gcp-function", function, on_google(function, records).await) };
        rows.push(Box::pin(row));
    }
    let print = |(example, function, account): Row| {
        let Some(account) = account else { return };
        let told = told.get(example).map_or("not asked", String::as_str);
        println!("| `{example}` | {told} | `{function}` | {records} | {account} |");
        assert!(account.is_whole(), "{example} with {function}: {account:?}");
    };
    if asked.is_none() {
        join_all(rows).await.into_iter().for_each(print);
        return;
    }
    // What takes time shall take its own.
    for row in rows {
        print(row.await);
    }
}

/// What became of what was shipped.
#[derive(Debug, Default)]
struct Account {
    calls: f64,
    /// What is at the end, in words.
    at_the_end: String,
    lost: usize,
    /// Records at the end that are none of those that were shipped.
    changed: usize,
    /// Records that are at the end once more.
    twice: usize,
    elapsed: Duration,
}

impl Account {
    fn is_whole(&self) -> bool {
        self.lost == 0 && self.changed == 0
    }
}

impl std::fmt::Display for Account {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { calls, at_the_end, lost, changed, twice, elapsed } = self;
        write!(f, "{calls} | {at_the_end} | {lost} | {changed} | {twice} | {:.1}", elapsed.as_secs_f64())
    }
}

async fn on_aws(example: &'static str, bootstrap: &'static str, records: u32) -> Option<Account> {
    let topology = Topology::new(example, Some(bootstrap)).await?;
    assert_eq!(topology.starts(), Ok(()));
    let connector = topology.connector().await;
    let mut account = ship(&connector, records).await;
    let arrived = match &topology.ends_in {
        EndsIn::Queue(url) => {
            let messages = topology.stack.messages(url).await;
            account.at_the_end = format!("{} messages", messages.len());
            messages.iter().map(|message| serde_json::from_str(message).unwrap()).collect()
        }
        EndsIn::Bucket(name) => {
            let objects = topology.stack.objects(name).await;
            account.at_the_end = format!("{} objects", objects.len());
            objects.values().flat_map(|object| archived(object)).collect()
        }
    };
    account.compare(records, arrived);
    Some(account)
}

/// The function without Google's judgement of tokens before it, which is shown in `google.rs`.
async fn on_google(function: &'static str, records: u32) -> Option<Account> {
    let parts = || Some((python::with_storage()?, python::with_google()?, plan("gcp-function")?));
    let (storage, google, plan) = tokio::task::spawn_blocking(parts).await.unwrap()?;
    let plan: Value = serde_json::from_slice(&plan).unwrap();
    let plan = plan["config"].as_str().unwrap();
    let bucket = Bucket::start().await;
    let (in_python, in_rust);
    let config = if function == "to-gcs" {
        in_rust = to_gcs::Server::start(&bucket).await;
        configuration(plan, &in_rust.url, "HTTP_2")
    } else {
        in_python = archive_to_gcs::start(&storage, &bucket).await;
        // Google's front speaks HTTP/2, the framework behind it does not.
        configuration(plan, &in_python.1, "HTTP_1_1")
    };
    let folder = tempfile::tempdir().unwrap();
    let mut issuer = Issuer::start(&google, folder.path());
    let variables = [("GCE_METADATA_HOST", format!("127.0.0.1:{}", issuer.port))];
    let program = Command::new(env!("CARGO_BIN_EXE_connector-under-test"));
    let connector = ConnectorProcess::start(program, &config, &variables).await;
    let mut account = ship(&connector, records).await;
    assert_eq!(issuer.count("identity"), 1, "calls carry a token");
    let objects = bucket.records();
    account.at_the_end = format!("{} objects", objects.len());
    account.compare(records, objects.into_values().flatten().collect());
    Some(account)
}

/// The connector's configuration as it is in the plan, but for its ports, its log, where its destination is, and what that speaks.
fn configuration(plan: &str, url: &str, protocol: &str) -> String {
    let mut left = String::new();
    let mut section = "";
    for line in plan.lines() {
        if line.starts_with('"') {
            section = line;
        }
        if !section.starts_with("\"service\"") && !section.starts_with("\"logging\"") {
            let address = line.trim_start().starts_with("- \"https://");
            left += &if address {
                format!("    - \"{url}\"\n    \"protocol\": \"{protocol}\"\n")
            } else {
                format!("{line}\n")
            };
        }
    }
    assert!(left.contains(url), "{plan}");
    left
}

/// Writes and deletes of several sets, with all that JSON has.
fn workload(records: u32) -> Workload {
    Workload {
        records,
        delete_share: 0.1,
        sets: ["orders", "carts"].map(str::to_owned).to_vec(),
        key_types: vec![KeyType::Integer, KeyType::String],
        bins: 5,
        types: vec![BinType::String, BinType::Integer, BinType::Double, BinType::List, BinType::OrderedMap],
        ..Workload::default()
    }
}

async fn ship(connector: &ConnectorProcess, records: u32) -> Account {
    let mut settings = Settings::new(connector.address().to_string(), workload(records));
    // About what the stand-ins take: what is offered above that is refused, and costs them the more.
    settings.rate = 500;
    settings.deadline = Duration::from_secs(400);
    let started = Instant::now();
    let summary = Simulation::new(settings, None).run().await;
    assert!(summary.is_complete(), "{summary}\n{}", connector.printed());
    let calls = connector.metric("esp_connector_lane_requests_total", r#""records""#).await;
    Account { calls, elapsed: started.elapsed(), ..Account::default() }
}

impl Account {
    fn compare(&mut self, records: u32, arrived: Vec<Value>) {
        let shipped = shipped(workload(records));
        assert_eq!(shipped.len(), records as usize);
        let mut missing: BTreeSet<_> = shipped.keys().collect();
        for record in arrived {
            let digest = digest(&record);
            if shipped.get(&digest) != Some(&record) {
                self.changed += 1;
            } else if !missing.remove(&digest) {
                self.twice += 1;
            }
        }
        self.lost = missing.len();
    }
}

/// What `check.py` says of the examples.
fn terraform_tests() -> BTreeMap<String, String> {
    let Some(python) = python::plain() else { return BTreeMap::new() };
    let output = Command::new(python)
        .arg(repository().join("infra/terraform/check.py"))
        .args(["--only", "examples", "--no-checkov"])
        .env("CARGO_TARGET_DIR", Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap())
        .env_remove("CI")
        .output()
        .unwrap();
    let printed = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{printed}");
    let rows = printed.lines().filter_map(|line| line.strip_prefix("examples/"));
    rows.map(|row| {
        let (name, steps) = row.split_once(' ').unwrap();
        (name.to_owned(), steps.split("ok").last().unwrap().trim().to_owned())
    })
    .collect()
}
