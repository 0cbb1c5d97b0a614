//! Plain HTTP through Envoy with TLS and HTTP/2, which does to connections and requests what gateways and load
//! balancers do: everything arrives, and hardly anything twice.

use std::{future::pending, sync::Arc};

use e2e::{Connector, Envoy, Trouble, WITHIN, chains::Chains};
use esp_connector::{
    receiver::{Book, Receiver, faults::Faults},
    simulator::{
        Settings, Simulation, Summary,
        ledger::{Account, Ledger},
        workload::Workload,
    },
};
use tokio::{
    net::TcpListener,
    task::JoinHandle,
    time::{Instant, sleep},
};

use crate::python;

/// Records of a request, at most.
const BATCH: u64 = 10;

/// What all of these have in common: few streams, so that there are many connections.
const HTTP_2: &str = "call-timeout: 5000\n    http2-max-concurrent-streams: 8";
const HTTP_1: &str = "call-timeout: 5000\n    protocol: HTTP_1_1\n    max-connections-per-endpoint: 8";

/// A connector in front of Envoy in front of a receiver.
struct Scene {
    envoy: Envoy,
    connector: Connector,
    records: u32,
    /// What the receiver confirmed.
    ledger: Arc<Ledger>,
    serving: JoinHandle<()>,
    _chains: Chains,
}

impl Scene {
    /// With `settings` of the destination besides its address.
    async fn new(records: u32, trouble: &Trouble, settings: &str) -> Option<Self> {
        let python = tokio::task::spawn_blocking(python::with_envoy).await.unwrap()?;
        let chains = Chains::new()?;
        chains.issue("front", "subjectAltName=DNS:localhost");
        let ledger = Arc::new(Ledger::new(records as usize));
        let receiver = Arc::new(Receiver::new(Faults::default(), Book::Ledger(Arc::clone(&ledger))));
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let envoy = Envoy::start(&python, listener.local_addr().unwrap(), &chains, trouble).await;
        let serving = tokio::spawn(receiver.serve(listener, None, pending()));
        let (url, ca) = (envoy.url("/records"), chains.path("ca.pem"));
        let config = format!(
            "destinations:
  front:
    urls: ['{url}']
    tls: {{ca-file: '{}'}}
    {settings}
format: {{mode: flat-json, metadata-key: _meta}}
batching: {{max-records: {BATCH}}}
routing: {{mode: static, destination: front}}
",
            ca.display()
        );
        let connector = Connector::start(&config).await;
        Some(Self { connector, envoy, records, ledger, serving, _chains: chains })
    }

    /// Ships everything. To be run while other things happen to the scene.
    fn source(&self) -> impl Future<Output = Summary> + use<> {
        let workload = Workload { records: self.records, ..Workload::default() };
        let simulation = Simulation::new(Settings::new(self.connector.address().to_string(), workload), None);
        async move { simulation.run().await }
    }

    /// Stops; everything was acknowledged, and is where it belongs.
    async fn lost_nothing(self, summary: &Summary) -> (Account, Envoy) {
        self.connector.stop().await.unwrap();
        self.serving.abort();
        assert!(summary.is_complete(), "{summary}");
        let delivered = self.ledger.account();
        assert_eq!(delivered.delivered, u64::from(self.records), "{delivered}");
        (delivered, self.envoy)
    }
}

async fn counter(envoy: &Envoy, name: &str) -> u64 {
    envoy.counter(&format!("http.front.{name}")).await
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_that_end_all_the_time_cost_nothing() {
    let trouble = Trouble {
        requests_per_connection: Some(20),
        connection_milliseconds: Some(300),
        ..Trouble::default()
    };
    for settings in [HTTP_2, HTTP_1] {
        let Some(scene) = Scene::new(5_000, &trouble, settings).await else { return };
        let summary = scene.source().await;
        let (delivered, envoy) = scene.lost_nothing(&summary).await;
        // What a GOAWAY leaves behind was surely not processed: it is sent again, and arrives once.
        assert_eq!(delivered.duplicates, 0);
        let connections = counter(&envoy, "downstream_cx_total").await;
        assert!(connections >= 10, "only {connections} connections");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_peer_that_takes_few_streams_never_has_to_refuse_one() {
    let trouble = Trouble { streams: Some(2), ..Trouble::default() };
    let settings = "call-timeout: 5000\n    max-connections-per-endpoint: 2";
    let Some(scene) = Scene::new(5_000, &trouble, settings).await else { return };
    let summary = scene.source().await;
    let (_, envoy) = scene.lost_nothing(&summary).await;
    // No request begins before the peer's settings came, so this holds on any machine. That no call is given up for its time,
    // and its records sent twice, does not.
    assert_eq!(envoy.counter("http2.tx_reset").await, 0, "streams were refused");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_limit_on_the_rate_is_kept_after_it_was_met() {
    const PER_SECOND: u32 = 40;
    let trouble = Trouble { requests_per_second: Some(PER_SECOND), ..Trouble::default() };
    let Some(scene) = Scene::new(2_000, &trouble, HTTP_2).await else { return };
    let summary = scene.source().await;
    let (delivered, envoy) = scene.lost_nothing(&summary).await;
    assert_eq!(delivered.duplicates, 0, "what is answered 429 was not processed");
    let (all, limited) = (
        counter(&envoy, "downstream_rq_total").await,
        envoy.counter("limit.http_local_rate_limit.rate_limited").await,
    );
    assert!(limited > 0, "the limit was never met");
    // `Retry-After` is obeyed: most of what is sent is taken.
    assert!(limited * 2 < all, "{limited} of {all} requests were refused");
}

#[tokio::test(flavor = "multi_thread")]
async fn aborts_and_delays_are_gone_through() {
    let trouble = Trouble { aborted_percent: 20, delayed_percent: 10, ..Trouble::default() };
    let Some(scene) = Scene::new(5_000, &trouble, HTTP_2).await else { return };
    let summary = scene.source().await;
    let (delivered, envoy) = scene.lost_nothing(&summary).await;
    // Envoy aborts before it passes anything on.
    assert_eq!(delivered.duplicates, 0);
    assert!(counter(&envoy, "fault.aborts_injected").await > 0);
    assert!(counter(&envoy, "fault.delays_injected").await > 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_front_that_crashes_costs_no_more_than_what_was_in_flight() {
    let Some(mut scene) = Scene::new(20_000, &Trouble::default(), HTTP_2).await else { return };
    let running = tokio::spawn(scene.source());
    for third in 1..=2 {
        let started = Instant::now();
        while scene.ledger.progress().2 < u64::from(scene.records) * third / 3 {
            assert!(started.elapsed() < WITHIN, "{}", scene.ledger.account());
            sleep(std::time::Duration::from_millis(1)).await;
        }
        scene.envoy.crash().await;
        assert!(scene.ledger.progress().2 < u64::from(scene.records), "it was in the middle of it");
    }
    let summary = running.await.unwrap();
    let (delivered, _) = scene.lost_nothing(&summary).await;
    // A request whose answer was lost is sent again, by all workers, after each of the two crashes.
    assert!(delivered.duplicates <= 2 * 100 * BATCH, "{delivered}");
}
