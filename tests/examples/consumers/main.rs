//! Measures the example functions: size, cold start, time per invocation and peak memory, and prints a table.
//!
//! ```sh
//! cargo run -p e2e --example consumers               # builds them with `--profile lambda` first
//! cargo run -p e2e --example consumers -- FOLDER     # measures the programs in a folder
//! ```
//!
//! A function runs as on Lambda, as a `bootstrap` that asks a runtime API for work; the runtime API and the services behind the
//! functions are played here, on loopback and without TLS, and answer at once. What is measured is the function itself.
#![allow(clippy::unwrap_used, reason = "a tool for developers, which fails by panicking")]

mod runtime_api;
mod services;

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use e2e::{Process, pretend::Pretend, repository};
use serde_json::{Value, json};

use self::runtime_api::RuntimeApi;

/// Each with what it needs besides credentials; `URL` is where all services are.
const FUNCTIONS: [(&str, &[(&str, &str)]); 6] = [
    ("to-sqs", &[("QUEUE_URL", "URL/queue")]),
    ("to-s3", &[("BUCKET", "archive")]),
    ("encrypt-kms", &[("KEY_ID", "alias/bins"), ("BINS", "note"), ("QUEUE_URL", "URL/queue")]),
    ("to-opensearch", &[("ENDPOINT", "URL"), ("INDEX", "orders")]),
    ("persist-state", &[("GATEWAY", "URL"), ("STATE_NAMESPACE", "states"), ("STATE_SET", "orders")]),
    ("to-sagemaker", &[("ENDPOINT_NAME", "fraud"), ("QUEUE_URL", "URL/queue")]),
];
const BATCHES: [usize; 4] = [1, 10, 100, 500];
const COLD_STARTS: usize = 10;
/// Records for each size of a batch.
const RECORDS: usize = 5_000;
const TARGET: &str = "x86_64-unknown-linux-gnu";

#[tokio::main]
async fn main() {
    let given = std::env::args().nth(1).map(PathBuf::from);
    let folder = given.unwrap_or_else(build);
    println!(
        "| function | zip, KiB | init, ms | first call, ms | peak, MiB | {} |",
        BATCHES.map(|batch| format!("{batch}: ms, records/s")).join(" | ")
    );
    println!("|{}", "---|".repeat(5 + BATCHES.len()));
    for (name, environment) in FUNCTIONS {
        println!("{}", measured(name, &folder.join(name), environment).await);
    }
}

/// Where they are built: with a target, or the programs would stand where `cargo lambda` puts its folders.
fn build() -> PathBuf {
    let mut command = Command::new("cargo");
    command.args(["build", "--quiet", "--profile", "lambda", "--target", TARGET]).current_dir(repository());
    for (name, _) in FUNCTIONS {
        command.args(["-p", name]);
    }
    assert!(command.status().unwrap().success());
    repository().join("target").join(TARGET).join("lambda")
}

async fn measured(name: &str, program: &Path, environment: &[(&str, &str)]) -> String {
    let services = Pretend::answering(services::answer).await;
    let (mut inits, mut firsts) = (Vec::new(), Vec::new());
    for _ in 0..COLD_STARTS {
        let api = RuntimeApi::start().await;
        let started = Instant::now();
        let _process = start(program, environment, &services, &api);
        api.asked().await;
        inits.push(started.elapsed());
        let invoked = Instant::now();
        invoke(&api, 1).await;
        firsts.push(invoked.elapsed());
    }
    let api = RuntimeApi::start().await;
    let process = start(program, environment, &services, &api);
    let mut cells = Vec::new();
    for batch in BATCHES {
        invoke(&api, batch).await;
        let calls = (RECORDS / batch).min(500);
        let started = Instant::now();
        for _ in 0..calls {
            invoke(&api, batch).await;
        }
        let call = started.elapsed().as_secs_f64() / calls as f64;
        cells.push(format!("{:.1}, {:.0}", call * 1e3, batch as f64 / call));
    }
    format!(
        "| `{name}` | {} | {:.0} | {:.0} | {:.1} | {} |",
        zip_bytes(program) / 1024,
        milliseconds(median(inits)),
        milliseconds(median(firsts)),
        peak_kib(process.id()) as f64 / 1024.0,
        cells.join(" | "),
    )
}

fn start(program: &Path, environment: &[(&str, &str)], services: &Pretend, api: &RuntimeApi) -> Process {
    let mut command = Command::new(program);
    command
        .env_clear()
        .env("AWS_LAMBDA_RUNTIME_API", api.authority())
        .env("AWS_ENDPOINT_URL", services.url());
    command.envs([
        ("AWS_LAMBDA_FUNCTION_NAME", "function"),
        ("AWS_LAMBDA_FUNCTION_VERSION", "1"),
        ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "256"),
        ("AWS_LAMBDA_LOG_GROUP_NAME", "log"),
        ("AWS_LAMBDA_LOG_STREAM_NAME", "log"),
        ("AWS_REGION", "us-east-1"),
        ("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE"),
        ("AWS_SECRET_ACCESS_KEY", "secret"),
        ("AWS_SESSION_TOKEN", "token"),
    ]);
    command.envs(environment.iter().map(|(name, value)| (name, value.replace("URL", &services.url()))));
    Process::start(&mut command)
}

/// One invocation with so many records of 1 KiB, all of which must be done.
async fn invoke(api: &RuntimeApi, records: usize) {
    let answer = api.invoke(event(records)).await;
    assert_eq!(answer["body"], r#"{"batchItemFailures":[]}"#, "{answer}");
}

fn event(records: usize) -> String {
    let record = |number: usize| {
        let digest =
            notification::Digest(std::array::from_fn(|at| (number >> (at % 4 * 8)) as u8)).to_base64();
        let about = json!({"namespace": "shop", "set": "orders", "userKey": format!("order-{number}"), "digest": digest,
            "msg": "write", "gen": 4, "lut": 1_767_225_600_123_u64, "exp": 0});
        json!({"_meta": about, "sku": "A-9", "qty": number, "note": "x".repeat(800)})
    };
    let body = Value::from_iter((0..records).map(record)).to_string();
    let mut event: Value =
        serde_json::from_slice(&fs::read(repository().join("lambda-examples/to-sqs/event.json")).unwrap())
            .unwrap();
    event["body"] = json!(body);
    event.to_string()
}

/// As it is uploaded.
fn zip_bytes(program: &Path) -> u64 {
    let folder = tempfile::tempdir().unwrap();
    let bootstrap: PathBuf = folder.path().join("bootstrap");
    fs::copy(program, &bootstrap).unwrap();
    let zip = folder.path().join("bootstrap.zip");
    let mut command = Command::new("python3");
    command.args(["-m", "zipfile", "-c"]).arg(&zip).arg(&bootstrap).stdout(Stdio::null());
    assert!(command.status().unwrap().success());
    fs::metadata(zip).unwrap().len()
}

/// The most memory that was resident.
fn peak_kib(process: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times[times.len() / 2]
}

fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}
