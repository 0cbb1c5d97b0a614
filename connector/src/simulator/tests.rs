use std::{
    collections::{HashMap, HashSet},
    sync::Mutex,
};

use tokio::{io::DuplexStream, sync::mpsc};

use super::*;
use crate::simulator::ledger::Account;

mod stand_in;
use stand_in::{Reply, Seen, StandIn};

fn workload(records: u32) -> Workload {
    Workload { records, ..Workload::default() }
}

fn small(workload: Workload) -> Settings {
    Settings { connections_per_node: 2, depth: 16, ..Settings::new(String::new(), workload) }
}

/// A run against stand-ins, one for each instance.
fn simulation(
    settings: Settings,
    stand_ins: Vec<mpsc::Sender<DuplexStream>>,
    file: Option<LedgerFile>,
) -> Simulation {
    let instances = vec!["in memory".to_owned(); stand_ins.len()];
    let settings = Settings { instances, ..settings };
    Simulation { source: Arc::new(Source::new(settings, Dial::Memory(stand_ins), file)) }
}

/// Runs against a stand-in that counts what it answers with 0 as delivered.
async fn run_against(
    workload: Workload,
    reply: impl Fn(Seen) -> Reply + Send + Sync + 'static,
) -> (Summary, Account, StandIn) {
    let ledger: Arc<Mutex<Option<Arc<Ledger>>>> = Arc::default();
    let delivering = Arc::clone(&ledger);
    let deliver = move |seen: Seen| {
        let reply = reply(seen);
        if let (Reply::Code(0), Some(ledger)) = (&reply, &*delivering.lock().unwrap()) {
            ledger.arrived(seen.id, seen.version);
            ledger.delivered(seen.id, seen.version);
        }
        reply
    };
    let (dial, stand_in) = StandIn::start(deliver);
    let simulation = simulation(small(workload), vec![dial], None);
    *ledger.lock().unwrap() = Some(simulation.ledger());
    let summary = simulation.run().await;
    (summary, simulation.ledger().account(), stand_in)
}

#[tokio::test(start_paused = true)]
async fn everything_acknowledged_balances() {
    let (summary, account, stand_in) = run_against(workload(2000), |_| Reply::Code(0)).await;
    assert!(summary.is_complete(), "{summary}");
    let balanced = Account { shipped: 2000, acked: 2000, delivered: 2000, ..Account::default() };
    assert_eq!(account, balanced);
    assert_eq!((summary.messages, summary.reshipped, summary.resets), (2000, 0, 0));
    let connections: HashSet<usize> = stand_in.seen().iter().map(|seen| seen.connection).collect();
    assert_eq!(connections.len(), 4, "two nodes with two connections each");
    assert!(summary.latency_p50 <= summary.latency_p99 && summary.latency_p99 <= summary.latency_max);
    assert_eq!(summary.unanswered_max, summary.latency_max);
}

#[tokio::test(start_paused = true)]
async fn acks_without_delivery_are_losses() {
    let (dial, _stand_in) = StandIn::start(|_| Reply::Code(0));
    let simulation = simulation(small(workload(50)), vec![dial], None);
    assert!(simulation.run().await.is_complete());
    let account = simulation.ledger().account();
    assert_eq!((account.acked, account.delivered, account.lost, account.early), (50, 0, 50, 50));
}

#[tokio::test(start_paused = true)]
async fn temporary_refusals_are_shipped_again_after_the_pause() {
    let refused: Mutex<HashSet<u64>> = Mutex::default();
    let refuse_once = move |seen: Seen| {
        let codes = [8, 9, 11, 14, 18, 80];
        let first = refused.lock().unwrap().insert(seen.id);
        Reply::Code(if first { codes[seen.id as usize % 6] } else { 0 })
    };
    let (summary, account, _) = run_against(workload(600), refuse_once).await;
    assert!(summary.is_complete(), "{summary}");
    assert_eq!(summary.retried, [8, 9, 11, 14, 18, 80].map(|code| (code, 100)).into());
    assert_eq!((summary.messages, account.delivered, account.lost), (1200, 600, 0));
    assert!(summary.elapsed >= Duration::from_millis(100), "{:?}", summary.elapsed);
}

#[tokio::test(start_paused = true)]
async fn any_other_code_is_an_abandoned_record() {
    let reply = |seen: Seen| Reply::Code(if seen.id.is_multiple_of(10) { 4 } else { 0 });
    let (summary, account, _) = run_against(workload(500), reply).await;
    assert!(!summary.is_complete());
    assert_eq!(summary.abandoned, [(4, 50)].into());
    assert_eq!((summary.unfinished, account.acked, account.lost), (0, 450, 0));
    assert_eq!(summary.messages, 500, "an abandoned record is not shipped again");
}

