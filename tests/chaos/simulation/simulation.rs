//! One run: a world made from a seed, in which the connector is what runs in production.

use std::{
    collections::BTreeMap,
    fs,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::PathBuf,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use adapters::world;
use tempfile::TempDir;
use tokio::{
    task::JoinHandle,
    time::{Instant, sleep, sleep_until, timeout_at},
};

use crate::{
    bounds::Bounds,
    events::Events,
    ledger::{Ledger, Totals},
    network::{CONNECTOR, Link, Network},
    process::Process,
    receiver::{Mood, Receiver},
    scenario::{FAULTS_UNTIL, Fault, Reload, Scenario, receiver_ip, receiver_name},
    source::Node,
};

/// All must be delivered so long after the last fault.
const DELIVERED_WITHIN: Duration = Duration::from_secs(90);

/// What a run came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// The same for the same events.
    pub hash: u64,
    pub events: u64,
    pub virtual_time: Duration,
    pub totals: Totals,
    /// What was wrong, and the last events before it.
    pub violation: Option<(String, String)>,
}

/// Runs a seed on this thread.
pub fn run(seed: u64, prints: bool) -> Outcome {
    play(seed, Scenario::of(seed), prints)
}

/// The same with another scenario.
pub fn play(seed: u64, scenario: Scenario, prints: bool) -> Outcome {
    fastrand::seed(seed);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap_or_else(|error| panic!("{error}"));
    let folder = tempfile::tempdir().unwrap_or_else(|error| panic!("{error}"));
    runtime.block_on(async {
        let events = Events::new(prints);
        let network = Network::new(seed, events.clone());
        let _entered = world::enter(Arc::new(network.clone()));
        let started = Instant::now();
        if prints {
            println!("{scenario:#?}");
        }
        let mut stage = Stage::new(seed, scenario, events.clone(), network, &folder);
        tokio::select! {
            biased;
            () = events.wrong() => {}
            () = stage.play() => {}
        }
        let (hash, count) = events.hash();
        Outcome {
            hash,
            events: count,
            virtual_time: started.elapsed(),
            totals: stage.ledger.totals(),
            violation: events.violation().map(|what| (what, events.last_lines())),
        }
    })
}

struct Stage {
    seed: u64,
    scenario: Scenario,
    events: Events,
    network: Network,
    ledger: Ledger,
    path: PathBuf,
    receivers: Vec<(Receiver, Option<JoinHandle<()>>, usize)>,
    connector: Option<Process>,
    stopped: Arc<AtomicBool>,
    disturbed_until: Arc<Mutex<Instant>>,
    /// What is to be done, by time and number.
    due: BTreeMap<(Instant, u64), Step>,
    next_step: u64,
    /// The configuration that was taken last.
    running: String,
}

enum Step {
    Fault(Fault),
    MendLink(IpAddr),
    MendMood(usize),
    MendName(usize),
    StartReceiver(usize),
    StartConnector,
}

impl Stage {
    fn new(seed: u64, scenario: Scenario, events: Events, network: Network, folder: &TempDir) -> Self {
        let ledger =
            Ledger::new(scenario.records, scenario.promises.clone(), events.clone(), network.clone());
        let path = folder.path().join("connector.yml");
        let running = scenario.config.to_string();
        Self {
            seed,
            scenario,
            events,
            network,
            ledger,
            path,
            receivers: Vec::new(),
            connector: None,
            stopped: Arc::default(),
            disturbed_until: Arc::new(Mutex::new(Instant::now())),
            due: BTreeMap::new(),
            next_step: 0,
            running,
        }
    }

