//! The options of `simulate` and `account`.

use std::{path::PathBuf, time::Duration};

use clap::{Args, ValueHint};

use super::{
    Settings, Tls, TlsError,
    command::CommandError,
    workload::{BinType, KeyType, Workload},
};

/// Plays an Aerospike cluster that ships to a connector by XDR, and tells what became of every record.
///
/// Ends with exit code 0 when every change was acknowledged, 1 otherwise.
#[derive(Args, Clone, Debug)]
pub struct SimulateArgs {
    /// Connector to ship to; repeat it for each instance.
    #[arg(long, value_name = "HOST:PORT", required = true)]
    pub to: Vec<String>,
    /// Changes to make in all.
    #[arg(long, value_name = "N", default_value_t = 100_000, value_parser = clap::value_parser!(u32).range(1..=MAX))]
    pub records: u32,
    /// Changes per second; 0 ships as fast as the connector takes them.
    #[arg(long, value_name = "R", default_value_t = 0)]
    pub rate: u32,
    /// Distinct records the changes are made to; 0 gives each change its own record.
    #[arg(long, value_name = "K", default_value_t = 0, value_parser = clap::value_parser!(u32).range(0..=MAX))]
    pub keys: u32,
    /// Share of the changes that fall on the hot records (one in a hundred of --keys, at least one).
    #[arg(long, value_name = "SHARE", default_value_t = 0.0, value_parser = share, requires = "keys")]
    pub hot_keys: f64,
    /// Share of the records whose last change is a delete, half of them durable.
    #[arg(long, value_name = "SHARE", default_value_t = 0.0, value_parser = share)]
    pub deletes: f64,
    /// Share of the versions after which the one before is shipped once more: half of those at once, half later.
    #[arg(long, value_name = "SHARE", default_value_t = 0.0, value_parser = share, requires = "keys")]
    pub stale_share: f64,
    /// Share of the messages offered to compression.
    #[arg(long, value_name = "SHARE", default_value_t = 0.0, value_parser = share)]
    pub compress: f64,
    /// Namespace of the records.
    #[arg(long, value_name = "NAME", default_value = "test", value_parser = namespace)]
    pub namespace: String,
    /// Sets the records are spread over; an empty name is no set.
    #[arg(long, value_name = "NAME,…", default_value = "demo", value_delimiter = ',', value_parser = set)]
    pub sets: Vec<String>,
    /// Types of the user keys the records are spread over.
    #[arg(long, value_name = "TYPE,…", default_value = "integer", value_delimiter = ',')]
    pub key_types: Vec<KeyType>,
    /// Bins of each record, besides its number `id` and its version `v`.
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u16).range(0..=1000))]
    pub bins: u16,
    /// Types of those bins, in turn.
    #[arg(long, value_name = "TYPE,…", default_value = "string,integer", value_delimiter = ',')]
    pub types: Vec<BinType>,
    /// Length of each text and blob.
    #[arg(long, value_name = "BYTES", default_value_t = 64, value_parser = clap::value_parser!(u32).range(0..=1_048_576))]
    pub value_bytes: u32,
    /// The same seed makes the same records.
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub seed: u64,
    /// Source nodes.
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u16).range(1..=128))]
    pub nodes: u16,
    /// Connections from each node to each instance.
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u16).range(1..=256))]
    pub connections: u16,
    /// Most unanswered records on one connection.
    #[arg(long, value_name = "N", default_value_t = 256, value_parser = clap::value_parser!(u32).range(1..=65_536))]
    pub depth: u32,
    /// How long an answer may take before the connection is given up; 10 in every server.
    #[arg(long, value_name = "SECONDS", default_value = "10", value_parser = seconds)]
    pub timeout_seconds: Duration,
    /// Pause before a refused record is shipped again.
    #[arg(long, value_name = "MS", default_value_t = 100)]
    pub retry_pause_ms: u32,
    /// How often each node makes a connection that sends nothing.
    #[arg(long, value_name = "SECONDS", default_value = "5", value_parser = seconds)]
    pub probe_seconds: Duration,
    /// When to stop, whatever is left to do.
    #[arg(long, value_name = "SECONDS", default_value = "600", value_parser = seconds)]
    pub deadline: Duration,
    /// How to speak TLS.
    #[command(flatten)]
    pub tls: TlsArgs,
    /// Write what was shipped and acknowledged to this file, replacing an earlier run's.
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub ledger: Option<PathBuf>,
    /// With --ledger: at the end compare with what `receive --ledger` wrote to this file.
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, requires = "ledger")]
    pub account: Option<PathBuf>,
    /// With --account: an older version delivered after a newer one is a failure.
    #[arg(long, requires = "account")]
    pub ordered: bool,
    /// Print the report as one JSON object.
    #[arg(long)]
    pub json: bool,
}

/// How to speak TLS to a connector; clear text without any of these.
#[derive(Args, Clone, Debug, Default)]
pub struct TlsArgs {
    /// Speak TLS, trusting the certificates in this PEM file.
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub tls_ca: Option<PathBuf>,
    /// Name the connector's certificate must have; by default the host of the first --to.
    #[arg(long, value_name = "NAME", requires = "tls_ca")]
    pub tls_name: Option<String>,
    /// Certificate to show to the connector, PEM, for mutual TLS.
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, requires = "tls_ca", requires = "tls_key")]
    pub tls_certificate: Option<PathBuf>,
    /// Private key of that certificate, PEM.
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, requires = "tls_certificate")]
    pub tls_key: Option<PathBuf>,
}