#[tokio::test(start_paused = true)]
async fn stale_versions_come_after_newer_ones_and_nothing_depends_on_them() {
    let keys = Workload { keys: 50, stale_share: 0.4, ..workload(4000) };
    let newest: Mutex<HashMap<u64, u32>> = Mutex::default();
    // Refuses what is stale for good, resets now and then, and delivers only what is new.
    let in_order = move |seen: Seen| {
        let mut newest = newest.lock().unwrap();
        let newest = newest.entry(seen.id).or_default();
        if seen.version < *newest {
            return Reply::Code(if seen.version.is_multiple_of(2) { 8 } else { 2 });
        }
        *newest = seen.version;
        Reply::Code(0)
    };
    let (summary, account, stand_in) = run_against(keys.clone(), in_order).await;
    assert!(summary.is_complete() && summary.stale > 50, "{summary}");
    assert_eq!((account.lost, account.reordered, account.early), (0, 0, 0), "{account}");
    assert_eq!(summary.messages, account.shipped + summary.stale, "{summary}");
    assert_eq!(stand_in.seen().len() as u64, summary.messages);

    // Without order the same source is seen to be out of order.
    let (summary, account, _) = run_against(keys, |_| Reply::Code(0)).await;
    assert!(summary.is_complete(), "{summary}");
    assert_eq!((account.lost, account.reordered), (0, summary.stale));
    assert!(account.is_good(false) && !account.is_good(true));
}

#[tokio::test(start_paused = true)]
async fn a_reset_ships_everything_unanswered_again() {
    let answered: Mutex<HashMap<usize, u32>> = Mutex::default();
    let reply = move |seen: Seen| {
        let mut answered = answered.lock().unwrap();
        let count = answered.entry(seen.connection).or_default();
        *count += 1;
        if *count > 40 { Reply::Close } else { Reply::Code(0) }
    };
    let (summary, account, stand_in) = run_against(workload(1000), reply).await;
    assert!(summary.is_complete(), "{summary}");
    assert!(summary.resets >= 20, "{summary}");
    assert!(summary.reshipped > 0 && summary.messages > 1000, "{summary}");
    assert_eq!((account.acked, account.lost), (1000, 0));
    assert_eq!(stand_in.seen().iter().map(|seen| seen.id).collect::<HashSet<_>>().len(), 1000);
}

