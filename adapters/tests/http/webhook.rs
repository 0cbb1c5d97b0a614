//! Requests that are signed as Standard Webhooks.

use std::{
    fs,
    path::Path,
    sync::{Arc, Mutex},
};

use adapters::{Cause, Class, Report, SharedTarget, TargetConfig};
use base64::prelude::*;
use serde_json::{Value, json};

use crate::{
    log::Log,
    peer::{OK, Peer, header, payload},
};

const OLD: &str = "whsec_b2xkb2xkb2xkb2xkb2xkb2xkb2xkb2xk";
const NEW: &str = "whsec_bmV3bmV3bmV3bmV3bmV3bmV3bmV3bmV3";

fn target(peer: &Peer, secrets: Value) -> SharedTarget {
    let settings = json!({
        "urls": [peer.url],
        "protocol": "HTTP_1_1",
        "health-check": {"enabled": false},
        "call-timeout": 20_000,
        "connect-timeout": 5_000,
        "secrets": secrets,
    });
    TargetConfig::Webhook(serde_json::from_value(settings).unwrap()).build("hook").unwrap()
}

/// Whether a receiver with `secret` takes the request.
fn is_taken(head: &str, body: &[u8], secret: &str) -> bool {
    let key = BASE64_STANDARD.decode(secret.strip_prefix("whsec_").unwrap()).unwrap();
    let key = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, &key);
    let part = |name| header(head, name).unwrap();
    let signed = [part("webhook-id").as_bytes(), part("webhook-timestamp").as_bytes(), body].join(&b'.');
    part("webhook-signature").split(' ').any(|signature| {
        let signature = BASE64_STANDARD.decode(signature.strip_prefix("v1,").unwrap()).unwrap();
        aws_lc_rs::hmac::verify(&key, &signed, &signature).is_ok()
    })
}

/// Takes what is signed with `secret`, and remembers the heads.
async fn receiver(secret: &'static str) -> (Peer, Arc<Mutex<Vec<String>>>) {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let heads = Arc::clone(&seen);
    let peer = Peer::start(move |_, mut connection| {
        let heads = Arc::clone(&heads);
        async move {
            while let Some(request) = connection.request().await {
                let taken = is_taken(&request.head, &request.body, secret);
                heads.lock().unwrap().push(request.head);
                connection.say(if taken { OK } else { "HTTP/1.1 401 No\r\ncontent-length: 0\r\n\r\n" }).await;
            }
        }
    })
    .await;
    (peer, seen)
}

#[tokio::test]
async fn what_is_sent_again_has_the_same_id_and_a_signature_of_its_own() {
    let (peer, seen) = receiver(NEW).await;
    let target = target(&peer, json!([NEW]));
    for body in [&b"{\"n\":1}"[..], b"{\"n\":1}", b"{\"n\":2}", b""] {
        assert_eq!(target.deliver(&payload(body)).await, Report::delivered(Some(204)));
    }
    let seen = seen.lock().unwrap();
    let ids: Vec<_> = seen.iter().map(|head| header(head, "webhook-id").unwrap()).collect();
    assert_eq!(ids[0], ids[1]);
    assert_ne!(ids[1], ids[2]);
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    let sent: u64 = header(&seen[0], "webhook-timestamp").unwrap().parse().unwrap();
    assert!(now - sent < 60, "{sent}");
}

#[tokio::test]
async fn a_secret_that_was_exchanged_is_read_when_it_is_missed() {
    let (peer, seen) = receiver(NEW).await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("secret");
    fs::write(&file, OLD).unwrap();
    let target = target(&peer, json!([{"file": Path::new(&file)}]));
    let refused = Report { status: Some(401), ..Report::failed(Class::Credentials, Cause::Unauthorized) };
    assert_eq!(target.deliver(&payload(b"{}")).await, refused);
    fs::write(&file, NEW).unwrap();
    loop {
        // It is looked at every two seconds, and sooner when a request was refused, but not all the time.
        if target.deliver(&payload(b"{}")).await == Report::delivered(Some(204)) {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    assert!(seen.lock().unwrap().len() > 1);
    assert!(target.access().unwrap().fetched >= 2);
}

#[tokio::test]
async fn no_secret_and_no_signature_is_logged() {
    let (log, _guard) = Log::start_with(tracing::Level::TRACE);
    let (peer, seen) = receiver(NEW).await;
    assert_eq!(target(&peer, json!([OLD])).deliver(&payload(b"{}")).await.class, Class::Credentials);
    assert_eq!(target(&peer, json!([NEW])).deliver(&payload(b"{}")).await, Report::delivered(Some(204)));
    let signatures: Vec<String> = seen
        .lock()
        .unwrap()
        .iter()
        .map(|head| header(head, "webhook-signature").unwrap().to_owned())
        .collect();
    let lines = log.lines();
    assert!(lines.iter().any(|line| line.contains("the signature is not taken")), "{lines:?}");
    for secret in signatures.iter().map(String::as_str).chain([OLD, NEW, "b2xkb2xk", "oldoldold"]) {
        assert!(!lines.iter().any(|line| line.contains(secret)), "{lines:?}");
    }
}