    async fn play(&mut self) {
        let begin = Instant::now();
        self.start_receivers();
        self.start_connector();
        self.start_nodes();
        let writing = self.start_writing();
        let watching = self.start_watching();
        for (at, fault) in self.scenario.faults.clone() {
            self.later(at, Step::Fault(fault));
        }
        let calm = begin + FAULTS_UNTIL;
        loop {
            let next = self.due.first_key_value().map(|((at, _), _)| (*at).min(calm)).unwrap_or(calm);
            let crashed = tokio::select! {
                biased;
                () = self.network.crashed() => true,
                () = sleep_until(next) => false,
            };
            if crashed {
                self.connector_crashed().await;
                continue;
            }
            if next == calm {
                break;
            }
            if let Some((_, step)) = self.due.pop_first() {
                self.take(step).await;
            }
        }
        self.calm();
        _ = writing.await;
        let late = Instant::now() + DELIVERED_WITHIN;
        while !self.ledger.is_done() {
            let changed = self.ledger.changed.notified();
            if timeout_at(late, changed).await.is_err() {
                let missing = self.ledger.missing();
                let (some, all) = (missing[..missing.len().min(3)].join(", "), missing.len());
                self.events.violated(&format_args!(
                    "{all} records are not delivered long after the last fault, such as {some}"
                ));
                return;
            }
        }
        watching.abort();
        self.stopped.store(true, Relaxed);
        if let Some(connector) = self.connector.take() {
            connector.stop(self.grace()).await;
        }
    }

    fn later(&mut self, pause: Duration, step: Step) {
        self.next_step += 1;
        self.due.insert((Instant::now() + pause, self.next_step), step);
    }

    fn grace(&self) -> Duration {
        Duration::from_millis(
            self.scenario.config["service"]["shutdown-grace-period"].as_u64().unwrap_or_default(),
        )
    }

    fn start_receivers(&mut self) {
        // The last one is for dead letters.
        for (destination, count) in self.scenario.endpoints.clone().into_iter().chain([1]).enumerate() {
            for endpoint in 0..count {
                let ip = receiver_ip(destination, endpoint);
                self.network.link(CONNECTOR, ip, |link| *link = self.scenario.receiver_link.clone());
                self.network.name(&receiver_name(ip), &[ip]);
                let parts = (self.network.clone(), self.ledger.clone(), self.events.clone());
                let seed = self.seed ^ (0x7265_6365 + (destination * 10 + endpoint) as u64);
                let address = SocketAddr::new(ip, 80);
                let receiver = Receiver::new(destination, address, self.scenario.mood.clone(), seed, parts);
                let running = tokio::spawn(receiver.clone().run());
                self.receivers.push((receiver, Some(running), destination));
            }
        }
    }

    fn start_nodes(&self) {
        let next_connection = Arc::new(AtomicU64::new(1));
        let count = self.scenario.nodes.len();
        for (number, habits) in self.scenario.nodes.iter().enumerate() {
            self.network.link(CONNECTOR, node_ip(number), |link| *link = self.scenario.source_link.clone());
            let is_master = |key: &usize| self.scenario.roaming || key % count == number;
            let keys: Vec<usize> = (0..self.scenario.records).filter(is_master).collect();
            for connection in 0..habits.connections {
                // Where nothing roams, each record has its connection.
                let keys = keys
                    .iter()
                    .copied()
                    .filter(|key| self.scenario.roaming || key / count % habits.connections == connection);
                let node = Node {
                    number,
                    host: node_ip(number),
                    connector: SocketAddr::new(CONNECTOR, 8901),
                    habits: habits.clone(),
                    keys: Arc::new(keys.collect()),
                    network: self.network.clone(),
                    ledger: self.ledger.clone(),
                    events: self.events.clone(),
                    stopped: Arc::clone(&self.stopped),
                    disturbed_until: Arc::clone(&self.disturbed_until),
                    next_connection: Arc::clone(&next_connection),
                };
                tokio::spawn(node.run(self.seed ^ (0x6e6f_6465 + (number * 10 + connection) as u64)));
            }
        }
    }

