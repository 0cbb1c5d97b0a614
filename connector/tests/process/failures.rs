//! Stopping: asked for, and not.

use std::{
    collections::HashSet,
    time::{Duration, Instant},
};

use esp_connector::simulator::particle::Particle;
use hyper::StatusCode;

use crate::{
    harness::{Folder, Process, get, service, wait_for_status},
    receiver::Receiver,
    xdr_client::{Ack, XdrClient, write},
};

/// Everything to one destination that waits long for its answers.
fn config(receiver: &Receiver, service: &str) -> String {
    let url = receiver.url("/");
    format!(
        "{service}destinations:
  receiver:
    urls: ['{url}']
    protocol: HTTP_1_1
    max-connections-per-endpoint: 8
    call-timeout: 60000
format: {{mode: flat-json, metadata-key: _meta}}
routing: {{mode: static, destination: receiver}}
"
    )
}

fn record(key: i64) -> Vec<u8> {
    write("demo", key, &[("n", Particle::Integer(key))])
}

#[tokio::test(flavor = "multi_thread")]
async fn sigterm_lets_what_is_in_flight_finish_and_reads_no_more() {
    let receiver = Receiver::held().await;
    let folder = Folder::with(&config(&receiver, &service(", shutdown-grace-period: 60000")));
    let (mut process, address) = Process::run(&folder).await;
    let manage = process.address("listening for management").await;
    assert_eq!(get(manage, "/readyz").await.unwrap().0, 200);

    let mut source = XdrClient::connect(address).await.unwrap();
    source.send(&record(1)).await.unwrap();
    receiver.arrived(1).await;
    source.send(&record(2)).await.unwrap();
    receiver.arrived(2).await;
    process.terminate();
    wait_for_status(manage, "/readyz", 503).await;
    assert_eq!(get(manage, "/healthz").await.unwrap().0, 200, "stopping is no illness");

    // What comes now is not read, so it is not answered either: XDR ships it elsewhere.
    source.send(&record(3)).await.unwrap();
    receiver.let_pass(2);
    assert_eq!(source.ack().await.unwrap(), Ack::OK);
    assert_eq!(source.ack().await.unwrap(), Ack::OK);
    let start = Instant::now();
    source.ack().await.unwrap_err();
    let (status, printed) = process.end_and_printed().await;
    assert_eq!(status.code(), Some(0), "{printed}");
    assert!(start.elapsed() < Duration::from_secs(20), "nothing was left to wait for");
    let keys: HashSet<_> = receiver.confirmed().iter().map(|request| request.json()["n"].as_i64()).collect();
    assert_eq!(keys, HashSet::from([Some(1), Some(2)]), "in any order, and nothing else");
}

#[tokio::test(flavor = "multi_thread")]
async fn sigterm_ends_with_the_grace_period_when_a_destination_hangs() {
    let receiver = Receiver::held().await;
    let folder = Folder::with(&config(&receiver, &service(", shutdown-grace-period: 1500")));
    let (process, address) = Process::run(&folder).await;
    let mut source = XdrClient::connect(address).await.unwrap();
    for key in 1..=2 {
        source.send(&record(key)).await.unwrap();
        receiver.arrived(key as usize).await;
    }
    let start = Instant::now();
    process.terminate();
    // Two records answered by one destination, of which one makes it.
    receiver.let_pass(1);
    assert_eq!(source.ack().await.unwrap(), Ack::OK);
    if let Ok(ack) = source.ack().await {
        assert!(ack.is_temporary(), "nobody confirmed record 2, but it was answered {ack:?}");
    }
    let (status, printed) = process.end_and_printed().await;
    let took = start.elapsed();
    assert_eq!(status.code(), Some(0), "{printed}");
    assert!(printed.contains("the grace period ended"), "{printed}");
    assert!(took >= Duration::from_millis(1500) && took < Duration::from_secs(6), "{took:?}");
}

/// The promise itself: whatever was acknowledged was confirmed by the destination, through three kills and a
/// destination that refuses one request in five.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_acknowledged_is_lost_when_the_connector_is_killed() {
    const RECORDS: i64 = 3_000;
    const IN_FLIGHT: usize = 200;
    let refuse = |_: &_, before: usize| match before % 5 {
        0 => StatusCode::SERVICE_UNAVAILABLE,
        _ => StatusCode::OK,
    };
    let receiver = Receiver::answering(refuse).await;
    let folder = Folder::with(&config(&receiver, &service("")));
    let mut pending: Vec<i64> = (0..RECORDS).collect();
    let mut acked = HashSet::new();
    let mut kills = 0;
    while !pending.is_empty() {
        let (process, address) = Process::run(&folder).await;
        let mut source = XdrClient::connect(address).await.unwrap();
        let kill_at = if kills < 3 { RECORDS as usize * (kills + 1) / 4 } else { usize::MAX };
        let mut process = Some(process);
        // Newest last: `pop` ships in order.
        pending.sort_unstable_by(|a, b| b.cmp(a));
        let mut shipped = std::collections::VecDeque::new();
        loop {
            while shipped.len() < IN_FLIGHT
                && let Some(key) = pending.pop()
            {
                shipped.push_back(key);
                // A connector that was killed takes nothing; the answers end then, too.
                let _ = source.send(&record(key)).await;
            }
            let Some(&key) = shipped.front() else { break };
            match source.ack().await {
                Ok(ack) => {
                    shipped.pop_front();
                    if ack == Ack::OK {
                        acked.insert(key);
                    } else {
                        assert!(ack.is_temporary(), "{ack:?}");
                        pending.push(key);
                    }
                }
                // Everything unanswered on a connection that breaks is shipped again.
                Err(_) => {
                    assert!(process.is_none(), "only a kill cuts a connection");
                    pending.extend(shipped.drain(..));
                    break;
                }
            }
            if acked.len() >= kill_at
                && let Some(process) = process.take()
            {
                process.kill().await;
                kills += 1;
            }
        }
    }
    assert_eq!(kills, 3);
    assert_eq!(acked.len(), RECORDS as usize);
    let confirmed: HashSet<_> =
        receiver.confirmed().iter().map(|request| request.json()["n"].as_i64().unwrap()).collect();
    let lost: Vec<_> = acked.difference(&confirmed).collect();
    assert!(lost.is_empty(), "acknowledged and never confirmed: {lost:?}");
}
