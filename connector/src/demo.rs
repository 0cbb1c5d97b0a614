//! The whole path in one process: a simulated source, the connector, and a receiver that keeps the account.

mod screen;

use std::{fmt::Display, future::Future, io, sync::Arc, time::Duration};

use clap::Args;
use tokio::{
    net::TcpListener,
    sync::{mpsc, oneshot},
};

use self::screen::Screen;
use crate::{
    receiver::{Book, Receiver, faults::Faults},
    simulator::{Settings, Simulation, Summary, ledger::Account, workload::BinType, workload::Workload},
};

/// Shows the connector at work: no cluster, no cloud, no configuration.
///
/// A simulated XDR source ships records to the connector, which sends them to an HTTP receiver, all in this
/// process. Ends with the exact account of every record; exit code 1 if anything was lost.
#[derive(Args, Clone, Debug)]
pub struct DemoArgs {
    /// Records to ship.
    #[arg(long, value_name = "N", default_value_t = 100_000, value_parser = clap::value_parser!(u32).range(1..=100_000_000))]
    pub records: u32,
    /// Records per second; 0 ships as fast as possible.
    #[arg(long, value_name = "R", default_value_t = 20_000)]
    pub rate: u32,
    /// Print nothing but one JSON object at the end.
    #[arg(long)]
    pub json: bool,
}

/// What the demo hands to the connector it starts.
#[derive(Debug)]
pub struct Start {
    /// A configuration file, as a user would write it.
    pub config: String,
    /// The port the configuration names, already open.
    pub listener: TcpListener,
    /// Ends when the connector is to stop.
    pub shutdown: oneshot::Receiver<()>,
}

/// Why a demo did not come to its end.
#[derive(Debug, thiserror::Error)]
pub enum DemoError {
    /// No port on this machine.
    #[error("127.0.0.1: {0}")]
    Listen(#[from] io::Error),
    /// The connector.
    #[error("the connector ended before the demo did: {0}")]
    Connector(String),
}

/// Runs the demo with the connector that `start` starts. True when nothing was lost.
pub async fn run<F, E>(args: DemoArgs, start: impl FnOnce(Start) -> F) -> Result<bool, DemoError>
where
    F: Future<Output = Result<(), E>>,
    E: Display,
{
    let inward = TcpListener::bind("127.0.0.1:0").await?;
    let outward = TcpListener::bind("127.0.0.1:0").await?;
    let (xdr, http) = (inward.local_addr()?, outward.local_addr()?);
    let mut screen = Screen::new(args.json);
    screen.headline(args.records, args.rate, xdr, http);

    let simulation = Simulation::new(settings(&args, xdr.to_string()), None);
    let (samples, shown) = mpsc::channel(SAMPLES);
    let receiver = Receiver::new(Faults::default(), Book::Ledger(simulation.ledger())).with_samples(samples);
    let (stop, shutdown) = oneshot::channel();
    let config = config(xdr.port(), http.port());
    let connector = start(Start { config, listener: inward, shutdown });
    let work = async {
        let summary = screen.follow(&simulation, shown).await;
        let _ = stop.send(());
        summary
    };
    let (summary, account) = tokio::select! {
        // Serving ends with the demo.
        () = Arc::new(receiver).serve(outward, None, std::future::pending()) => unreachable!("it never stops"),
        done = beside(connector, work) => (done?, simulation.ledger().account()),
    };
    screen.result(&summary, &account);
    Ok(is_clean(&summary, &account))
}

/// Runs `work` while the connector runs, then waits for the connector to stop.
async fn beside<E: Display>(
    connector: impl Future<Output = Result<(), E>>,
    work: impl Future<Output = Summary>,
) -> Result<Summary, DemoError> {
    let mut connector = std::pin::pin!(connector);
    tokio::select! {
        ended = &mut connector => {
            let reason = ended.err().map_or_else(|| "it stopped by itself".to_owned(), |error| error.to_string());
            Err(DemoError::Connector(reason))
        }
        summary = work => {
            // A connector that does not stop has acknowledged all the same.
            let _ = tokio::time::timeout(STOP_TIMEOUT, connector).await;
            Ok(summary)
        }
    }
}

fn is_clean(summary: &Summary, account: &Account) -> bool {
    summary.is_complete() && account.lost == 0 && account.early == 0
}

fn settings(args: &DemoArgs, connector: String) -> Settings {
    let workload = Workload {
        records: args.records,
        delete_share: 0.02,
        namespace: "shop".to_owned(),
        sets: vec!["orders".to_owned()],
        bins: 4,
        types: vec![BinType::String, BinType::Double, BinType::OrderedMap, BinType::Geojson],
        value_bytes: 24,
        lut_unix_ms: crate::simulator::command::now_unix_ms(),
        ..Workload::default()
    };
    Settings { rate: args.rate, ..Settings::new(connector, workload) }
}

/// The smallest useful configuration: one port, one destination, everything to it.
fn config(xdr_port: u16, http_port: u16) -> String {
    format!(
        "service:
  port: {xdr_port}
destinations:
  receiver:
    urls: [\"http://127.0.0.1:{http_port}/orders\"]
    protocol: HTTP_1_1
    max-connections-per-endpoint: 64
format:
  mode: flat-json
  metadata-key: _meta
routing:
  mode: static
  destination: receiver
"
    )
}

const SAMPLES: usize = 3;
const STOP_TIMEOUT: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests;
