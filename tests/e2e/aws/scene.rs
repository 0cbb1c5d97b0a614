//! One target with all that stands before and behind it, and the account of a run.

use std::{
    io::{self, Write as _},
    path::Path,
    process::Command,
    time::Duration,
};

use e2e::{Cloud, ConnectorProcess, Envoy, Metadata, MiniStack, Sessions, Shipped, Trouble, chains::Chains};
use serde_json::{Value, json};
use tempfile::NamedTempFile;

use crate::python;

/// Records of a thousand that the consumer can never process.
const POISON_PER_MILLE: u32 = 1;

/// What stands before the function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Front {
    Invoke,
    FunctionUrl,
    HttpApi,
    RestApi,
    Alb,
}

impl Front {
    /// As `tests/aws/setup.py` calls it.
    fn name(self) -> &'static str {
        match self {
            Self::Invoke => "invoke",
            Self::FunctionUrl => "function-url",
            Self::HttpApi => "http-api",
            Self::RestApi => "rest-api",
            Self::Alb => "alb",
        }
    }

    /// Type and address of a destination at `endpoint`: all that differs between two configurations.
    fn address(self, endpoint: &str, cloud: &Cloud) -> String {
        let kind = match self {
            Self::Invoke => {
                let function = &cloud.function;
                return format!("type: aws-lambda, function-name: '{function}', endpoint-url: '{endpoint}'");
            }
            Self::FunctionUrl => "aws-function-url",
            Self::HttpApi | Self::RestApi => "aws-api-gateway",
            Self::Alb => "aws-alb",
        };
        format!("type: {kind}, urls: ['{endpoint}{}']", cloud.path.as_ref().unwrap())
    }
}

/// How the world around the connector behaves.
#[derive(Clone, Debug)]
pub(super) struct World {
    /// Environment of the function.
    pub(super) faults: Value,
    /// Whether the connector lacks the permission to call.
    pub(super) forbidden: bool,
    /// Functions that run at once; more calls are throttled.
    pub(super) concurrency: usize,
    /// How long sessions live, one after the other.
    pub(super) sessions: Vec<Duration>,
    /// How much longer they are said to live.
    pub(super) overstated: Duration,
    /// Whether there are none at first.
    pub(super) no_credentials: bool,
    /// Whether the connector is on an instance, and not in a container.
    pub(super) instance: bool,
    /// What the connector's clock is ahead of everybody else's.
    pub(super) clock: Option<Clock>,
    /// Before everything else: TLS, HTTP/2, and this trouble.
    pub(super) envoy: Option<Trouble>,
    /// Level of the log.
    pub(super) log: &'static str,
    /// More settings of the destination, each behind a comma.
    pub(super) settings: String,
}

impl Default for World {
    fn default() -> Self {
        Self {
            faults: json!({}),
            forbidden: false,
            concurrency: 8,
            sessions: vec![Duration::from_secs(900)],
            overstated: Duration::ZERO,
            no_credentials: false,
            instance: false,
            clock: None,
            envoy: None,
            log: "info",
            settings: String::new(),
        }
    }
}

/// The clock of a process, by Debian's `faketime`.
#[derive(Clone, Debug)]
pub(super) struct Clock {
    library: String,
    pub(super) ahead: Duration,
}

impl Clock {
    /// `None`, and a printed reason, where `faketime` is not installed.
    pub(super) fn ahead(minutes: u64) -> Option<Self> {
        // The command itself would stand between a test and the signals it sends.
        let output = match Command::new("faketime").args(["-f", "+1m", "env"]).output() {
            Ok(output) => output,
            Err(error) => {
                let _ =
                    writeln!(io::stderr(), "SKIPPED, a clock that is wrong: there is no faketime: {error}");
                return None;
            }
        };
        let printed = String::from_utf8(output.stdout).unwrap();
        let library = printed.lines().find_map(|line| line.strip_prefix("LD_PRELOAD=")).unwrap().to_owned();
        Some(Self { library, ahead: Duration::from_secs(60 * minutes) })
    }

    fn variables(&self) -> [(&'static str, String); 3] {
        // How long things take is not what is wrong.
        let monotonic = ("FAKETIME_DONT_FAKE_MONOTONIC", "1".to_owned());
        [("LD_PRELOAD", self.library.clone()), ("FAKETIME", format!("+{}s", self.ahead.as_secs())), monotonic]
    }
}

/// A connector with one destination, and what is behind that.
pub(super) struct Scene {
    pub(super) stack: MiniStack,
    /// What stands before everything, and its certificate.
    pub(super) behind: Option<(Envoy, Chains)>,
    pub(super) cloud: Cloud,
    pub(super) metadata: Metadata,
    pub(super) connector: ConnectorProcess,
    /// Counts the calls of the function.
    _calls: NamedTempFile,
}

impl Scene {
    /// `None`, and a printed reason, where the packages cannot be had.
    pub(super) async fn new(front: Front, world: &World) -> Option<Self> {
        let python = tokio::task::spawn_blocking(python::with_ministack).await.unwrap()?;
        let stack = MiniStack::start(&python, world.concurrency).await;
        let calls = NamedTempFile::new().unwrap();
        let mut environment = world.faults.clone();
        environment["CALLS"] = calls.path().to_str().into();
        let settings =
            json!({"front": front.name(), "environment": environment, "forbidden": world.forbidden});
        let cloud = stack.set_up(Path::new(env!("CARGO_BIN_EXE_consumer")), &settings).await;
        let metadata = Metadata::start(Sessions {
            endpoint: stack.endpoint(),
            role: cloud.role.clone(),
            lives: world.sessions.clone(),
            overstated: world.overstated,
        });
        let metadata = metadata.await;
        metadata.fail(world.no_credentials);
        let mut variables = if world.instance { metadata.of_instance() } else { metadata.of_container() };
        variables.push(("AWS_REGION", "us-east-1".to_owned()));
        variables.extend(world.clock.iter().flat_map(Clock::variables));
        let (mut endpoint, mut behind) = (stack.endpoint(), None);
        if let Some(trouble) = &world.envoy {
            let python = tokio::task::spawn_blocking(python::with_envoy).await.unwrap()?;
            let chains = Chains::new()?;
            chains.issue("front", "subjectAltName=DNS:localhost");
            let envoy = Envoy::start(&python, stack.address(), &chains, trouble).await;
            endpoint = envoy.url("");
            // Trusted as a company's own authority is: by the system.
            variables.push(("SSL_CERT_FILE", chains.path("ca.pem").display().to_string()));
            behind = Some((envoy, chains));
        }
        let yaml = format!(
            "destinations:
  records: {{{}, dead-letter: letters{}}}
  letters: {{type: file, path: letters}}
format: {{mode: flat-json, metadata-key: _meta}}
batching: {{max-records: 100}}
routing: {{mode: static, destination: records}}
logging: {{levels: {{root: {}}}}}
",
            front.address(&endpoint, &cloud),
            world.settings,
            world.log,
        );
        let program = Command::new(env!("CARGO_BIN_EXE_connector-under-test"));
        let connector = ConnectorProcess::start(program, &yaml, &variables).await;
        Some(Self { stack, behind, cloud, metadata, connector, _calls: calls })
    }

    /// Ships `records` records.
    pub(super) async fn ship(&self, records: u32) -> Shipped {
        let summary = Shipped::ship(&self.connector, records).await;
        let messages = self.stack.messages(&self.cloud.queue).await;
        let messages = messages.iter().map(|message| serde_json::from_str(message).unwrap());
        Shipped::new(&self.connector, records, POISON_PER_MILLE, summary, messages)
    }
}
