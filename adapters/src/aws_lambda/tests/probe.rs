//! What a probe tells an operator.

use super::*;

async fn probed(answers: &[Answer], sessions: Sessions) -> Result<String, ProbeFailure> {
    let peer = Peer::start(answers).await;
    let target = target(&peer, &sessions, json!({"qualifier": "live", "call-timeout": 2000}));
    let result = target.probe().await;
    for seen in peer.seen().iter() {
        assert_eq!(seen.header("x-amz-invocation-type"), Some("DryRun"));
    }
    result
}

#[tokio::test]
async fn what_works_is_said() {
    let said = probed(&[Answer::Say(204, vec![], String::new())], Sessions::new(&["a"])).await.unwrap();
    assert!(said.starts_with("orders:live at 127.0.0.1:") && said.ends_with("may be invoked"), "{said}");
    // A session that has ended is not a reason to worry.
    let answers = [error(403, "ExpiredTokenException", ""), Answer::Say(204, vec![], String::new())];
    probed(&answers, Sessions::new(&["a", "b"])).await.unwrap();
}

#[tokio::test]
async fn what_is_missing_is_said() {
    let denied = "User: arn:aws:sts::1:assumed-role/x is not authorized to perform: lambda:InvokeFunction";
    let date = httpdate::fmt_http_date(SystemTime::now() + Duration::from_secs(420));
    for (answer, missing, found) in [
        (error(403, "AccessDeniedException", denied), "permission", "lambda:InvokeFunction on orders:live"),
        (
            error(404, "ResourceNotFoundException", "Function not found"),
            "address",
            "no orders:live in eu-west-1",
        ),
        (error(403, "UnrecognizedClientException", "invalid"), "credentials", "does not accept"),
        (error(403, "InvalidSignatureException", "").with("date", date), "clock", "s apart"),
        (error(403, "InvalidSignatureException", "secret canonical"), "credentials", "does not accept"),
        (error(500, "ServiceException", "m"), "address", "status 500"),
        (Answer::HangUp, "connection", "127.0.0.1:"),
    ] {
        let failure = probed(&[answer], Sessions::new(&["a"])).await.unwrap_err();
        assert_eq!(failure.missing, missing, "{failure}");
        assert!(failure.found.contains(found), "{failure}");
        assert!(!failure.found.contains("canonical"), "{failure}");
    }
    let failure = probed(&[Answer::Silence], Sessions::new(&[])).await.unwrap_err();
    assert_eq!(failure.missing, "credentials");
    assert!(
        failure.found.contains("no one is there") && failure.found.contains("AWS_ACCESS_KEY_ID"),
        "{failure}"
    );
    let failure = probed(&[Answer::Silence], Sessions::new(&["a"]).without_region()).await.unwrap_err();
    assert_eq!((failure.missing, failure.found.contains("AWS_REGION")), ("region", true));
}

#[tokio::test]
async fn a_peer_that_does_not_answer_or_does_not_speak_tls_is_said() {
    let peer = Peer::start(&[Answer::Silence]).await;
    let target = target(&peer, &Sessions::new(&["a"]), json!({"call-timeout": 50}));
    let failure = target.probe().await.unwrap_err();
    assert_eq!(failure.missing, "connection");
    assert!(failure.found.contains("within 50 ms"), "{failure}");
    let secure = peer.url.replace("http://", "https://");
    let failure = at(&secure, &Sessions::new(&["a"]), json!({})).probe().await.unwrap_err();
    assert_eq!(failure.missing, "tls", "{failure}");
}
