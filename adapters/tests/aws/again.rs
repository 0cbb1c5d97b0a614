//! A test in a process of its own.

use std::{env, num::NonZeroUsize, process::Command};

use adapters::{Payload, SharedTarget, TargetConfig};
use bytes::Bytes;
use serde_json::Value;

/// What the other process is to deliver.
const DELIVER: &str = "DELIVER_BY";

/// In the other process: delivers as often as asked and says how each delivery ended. False in the first process.
pub(crate) fn is_other_process() -> bool {
    let Ok(settings) = env::var(DELIVER) else { return false };
    let settings: Value = serde_json::from_str(&settings).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let target = serde_json::from_value(settings["target"].clone()).unwrap();
        let target: SharedTarget = TargetConfig::AwsLambda(target).build("orders").unwrap();
        for _ in 0..settings["times"].as_u64().unwrap() {
            let count = NonZeroUsize::MIN;
            let payload = Payload {
                body: Bytes::from_static(b"{}"),
                content_type: "application/json".into(),
                count,
                request: None,
            };
            println!("delivery: {}", target.deliver(&payload).await.class.as_str());
        }
        let access = target.access().unwrap();
        println!("fetched: {}, failed: {}", access.fetched, access.fetch_failures);
        println!("expires: {}", access.expires_in.is_some());
        if let Err(failure) = target.probe().await {
            println!("probe: {failure}");
        }
    });
    true
}

/// What the other process said.
pub(crate) struct Said(String);

impl Said {
    /// How its deliveries ended.
    pub(crate) fn deliveries(&self) -> Vec<&str> {
        self.lines("delivery: ")
    }

    pub(crate) fn line(&self, start: &str) -> &str {
        self.lines(start).first().copied().unwrap_or_else(|| panic!("no {start} in {}", self.0))
    }

    fn lines(&self, start: &str) -> Vec<&str> {
        // The name of the test is on the line of the first.
        self.0.lines().filter_map(|line| line.split_once(start).map(|(_, rest)| rest)).collect()
    }
}

/// Runs `test` again with this environment and nothing else, to deliver `times` times to the function in `target`.
pub(crate) fn run(test: &str, environment: &[(&str, &str)], times: usize, target: &Value) -> Said {
    let home = tempfile::tempdir().unwrap();
    let output = Command::new(env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture", "--test-threads=1"])
        .env_clear()
        .env("PATH", env::var_os("PATH").unwrap())
        .env("HOME", home.path())
        .env(DELIVER, serde_json::json!({"target": target, "times": times}).to_string())
        .envs(environment.iter().copied())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let complained = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.contains("1 passed"), "{said}\n{complained}");
    Said(said)
}
