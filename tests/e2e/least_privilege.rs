//! Each example of `infra/terraform` with the very policies of its plan: records pass, and no longer do when any one action
//! is taken away from a role.
//!
//! What the clouds themselves do with the roles (ECS reads the configuration, Lambda writes a log) the test does in their
//! place. `tests/aws/least_privilege.py` says what cannot be shown here, and what `MiniStack` reads differently.

use std::{
    fs,
    io::{self, Write as _},
    path::{Path, PathBuf},
    process::{Command, Output},
    time::Duration,
};

use e2e::{ConnectorProcess, Metadata, MiniStack, Sessions, repository};
use esp_connector::simulator::{Settings, Simulation, workload::Workload};
use serde_json::Value;
use tempfile::TempDir;

use crate::python;

const RECORDS: u32 = 40;
/// Long enough when everything is allowed, as is seen before and after each series.
const WITHIN: Duration = Duration::from_secs(10);

#[tokio::test(flavor = "multi_thread")]
async fn of_direct_invoke_sqs() {
    each_action_is_needed("direct-invoke-sqs", 9, 2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_http_api_s3() {
    each_action_is_needed("http-api-s3", 9, 3).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_alb_sqs() {
    each_action_is_needed("alb-sqs", 9, 3).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_function_url_s3() {
    each_action_is_needed("function-url-s3", 8, 8).await;
}

/// `shown` actions are needed, of `unproven` ones that cannot be seen here.
async fn each_action_is_needed(example: &'static str, shown: usize, unproven: usize) {
    let Some(stage) = Stage::new(example).await else { return };
    assert_eq!((stage.steps.len(), stage.unproven), (shown, unproven), "{:?}", stage.steps);
    stage.python(&["without"]);
    // The first call starts the function.
    let _ = stage.run().await;
    assert_eq!(stage.run().await, Ok(()), "with everything that it may");
    assert_eq!(stage.arrived(), RECORDS);
    for [role, statement, action] in &stage.steps {
        stage.python(&["without", role, statement, action]);
        let ended = stage.run().await;
        println!("{example}: {role} without {action} of {statement}: {ended:?}");
        assert!(ended.is_err(), "{role} does not need {action} of {statement}");
    }
    stage.python(&["without"]);
    assert_eq!(stage.run().await, Ok(()), "with everything that it may, again");
}

/// An example, built.
struct Stage {
    stack: MiniStack,
    python: PathBuf,
    plan: PathBuf,
    /// The configuration of its plan.
    config: String,
    /// Role of the connector.
    role: String,
    /// Role (or the fronts, for their permission on the function), statement and action.
    steps: Vec<[String; 3]>,
    unproven: usize,
    _folder: TempDir,
}

impl Stage {
    /// `None`, and a printed reason, where the plan or the packages cannot be had.
    async fn new(example: &'static str) -> Option<Self> {
        let python = tokio::task::spawn_blocking(python::with_ministack).await.unwrap()?;
        let plan = tokio::task::spawn_blocking(move || policies(example)).await.unwrap()?;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("plan.json");
        fs::write(&path, plan).unwrap();
        let stack = MiniStack::start(&python, 20).await;
        let mut stage = Self {
            stack,
            python,
            plan: path,
            config: String::new(),
            role: String::new(),
            steps: Vec::new(),
            unproven: 0,
            _folder: folder,
        };
        let output = stage.python(&["setup"]);
        let made: Value = serde_json::from_slice(&output.stdout).unwrap();
        made["config"].as_str().unwrap().clone_into(&mut stage.config);
        made["role"].as_str().unwrap().clone_into(&mut stage.role);
        stage.steps = serde_json::from_value(made["steps"].clone()).unwrap();
        stage.unproven = made["unproven"].as_array().unwrap().len();
        Some(stage)
    }

    /// Runs a command of `tests/aws/least_privilege.py` that has to succeed.
    fn python(&self, arguments: &[&str]) -> Output {
        let output = self.command(arguments);
        let printed = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{arguments:?}: {printed}\n{}", self.stack.printed());
        output
    }

    fn command(&self, arguments: &[&str]) -> Output {
        let script = repository().join("tests/aws/least_privilege.py");
        let mut command = Command::new(&self.python);
        command.arg(script).arg(self.stack.endpoint()).arg(&self.plan).args(arguments);
        tokio::task::block_in_place(|| command.output().unwrap())
    }

    /// How many different records arrived since the beginning.
    fn arrived(&self) -> u32 {
        String::from_utf8(self.python(&["arrived"]).stdout).unwrap().trim().parse().unwrap()
    }

    /// What the clouds do to start it, then records through a connector of its own; or what did not work.
    async fn run(&self) -> Result<(), String> {
        let start = self.command(&["start"]);
        let said = String::from_utf8_lossy(&start.stdout).trim().to_owned();
        match start.status.code() {
            Some(0) => {}
            Some(1) => return Err(format!("does not start: {said}")),
            _ => panic!("{said}{}", String::from_utf8_lossy(&start.stderr)),
        }
        let metadata = Metadata::start(Sessions {
            endpoint: self.stack.endpoint(),
            role: self.role.clone(),
            lives: vec![Duration::from_secs(3600)],
            overstated: Duration::ZERO,
        });
        let metadata = metadata.await;
        let mut variables = metadata.of_container();
        variables.push(("AWS_REGION", "us-east-1".to_owned()));
        // Of STS, where tokens are made.
        variables.push(("AWS_ENDPOINT_URL", self.stack.endpoint()));
        let program = Command::new(env!("CARGO_BIN_EXE_connector-under-test"));
        let connector = ConnectorProcess::start(program, &self.config, &variables).await;
        let workload = Workload { records: RECORDS, ..Workload::default() };
        let mut settings = Settings::new(connector.address().to_string(), workload);
        settings.deadline = WITHIN;
        let summary = Simulation::new(settings, None).run().await;
        if summary.is_complete() {
            return Ok(());
        }
        let delivered = connector.metric("esp_connector_lane_delivered_records_total", "records").await;
        let mut ends = String::new();
        for class in ["transient", "credentials", "hold", "throttled"] {
            let label = format!(r#""records",class="{class}""#);
            let count = connector.metric("esp_connector_lane_ended_requests_total", &label).await;
            if count > 0.0 {
                ends += &format!(", {class} {count}");
            }
        }
        Err(format!("{delivered} of {RECORDS} delivered{ends}"))
    }
}

/// What `infra/terraform/policies.py` prints of `example`.
fn policies(example: &str) -> Option<Vec<u8>> {
    let python = python::plain()?;
    // Below `target`, where the tests of the other examples look, too: one after the other.
    static ONE_BY_ONE: std::sync::Mutex<()> = std::sync::Mutex::new(());
    let _one = ONE_BY_ONE.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap();
    let output = Command::new(python)
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
    Some(output.stdout)
}
