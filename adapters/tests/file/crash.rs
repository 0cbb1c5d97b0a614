//! A process that is killed, and deliveries that are given up, at any moment.

use std::{
    collections::BTreeSet,
    env,
    future::poll_fn,
    io::{BufRead as _, BufReader, Write as _},
    path::Path,
    process::{Command, Stdio},
    task::Poll,
};

use proptest::prelude::*;
use tokio::task::JoinSet;

use super::{batch, deliver, found, rotated, target};

/// Set for the child: the folder, and the number of its first record.
const FOLDER: &str = "FILE_TEST_FOLDER";
const FIRST: &str = "FILE_TEST_FIRST";

/// Delivers as fast as it can and says which records were confirmed, until it is killed. Only with a folder to do so.
#[tokio::test]
async fn child() {
    let Ok(folder) = env::var(FOLDER) else { return };
    let first: u64 = env::var(FIRST).unwrap().parse().unwrap();
    let orders = rotated(Path::new(&folder), 40_000, None);
    let mut deliveries = JoinSet::new();
    for start in (first..).step_by(5) {
        let (orders, numbers) = (orders.clone(), (start..=start + start % 5).collect::<Vec<_>>());
        deliveries.spawn(async move {
            assert_eq!(deliver(&orders, &numbers).await, adapters::Report::delivered(None));
            numbers
        });
        while deliveries.len() > 100 {
            let numbers = deliveries.join_next().await.unwrap().unwrap();
            let line: Vec<String> = numbers.iter().map(u64::to_string).collect();
            writeln!(std::io::stdout(), "confirmed {}", line.join(" ")).unwrap();
        }
    }
}

#[test]
fn what_a_killed_process_had_confirmed_is_there() {
    let folder = tempfile::tempdir().unwrap();
    let mut confirmed = BTreeSet::new();
    for round in 0..8_u64 {
        let mut child = Command::new(env::current_exe().unwrap())
            .args(["crash::child", "--exact", "--nocapture"])
            .env(FOLDER, folder.path())
            .env(FIRST, (round * 1_000_000).to_string())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        // Killed after some confirmations, and at once the first time; some more arrive that were on their way.
        let enough = [0, 1, 700, 40, 3, 300, 150, 10][usize::try_from(round).unwrap()];
        let mut heard = 0;
        let mut killed = false;
        loop {
            if heard >= enough && !killed {
                child.kill().unwrap();
                killed = true;
            }
            let Some(line) = lines.next() else { break };
            if let Some(numbers) = line.unwrap().strip_prefix("confirmed ") {
                confirmed.extend(numbers.split(' ').map(|number| number.parse::<u64>().unwrap()));
                heard += 1;
            }
        }
        assert!(!child.wait().unwrap().success());
        assert!(killed && heard >= enough, "the child ended by itself");
        let found = found(folder.path());
        let lost: Vec<_> = confirmed.iter().filter(|number| !found.contains_key(number)).collect();
        assert!(lost.is_empty(), "round {round}: {lost:?} of {} confirmed", confirmed.len());
    }
    // One more run puts right what the last left, so that nothing is torn anywhere.
    let orders = target(folder.path());
    let runtime = tokio::runtime::Runtime::new().unwrap();
    assert_eq!(runtime.block_on(deliver(&orders, &[1])), adapters::Report::delivered(None));
    drop(orders);
    assert!(super::files(folder.path()).keys().all(|name| name.ends_with(".ndjson")));
    let found = found(folder.path());
    assert!(confirmed.iter().all(|number| found.contains_key(number)) && confirmed.len() > 1000);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, ..ProptestConfig::default() })]

    /// Each delivery is polled for a while and given up, or waited for; now and then the target goes away with all of them.
    #[test]
    fn what_was_confirmed_is_there_whatever_is_given_up(
        runs in prop::collection::vec(prop::collection::vec((1..6_u64, 0..4_u32), 1..30), 1..4),
        max_file_bytes in 1..20_000_u64,
    ) {
        let folder = tempfile::tempdir().unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let mut next = 0;
        let mut confirmed = BTreeSet::new();
        for run in runs {
            let orders = rotated(folder.path(), max_file_bytes, None);
            let mut waiting = JoinSet::new();
            runtime.block_on(async {
                for (count, patience) in run {
                    let numbers: Vec<u64> = (next..next + count).collect();
                    next += count;
                    let orders = orders.clone();
                    waiting.spawn(async move {
                        let payload = batch(&numbers);
                        let mut delivery = orders.deliver(&payload);
                        for _ in 0..patience {
                            let polled = poll_fn(|context| Poll::Ready(delivery.as_mut().poll(context)));
                            if let Poll::Ready(report) = polled.await {
                                return Some((report, numbers));
                            }
                            tokio::task::yield_now().await;
                        }
                        if patience == 3 { Some((delivery.await, numbers)) } else { None }
                    });
                }
                // Some end, and the others are dropped with the target.
                for _ in 0..waiting.len() / 2 {
                    if let Some(Ok(Some((report, numbers)))) = waiting.join_next().await {
                        assert_eq!(report, adapters::Report::delivered(None));
                        confirmed.extend(numbers);
                    }
                }
            });
            runtime.block_on(waiting.shutdown());
            drop(orders);
        }
        let found = found(folder.path());
        prop_assert!(confirmed.iter().all(|number| found.contains_key(number)));
        prop_assert!(super::files(folder.path()).keys().all(|name| name.ends_with(".ndjson")));
    }
}
