//! The same requests without a connector, by the client that the connector uses: what its latency is compared with.

use std::{
    num::NonZeroUsize,
    sync::Arc,
    time::{Duration, Instant},
};

use adapters::{Class, Payload, Target, http::Http};
use clap::Args;
use serde::Serialize;
use serde_json::json;
use tokio::task::JoinSet;

use crate::{
    Failure,
    frames::{self, RecordArgs},
    pace::Pace,
    print_json,
    spread::{Quantiles, Spread},
};

/// Posts one record in each request and tells how long each took from when it was due.
#[derive(Args, Clone, Debug)]
pub(crate) struct PostArgs {
    /// Where to.
    #[arg(long)]
    url: String,
    /// `HTTP_1_1` or `HTTP_2`.
    #[arg(long, default_value = "HTTP_1_1")]
    protocol: String,
    /// How long.
    #[arg(long, value_name = "SECONDS", default_value_t = 2.0)]
    seconds: f64,
    /// Requests per second; as many as are answered without it.
    #[arg(long, value_name = "R", default_value_t = 0)]
    rate: u64,
    /// Connections.
    #[arg(long, value_name = "N", default_value_t = 64)]
    connections: usize,
    /// Requests at once over all.
    #[arg(long, value_name = "N", default_value_t = 64)]
    at_once: usize,
    #[command(flatten)]
    records: RecordArgs,
}

#[derive(Debug, Serialize)]
struct Report {
    requests: u64,
    failed: u64,
    seconds: f64,
    latency: Quantiles,
}

/// `post`.
pub(crate) async fn run(args: PostArgs) -> Result<(), Failure> {
    let config = json!({
        "urls": [args.url],
        "protocol": args.protocol,
        "max-connections-per-endpoint": args.connections,
        "call-timeout": 10_000,
        "health-check": {"enabled": false},
    });
    let target = Arc::new(Http::new("direct", serde_json::from_value(config)?)?);
    let body = frames::one_body(&args.records)?.into();
    let payload =
        Payload { body, content_type: "application/json".into(), count: NonZeroUsize::MIN, request: None };
    let pace = Pace::start(args.rate, Duration::from_secs_f64(args.seconds), u64::MAX);
    let started = Instant::now();
    let mut workers = JoinSet::new();
    for _ in 0..args.at_once {
        workers.spawn(work(Arc::clone(&target), payload.clone(), Arc::clone(&pace)));
    }
    let (mut requests, mut failed, mut latency) = (0, 0, Spread::default());
    while let Some(worker) = workers.join_next().await {
        let seen = worker?;
        requests += seen.0;
        failed += seen.1;
        latency.merge(seen.2);
    }
    print_json(&Report {
        requests,
        failed,
        seconds: started.elapsed().as_secs_f64(),
        latency: latency.quantiles(),
    })
}

async fn work(target: Arc<Http>, payload: Payload, pace: Arc<Pace>) -> (u64, u64, Spread) {
    let (mut requests, mut failed, mut latency) = (0, 0, Spread::default());
    while !pace.is_over() {
        let changed = pace.changed.notified();
        let (number, taken) = pace.take(1);
        if taken == 0 {
            changed.await;
            continue;
        }
        let due = pace.due_after(number).map_or_else(Instant::now, |after| pace.started + after);
        let delivered = target.deliver(&payload).await;
        latency.add(due.elapsed().as_micros() as u64);
        requests += 1;
        failed += u64::from(delivered.class != Class::Done);
    }
    (requests, failed, latency)
}
