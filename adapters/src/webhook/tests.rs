use std::{collections::BTreeMap, fs, path::Path};

use serde_json::{Value, json};
use tokio::time::{Instant, advance};

use super::*;

const OLD: &str = "whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
const NEW: &str = "whsec_BBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBB";

fn noon() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000)
}

fn signer(secrets: Vec<http::HeaderValue>) -> Signer {
    Signer { secrets: Renewed::new("d", Sources::new(secrets).unwrap()), clock: noon }
}

fn plain(text: &str) -> http::HeaderValue {
    http::HeaderValue::Plain(text.to_owned())
}

fn in_file(path: &Path) -> http::HeaderValue {
    http::HeaderValue::File { file: path.to_owned() }
}

fn signed(signer: &Signer, id: Option<&'static str>) -> BTreeMap<String, String> {
    let mut request = Request::new(());
    if let Some(id) = id {
        request.headers_mut().insert(ID, HeaderValue::from_static(id));
    }
    signer.authorize(&mut request, b"{}").unwrap();
    assert!(request.headers()[SIGNATURE].is_sensitive());
    assert!(!format!("{request:?} {signer:?}").contains("v1,"));
    let text = |value: &HeaderValue| value.to_str().unwrap().to_owned();
    request.headers().iter().map(|(name, value)| (name.to_string(), text(value))).collect()
}

#[tokio::test]
async fn every_attempt_carries_id_time_and_signatures() {
    let signer = signer(vec![plain(NEW), plain(OLD)]);
    assert!(signer.authorize(&mut Request::new(()), b"{}").is_err(), "nothing was prepared");
    signer.prepare().await.unwrap();
    let headers = signed(&signer, None);
    assert_eq!(headers["webhook-timestamp"], "1700000000");
    assert_eq!(headers["webhook-signature"].split(' ').count(), 2);
    assert!(headers["webhook-id"].starts_with("msg_"));
    assert_eq!(signed(&signer, Some("order-7"))["webhook-id"], "order-7");
    assert_eq!(signer.access().fetched, 1);
}

#[tokio::test(start_paused = true)]
async fn secrets_in_a_file_are_exchanged_while_requests_go() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("secrets");
    fs::write(&path, format!("{OLD}\n")).unwrap();
    let signer = signer(vec![in_file(&path)]);
    signer.prepare().await.unwrap();
    let old = signed(&signer, None)["webhook-signature"].clone();
    fs::write(&path, format!("{NEW}\n{OLD}\n")).unwrap();
    let both = loop {
        advance(Duration::from_secs(1)).await;
        tokio::task::yield_now().await;
        let now = signed(&signer, None)["webhook-signature"].clone();
        if now != old {
            break now;
        }
    };
    assert_eq!(both.split(' ').nth(1), Some(old.as_str()), "the new one first, the old one still");
    // What is broken does not take away what there is.
    fs::write(&path, "whsec_half").unwrap();
    advance(Duration::from_secs(30)).await;
    assert!(!refused(&signer, StatusCode::UNAUTHORIZED).await);
    assert_eq!(signed(&signer, None)["webhook-signature"], both);
    assert!(signer.access().fetch_failures > 0);
}

async fn refused(signer: &Signer, status: StatusCode) -> bool {
    let refusal = Refusal {
        host: "a",
        began: Instant::now(),
        status,
        headers: &::http::HeaderMap::new(),
        body: &bytes::Bytes::new(),
    };
    let verdict = signer.verdict(&refusal);
    assert_eq!(verdict.is_some(), status == StatusCode::UNAUTHORIZED);
    signer.refused(refusal).await
}

fn built(more: Value) -> Result<Http, BuildError> {
    let mut settings = json!({"urls": ["https://hooks.example.net/orders"], "secrets": [OLD]});
    settings.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    build("d", serde_json::from_value(settings).unwrap())
}

#[tokio::test]
async fn settings_that_make_no_sense() {
    for (more, key, word) in [
        (json!({"secrets": []}), "secrets", "at least one"),
        (json!({"secrets": [OLD, "whsec_hunter2"]}), "secrets[1]", "Base64"),
        (json!({"secrets": [{"env": "ESP_NO_SUCH_VARIABLE"}]}), "secrets[0]", "is not set"),
        (json!({"secrets": [{"file": "/nowhere/secret"}]}), "secrets[0]", "cannot open"),
        (json!({"secrets": [([OLD; 9].join(" "))]}), "secrets[0]", "more than 8"),
        (json!({"secrets": [" "]}), "secrets[0]", "empty"),
        (json!({"compression": "gzip"}), "compression", "compressed"),
        (json!({"headers": {"Webhook-Id": "1"}}), "headers.webhook-id", "leave it out"),
        (json!({"headers": {"webhook-signature": "1"}}), "headers.webhook-signature", "leave it out"),
    ] {
        let error = built(more.clone()).expect_err(&more.to_string());
        assert_eq!(error.key, key, "{error}");
        assert!(error.problem.contains(word) && !error.problem.contains("hunter2"), "{error}");
    }
    built(json!({"headers": {"X-Tenant": "1"}})).unwrap();
}
