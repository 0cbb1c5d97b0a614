//! Plain HTTP through Envoy with TLS and HTTP/2, which does to connections and requests what gateways and load
//! balancers do: everything arrives, and hardly anything twice.

use std::{future::pending, sync::Arc};

use e2e::{Connector, Envoy, Trouble, chains::Chains};
use esp_connector::{
    receiver::{Book, Receiver, faults::Faults},
    simulator::{
        Settings, Simulation, Summary,
        ledger::{Account, Ledger},
        workload::Workload,
    },
};
use tokio::net::TcpListener;

use crate::python;

const RECORDS: u32 = 5_000;

/// What a run came to.
struct Run {
    summary: Summary,
    /// What the receiver behind Envoy confirmed.
    delivered: Account,
    envoy: Envoy,
}

impl Run {
    /// Everything was acknowledged, and is where it belongs; this many came twice at most.
    fn lost_nothing(&self, duplicates: u64) {
        assert!(self.summary.is_complete(), "{}", self.summary);
        assert_eq!(self.delivered.delivered, u64::from(RECORDS), "{}", self.delivered);
        assert!(self.delivered.duplicates <= duplicates, "{}", self.delivered);
    }

    async fn counted(&self, name: &str) -> u64 {
        self.envoy.counter(&format!("http.front.{name}")).await
    }
}

/// Ships everything through an Envoy that makes `trouble`, with `settings` of the destination besides its address.
async fn run(trouble: Trouble, settings: &str) -> Option<Run> {
    let python = tokio::task::spawn_blocking(python::with_envoy).await.unwrap()?;
    let chains = Chains::new()?;
    chains.issue("front", "subjectAltName=DNS:localhost");
    let ledger = Arc::new(Ledger::new(RECORDS as usize));
    let receiver = Arc::new(Receiver::new(Faults::default(), Book::Ledger(Arc::clone(&ledger))));
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let envoy = Envoy::start(&python, listener.local_addr().unwrap(), &chains, &trouble).await;
    let serving = tokio::spawn(receiver.serve(listener, None, pending()));
    let (url, ca) = (envoy.url("/records"), chains.path("ca.pem"));
    let config = format!(
        "destinations:
  front:
    urls: ['{url}']
    tls: {{ca-file: '{}'}}
    {settings}
format: {{mode: flat-json, metadata-key: _meta}}
batching: {{max-records: 10}}
routing: {{mode: static, destination: front}}
",
        ca.display()
    );
    let connector = Connector::start(&config).await;
    let workload = Workload { records: RECORDS, ..Workload::default() };
    let summary = Simulation::new(Settings::new(connector.address().to_string(), workload), None).run().await;
    connector.stop().await.unwrap();
    serving.abort();
    Some(Run { summary, delivered: ledger.account(), envoy })
}

const HTTP_2: &str = "call-timeout: 5000\n    http2-max-concurrent-streams: 8";
const HTTP_1: &str = "call-timeout: 5000\n    protocol: HTTP_1_1\n    max-connections-per-endpoint: 8";

#[tokio::test(flavor = "multi_thread")]
async fn connections_that_end_all_the_time_cost_nothing() {
    let trouble = Trouble {
        requests_per_connection: Some(20),
        connection_milliseconds: Some(300),
        ..Trouble::default()
    };
    for settings in [HTTP_2, HTTP_1] {
        let Some(run) = run(trouble.clone(), settings).await else { return };
        // What a GOAWAY leaves behind was surely not processed: it is sent again, and arrives once.
        run.lost_nothing(0);
        let connections = run.counted("downstream_cx_total").await;
        let requests = run.counted("downstream_rq_total").await;
        eprintln!("{connections} connections, {requests} requests, {}", run.summary.elapsed.as_secs_f64());
        assert!(connections >= 10, "only {connections} connections");
    }
}