#[tokio::test(start_paused = true)]
async fn silence_for_ten_seconds_costs_the_connection() {
    let silenced: Mutex<HashSet<usize>> = Mutex::default();
    let reply = move |seen: Seen| {
        // The first four connections that carry records never answer.
        let mut silenced = silenced.lock().unwrap();
        if silenced.len() < 4 {
            silenced.insert(seen.connection);
        }
        if silenced.contains(&seen.connection) { Reply::Silence } else { Reply::Code(0) }
    };
    let (summary, account, _) = run_against(workload(300), reply).await;
    assert!(summary.is_complete(), "{summary}");
    assert_eq!(summary.timeouts, 4, "{summary}");
    let elapsed = summary.elapsed.as_secs_f64();
    assert!((10.0..11.0).contains(&elapsed), "{elapsed}");
    assert!(summary.unanswered_max.as_secs() == 10 && summary.latency_max.as_secs() < 1, "{summary}");
    assert_eq!((summary.reshipped, account.lost), (64, 0), "four rings of 16");
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_is_none_costs_the_connection() {
    let spoilt: Mutex<bool> = Mutex::default();
    let reply = move |_| {
        if std::mem::replace(&mut *spoilt.lock().unwrap(), true) { Reply::Code(0) } else { Reply::Garbage }
    };
    let (summary, _, _) = run_against(workload(100), reply).await;
    assert!(summary.is_complete() && summary.malformed == 1, "{summary}");
}

#[tokio::test(start_paused = true)]
async fn hot_keys_ship_in_order_and_end_at_their_last_version() {
    let draws: Mutex<u64> = Mutex::default();
    let reply = move |_| {
        let mut draw = draws.lock().unwrap();
        *draw += 1;
        match random::mix(*draw) % 50 {
            0 => Reply::Close,
            1..=5 => Reply::Code(18),
            _ => Reply::Code(0),
        }
    };
    let hot = Workload { keys: 20, hot_share: 0.3, delete_share: 0.3, ..workload(5000) };
    let generator = workload::Generator::new(hot.clone());
    let mut last: HashMap<u64, u32> = HashMap::new();
    for change in 0..5000 {
        *last.entry(generator.record_of(change).into()).or_default() += 1;
    }
    let (summary, account, stand_in) = run_against(hot, reply).await;
    assert!(summary.is_complete(), "{summary}");
    assert_eq!((account.lost, account.reordered), (0, 0));
    assert!(summary.superseded > 0 && summary.resets > 0 && summary.retried[&18] > 0, "{summary}");
    let mut newest: HashMap<u64, u32> = HashMap::new();
    for Seen { id, version, .. } in stand_in.seen() {
        let newest = newest.entry(id).or_default();
        assert!(version >= *newest, "what is shipped is never older than what was");
        *newest = version;
    }
    assert_eq!(newest, last);
}

#[tokio::test(start_paused = true)]
async fn the_deadline_ends_a_run_that_cannot_end() {
    let (dial, _stand_in) = StandIn::start(|_| Reply::Code(18));
    let settings = Settings { deadline: Duration::from_secs(3), ..small(workload(100)) };
    let summary = simulation(settings, vec![dial], None).run().await;
    assert_eq!(summary.unfinished, 100);
    assert!(!summary.is_complete());
    assert_eq!(summary.elapsed.as_secs(), 3);
}

#[tokio::test(start_paused = true)]
async fn an_unreachable_instance_loses_its_records_to_the_others() {
    let (gone, _) = mpsc::channel(1);
    let (dial, stand_in) = StandIn::start(|_| Reply::Code(0));
    let summary = simulation(small(workload(500)), vec![dial, gone], None).run().await;
    assert!(summary.is_complete(), "{summary}");
    assert!(summary.connect_failures > 0 && summary.probe_failures > 0, "{summary}");
    assert_eq!(stand_in.seen().len(), 500);
}

#[tokio::test(start_paused = true)]
async fn records_keep_to_their_instance_while_all_are_there() {
    let (one, first) = StandIn::start(|_| Reply::Code(0));
    let (two, second) = StandIn::start(|_| Reply::Code(0));
    let keys = Workload { keys: 200, ..workload(2000) };
    let settings = Settings { rate: 10_000, ..small(keys) };
    assert!(simulation(settings, vec![one, two], None).run().await.is_complete());
    let connections = |stand_in: &StandIn| {
        let mut of: HashMap<u64, HashSet<usize>> = HashMap::new();
        for seen in stand_in.seen() {
            of.entry(seen.id).or_default().insert(seen.connection);
        }
        of
    };
    let (first, second) = (connections(&first), connections(&second));
    assert!(first.len() > 60 && second.len() > 60, "{} and {}", first.len(), second.len());
    assert!(first.keys().all(|id| !second.contains_key(id)));
    assert!(first.values().chain(second.values()).all(|connections| connections.len() == 1));
}

#[tokio::test(start_paused = true)]
async fn changes_come_at_the_set_rate_and_probes_send_nothing() {
    let (dial, stand_in) = StandIn::start(|_| Reply::Code(0));
    let settings = Settings { rate: 100, ..small(workload(1200)) };
    let summary = simulation(settings, vec![dial], None).run().await;
    let elapsed = summary.elapsed.as_secs_f64();
    assert!(summary.is_complete() && (11.8..12.2).contains(&elapsed), "{summary}");
    // Two nodes at 0, 5 and 10 seconds.
    assert_eq!((summary.probes, summary.probe_failures), (6, 0));
    assert_eq!(*stand_in.silent.lock().unwrap(), 6);
}

#[tokio::test(start_paused = true)]
async fn the_ledger_file_holds_what_was_shipped_and_acknowledged() {
    let dir = tempfile::tempdir().unwrap();
    let (ours, theirs) = (dir.path().join("ours"), dir.path().join("theirs"));
    let (dial, stand_in) = StandIn::start(|_| Reply::Code(0));
    let file = LedgerFile::replace(&ours, ledger_file::Side::Source).unwrap();
    assert!(simulation(small(workload(100)), vec![dial], Some(file)).run().await.is_complete());
    let receiver = LedgerFile::append(&theirs, ledger_file::Side::Receiver).unwrap();
    for Seen { id, version, .. } in stand_in.seen().into_iter().skip(1) {
        receiver.write(&[ledger_file::Entry { id, version, mark: 0 }]).unwrap();
    }
    let account = ledger_file::account(&ours, &theirs).unwrap();
    let expected = Account { shipped: 100, acked: 100, delivered: 99, lost: 1, ..Account::default() };
    assert_eq!(account, expected);
}

#[tokio::test]
async fn tls_is_spoken_and_the_certificate_checked() {
    use rustls::pki_types::PrivateKeyDer;
    let dir = tempfile::tempdir().unwrap();
    let key = rcgen::generate_simple_self_signed(["connector.test".to_owned()]).unwrap();
    let ca = dir.path().join("ca.pem");
    std::fs::write(&ca, key.cert.pem()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(
            vec![key.cert.der().clone()],
            PrivateKeyDer::try_from(key.signing_key.serialize_der()).unwrap(),
        )
        .unwrap();
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    let address = StandIn::start_tls(acceptor).await;

    let tls = Some(Tls::load(&ca, "connector.test", None).unwrap());
    let instances = vec![address];
    let settings = Settings { instances: instances.clone(), tls, ..small(workload(500)) };
    let summary = Simulation::new(settings, None).run().await;
    assert!(summary.is_complete() && summary.acked == 500, "{summary}");

    let tls = Some(Tls::load(&ca, "other.test", None).unwrap());
    let deadline = Duration::from_millis(200);
    let settings = Settings { instances, tls, deadline, ..small(workload(10)) };
    let summary = Simulation::new(settings, None).run().await;
    assert!(summary.connects == 0 && summary.connect_failures > 0 && summary.unfinished == 10, "{summary}");
}

#[test]
fn a_file_without_certificates_is_refused_by_name() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("empty.pem");
    std::fs::write(&path, "nothing").unwrap();
    let error = Tls::load(&path, "connector.test", None).unwrap_err().to_string();
    assert!(error.contains("empty.pem") && error.contains("PEM certificate"), "{error}");
}
