//! What a seed stands for: a configuration, sources and receivers with their habits, and what goes wrong when.

use std::time::Duration;

use fastrand::Rng;
use serde_json::{Value, json};

use crate::{
    ledger::Promises,
    network::{Crash, Link},
    receiver::Mood,
    source::Habits,
};

/// Load and faults end after this time; then everything has to be delivered.
pub const FAULTS_UNTIL: Duration = Duration::from_secs(25);

/// All of it.
#[derive(Clone, Debug)]
pub struct Scenario {
    pub config: Value,
    pub promises: Promises,
    pub records: usize,
    pub nodes: Vec<Habits>,
    /// Each record may be shipped by every node.
    pub roaming: bool,
    /// By destination, how many endpoints.
    pub endpoints: Vec<usize>,
    pub mood: Mood,
    pub source_link: Link,
    pub receiver_link: Link,
    /// Longest pause between two writes of the application, in milliseconds.
    pub write_pause_ms: u64,
    pub writes: usize,
    pub connections_max: usize,
    pub faults: Vec<(Duration, Fault)>,
}

/// Something that goes wrong, or changes.
#[derive(Clone, Debug)]
pub enum Fault {
    /// All connections with a node break.
    ResetNode(usize),
    /// The same with a receiver.
    ResetReceiver(usize),
    /// Nothing comes through between connector and node for a time.
    CutNode(usize, Duration),
    CutReceiver(usize, Duration),
    /// Reads of so many bytes at a time on the links to a node.
    SlowNode(usize, usize, Duration),
    SlowReceiver(usize, usize, Duration),
    /// All receivers of a destination have another mood for a time.
    Mood(usize, Mood, Duration),
    CrashReceiver(usize, Crash, Duration),
    /// The connector ends and is started again.
    CrashConnector(Crash, Duration),
    /// The same, in the middle of its so many-th call of the network.
    CrashInCall(u64, Crash),
    /// SIGTERM, and a new start.
    RestartConnector(Duration),
    /// The configuration is read again with other settings.
    Reload(Reload),
    /// The clock of the connector shows another time.
    ShiftClock(i64),
    /// The name of a receiver leads nowhere for a time.
    LoseName(usize, Duration),
}

/// What changes with a reload.
#[derive(Clone, Copy, Debug)]
pub enum Reload {
    Nothing,
    Workers(u64),
    CallTimeout(u64),
    Batching(u64),
    Header(u64),
    Window(u64),
    Nonsense,
}

