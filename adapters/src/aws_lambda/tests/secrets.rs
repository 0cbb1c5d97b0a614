//! What logs may not hold, whatever their level.

use std::{io, sync::Mutex};

use super::*;

/// Collects what is logged on this thread.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        io::Write::write(&mut *self.0.lock().unwrap(), bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// What is logged, by these loggers, of calls that end in all kinds of ways.
async fn lines(loggers: &str) -> String {
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_env_filter(loggers)
        .with_ansi(false)
        .with_writer(move || writer.clone())
        .finish();
    let guard = tracing::subscriber::set_default(subscriber);
    for answer in [
        error(403, "InvalidSignatureException", "The Canonical String should have been token-of-bravo"),
        ok(r#"{"errorType":"KeyError","errorMessage":"bin-value"}"#)
            .with("x-amz-function-error", "Unhandled"),
        error(400, "InvalidRequestContentException", "Unrecognized token bin-value"),
        ok(r#"{"statusCode":500,"body":"bin-value"}"#),
        ok(r#"{"batchItemFailures":[{"itemIdentifier":"0","reason":"bin-value"}]}"#),
        Answer::HangUp,
        ok(r#""bin-value""#),
    ] {
        let peer = Peer::start(&[answer]).await;
        // A target of its own: each of its lines is the first, and written.
        let target =
            target(&peer, &Sessions::new(&["alpha", "bravo"]), json!({"headers": {"x-key": "header-value"}}));
        let _ = target.deliver(&payload(br#"{"a":"bin-value"}"#)).await;
        let _ = target.probe().await;
        tracing::info!("{target:?} {:?}", target.credentials);
    }
    drop(guard);
    String::from_utf8(log.0.lock().unwrap().clone()).unwrap()
}

const SECRETS: [&str; 6] =
    ["secret-of-", "token-of-", "Signature=", "bin-value", "header-value", "YmluLXZhbHVl"];

/// As the connector sets its loggers: nothing of the AWS libraries.
#[tokio::test]
async fn no_secret_and_no_value_is_logged_at_any_level() {
    let lines = lines("trace,aws_=off").await;
    for secret in SECRETS {
        let found: Vec<_> = lines.lines().filter(|line| line.contains(secret)).collect();
        assert!(found.is_empty(), "{secret}: {found:#?}");
    }
    for told in [
        "status 403 InvalidSignatureException",
        "the function failed (Unhandled KeyError)",
        "status 400 InvalidRequestContentException",
        "the function answered with status 500",
        "1 of 3 records were not processed",
        "invoke failed: client error (SendRequest): connection closed before message completed",
        "hyper_util",
    ] {
        assert!(lines.contains(told), "{told}: {lines}");
    }
}

/// Why they are not heard. When this fails, their loggers may be set free.
#[tokio::test]
async fn the_sdk_repeats_what_a_peer_said() {
    let lines = lines("trace").await;
    assert!(lines.contains("token-of-bravo") && lines.contains("Unrecognized token bin-value"));
}
