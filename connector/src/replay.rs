//! `replay`: dead letters are shipped again, as XDR would, to a running connector.
//!
//! Of one record one dead letter is on its way at a time, in the order of the files; where one is not acknowledged,
//! later ones of the same record are not shipped, so that nothing ends up older than it was. Whatever is not
//! acknowledged is named by file and line, and goes to the file of what remains.

use std::{
    collections::HashSet,
    fmt, io,
    path::{Path, PathBuf},
    time::Duration,
};

use clap::{Args, ValueHint};

use self::{
    lines::{Line, Lines},
    remaining::Remaining,
    shipping::{Shipping, Verdict},
};
use crate::{
    notification::RecordId,
    simulator::{Tls, TlsError, args::TlsArgs},
};

mod lines;
mod remaining;
mod shipping;
#[cfg(test)]
mod tests;

/// So many records with a dead letter that was not acknowledged, and nothing more is shipped.
const REFUSED_MAX: usize = 100_000;

/// Ships dead letters again to a running connector, which routes and delivers them like any other change.
///
/// Reads lines as a dead-letter destination of type `file` writes them. Ends with exit code 0 when every one was
/// acknowledged, 1 otherwise.
#[derive(Args, Clone, Debug)]
pub struct ReplayArgs {
    /// Files of dead letters, the oldest first; `-` reads standard input.
    #[arg(required = true, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub files: Vec<PathBuf>,
    /// Connector to ship to.
    #[arg(long, value_name = "HOST:PORT")]
    pub to: String,
    /// Write what was not acknowledged to this file, so that it can be replayed later; may be one of the files read.
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub remaining: Option<PathBuf>,
    /// Most unanswered dead letters.
    #[arg(long, value_name = "N", default_value_t = 64, value_parser = clap::value_parser!(u16).range(1..=4096))]
    pub depth: u16,
    /// How often one is shipped that the connector refuses for now.
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    pub attempts: u32,
    /// How to speak TLS.
    #[command(flatten)]
    pub tls: TlsArgs,
}

/// Why nothing, or nothing more, is replayed.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// Certificates and keys.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// A file of dead letters.
    #[error("{}: cannot be read: {error}", path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// What is wrong.
        error: io::Error,
    },
    /// The file of what remains.
    #[error("--remaining: {}: cannot be written: {error}", path.display())]
    Write {
        /// Which.
        path: PathBuf,
        /// What is wrong.
        error: io::Error,
    },
}

/// What became of the dead letters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Acknowledged.
    pub acknowledged: u64,
    /// Shipped and not acknowledged.
    pub refused: u64,
    /// Not shipped: behind a refused one of the same record, or the connector cannot be reached.
    pub not_shipped: u64,
    /// Lines that are no dead letters.
    pub unreadable: u64,
}

impl Counts {
    /// Whether every one was acknowledged.
    pub fn is_complete(&self) -> bool {
        (self.refused, self.not_shipped, self.unreadable) == (0, 0, 0)
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { acknowledged, refused, not_shipped, unreadable } = self;
        write!(
            f,
            "acknowledged {acknowledged}, refused {refused}, not shipped {not_shipped}, unreadable {unreadable}"
        )
    }
}

impl ReplayArgs {
    /// Replays everything. Prints one line on standard error for each line that was not acknowledged, and the counts.
    pub async fn execute(self) -> Result<Counts, ReplayError> {
        let tls = self.tls.load(&self.to)?;
        let counts = self.replay(tls, |line| eprintln_line(&line)).await?;
        print_line(&counts.to_string());
        Ok(counts)
    }

    async fn replay(&self, tls: Option<Tls>, tell: impl FnMut(String)) -> Result<Counts, ReplayError> {
        let remaining = self.remaining.as_deref().map(Remaining::create).transpose()?;
        let mut lines = Lines::start(self.files.clone());
        let mut run = Run {
            files: &self.files,
            shipping: Shipping::new(self.to.clone(), tls, self.depth.into(), self.attempts),
            refused: HashSet::new(),
            remaining,
            counts: Counts::default(),
            tell,
        };
        while let Some(line) = lines.next().await {
            run.take(line?).await?;
        }
        while run.shipping.is_busy() {
            run.progress().await?;
        }
        run.remaining.map_or(Ok(()), Remaining::finish)?;
        Ok(run.counts)
    }
}

struct Run<'a, T> {
    files: &'a [PathBuf],
    shipping: Shipping,
    /// Records with a dead letter that was not acknowledged.
    refused: HashSet<RecordId>,
    remaining: Option<Remaining>,
    counts: Counts,
    tell: T,
}

impl<T: FnMut(String)> Run<'_, T> {
    async fn take(&mut self, line: Line) -> Result<(), ReplayError> {
        let letter = match &line.letter {
            Ok(letter) => letter.record,
            Err(problem) => {
                self.counts.unreadable += 1;
                let problem = format!("unreadable: {problem}");
                return self.keep(&line, &problem);
            }
        };
        while !self.shipping.has_room(&letter) {
            self.progress().await?;
        }
        let problem = if let Some(reason) = self.shipping.gave_up() {
            format!("not shipped: {reason}")
        } else if self.refused.contains(&letter) {
            "not shipped: an earlier one of the same record was not acknowledged".to_owned()
        } else if self.refused.len() >= REFUSED_MAX {
            "not shipped: too many were refused".to_owned()
        } else {
            let known = self.shipping.ship(line).await;
            return self.note(known);
        };
        self.counts.not_shipped += 1;
        self.keep(&line, &problem)
    }

    /// Waits until something is known of what was shipped.
    async fn progress(&mut self) -> Result<(), ReplayError> {
        let known = self.shipping.progress().await;
        self.note(known)
    }

    fn note(&mut self, known: Vec<(Line, Verdict)>) -> Result<(), ReplayError> {
        for (line, verdict) in known {
            match verdict {
                Verdict::Acknowledged => self.counts.acknowledged += 1,
                Verdict::Refused(reason) => {
                    self.counts.refused += 1;
                    if let Ok(letter) = &line.letter {
                        self.refused.insert(letter.record);
                    }
                    self.keep(&line, &format!("refused: {reason}"))?;
                }
            }
        }
        Ok(())
    }

    fn keep(&mut self, line: &Line, problem: &str) -> Result<(), ReplayError> {
        let file = self.files.get(line.file).map_or_else(|| Path::new("?"), PathBuf::as_path);
        (self.tell)(format!("{}:{}: {problem}", file.display(), line.number));
        self.remaining.as_mut().map_or(Ok(()), |remaining| remaining.push(&line.text))
    }
}

/// How long one waits that was refused for now, and the next connection when one cannot be made.
const PAUSE: Duration = if cfg!(test) { Duration::from_millis(20) } else { Duration::from_secs(1) };

/// A reader that went away is no reason to fail.
fn print_line(line: &str) {
    let _ = io::Write::write_all(&mut io::stdout().lock(), format!("{line}\n").as_bytes());
}

fn eprintln_line(line: &str) {
    let _ = io::Write::write_all(&mut io::stderr().lock(), format!("{line}\n").as_bytes());
}