impl Scenario {
    pub fn of(seed: u64) -> Self {
        let mut random = Rng::with_seed(seed ^ 0x7363_656e_6172_696f);
        let random = &mut random;
        let destinations = *pick(random, &[1, 1, 1, 2, 3]);
        let endpoints: Vec<usize> = (0..destinations).map(|_| *pick(random, &[1, 1, 1, 2])).collect();
        let http2 = random.u8(..3) == 0;
        let ordering = random.u8(..4) == 0;
        let batching = random.bool();
        let connections_max = *pick(random, &[1, 2, 4, 16]);
        let call_timeout = *pick(random, &[300, 1_000, 3_000]);
        let mut config = json!({
            "service": {
                "address": "10.0.0.1",
                "port": 8901,
                "manage": {"address": "10.0.0.1", "port": 8902},
                "max-concurrent-records": *pick(random, &[1, 4, 20, 200, 32_768]),
                "enable-tcp-xdr-ack-buffering": random.bool(),
                "shutdown-grace-period": *pick(random, &[500, 3_000, 10_000]),
                "remember-partial-success": *pick(random, &[0, 10, 100_000]),
                "worker-threads": 1,
            },
            "destinations": {},
            "format": {"mode": "flat-json", "metadata-key": "_meta"},
            "record-ordering": {"enable": ordering, "lut-cache-ttl-seconds": 600},
            "namespaces": {"test": {}},
        });
        let names: Vec<String> = (0..destinations).map(|number| format!("d{number}")).collect();
        config["routing"] = match destinations {
            1 => json!({"mode": "static", "destination": "d0"}),
            _ => json!({"mode": "static-multi-destination", "destinations": names}),
        };
        if batching {
            config["batching"] = json!({
                "max-records": *pick(random, &[2, 10, 100]),
                "batch-interval": *pick(random, &[1, 20, 500]),
            });
        }
        for (number, name) in names.iter().enumerate() {
            let urls: Vec<String> = (0..endpoints[number])
                .map(|endpoint| format!("http://{}/", receiver_name(receiver_ip(number, endpoint))))
                .collect();
            config["destinations"][name] = json!({
                "type": "http",
                "urls": urls,
                "protocol": if http2 { "HTTP_2" } else { "HTTP_1_1" },
                "call-timeout": call_timeout,
                "connect-timeout": *pick(random, &[100, 300, 1_000]),
                "connection-ttl": *pick(random, &[-1, -1, 2_000]),
                "max-connections-per-endpoint": connections_max,
                "http2-max-concurrent-streams": *pick(random, &[1, 10, 100]),
                "max-attempts": *pick(random, &[1, 2, 5]),
                "max-request-queued-per-endpoint": *pick(random, &[1, 5, 32_768]),
                "health-check": {"enabled": false},
            });
            if random.bool() {
                config["destinations"][name]["workers"] = json!(*pick(random, &[1, 2, 8]));
            }
        }
        let nodes: Vec<Habits> = (0..random.usize(1..=3)).map(|_| habits(random)).collect();
        let records = random.usize(1..40);
        let poison = (records > 10 && random.u8(..3) == 0).then_some(3);
        if poison.is_some() {
            let mut letters = config["destinations"]["d0"].clone();
            letters["urls"] = json!([format!("http://{}/", receiver_name(receiver_ip(destinations, 0)))]);
            config["destinations"]["d0"]["dead-letter"] = json!("letters");
            config["destinations"]["letters"] = letters;
        }
        let http2_patience = http2.then_some(Duration::from_millis(200));
        let promises = Promises { destinations, ordering, poison, http2_patience };
        let (until_ms, writes) = (FAULTS_UNTIL.as_millis() as u64, random.u64(20..400));
        let receivers = endpoints.iter().sum();
        let faults = faults(random, nodes.len(), receivers, destinations);
        Self {
            config,
            promises,
            records,
            roaming: random.bool(),
            endpoints,
            mood: mood(random),
            source_link: link(random),
            receiver_link: link(random),
            write_pause_ms: *pick(random, &[5, 50, 2 * until_ms / writes, 2 * until_ms / writes]),
            writes: writes as usize,
            connections_max,
            nodes,
            faults,
        }
    }

    /// The same, with other settings.
    pub fn changed(config: &Value, reload: Reload) -> String {
        let mut config = config.clone();
        let mut each = |key: &str, value: Value| {
            if let Some(destinations) = config["destinations"].as_object_mut() {
                destinations.values_mut().for_each(|destination| destination[key] = value.clone());
            }
        };
        match reload {
            Reload::Nothing => {}
            Reload::Workers(workers) => each("workers", json!(workers)),
            Reload::CallTimeout(ms) => each("call-timeout", json!(ms)),
            Reload::Header(value) => each("headers", json!({"x-configuration": value.to_string()})),
            Reload::Batching(records) => {
                config["batching"] = json!({"max-records": records, "batch-interval": 20})
            }
            Reload::Window(records) => config["service"]["max-concurrent-records"] = json!(records),
            Reload::Nonsense => config["destinations"] = json!("none"),
        }
        config.to_string()
    }
}

/// What it is called.
pub fn receiver_name(ip: std::net::IpAddr) -> String {
    format!("r{}.sim", ip.to_string().replace('.', "-"))
}

/// Where an endpoint of a destination listens.
pub fn receiver_ip(destination: usize, endpoint: usize) -> std::net::IpAddr {
    std::net::Ipv4Addr::new(10, 0, 2, (destination * 10 + endpoint + 1) as u8).into()
}

fn pick<'a, T>(random: &mut Rng, from: &'a [T]) -> &'a T {
    &from[random.usize(..from.len())]
}

