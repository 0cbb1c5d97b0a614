//! One target with all that stands before and behind it, and the account of a run.

use std::{
    collections::{BTreeMap, BTreeSet, HashSet},
    fs,
    io::{self, Write as _},
    path::Path,
    process::Command,
    time::Duration,
};

use e2e::{Cloud, ConnectorProcess, Metadata, MiniStack, Sessions, poison::is_poison};
use esp_connector::simulator::{
    Settings, Simulation, Summary,
    workload::{Generator, Workload},
};
use serde_json::{Value, json};

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

    /// Type and address of a destination: all that differs between two configurations.
    fn address(self, stack: &MiniStack, cloud: &Cloud) -> String {
        let kind = match self {
            Self::Invoke => {
                let (function, endpoint) = (&cloud.function, stack.endpoint());
                return format!("type: aws-lambda, function-name: '{function}', endpoint-url: '{endpoint}'");
            }
            Self::FunctionUrl => "aws-function-url",
            Self::HttpApi | Self::RestApi => "aws-api-gateway",
            Self::Alb => "aws-alb",
        };
        format!("type: {kind}, urls: ['{}']", cloud.url.as_ref().unwrap())
    }
}

/// How the world around the connector behaves.
#[derive(Clone, Debug)]
pub(super) struct World {
    /// Environment of the function.
    pub(super) faults: Value,
    /// Functions that run at once; more calls are throttled.
    pub(super) concurrency: usize,
    /// How long a session lives.
    pub(super) session: Duration,
    /// How much longer it is said to live.
    pub(super) session_overstated: Duration,
    /// What the connector's clock is ahead of everybody else's.
    pub(super) clock: Option<Clock>,
    /// Level of the log.
    pub(super) log: &'static str,
    /// More settings of the destination, each behind a comma.
    pub(super) settings: String,
}

impl Default for World {
    fn default() -> Self {
        Self {
            faults: json!({}),
            concurrency: 8,
            session: Duration::from_secs(900),
            session_overstated: Duration::ZERO,
            clock: None,
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
    pub(super) cloud: Cloud,
    pub(super) metadata: Metadata,
    pub(super) connector: ConnectorProcess,
}

impl Scene {
    /// `None`, and a printed reason, where the packages cannot be had.
    pub(super) async fn new(front: Front, world: &World) -> Option<Self> {
        let python = tokio::task::spawn_blocking(python::with_ministack).await.unwrap()?;
        let stack = MiniStack::start(&python, world.concurrency).await;
        let settings = json!({"front": front.name(), "environment": world.faults});
        let cloud = stack.set_up(Path::new(env!("CARGO_BIN_EXE_consumer")), &settings).await;
        let metadata = Metadata::start(Sessions {
            endpoint: stack.endpoint(),
            role: cloud.role.clone(),
            live: world.session,
            said_to_live: world.session + world.session_overstated,
        });
        let metadata = metadata.await;
        let yaml = format!(
            "destinations:
  records: {{{}, dead-letter: letters{}}}
  letters: {{type: file, path: letters}}
format: {{mode: flat-json, metadata-key: _meta}}
batching: {{max-records: 100}}
routing: {{mode: static, destination: records}}
logging: {{levels: {{root: {}}}}}
",
            front.address(&stack, &cloud),
            world.settings,
            world.log,
        );
        let mut variables = metadata.of_container();
        variables.push(("AWS_REGION", "us-east-1".to_owned()));
        variables.extend(world.clock.iter().flat_map(Clock::variables));
        let program = Command::new(env!("CARGO_BIN_EXE_connector-under-test"));
        let connector = ConnectorProcess::start(program, &yaml, &variables).await;
        Some(Self { stack, cloud, metadata, connector })
    }

    /// Ships `records` records.
    pub(super) async fn ship(&self, records: u32) -> Shipped {
        let workload = Workload { records, ..Workload::default() };
        let generator = Generator::new(workload.clone());
        let mut settings = Settings::new(self.connector.address().to_string(), workload);
        settings.deadline = Duration::from_secs(150);
        let summary = Simulation::new(settings, None).run().await;
        let mut arrived = BTreeMap::new();
        for message in self.stack.messages(&self.cloud.queue).await {
            let message: Value = serde_json::from_str(&message).unwrap();
            *arrived.entry(message["id"].as_u64().unwrap() as u32).or_default() += 1;
        }
        let letters = self.letters();
        let poison = (0..records).filter(|&id| is_poison(&generator.digest(id), POISON_PER_MILLE));
        let poison: BTreeSet<u32> = poison.collect();
        let dead = (0..records).filter(|&id| letters.contains(&hex(&generator.digest(id)))).collect();
        Shipped { records, summary, arrived, poison, dead, letters: letters.len() }
    }

    /// The digests of the dead letters, as often as they are there.
    fn letters(&self) -> Vec<String> {
        let files = self.connector.files("letters");
        let texts: Vec<_> = files.iter().map(|file| fs::read_to_string(file).unwrap()).collect();
        let lines = texts.iter().flat_map(|text| text.lines());
        let letters = lines.map(|line| serde_json::from_str::<Value>(line).unwrap());
        letters.map(|letter| letter["digest"].as_str().unwrap().to_owned()).collect()
    }
}

/// What became of what was shipped.
#[derive(Debug)]
pub(super) struct Shipped {
    records: u32,
    summary: Summary,
    /// How often each record is in the queue.
    arrived: BTreeMap<u32, u32>,
    poison: BTreeSet<u32>,
    dead: BTreeSet<u32>,
    letters: usize,
}

impl Shipped {
    /// Every record was acknowledged, and is in the queue; or, when it is poison, among the dead letters.
    pub(super) fn lost_nothing(&self) {
        assert!(self.summary.is_complete(), "{}", self.summary);
        assert_eq!(self.dead, self.poison, "the dead letters are those that cannot be processed");
        let arrived: HashSet<u32> = self.arrived.keys().copied().collect();
        let wanted = (0..self.records).filter(|id| !self.poison.contains(id));
        let lost: Vec<_> = wanted.filter(|id| !arrived.contains(id)).collect();
        assert!(lost.is_empty(), "acknowledged and not in the queue: {lost:?}");
        assert_eq!(arrived.len() + self.poison.len(), self.records as usize, "nothing else is in the queue");
    }

    /// How long it took.
    pub(super) fn elapsed(&self) -> Duration {
        self.summary.elapsed
    }

    /// Messages in the queue that tell nothing new.
    pub(super) fn duplicates(&self) -> u32 {
        self.arrived.values().map(|times| times - 1).sum()
    }

    /// One line of the account, for those who run it with `--nocapture`.
    pub(super) fn tell(&self, name: &str, more: &str) {
        println!(
            "{name}: {} shipped, {} in the queue, {} poison, {} dead letters, {} duplicates, {:.1} s, retries {:?}{more}",
            self.records,
            self.arrived.len(),
            self.poison.len(),
            self.letters,
            self.duplicates(),
            self.summary.elapsed.as_secs_f64(),
            self.summary.retried,
        );
    }
}

fn hex(digest: &[u8]) -> String {
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}
