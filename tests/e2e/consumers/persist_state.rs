//! `persist-state`, against a gateway that does what Aerospike's does for these calls: GET, POST (create only), PUT (replace only,
//! with a generation to expect), 404 and 409 where it says so.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
};

use e2e::pretend::{Answer, Asked, Pretend};
use serde_json::{Value, json};

use super::stage::{Stage, event, event_of, failures};

/// Generation and bins.
type Set = Arc<Mutex<BTreeMap<String, (u64, Value)>>>;

fn gateway(set: &Set, asked: &Asked) -> Answer {
    let key =
        asked.uri.path().strip_prefix("/v1/kvs/states/orders/").expect("the set of the states").to_owned();
    let mut set = set.lock().unwrap();
    let there = set.get(&key).cloned();
    let error = |status: u16| (status, json!({"inDoubt": false, "message": "no", "internalErrorCode": 0}));
    match (asked.method.as_str(), there) {
        ("GET", None) => error(404),
        ("GET", Some((generation, bins))) => (200, json!({"generation": generation, "ttl": 0, "bins": bins})),
        ("POST", None) => {
            set.insert(key, (1, asked.json()));
            (201, Value::Null)
        }
        ("POST", Some(_)) => error(409),
        ("PUT", None) => error(404),
        ("PUT", Some((generation, _))) => {
            assert_eq!(asked.header("content-type"), "application/json");
            if asked.uri.query()
                != Some(&format!("generation={generation}&generationPolicy=EXPECT_GEN_EQUAL"))
            {
                return error(409);
            }
            set.insert(key, (generation + 1, asked.json()));
            (204, Value::Null)
        }
        (method, _) => panic!("{method}"),
    }
}

async fn stage(gateway: &Pretend) -> Option<Stage> {
    let settings = json!({
        "environment": {"GATEWAY": gateway.url(), "STATE_NAMESPACE": "states", "STATE_SET": "orders", "BINS": "qty"},
        "statements": [],
    });
    Stage::new(env!("CARGO_BIN_EXE_persist-state-under-test"), settings).await
}

fn record(msg: &str, lut: u64, quantity: u64) -> Value {
    json!({"_meta": {"namespace": "shop", "digest": "UisnajVr3zkBPfq+os1D4UHsyeg=", "msg": msg, "gen": 1, "lut": lut}, "qty": quantity})
}

const KEY: &str = "522b276a356bdf39013dfabea2cd43e141ecc9e8";

#[tokio::test(flavor = "multi_thread")]
async fn a_state_is_that_of_the_latest_version() {
    let set = Set::default();
    let inside = Arc::clone(&set);
    let pretend = Pretend::answering(move |asked| gateway(&inside, asked)).await;
    let Some(stage) = stage(&pretend).await else { return };
    let state = || set.lock().unwrap()[KEY].clone();

    assert_eq!(failures(&stage.invoke(&event("persist-state")).await), json!([]));
    let readme =
        std::fs::read_to_string(e2e::repository().join("lambda-examples/persist-state/README.md")).unwrap();
    let told = readme
        .lines()
        .find_map(|line| {
            line.trim_end_matches('.')
                .strip_prefix('`')?
                .strip_suffix('`')
                .filter(|line| line.starts_with('{'))
        })
        .unwrap();
    assert_eq!(state(), (1, serde_json::from_str(told).unwrap()));
    assert_eq!(set.lock().unwrap().len(), 2);

    let now = 1_767_225_600_123;
    // The same again, an older one, then newer ones in one batch.
    assert_eq!(failures(&stage.invoke(&event("persist-state")).await), json!([]));
    assert_eq!(failures(&stage.invoke(&event_of(&[record("write", now - 1, 99)])).await), json!([]));
    assert_eq!(state().0, 1);
    assert_eq!(
        failures(
            &stage.invoke(&event_of(&[record("write", now + 1, 4), record("delete", now + 2, 0)])).await
        ),
        json!([])
    );
    assert_eq!(state(), (3, json!({"namespace": "shop", "msg": "delete", "gen": 1, "lut": now + 2})));
}

#[tokio::test(flavor = "multi_thread")]
async fn somebody_else_writes_in_between() {
    let set = Set::default();
    let (inside, interfered) = (Arc::clone(&set), AtomicBool::new(false));
    let pretend = Pretend::answering(move |asked| {
        let answer = gateway(&inside, asked);
        // After it was read and found missing, it is made.
        if asked.method == "GET" && !interfered.swap(true, Ordering::Relaxed) {
            inside.lock().unwrap().insert(KEY.to_owned(), (7, json!({"lut": 5, "gen": 1})));
        }
        answer
    });
    let pretend = pretend.await;
    let Some(stage) = stage(&pretend).await else { return };
    assert_eq!(failures(&stage.invoke(&event_of(&[record("write", 6, 1)])).await), json!([]));
    let (generation, state) = set.lock().unwrap()[KEY].clone();
    assert_eq!((generation, &state["lut"]), (8, &json!(6)));
}

#[tokio::test(flavor = "multi_thread")]
async fn refusals_are_told_apart() {
    for (status, retryable) in [(400, Some(false)), (500, None), (403, None)] {
        let pretend = Pretend::answering(move |_| (status, json!({"message": "no"}))).await;
        let Some(stage) = stage(&pretend).await else { return };
        let failed = failures(&stage.invoke(&event_of(&[record("write", 6, 1)])).await);
        assert_eq!(failed[0].get("retryable").and_then(Value::as_bool), retryable, "{failed}");
        assert!(failed[0]["reason"].as_str().unwrap().contains(&status.to_string()), "{failed}");
    }
}
