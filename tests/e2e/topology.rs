//! An example of `infra/terraform` on `MiniStack`: built from its plan, with the plan's own names, roles and policies, and the
//! plan's own configuration for the connector.

use std::{
    collections::HashMap,
    fs,
    io::{self, Write as _},
    path::{Path, PathBuf},
    process::{Command, Output},
    sync::{Mutex, PoisonError},
    time::Duration,
};

use e2e::{ConnectorProcess, Metadata, MiniStack, Sessions, repository};
use serde_json::Value;
use tempfile::TempDir;

use crate::python;

/// An example, built.
pub(crate) struct Topology {
    pub(crate) stack: MiniStack,
    python: PathBuf,
    plan: PathBuf,
    /// The configuration of its plan.
    config: String,
    /// Role (or the fronts, for their permission on the function), statement and action.
    pub(crate) steps: Vec<[String; 3]>,
    pub(crate) unproven: usize,
    /// Where the function puts records.
    pub(crate) ends_in: EndsIn,
    /// Whose credentials the connectors use: they ask for them as a container does.
    metadata: Metadata,
    _folder: TempDir,
}

/// Where a function puts records.
#[derive(Debug)]
pub(crate) enum EndsIn {
    /// The URL of a queue.
    Queue(String),
    /// The name of a bucket.
    Bucket(String),
}

impl Topology {
    /// With the program `bootstrap` for its function, or else one that only shows who may do what. `None`, and a printed reason,
    /// where the plan or the packages cannot be had.
    pub(crate) async fn new(example: &'static str, bootstrap: Option<&'static str>) -> Option<Self> {
        let python = tokio::task::spawn_blocking(python::with_ministack).await.unwrap()?;
        let plan = tokio::task::spawn_blocking(move || plan(example)).await.unwrap()?;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("plan.json");
        fs::write(&path, plan).unwrap();
        let stack = MiniStack::start(&python, 20).await;
        let mut setup = command(&stack, &python, &path);
        setup.arg("setup").args(bootstrap);
        let output = tokio::task::spawn_blocking(move || setup.output().unwrap()).await.unwrap();
        let output = succeeded(&stack, output);
        let made: Value = serde_json::from_slice(&output.stdout).unwrap();
        let text = |name: &'static str| made[name].as_str().map(str::to_owned);
        let metadata = Metadata::start(Sessions {
            endpoint: stack.endpoint(),
            role: text("role").unwrap(),
            lives: vec![Duration::from_secs(3600)],
            overstated: Duration::ZERO,
        });
        let ends_in = text("queue").map(EndsIn::Queue).or_else(|| text("bucket").map(EndsIn::Bucket));
        Some(Self {
            config: text("config").unwrap(),
            steps: serde_json::from_value(made["steps"].clone()).unwrap(),
            unproven: made["unproven"].as_array().unwrap().len(),
            ends_in: ends_in.unwrap(),
            metadata: metadata.await,
            stack,
            python,
            plan: path,
            _folder: folder,
        })
    }

    /// Runs a command of `tests/aws/least_privilege.py` that has to succeed.
    pub(crate) fn python(&self, arguments: &[&str]) -> Output {
        succeeded(&self.stack, self.command(arguments))
    }

    /// Does what the clouds do with the roles to start it; or says what may not be done.
    pub(crate) fn starts(&self) -> Result<(), String> {
        let start = self.command(&["start"]);
        let said = String::from_utf8_lossy(&start.stdout).trim().to_owned();
        match start.status.code() {
            Some(0) => Ok(()),
            Some(1) => Err(format!("does not start: {said}")),
            _ => panic!("{said}{}", String::from_utf8_lossy(&start.stderr)),
        }
    }

    /// A connector with the configuration and the role of the plan.
    pub(crate) async fn connector(&self) -> ConnectorProcess {
        let mut variables = self.metadata.of_container();
        variables.push(("AWS_REGION", "us-east-1".to_owned()));
        // Of STS, where tokens are made.
        variables.push(("AWS_ENDPOINT_URL", self.stack.endpoint()));
        let program = Command::new(env!("CARGO_BIN_EXE_connector-under-test"));
        ConnectorProcess::start(program, &self.config, &variables).await
    }

    fn command(&self, arguments: &[&str]) -> Output {
        let mut command = command(&self.stack, &self.python, &self.plan);
        tokio::task::block_in_place(|| command.args(arguments).output().unwrap())
    }
}

fn command(stack: &MiniStack, python: &Path, plan: &Path) -> Command {
    let mut command = Command::new(python);
    command.arg(repository().join("tests/aws/least_privilege.py")).arg(stack.endpoint()).arg(plan);
    command
}

fn succeeded(stack: &MiniStack, output: Output) -> Output {
    let printed = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{printed}\n{}", stack.printed());
    output
}

/// What `infra/terraform/policies.py` prints of `example`.
pub(crate) fn plan(example: &'static str) -> Option<Vec<u8>> {
    // Made once for all tests, below `target`, where the tests of the other examples look, too: one after the other.
    static PLANS: Mutex<Option<HashMap<&str, Vec<u8>>>> = Mutex::new(None);
    let mut plans = PLANS.lock().unwrap_or_else(PoisonError::into_inner);
    let plans = plans.get_or_insert_default();
    if let Some(plan) = plans.get(example) {
        return Some(plan.clone());
    }
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap();
    let output = Command::new(python::plain()?)
        .arg(repository().join("infra/terraform/policies.py"))
        .arg(example)
        .env("CARGO_TARGET_DIR", target)
        .output()
        .unwrap();
    let printed = String::from_utf8_lossy(&output.stderr);
    if output.status.code() == Some(3) {
        assert!(std::env::var_os("CI").is_none(), "{printed}");
        let _ =
            writeln!(io::stderr(), "SKIPPED, a test that needs Terraform, npm and PyPI: {}", printed.trim());
        return None;
    }
    assert!(output.status.success(), "{printed}");
    plans.insert(example, output.stdout.clone());
    Some(output.stdout)
}
