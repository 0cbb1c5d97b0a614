//! Records that cannot be written in the configured format.

use adapters::Outcome;
use esp_connector::{
    config::{DurableMember, Format, JsonRules, NanPolicy},
    simulator::particle::Particle,
};

use crate::harness::{Scripted, Setup, all_n_of, record, version_holding};

#[tokio::test(start_paused = true)]
async fn a_record_that_does_not_fit_is_held_and_the_others_go() {
    let target = Scripted::new(1, |_, _| async { Outcome::Delivered });
    let mut setup = Setup::to([target.clone()]).in_batches(100, 4_000);
    setup.dead_letters = vec![None];
    setup.format = Format::FlatJson {
        metadata_key: "meta".to_owned(),
        durable: DurableMember::Always,
        rules: JsonRules { nan_policy: NanPolicy::Error, ..JsonRules::default() },
    };
    let mut peer = setup.start();
    peer.send(&record(1, 1)).await;
    peer.send(&version_holding(None, [2; 20], &Particle::Double(f64::NAN), 1)).await;
    peer.send(&record(3, 3)).await;
    // The one in the middle is not given up: XDR ships it again.
    assert_eq!(peer.acks(3).await, [0, 18, 0]);
    let mut seen: Vec<_> = target.seen().iter().flat_map(|body| all_n_of(body)).collect();
    seen.sort_unstable();
    assert_eq!(seen, [1, 3]);
    assert_eq!(peer.shared.metrics.totals().held, 1);
}
