//! `simulate` and `account`: run, show progress on stderr, report on stdout.

use std::{
    io::{self, IsTerminal as _, Write as _},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use super::{
    Simulation, Summary, TlsError,
    args::{AccountArgs, SimulateArgs},
    ledger::Account,
    ledger_file::{self, LedgerFile, LedgerFileError, Side},
};

/// Why `simulate` or `account` cannot run.
#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    /// Certificates and keys.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// A ledger file.
    #[error("ledger: {0}")]
    Ledger(#[from] LedgerFileError),
}

impl SimulateArgs {
    /// Runs to the end, to the deadline, or to Ctrl-C. True when every change was acknowledged, and,
    /// with `--account`, delivered, and with `--ordered` in order.
    pub async fn execute(self) -> Result<bool, CommandError> {
        let settings = self.settings(now_unix_ms())?;
        let ledger = self.ledger.as_ref().map(|path| LedgerFile::replace(path, Side::Source)).transpose()?;
        let simulation = Simulation::new(settings, ledger);
        let summary = run_with_progress(&simulation).await;
        let account = match (&self.ledger, &self.account) {
            (Some(ours), Some(theirs)) => Some(ledger_file::account(ours, theirs)?),
            _ => None,
        };
        report(&summary, account.as_ref(), self.json);
        Ok(summary.is_complete() && account.is_none_or(|account| account.is_good(self.ordered)))
    }
}

impl AccountArgs {
    /// Prints the account. True when nothing was lost, and with `--ordered` nothing came out of order.
    pub fn execute(&self) -> Result<bool, CommandError> {
        let account = ledger_file::account(&self.acked, &self.delivered)?;
        if self.json {
            print_json(&account);
        } else {
            print_line(&account.to_string());
        }
        Ok(account.is_good(self.ordered))
    }
}

async fn run_with_progress(simulation: &Simulation) -> Summary {
    let terminal = io::stderr().is_terminal();
    let mut ticks = tokio::time::interval(Duration::from_secs(if terminal { 1 } else { 5 }));
    ticks.tick().await;
    let started = tokio::time::Instant::now();
    let mut acked_before = 0;
    let mut running = std::pin::pin!(simulation.run());
    let mut interrupt = std::pin::pin!(tokio::signal::ctrl_c());
    let mut interrupted = false;
    let summary = loop {
        tokio::select! {
            summary = &mut running => break summary,
            _ = &mut interrupt, if !interrupted => {
                interrupted = true;
                simulation.stop();
            }
            _ = ticks.tick() => {
                let (changes, made) = simulation.changes();
                let (shipped, acked, _) = simulation.ledger().progress();
                let rate = (acked - acked_before) as f64 / ticks.period().as_secs_f64();
                acked_before = acked;
                let line = format!(
                    "{:>6.1} s  changes {made} of {changes}, shipped {shipped}, acked {acked}, {rate:.0}/s, retries {}",
                    started.elapsed().as_secs_f64(),
                    simulation.retries(),
                );
                let mut out = io::stderr().lock();
                let _ = if terminal { write!(out, "\r\x1b[2K{line}") } else { writeln!(out, "{line}") };
                let _ = out.flush();
            }
        }
    };
    if terminal {
        let _ = write!(io::stderr(), "\r\x1b[2K");
    }
    summary
}

#[derive(serde::Serialize)]
struct Report<'a> {
    #[serde(flatten)]
    summary: &'a Summary,
    #[serde(skip_serializing_if = "Option::is_none")]
    account: Option<&'a Account>,
}

fn report(summary: &Summary, account: Option<&Account>, json: bool) {
    if json {
        print_json(&Report { summary, account });
        return;
    }
    print_line(&summary.to_string());
    if let Some(account) = account {
        print_line(&format!("account      {account}"));
    }
}

fn print_json(value: &impl serde::Serialize) {
    print_line(&serde_json::to_string(value).unwrap_or_default());
}

/// A reader that went away is no reason to fail.
fn print_line(line: &str) {
    let _ = writeln!(io::stdout().lock(), "{line}");
}

pub(crate) fn now_unix_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64)
}