fn habits(random: &mut Rng) -> Habits {
    Habits {
        connections: random.usize(1..=3),
        window: *pick(random, &[1, 5, 30, 100]),
        overlapping: random.bool(),
        pause_ms: *pick(random, &[0, 2, 20]),
        deletes: *pick(random, &[0, 10]),
        questions: *pick(random, &[0, 5, 30]),
        compressed: *pick(random, &[0, 20]),
        bytes: *pick(random, &[100, 5_000, 60_000]),
        nonsense: *pick(random, &[0, 0, 50]),
    }
}

fn mood(random: &mut Rng) -> Mood {
    Mood {
        takes_ms: *pick(random, &[0, 5, 50, 200]),
        fails: *pick(random, &[0, 0, 50, 300]),
        hangs: *pick(random, &[0, 0, 0, 20]),
        forgets: *pick(random, &[0, 0, 20]),
        down: false,
        answer_bytes: *pick(random, &[0, 0, 100, 10_000, 100_000]),
    }
}

fn link(random: &mut Rng) -> Link {
    Link {
        delay_ms: *pick(random, &[(0, 0), (0, 2), (1, 20), (20, 60)]),
        reset_rate: *pick(random, &[0, 0, 0, 20, 200]),
        partial_rate: *pick(random, &[0, 0, 2_000]),
        capacity: *pick(random, &[4 * 1024, 64 * 1024, 256 * 1024]),
        ..Link::default()
    }
}

fn faults(random: &mut Rng, nodes: usize, receivers: usize, destinations: usize) -> Vec<(Duration, Fault)> {
    let until = FAULTS_UNTIL.as_millis() as u64;
    let mut faults: Vec<(Duration, Fault)> = (0..*pick(random, &[0, 1, 3, 6, 10]))
        .map(|_| {
            let at = Duration::from_millis(random.u64(100..until - 5_000));
            (at, fault(random, nodes, receivers, destinations))
        })
        .collect();
    faults.sort_by_key(|(at, _)| *at);
    faults
}

fn fault(random: &mut Rng, nodes: usize, receivers: usize, destinations: usize) -> Fault {
    let (node, receiver) = (random.usize(..nodes), random.usize(..receivers));
    let long = Duration::from_millis(*pick(random, &[50, 500, 3_000, 8_000]));
    let short = Duration::from_millis(*pick(random, &[0, 100, 2_000]));
    let how = *pick(random, &[Crash::Killed, Crash::Vanished]);
    match random.u8(..17) {
        0 => Fault::ResetNode(node),
        1 => Fault::ResetReceiver(receiver),
        2 => Fault::CutNode(node, long),
        3 => Fault::CutReceiver(receiver, long),
        4 => Fault::SlowNode(node, *pick(random, &[1, 30, 500]), long),
        5 => Fault::SlowReceiver(receiver, *pick(random, &[1, 30, 500]), long),
        6 => {
            let mood = Mood { down: true, ..mood(random) };
            Fault::Mood(random.usize(..destinations), mood, long)
        }
        7 => {
            let mood = Mood { hangs: 1_000, ..mood(random) };
            Fault::Mood(random.usize(..destinations), mood, long)
        }
        8 => {
            let mood = Mood { takes_ms: 3_000, ..mood(random) };
            Fault::Mood(random.usize(..destinations), mood, long)
        }
        9 | 10 => Fault::CrashReceiver(receiver, how, long),
        11 => Fault::CrashConnector(how, short),
        12 => Fault::CrashInCall(random.u64(1..400), how),
        13 => Fault::RestartConnector(short),
        14 => Fault::ShiftClock(*pick(random, &[-86_400_000, -2_000, 5_000, 3_600_000])),
        15 => Fault::LoseName(receiver, long),
        _ => Fault::Reload(match random.u8(..7) {
            0 => Reload::Nothing,
            1 => Reload::Workers(random.u64(1..10)),
            2 => Reload::CallTimeout(*pick(random, &[200, 2_000])),
            3 => Reload::Batching(*pick(random, &[1, 3, 50])),
            4 => Reload::Header(random.u64(..1_000)),
            5 => Reload::Window(*pick(random, &[1, 10, 1_000])),
            _ => Reload::Nonsense,
        }),
    }
}
