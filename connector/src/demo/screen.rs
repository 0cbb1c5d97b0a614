//! What a demo shows: everything on stdout for a reader, or one JSON object at the end for a program.

use std::{
    io::{self, IsTerminal as _, Write as _},
    net::SocketAddr,
    time::Duration,
};

use bytes::Bytes;
use tokio::sync::mpsc;

use crate::simulator::{Simulation, Summary, ledger::Account};

/// Where a demo shows itself.
pub(super) struct Screen {
    json: bool,
    /// Progress replaces itself instead of adding lines.
    live: bool,
}

impl Screen {
    pub(super) fn new(json: bool) -> Self {
        Self { json, live: !json && io::stdout().is_terminal() }
    }

    pub(super) fn headline(&self, records: u32, rate: u32, xdr: SocketAddr, http: SocketAddr) {
        let pace = if rate == 0 { "as fast as possible".to_owned() } else { format!("at {rate}/s") };
        self.line(&format!(
            "A simulated Aerospike cluster ships {records} records {pace}\n  XDR source ─▶ connector {xdr} ─▶ \
             HTTP receiver http://{http}/\nEach is acknowledged to the source only after the receiver answered \
             200.\n"
        ));
    }

    /// Shows progress until the simulation ends; Ctrl-C ends it early.
    pub(super) async fn follow(
        &mut self,
        simulation: &Simulation,
        mut samples: mpsc::Receiver<Bytes>,
    ) -> Summary {
        let mut ticks = tokio::time::interval(if self.live { LIVE_EVERY } else { LINE_EVERY });
        ticks.tick().await;
        let mut acked_before = 0;
        let mut left_to_show = samples.capacity();
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
                Some(sample) = samples.recv(), if left_to_show > 0 => {
                    self.line(&pretty(&sample));
                    left_to_show -= 1;
                    if left_to_show == 0 {
                        samples.close();
                        self.line("");
                    }
                }
                _ = ticks.tick() => {
                    let (shipped, acked, delivered) = simulation.ledger().progress();
                    let rate = (acked - acked_before) as f64 / ticks.period().as_secs_f64();
                    acked_before = acked;
                    self.progress(&format!(
                        "shipped {shipped}  delivered {delivered}  acked {acked}  {rate:.0}/s"
                    ));
                }
            }
        };
        self.clear();
        summary
    }

    pub(super) fn result(&self, summary: &Summary, account: &Account) {
        if self.json {
            let ending = serde_json::to_string(&Ending { account, run: summary }).unwrap_or_default();
            let _ = writeln!(io::stdout().lock(), "{ending}");
            return;
        }
        self.line(&account.to_string());
        self.line(&format!(
            "{:.1} s, {:.0} records/s; acknowledged after {:.1} ms (half of them), {:.1} ms (99 of 100)",
            summary.elapsed.as_secs_f64(),
            summary.rate,
            summary.latency_p50.as_secs_f64() * 1e3,
            summary.latency_p99.as_secs_f64() * 1e3,
        ));
        if !summary.is_complete() {
            self.line(&format!("\nNot everything was acknowledged:\n{summary}"));
        }
        self.line(
            "\nNext: write a configuration and run `esp-connector run --config FILE`; try it with `esp-connector \
             simulate` and `esp-connector receive`.",
        );
    }

    fn line(&self, text: &str) {
        if !self.json {
            let _ = writeln!(io::stdout().lock(), "{text}");
        }
    }

    fn progress(&self, text: &str) {
        if self.live {
            let mut out = io::stdout().lock();
            let _ = write!(out, "\r\x1b[2K{text}");
            let _ = out.flush();
        } else {
            self.line(text);
        }
    }

    fn clear(&self) {
        if self.live {
            let _ = write!(io::stdout().lock(), "\r\x1b[2K");
        }
    }
}

#[derive(serde::Serialize)]
struct Ending<'a> {
    #[serde(flatten)]
    account: &'a Account,
    run: &'a Summary,
}

/// Flat JSON with a line for each member, in the order they came.
fn pretty(sample: &[u8]) -> String {
    let mut out = String::new();
    let (mut depth, mut quoted, mut escaped) = (0usize, false, false);
    for character in String::from_utf8_lossy(sample).chars() {
        match character {
            _ if quoted => {
                out.push(character);
                quoted = character != '"' || escaped;
                escaped = character == '\\' && !escaped;
                continue;
            }
            '}' | ']' => {
                depth = depth.saturating_sub(1);
                if depth == 0 {
                    out.push('\n');
                }
            }
            '"' => quoted = true,
            _ => {}
        }
        out.push(character);
        match character {
            '{' | '[' => {
                depth += 1;
                if depth == 1 {
                    out.push_str("\n  ");
                }
            }
            ',' => out.push_str(if depth == 1 { "\n  " } else { " " }),
            ':' => out.push(' '),
            _ => {}
        }
    }
    out
}

const LIVE_EVERY: Duration = Duration::from_millis(200);
const LINE_EVERY: Duration = Duration::from_secs(2);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_stay_in_order_and_text_as_it_is() {
        let sample = br#"{"_meta":{"msg":"write","gen":4},"b":"a,{\"x\":1}\\","a":[1,{"k":2}]}"#;
        let expected = r#"{
  "_meta": {"msg": "write", "gen": 4},
  "b": "a,{\"x\":1}\\",
  "a": [1, {"k": 2}]
}"#;
        assert_eq!(pretty(sample), expected);
    }
}
