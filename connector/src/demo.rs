//! The whole path in one process: a simulated source, the connector, and a receiver that keeps the account.

mod screen;

use std::{future::Future, io, path::Path, sync::Arc, time::Duration};

use clap::Args;
use tokio::{
    net::TcpListener,
    sync::{mpsc, oneshot},
};

use self::screen::Screen;
use crate::{
    Options, config,
    receiver::{Book, Receiver, faults::Faults},
    run::{self, Listeners},
    simulator::{Settings, Simulation, Summary, ledger::Account, workload::BinType, workload::Workload},
};

/// Shows the connector at work: no cluster, no cloud, no configuration.
///
/// A simulated XDR source ships records to the connector, which sends them to an HTTP receiver, all in this
/// process. Ends with the exact account of every record; exit code 1 if anything was lost.
#[derive(Args, Clone, Copy, Debug)]
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

/// Runs the demo. True when everything was acknowledged and nothing lost.
pub async fn run(args: DemoArgs) -> Result<bool, DemoError> {
    run_with(args, &mut Screen::new(args.json), connector).await
}

/// The real connector, from its configuration file on.
async fn connector(start: Start) -> Result<(), String> {
    let Start { config, listener, shutdown } = start;
    let loaded = config::parse(&config, Path::new("")).map_err(|problems| problems.to_string())?;
    let listeners = Listeners { xdr: vec![listener.into()], manage: Vec::new() };
    let stopped = async {
        let _ = shutdown.await;
    };
    let targets = loaded.targets().map_err(|problems| problems.to_string())?;
    let running = Box::pin(run::run(loaded.config, targets, listeners, Options::default(), stopped));
    running.await.map_err(|error| error.to_string())
}

/// What the demo hands to the connector it starts.
#[derive(Debug)]
struct Start {
    /// A configuration file, as a user would write it.
    config: String,
    /// The port the configuration names, already open.
    listener: TcpListener,
    /// Ends when the connector is to stop.
    shutdown: oneshot::Receiver<()>,
}

async fn run_with<F>(
    args: DemoArgs,
    screen: &mut Screen,
    connector: impl FnOnce(Start) -> F,
) -> Result<bool, DemoError>
where
    F: Future<Output = Result<(), String>>,
{
    let inward = TcpListener::bind("127.0.0.1:0").await?;
    let outward = TcpListener::bind("127.0.0.1:0").await?;
    let (xdr, http) = (inward.local_addr()?, outward.local_addr()?);
    screen.headline(args.records, args.rate, xdr, http);

    let simulation = Simulation::new(settings(&args, xdr.to_string()), None);
    let (samples, shown) = mpsc::channel(SAMPLES);
    let receiver = Receiver::new(Faults::default(), Book::Ledger(simulation.ledger())).with_samples(samples);
    let (stop, shutdown) = oneshot::channel();
    let config = configuration(xdr.port(), http.port());
    let connector = connector(Start { config, listener: inward, shutdown });
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
async fn beside(
    connector: impl Future<Output = Result<(), String>>,
    work: impl Future<Output = Summary>,
) -> Result<Summary, DemoError> {
    let mut connector = std::pin::pin!(connector);
    tokio::select! {
        ended = &mut connector => {
            Err(DemoError::Connector(ended.err().unwrap_or_else(|| "it stopped by itself".to_owned())))
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
fn configuration(xdr_port: u16, http_port: u16) -> String {
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
