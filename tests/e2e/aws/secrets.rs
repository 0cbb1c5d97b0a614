//! What no log shows at any level, whoever writes it: credentials, tokens, signatures, and what records hold.

use std::{fs, time::Duration};

use e2e::{Ack, WITHIN, XdrClient, write};
use esp_connector::simulator::particle::Particle;
use serde_json::json;
use tokio::time::{Instant, timeout};

use super::scene::{Front, Scene, World};

const TEXT: &str = "text-that-a-record-holds";
const NUMBER: i64 = 7_316_048_215_093_377;
const BLOB: &[u8] = b"blob-that-a-record-holds";
const BEARER: &str = "token-that-load-balancers-take";

/// Everything is logged, while credentials end unannounced, calls fail and records are refused.
async fn nothing_is_told(front: Front) {
    let folder = tempfile::tempdir().unwrap();
    let token = folder.path().join("token");
    fs::write(&token, BEARER).unwrap();
    let world = World {
        faults: json!({
            "FAIL_SHARE": "0.3", "FAIL_HOW": "error,status:503", "POISON_PER_MILLE": "50", "POISON_HOW": "final-item",
        }),
        sessions: vec![Duration::from_secs(2), Duration::from_secs(900)],
        overstated: Duration::from_secs(3600),
        log: "trace",
        settings: match front {
            Front::Alb => format!(", token: {{file: '{}'}}", token.display()),
            _ => String::new(),
        },
        ..World::default()
    };
    let Some(scene) = Scene::new(front, &world).await else { return };
    let mut source = XdrClient::connect(scene.connector.address()).await.unwrap();
    let started = Instant::now();
    let mut keys = 0..;
    // The second session was asked for because the first one was refused.
    while keys.start < 100 || (front != Front::Alb && scene.metadata.fetches() < 2) {
        assert!(started.elapsed() < WITHIN, "{} sessions", scene.metadata.fetches());
        ship(&mut source, keys.by_ref().take(20)).await;
    }
    let messages = scene.stack.messages(&scene.cloud.queue).await;
    let (status, log) = scene.connector.stop().await;
    assert!(status.success(), "{log}");

    // The log is what it has to be, and the records held what is looked for. Only libraries speak at the finest level, and
    // none is on the way to a load balancer.
    for part in ["TRACE", "DEBUG", "503"] {
        assert!(log.contains(part) || (front, part) == (Front::Alb, "TRACE"), "no {part} in\n{log}");
    }
    for part in [TEXT, &NUMBER.to_string(), "YmxvYi10aGF0LWEtcmVjb3JkLWhvbGRz"] {
        assert!(messages.iter().any(|message| message.contains(part)), "no {part} in {messages:?}");
    }
    let mut secrets = scene.metadata.secrets();
    assert!(front == Front::Alb || secrets.len() == 6, "sessions were used");
    secrets.extend(
        [TEXT, BEARER, "Signature=", "YmxvYi10aGF0LWEtcmVjb3JkLWhvbGRz", "blob-that"].map(str::to_owned),
    );
    secrets.push(NUMBER.to_string());
    // Bytes as numbers, in decimal and in hexadecimal.
    for bytes in [TEXT.as_bytes(), BLOB, BEARER.as_bytes()] {
        let start = &bytes[..8];
        secrets.push(start.iter().map(u8::to_string).collect::<Vec<_>>().join(", "));
        secrets.push(start.iter().map(|byte| format!("{byte:02x}")).collect());
    }
    for secret in secrets {
        let told = log.lines().find(|line| line.contains(&secret));
        assert_eq!(told, None, "{secret} is in the log");
    }
}

/// Ships records until each is acknowledged.
async fn ship(source: &mut XdrClient, keys: impl Iterator<Item = i64>) {
    let mut pending: Vec<i64> = keys.collect();
    while !pending.is_empty() {
        for &key in &pending {
            let bins = [
                ("text", Particle::String(TEXT.as_bytes())),
                ("number", Particle::Integer(NUMBER)),
                ("blob", Particle::Blob(BLOB)),
            ];
            source.send(&write("demo", key, &bins)).await.unwrap();
        }
        let mut refused = Vec::new();
        for key in pending {
            let ack = timeout(WITHIN, source.ack()).await.expect("an answer").unwrap();
            if ack != Ack::OK {
                assert!(ack.is_temporary(), "{ack:?}");
                refused.push(key);
            }
        }
        pending = refused;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn of_invoke() {
    nothing_is_told(Front::Invoke).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_a_function_url() {
    nothing_is_told(Front::FunctionUrl).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_an_http_api() {
    nothing_is_told(Front::HttpApi).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_an_alb() {
    nothing_is_told(Front::Alb).await;
}