impl TlsArgs {
    /// Reads the files, for a connector at `to`, a host and a port.
    pub(crate) fn load(&self, to: &str) -> Result<Option<Tls>, TlsError> {
        let Some(authorities) = &self.tls_ca else { return Ok(None) };
        let host = to.rsplit_once(':').map_or("", |(host, _)| host);
        let name = self.tls_name.as_deref().unwrap_or_else(|| host.trim_matches(['[', ']']));
        let identity = self.tls_certificate.as_deref().zip(self.tls_key.as_deref());
        Tls::load(authorities, name, identity).map(Some)
    }
}

/// Compares what `simulate --ledger` and `receive --ledger` wrote.
///
/// Ends with exit code 0 when everything acknowledged was delivered, 1 otherwise.
#[derive(Args, Clone, Debug)]
pub struct AccountArgs {
    /// Ledger file of the source.
    #[arg(value_name = "ACKED", value_hint = ValueHint::FilePath)]
    pub acked: PathBuf,
    /// Ledger file of the receiver.
    #[arg(value_name = "DELIVERED", value_hint = ValueHint::FilePath)]
    pub delivered: PathBuf,
    /// An older version delivered after a newer one is a failure.
    #[arg(long)]
    pub ordered: bool,
    /// Print the account as one JSON object.
    #[arg(long)]
    pub json: bool,
}

impl SimulateArgs {
    /// What to simulate, last-update times beginning at `now_unix_ms`.
    pub(super) fn settings(&self, now_unix_ms: u64) -> Result<Settings, CommandError> {
        let tls = self.tls.load(self.to.first().map_or("", String::as_str))?;
        Ok(Settings {
            instances: self.to.clone(),
            nodes: self.nodes.into(),
            connections_per_node: self.connections.into(),
            depth: self.depth as usize,
            rate: self.rate,
            timeout: self.timeout_seconds,
            retry_pause: Duration::from_millis(self.retry_pause_ms.into()),
            probe_interval: self.probe_seconds,
            deadline: self.deadline,
            tls,
            workload: Workload {
                records: self.records,
                keys: self.keys,
                hot_share: self.hot_keys,
                delete_share: self.deletes,
                stale_share: self.stale_share,
                compress_share: self.compress,
                namespace: self.namespace.clone(),
                sets: self.sets.clone(),
                key_types: self.key_types.clone(),
                bins: self.bins,
                types: self.types.clone(),
                value_bytes: self.value_bytes as usize,
                seed: self.seed,
                lut_unix_ms: now_unix_ms,
            },
        })
    }
}

/// Reads a share: a number from 0 to 1.
pub(crate) fn share(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(share) if (0.0..=1.0).contains(&share) => Ok(share),
        _ => Err("expected a share from 0 to 1, such as 0.2".to_owned()),
    }
}

/// Reads a duration in seconds, above zero.
fn seconds(text: &str) -> Result<Duration, String> {
    match text.parse() {
        Ok(seconds) if seconds > 0.0 => Duration::try_from_secs_f64(seconds).map_err(|e| e.to_string()),
        _ => Err("expected a number of seconds above 0".to_owned()),
    }
}

fn namespace(text: &str) -> Result<String, String> {
    match text.len() {
        1..=31 => Ok(text.to_owned()),
        _ => Err("expected 1 to 31 bytes".to_owned()),
    }
}

fn set(text: &str) -> Result<String, String> {
    match text.len() {
        0..=63 => Ok(text.to_owned()),
        _ => Err("expected at most 63 bytes".to_owned()),
    }
}

/// Record numbers share 32 bits with a flag.
const MAX: i64 = (1 << 31) - 1;

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Cli {
        #[command(flatten)]
        simulate: SimulateArgs,
    }

    fn parse(options: &str) -> Result<SimulateArgs, clap::Error> {
        Cli::try_parse_from(["simulate"].into_iter().chain(options.split_whitespace()))
            .map(|cli| cli.simulate)
    }

    #[test]
    fn the_shortest_form_has_sound_defaults() {
        let settings = parse("--to 127.0.0.1:8901").unwrap().settings(5).unwrap();
        assert_eq!(settings.instances, ["127.0.0.1:8901"]);
        assert_eq!((settings.timeout.as_secs(), settings.workload.records), (10, 100_000));
        assert_eq!(settings.workload.lut_unix_ms, 5);
    }

    #[test]
    fn lists_and_repetitions() {
        let options =
            "--to a:1 --to b:2 --sets orders,,carts --types string,hll,ordered-map --keys 10 --hot-keys 0.5";
        let settings = parse(options).unwrap().settings(0).unwrap();
        assert_eq!(settings.instances, ["a:1", "b:2"]);
        assert_eq!(settings.workload.sets, ["orders", "", "carts"]);
        assert_eq!(settings.workload.types, [BinType::String, BinType::Hll, BinType::OrderedMap]);
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        for options in [
            "",
            "--to a:1 --deletes 1.5",
            "--to a:1 --records 0",
            "--to a:1 --depth 0",
            "--to a:1 --deadline 0",
            "--to a:1 --deadline nan",
            "--to a:1 --account x",
            "--to a:1 --tls-ca c --tls-certificate x",
            "--to a:1 --tls-ca c --tls-key x",
            "--to a:1 --types text",
            "--to a:1 --namespace aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
        ] {
            assert!(parse(options).is_err(), "{options}");
        }
    }
}