    fn start_writing(&self) -> JoinHandle<()> {
        let (ledger, records) = (self.ledger.clone(), self.scenario.records);
        let (writes, pause_ms) = (self.scenario.writes, self.scenario.write_pause_ms);
        let mut random = fastrand::Rng::with_seed(self.seed ^ 0x7772_6974);
        tokio::spawn(async move {
            let until = Instant::now() + FAULTS_UNTIL;
            for _ in 0..writes {
                sleep(Duration::from_millis(random.u64(..=pause_ms))).await;
                if Instant::now() >= until {
                    break;
                }
                ledger.write(random.usize(..records));
            }
        })
    }

    /// Looks at what is bounded.
    fn start_watching(&self) -> JoinHandle<()> {
        let (network, events) = (self.network.clone(), self.events.clone());
        let bounds = Bounds::of(&self.scenario);
        let addresses: Vec<SocketAddr> =
            self.receivers.iter().map(|(receiver, _, _)| receiver.address()).collect();
        // A destination that was exchanged by a reload may have its connections a moment longer.
        let reloads = self.scenario.faults.iter().any(|(_, fault)| matches!(fault, Fault::Reload(_)));
        let most = self.scenario.connections_max * if reloads { 2 } else { 1 };
        tokio::spawn(async move {
            for round in 1.. {
                sleep(Duration::from_millis(20)).await;
                if round % 50 == 0 {
                    bounds.check(&network, &events).await;
                }
                for address in &addresses {
                    let open = network.open_to(CONNECTOR, *address);
                    if open > most {
                        events.violated(&format_args!("{open} connections to {address}, {most} are allowed"));
                    }
                }
            }
        })
    }

    fn start_connector(&mut self) {
        fs::write(&self.path, &self.running).unwrap_or_else(|error| panic!("{error}"));
        let process = Process::start(self.path.clone(), self.events.clone(), self.network.clone());
        self.connector = Some(process);
    }

    async fn connector_crashed(&mut self) {
        if let Some(connector) = self.connector.take() {
            connector.bury().await;
        }
        self.ledger.forget_order();
        self.disturb(Duration::ZERO);
        self.later(Duration::from_millis(200), Step::StartConnector);
    }

    /// Answers may be late that were asked for before so long from now.
    fn disturb(&self, longer: Duration) {
        let until = Instant::now() + longer;
        let mut disturbed = self.disturbed_until.lock().unwrap_or_else(PoisonError::into_inner);
        *disturbed = until.max(*disturbed);
    }

    async fn take(&mut self, step: Step) {
        match step {
            Step::Fault(fault) => {
                self.events.note(&format_args!("{fault:?}"));
                self.fault(fault).await;
            }
            Step::MendLink(ip) => self.mend_link(ip),
            Step::MendMood(destination) => self.set_mood(destination, &self.scenario.mood.clone()),
            Step::MendName(number) => self.mend_name(number),
            Step::StartReceiver(number) => self.start_receiver(number),
            Step::StartConnector if self.connector.is_none() => {
                self.start_connector();
                self.disturb(Duration::ZERO);
            }
            Step::StartConnector => {}
        }
    }

    fn mend_link(&self, ip: IpAddr) {
        let is_node = (0..self.scenario.nodes.len()).any(|number| node_ip(number) == ip);
        let usual = if is_node { &self.scenario.source_link } else { &self.scenario.receiver_link };
        self.network.link(CONNECTOR, ip, |link| *link = usual.clone());
    }

    fn mend_name(&self, number: usize) {
        let ip = self.receivers[number].0.address().ip();
        self.network.name(&receiver_name(ip), &[ip]);
    }

    fn start_receiver(&mut self, number: usize) {
        let (receiver, running, _) = &mut self.receivers[number];
        if running.is_none() {
            *running = Some(tokio::spawn(receiver.clone().run()));
        }
    }

    fn set_mood(&self, of: usize, mood: &Mood) {
        for (receiver, _, _) in self.receivers.iter().filter(|(_, _, destination)| *destination == of) {
            *receiver.mood() = mood.clone();
        }
    }

