//! `receive`: serve until told to stop, show the counters every second.

use std::{
    io::{self, IsTerminal as _, Write as _},
    net::SocketAddr,
    sync::Arc,
    time::Duration,
};

use tokio::{
    net::TcpListener,
    signal::unix::{SignalKind, signal},
};

use super::{
    Book, Receiver, Totals,
    args::ReceiveArgs,
    tls::{self, TlsError},
};
use crate::simulator::ledger_file::{LedgerFile, LedgerFileError, Side};

/// Why `receive` cannot run.
#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    /// The address to listen on.
    #[error("--listen {address}: {source}")]
    Listen {
        /// As given.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// Certificate or key.
    #[error("--tls-cert, --tls-key: {0}")]
    Tls(#[from] TlsError),
    /// The ledger file.
    #[error("--ledger: {0}")]
    Ledger(#[from] LedgerFileError),
    /// Signals cannot be watched.
    #[error("signals: {0}")]
    Signal(io::Error),
}

impl ReceiveArgs {
    /// Serves until Ctrl-C or SIGTERM.
    pub async fn execute(self) -> Result<(), CommandError> {
        let tls = match (&self.tls_cert, &self.tls_key) {
            (Some(chain), Some(key)) => Some(tls::acceptor(chain, key)?),
            _ => None,
        };
        let book = match &self.ledger {
            None => Book::None,
            Some(path) => Book::File(LedgerFile::append(path, Side::Receiver)?),
        };
        let mut terminate = signal(SignalKind::terminate()).map_err(CommandError::Signal)?;
        let fail = |source| CommandError::Listen { address: self.listen, source };
        let listener = TcpListener::bind(self.listen).await.map_err(fail)?;
        let address = listener.local_addr().map_err(fail)?;
        let scheme = if tls.is_some() { "https" } else { "http" };
        let _ = writeln!(io::stderr(), "receiving at {scheme}://{address}/");

        let receiver = Arc::new(Receiver::new(self.faults(), book));
        let stopped = async move {
            tokio::select! {
                _ = tokio::signal::ctrl_c() => {}
                _ = terminate.recv() => {}
            }
        };
        tokio::select! {
            () = Arc::clone(&receiver).serve(listener, tls, stopped) => {}
            () = show_progress(&receiver) => {}
        }
        let totals = receiver.totals();
        let line = match self.json {
            true => serde_json::to_string(&totals).unwrap_or_default(),
            false => totals.to_string(),
        };
        let _ = writeln!(io::stdout().lock(), "{line}");
        Ok(())
    }
}

async fn show_progress(receiver: &Receiver) {
    let terminal = io::stderr().is_terminal();
    let mut ticks = tokio::time::interval(Duration::from_secs(1));
    let mut before = Totals::default();
    loop {
        ticks.tick().await;
        let now = receiver.totals();
        if now == before {
            continue;
        }
        let line = format!("{now}, now {}/s", now.delivered - before.delivered);
        let mut out = io::stderr().lock();
        let _ = if terminal { write!(out, "\r\x1b[2K{line}") } else { writeln!(out, "{line}") };
        let _ = out.flush();
        before = now;
    }
}
