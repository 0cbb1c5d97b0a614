//! `check --probe`: one harmless call to each destination, and in words what it showed.
//!
//! All at once and each with a limit, so that the answer comes within [`PROBE_TIMEOUT`] whatever the destinations do.

use std::{
    io::{self, Write},
    time::Duration,
};

use adapters::{ProbeFailure, SharedTarget};
use futures_util::future::join_all;

use super::{Targets, plural};

/// How long a destination has to answer.
pub const PROBE_TIMEOUT: Duration = Duration::from_secs(10);

/// Calls every target and prints what each showed. True when all would take deliveries.
pub(super) async fn run(targets: &Targets, out: &mut dyn Write) -> io::Result<bool> {
    let found = join_all(targets.values().map(probe)).await;
    let width = targets.keys().map(|name| name.chars().count()).max().unwrap_or(0);
    writeln!(out, "\nprobes")?;
    for (name, found) in targets.keys().zip(&found) {
        match found {
            Ok(words) => writeln!(out, "  {name:<width$}  ok: {words}")?,
            Err(failure) => {
                writeln!(out, "  {name:<width$}  FAILED, look at the {}: {}", failure.missing, failure.found)?
            }
        }
    }
    let failed = found.iter().filter(|found| found.is_err()).count();
    match (failed, found.len()) {
        (_, 0) => writeln!(out, "  none")?,
        (0, _) => writeln!(out, "\nEvery destination would take records.")?,
        (failed, all) => {
            writeln!(out, "\n{failed} of {} would not take records.", plural(all, "destination"))?;
        }
    }
    Ok(failed == 0)
}

async fn probe(target: &SharedTarget) -> Result<String, ProbeFailure> {
    tokio::time::timeout(PROBE_TIMEOUT, target.probe()).await.unwrap_or_else(|_| {
        let found = format!(
            "no answer within {} s; is the address right, and does the network let this machine through?",
            PROBE_TIMEOUT.as_secs()
        );
        Err(ProbeFailure { missing: "connection", found })
    })
}

#[cfg(test)]
mod tests {
    use std::{num::NonZeroUsize, sync::Arc};

    use adapters::{Payload, Report, Target};
    use futures_util::{FutureExt, future::BoxFuture};
    use tokio::time::Instant;

    use super::*;

    /// What a probe shows; `None` is a peer that never answers.
    #[derive(Debug)]
    struct Scripted(Option<Result<String, ProbeFailure>>);

    impl Target for Scripted {
        fn deliver<'a>(&'a self, _: &'a Payload) -> BoxFuture<'a, Report> {
            panic!("a probe delivers nothing")
        }

        fn concurrency(&self) -> NonZeroUsize {
            NonZeroUsize::MIN
        }

        fn probe(&self) -> BoxFuture<'_, Result<String, ProbeFailure>> {
            match &self.0 {
                Some(found) => std::future::ready(found.clone()).boxed(),
                None => std::future::pending().boxed(),
            }
        }
    }

    async fn probed(script: Vec<(&str, Option<Result<String, ProbeFailure>>)>) -> (bool, String) {
        let targets = script
            .into_iter()
            .map(|(name, found)| (name.to_owned(), Arc::new(Scripted(found)) as SharedTarget))
            .collect();
        let mut out = Vec::new();
        let good = run(&targets, &mut out).await.unwrap();
        (good, String::from_utf8(out).unwrap())
    }

    fn ok(words: &str) -> Option<Result<String, ProbeFailure>> {
        Some(Ok(words.to_owned()))
    }

    #[tokio::test(start_paused = true)]
    async fn every_destination_is_told_of_and_silence_ends() {
        let failure = ProbeFailure { missing: "permission", found: "grant lambda:InvokeFunction".to_owned() };
        let started = Instant::now();
        let (good, out) = probed(vec![
            ("audit", ok("status 403, which proves a listener")),
            ("dead-letters", None),
            ("mute", None),
            ("orders", Some(Err(failure))),
        ])
        .await;
        // All at once: two that are silent take no longer than one.
        assert_eq!(started.elapsed(), PROBE_TIMEOUT);
        assert!(!good);
        assert_eq!(
            out,
            "
probes
  audit         ok: status 403, which proves a listener
  dead-letters  FAILED, look at the connection: no answer within 10 s; is the address right, and does the network let this \
             machine through?
  mute          FAILED, look at the connection: no answer within 10 s; is the address right, and does the network let this \
             machine through?
  orders        FAILED, look at the permission: grant lambda:InvokeFunction

3 of 4 destinations would not take records.
"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn all_is_well_when_all_are() {
        let (good, out) = probed(vec![("a", ok("DryRun accepted"))]).await;
        assert!(good);
        assert_eq!(out, "\nprobes\n  a  ok: DryRun accepted\n\nEvery destination would take records.\n");
        let (good, out) = probed(Vec::new()).await;
        assert!(good && out.ends_with("probes\n  none\n"), "{out}");
    }
}
