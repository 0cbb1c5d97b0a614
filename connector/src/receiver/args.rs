//! The options of `receive`.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use clap::{Args, ValueHint};
use http::StatusCode;

use super::faults::Faults;
use crate::simulator::args::share;

/// A local HTTP endpoint to try the connector against: counts, and misbehaves on request.
///
/// Takes HTTP/1.1 and HTTP/2. GET on any path tells the counters as JSON. Ends at Ctrl-C or SIGTERM.
///
/// Finds the records in JSON and MessagePack bodies, one or many in each. Avro it cannot read, for want of the schema:
/// each such request counts as one record without a number.
#[derive(Args, Clone, Debug)]
pub struct ReceiveArgs {
    /// Address to listen on; port 0 takes a free one.
    #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1:8080")]
    pub listen: SocketAddr,
    /// Share of the requests to refuse.
    #[arg(long, value_name = "SHARE", default_value_t = 0.0, value_parser = share)]
    pub fail_share: f64,
    /// Status of those refusals.
    #[arg(long, value_name = "STATUS", default_value = "503", value_parser = status)]
    pub fail_status: StatusCode,
    /// `Retry-After` of those refusals.
    #[arg(long, value_name = "SECONDS")]
    pub retry_after: Option<u32>,
    /// Share of the requests never to answer.
    #[arg(long, value_name = "SHARE", default_value_t = 0.0, value_parser = share)]
    pub hang_share: f64,
    /// Share of the requests whose connection to close instead of answering, half of them unread.
    #[arg(long, value_name = "SHARE", default_value_t = 0.0, value_parser = share)]
    pub close_share: f64,
    /// Keep every confirmation back this long.
    #[arg(long, value_name = "MS", default_value_t = 0)]
    pub delay_ms: u32,
    /// Confirm at most so many records per second, one after the other.
    #[arg(long, value_name = "R", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub rate_limit: Option<u32>,
    /// The same seed hits the same requests.
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub seed: u64,
    /// Speak TLS with this certificate chain (PEM).
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, requires = "tls_key")]
    pub tls_cert: Option<PathBuf>,
    /// Private key of the certificate (PEM).
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, requires = "tls_cert")]
    pub tls_key: Option<PathBuf>,
    /// Append every confirmed record to this file, for `account` or `simulate --account`.
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub ledger: Option<PathBuf>,
    /// Print the totals at the end as one JSON object.
    #[arg(long)]
    pub json: bool,
}

impl ReceiveArgs {
    pub(super) fn faults(&self) -> Faults {
        Faults {
            fail_share: self.fail_share,
            fail_status: self.fail_status,
            retry_after_seconds: self.retry_after,
            hang_share: self.hang_share,
            close_share: self.close_share,
            delay: Duration::from_millis(self.delay_ms.into()),
            rate_limit: self.rate_limit,
            seed: self.seed,
        }
    }
}

fn status(text: &str) -> Result<StatusCode, String> {
    let refusal = |status: &StatusCode| status.as_u16() >= 300;
    text.parse().ok().filter(refusal).ok_or_else(|| "expected an HTTP status from 300 to 999".to_owned())
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Cli {
        #[command(flatten)]
        receive: ReceiveArgs,
    }

    fn parse(options: &str) -> Result<Faults, clap::Error> {
        Cli::try_parse_from(["receive"].into_iter().chain(options.split_whitespace()))
            .map(|cli| cli.receive.faults())
    }

    #[test]
    fn faults_are_read() {
        let faults = parse("--fail-share 0.2 --fail-status 429 --retry-after 3 --delay-ms 15").unwrap();
        assert_eq!((faults.fail_share, faults.fail_status.as_u16()), (0.2, 429));
        assert_eq!((faults.retry_after_seconds, faults.delay.as_millis()), (Some(3), 15));
        assert_eq!(parse("").unwrap().rate_limit, None);
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        for options in ["--fail-share 2", "--fail-status 200", "--rate-limit 0", "--tls-cert x", "--listen x"]
        {
            assert!(parse(options).is_err(), "{options}");
        }
    }
}