    async fn fault(&mut self, fault: Fault) {
        let receiver_ip = |stage: &Self, number: usize| stage.receivers[number].0.address().ip();
        match fault {
            Fault::ResetNode(node) => self.network.reset(CONNECTOR, node_ip(node)),
            Fault::ResetReceiver(number) => self.network.reset(CONNECTOR, receiver_ip(self, number)),
            Fault::CutNode(node, time) => {
                self.disturb(time);
                self.impair(node_ip(node), time, |link| link.cut = true);
            }
            Fault::CutReceiver(number, time) => {
                self.impair(receiver_ip(self, number), time, |link| link.cut = true);
            }
            Fault::SlowNode(node, bytes, time) => {
                self.disturb(time + Duration::from_secs(10));
                self.impair(node_ip(node), time, |link| link.slow_reads = Some((bytes, SLOW)));
            }
            Fault::SlowReceiver(number, bytes, time) => {
                self.impair(receiver_ip(self, number), time, |link| link.slow_reads = Some((bytes, SLOW)));
            }
            Fault::Mood(destination, mood, time) => {
                self.set_mood(destination, &mood);
                self.later(time, Step::MendMood(destination));
            }
            Fault::CrashReceiver(number, how, time) => {
                let (receiver, running, _) = &mut self.receivers[number];
                if let Some(running) = running.take() {
                    receiver.crash(how);
                    running.abort();
                    _ = running.await;
                }
                self.later(time, Step::StartReceiver(number));
            }
            Fault::CrashConnector(how, time) => {
                if let Some(connector) = self.connector.take() {
                    connector.kill(how).await;
                }
                self.ledger.forget_order();
                self.disturb(Duration::ZERO);
                self.later(time, Step::StartConnector);
            }
            Fault::CrashInCall(calls, how) => self.network.crash_connector_after(calls, how),
            Fault::RestartConnector(time) => {
                if let Some(connector) = self.connector.take() {
                    self.network.crash_no_more();
                    connector.stop(self.grace()).await;
                }
                self.ledger.forget_order();
                self.disturb(Duration::ZERO);
                self.later(time, Step::StartConnector);
            }
            Fault::Reload(reload) => {
                let text = Scenario::changed(&self.scenario.config, reload);
                let is_good = !matches!(reload, Reload::Nonsense);
                if let Some(connector) = &self.connector {
                    connector.reload(&text, is_good);
                }
                if is_good {
                    self.running = text;
                }
            }
            Fault::ShiftClock(ms) => self.network.shift_clock(ms),
            Fault::LoseName(number, time) => {
                self.network.name(&receiver_name(receiver_ip(self, number)), &[]);
                self.later(time, Step::MendName(number));
            }
        }
    }

    fn impair(&mut self, ip: IpAddr, time: Duration, how: impl Fn(&mut Link)) {
        self.network.link(CONNECTOR, ip, how);
        self.later(time, Step::MendLink(ip));
    }

    /// Nothing goes wrong any more.
    fn calm(&mut self) {
        self.events.note(&"all faults end");
        self.network.crash_no_more();
        let perfect = Link::default();
        let nodes = (0..self.scenario.nodes.len()).map(node_ip);
        let receivers = self.receivers.iter().map(|(receiver, _, _)| receiver.address().ip());
        for ip in nodes.chain(receivers) {
            self.network.link(CONNECTOR, ip, |link| *link = perfect.clone());
        }
        self.disturb(Duration::from_secs(2));
        (0..self.receivers.len()).for_each(|number| self.mend_name(number));
        for destination in 0..=self.scenario.endpoints.len() {
            self.set_mood(destination, &Mood { takes_ms: 5, ..Mood::default() });
        }
        for number in 0..self.receivers.len() {
            self.start_receiver(number);
        }
        if self.connector.as_ref().is_some_and(Process::has_ended) {
            self.events.violated(&"the connector ended by itself");
        }
        if self.connector.is_none() {
            self.start_connector();
        }
    }
}

fn node_ip(number: usize) -> IpAddr {
    Ipv4Addr::new(10, 0, 1, (number + 1) as u8).into()
}

/// Between two slow reads.
const SLOW: Duration = Duration::from_millis(20);
