//! Documents of Elasticsearch, and of OpenSearch behind a signature.

use std::{collections::BTreeMap, sync::Arc};

use e2e::{
    Recipe,
    changes::{Bin, Change, last, ship},
    pretend::Pretend,
};
use serde_json::{Value, json};

use super::{BEGIN_UNIX_MS, changes, connector, letters, search_engine::SearchEngine};

const RECORDS: i64 = 300;
const CHANGES: i64 = 2_000;

/// Records whose documents do not fit the mapping.
fn is_misfit(key: i64) -> bool {
    key % 97 == 13
}

/// The changes, with some that no index takes, and one at the end that is older than what is there.
fn with_misfits() -> Vec<Change> {
    let mut changes = changes(RECORDS, CHANGES);
    for change in changes.iter_mut().filter(|change| is_misfit(change.key)) {
        if let Some(bins) = &mut change.bins {
            bins[0].1 = Bin::Text("hunter2".to_owned());
        }
    }
    changes
}

/// What the index holds in the end: the newest state of each record that fits.
fn wanted(changes: &[Change]) -> BTreeMap<String, Value> {
    let newest = last(changes).into_values().filter(|change| change.bins.is_some() && !is_misfit(change.key));
    newest.map(|change| (change.digest_hex(), change.json())).collect()
}

fn started(engine: &Arc<SearchEngine>, authorization: &'static str) -> impl Future<Output = Pretend> {
    let engine = Arc::clone(engine);
    Pretend::answering(move |asked| {
        if !asked.header("authorization").starts_with(authorization) {
            return (401, json!({"error": {"type": "security_exception"}, "status": 401}));
        }
        engine.answer(asked)
    })
}

/// Everything is as it is at the source, whatever failed on the way.
async fn compare(engine: &SearchEngine, recipe: Recipe, variables: &[(&'static str, String)]) {
    let connector = recipe.start(connector(), variables).await;
    let changes = with_misfits();
    let again = ship(connector.address(), &changes).await;
    let (dead, said) = letters(&connector);
    let seen = engine.seen();
    println!("{again} shipped again, {} dead letters, {seen:?}", said.len());
    assert_eq!(engine.complaints(), [""; 0]);
    assert_eq!(engine.documents(), wanted(&changes));
    for what in ["created", "updated", "deleted", "not found", "turned away", "refused", "busy"] {
        assert!(seen.contains_key(what), "{what} did not happen: {seen:?}");
    }
    let misfits = changes.iter().filter(|change| is_misfit(change.key) && change.bins.is_some());
    assert_eq!(dead, misfits.map(Change::digest_hex).collect());
    // A version that comes late changes nothing, and is done.
    let late = changes.iter().find(|change| change.bins.is_some() && !is_misfit(change.key)).unwrap();
    let late = Change { lut_unix_ms: BEGIN_UNIX_MS - 1, ..late.clone() };
    ship(connector.address(), &[late]).await;
    assert_eq!(engine.documents(), wanted(&changes));
    assert_eq!(engine.seen()["conflict"], 1);
    let (_, printed) = connector.stop().await;
    assert!(!printed.contains("hunter2"), "{printed}");
}

#[tokio::test(flavor = "multi_thread")]
async fn documents_in_bulk() {
    let engine = Arc::new(SearchEngine::default());
    let server = started(&engine, "ApiKey c2VjcmV0").await;
    let recipe = Recipe::of("elasticsearch", "elasticsearch-bulk")
        .with("https://search.example.net:9200", &server.url())
        .with_file("elastic-authorization", "ApiKey c2VjcmV0\n");
    compare(&engine, recipe, &[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn documents_one_by_one() {
    let engine = Arc::new(SearchEngine::default());
    let server = started(&engine, "Basic dTpw").await;
    let recipe = Recipe::of("elasticsearch", "/_doc/")
        .with("https://search.example.net:9200", &server.url())
        .with_file("elastic-authorization", "Basic dTpw\n");
    compare(&engine, recipe, &[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn dead_letters_of_a_bulk_say_why() {
    let engine = Arc::new(SearchEngine::default());
    let server = started(&engine, "").await;
    let recipe = Recipe::of("elasticsearch", "elasticsearch-bulk")
        .with("https://search.example.net:9200", &server.url())
        .with_file("elastic-authorization", "x");
    let connector = recipe.start(connector(), &[]).await;
    let mut misfit = changes(RECORDS, 1).remove(0);
    misfit.bins = Some(vec![("n", Bin::Text("hunter2".to_owned()))]);
    ship(connector.address(), &[misfit.clone()]).await;
    let (_, said) = letters(&connector);
    assert_eq!(said.len(), 1);
    assert_eq!((&said[0]["cause"], &said[0]["digest"]), (&json!("status"), &json!(misfit.digest_hex())));
    let reason = said[0]["consumerReason"].as_str().unwrap();
    assert!(reason.starts_with("document_parsing_exception: [1:7] failed to parse field [n]"), "{reason}");
}

#[tokio::test(flavor = "multi_thread")]
async fn documents_in_a_domain_of_aws() {
    let engine = Arc::new(SearchEngine::default());
    // That the signature is right is judged in `sigv4`; here, whose it is and what for.
    let server = started(&engine, "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/").await;
    let recipe = Recipe::of("opensearch", "aws-opensearch")
        .with("https://search-orders-abc123.eu-central-1.es.amazonaws.com", &server.url());
    let keys = [
        ("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE".to_owned()),
        ("AWS_SECRET_ACCESS_KEY", "secret".to_owned()),
        ("AWS_EC2_METADATA_DISABLED", "true".to_owned()),
    ];
    compare(&engine, recipe, &keys).await;
}
