//! What a signer learns from refusals, with scripted credentials and a clock that stands still.

use std::time::UNIX_EPOCH;

use ::http::{HeaderMap, HeaderValue, header::AUTHORIZATION};
use bytes::Bytes;
use serde_json::json;

use super::*;

const HOST_NAME: &str = "abc.execute-api.eu-west-1.amazonaws.com";

/// 2015-08-30T12:36:00Z.
fn clock() -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(1_440_938_160)
}

fn date(ahead_seconds: i64) -> String {
    let ahead = Duration::from_secs(ahead_seconds.unsigned_abs());
    httpdate::fmt_http_date(if ahead_seconds < 0 { clock() - ahead } else { clock() + ahead })
}

/// Credentials number 1, 2, ... as often as `left` allows.
#[derive(Debug)]
struct Script(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    number: u32,
    left: u32,
    asked: u32,
    /// Since when it is not the first.
    since: Option<Instant>,
    region: Option<&'static str>,
}

fn numbered(number: u32) -> aws_credential_types::Credentials {
    let token = Some(format!("token-{number}"));
    aws_credential_types::Credentials::new(format!("AKID{number}"), "hunter2", token, None, "test")
}

impl Keys for Script {
    async fn prepare(&self) -> Result<(), Unproven> {
        Ok(())
    }

    fn current(&self) -> Option<Current> {
        let state = self.0.lock().unwrap();
        let region = state.region.map(str::to_owned);
        (state.number > 0).then(|| Current { credentials: numbered(state.number), region })
    }

    async fn renew_since(&self, began: Instant) -> bool {
        let mut state = self.0.lock().unwrap();
        if state.since.is_some_and(|since| since > began) {
            return true;
        }
        state.asked += 1;
        if state.left == 0 {
            return false;
        }
        state.left -= 1;
        state.number += 1;
        state.since = Some(Instant::now());
        true
    }

    fn access(&self) -> Access {
        Access { fetched: u64::from(self.0.lock().unwrap().number), ..Access::default() }
    }
}

fn signer(kind: Kind, region: Option<&str>, state: State) -> Signer<Script> {
    Signer::new("orders", kind, None, region.map(str::to_owned), Script(Mutex::new(state)), clock)
}

fn gateway(left: u32) -> Signer<Script> {
    signer(Kind::ApiGateway, None, State { number: 1, left, ..State::default() })
}

/// `Authorization` and `X-Amz-Date` of a request that is signed now.
fn signed(signer: &Signer<Script>, host: &str) -> Result<(String, String), String> {
    let mut request = Request::new(());
    request.headers_mut().insert(HOST, host.parse().unwrap());
    signer.authorize(&mut request, b"{}").map_err(|unproven| unproven.0)?;
    let text = |name: &str| request.headers()[name].to_str().unwrap().to_owned();
    Ok((text(AUTHORIZATION.as_str()), text("x-amz-date")))
}

struct Answer {
    headers: HeaderMap,
    body: Bytes,
    began: Instant,
}

impl Answer {
    fn new(kind: &str, message: &str, ahead_seconds: i64) -> Self {
        let mut headers = HeaderMap::new();
        if !kind.is_empty() {
            headers.insert("x-amzn-errortype", HeaderValue::from_str(kind).unwrap());
        }
        headers.insert(DATE, date(ahead_seconds).parse().unwrap());
        let body = Bytes::from(json!({"message": message}).to_string());
        Self { headers, body, began: Instant::now() }
    }

    fn refusal(&self) -> Refusal<'_> {
        let status = StatusCode::FORBIDDEN;
        Refusal { host: HOST_NAME, began: self.began, status, headers: &self.headers, body: &self.body }
    }
}

async fn refused(signer: &Signer<Script>, kind: &str, message: &str, ahead_seconds: i64) -> bool {
    // Whatever was signed before this was signed before the call began.
    tokio::time::advance(Duration::from_millis(1)).await;
    signer.refused(Answer::new(kind, message, ahead_seconds).refusal()).await
}

#[tokio::test(start_paused = true)]
async fn a_clock_that_is_off_is_corrected_once_for_its_host() {
    for (kind, message) in [
        ("InvalidSignatureException", "Signature expired: 20150830T123600Z is now earlier than ..."),
        ("InvalidSignatureException", "The request signature we calculated does not match ..."),
        ("RequestTimeTooSkewed", ""),
        ("", "Forbidden"),
    ] {
        let signer = gateway(0);
        assert_eq!(signed(&signer, HOST_NAME).unwrap().1, "20150830T123600Z");
        assert!(refused(&signer, kind, message, 420).await, "{kind}");
        assert_eq!(signed(&signer, HOST_NAME).unwrap().1, "20150830T124300Z");
        assert_eq!(signed(&signer, "def.execute-api.eu-west-1.amazonaws.com").unwrap().1, "20150830T123600Z");
        assert!(!refused(&signer, kind, message, 420).await, "{kind}: the clock was not the reason");
        assert_eq!(signer.access().clock_offset_ms, 420_000);
        let asked = signer.keys.0.lock().unwrap().asked;
        assert_eq!(asked, u32::from(kind.is_empty()), "{kind}: only where it may as well be the credentials");
    }
}

#[tokio::test(start_paused = true)]
async fn small_differences_are_no_reason() {
    let signer = gateway(0);
    assert!(!refused(&signer, "InvalidSignatureException", "", 20).await);
    assert!(!refused(&signer, "AccessDeniedException", "", 200).await);
    assert!(!refused(&signer, "", "Forbidden", -200).await);
    assert_eq!(signer.access().clock_offset_ms, 0);
}

#[tokio::test(start_paused = true)]
async fn credentials_that_are_not_known_are_renewed_once() {
    for kind in
        ["ExpiredTokenException", "ExpiredToken", "UnrecognizedClientException", "InvalidClientTokenId"]
    {
        let signer = gateway(1);
        assert!(
            signed(&signer, HOST_NAME).unwrap().0.contains("Credential=AKID1/20150830/eu-west-1/execute-api")
        );
        assert!(refused(&signer, kind, "", 0).await, "{kind}");
        assert!(signed(&signer, HOST_NAME).unwrap().0.contains("Credential=AKID2/"));
        assert!(!refused(&signer, kind, "", 0).await, "{kind}: there are no others");
        assert_eq!(signer.keys.0.lock().unwrap().asked, 2);
    }
}

#[tokio::test(start_paused = true)]
async fn what_signed_before_the_others_were_there_is_tried_with_them() {
    let signer = gateway(1);
    signed(&signer, HOST_NAME).unwrap();
    let late = Answer::new("ExpiredTokenException", "", 0);
    assert!(refused(&signer, "ExpiredTokenException", "", 0).await);
    signed(&signer, HOST_NAME).unwrap();
    assert!(signer.refused(late.refusal()).await, "it may have been signed with the old ones");
    assert_eq!(signer.keys.0.lock().unwrap().asked, 1, "and that costs no fetch");
}

#[tokio::test(start_paused = true)]
async fn the_first_ones_may_be_the_wrong_ones() {
    let signer = gateway(1);
    let first = Answer::new("UnrecognizedClientException", "", 0);
    tokio::time::advance(Duration::from_millis(1)).await;
    signed(&signer, HOST_NAME).unwrap();
    assert!(signer.refused(first.refusal()).await);
    assert_eq!(signer.keys.0.lock().unwrap().asked, 1, "nobody else had renewed them");
}

#[tokio::test(start_paused = true)]
async fn a_missing_permission_renews_nothing() {
    let signer = gateway(1);
    signed(&signer, HOST_NAME).unwrap();
    for kind in ["AccessDeniedException", "MissingAuthenticationTokenException"] {
        assert!(!refused(&signer, kind, "Forbidden", 0).await, "{kind}");
    }
    assert_eq!(signer.keys.0.lock().unwrap().asked, 0);
}

/// An HTTP API says no more than that of keys that were exchanged in the profile.
#[tokio::test(start_paused = true)]
async fn who_is_forbidden_without_a_word_tries_other_credentials() {
    for kind in ["", "Unheard"] {
        let signer = gateway(1);
        signed(&signer, HOST_NAME).unwrap();
        assert!(refused(&signer, kind, "Forbidden", 0).await, "{kind}");
        assert!(!refused(&signer, kind, "Forbidden", 0).await, "{kind}: there are no others");
    }
}

#[tokio::test]
async fn verdicts_tell_what_to_do() {
    for (kind, about, credentials, missing, words) in [
        ("AccessDeniedException", "", false, "permission", "`execute-api:Invoke`"),
        ("", "Forbidden", false, "permission", "it does not say why; allow `execute-api:Invoke`"),
        ("MissingAuthenticationTokenException", "", false, "address", "stage and path"),
        ("ExpiredTokenException", "", true, "credentials", "renew them"),
        ("InvalidSignatureException", "", true, "credentials", "the secret key is another one"),
        ("InvalidSignatureException", "Signature expired: x", true, "clock", "the clock of this machine"),
        (
            "InvalidSignatureException",
            "Credential should be scoped to a valid region.",
            true,
            "region",
            "for region eu-west-1 and service execute-api",
        ),
    ] {
        let verdict = gateway(0).verdict(&Answer::new(kind, about, 0).refusal()).unwrap();
        assert_eq!((verdict.credentials, verdict.missing), (credentials, missing), "{kind}: {about}");
        assert!(verdict.words.starts_with(if kind.is_empty() { "it" } else { kind }), "{verdict:?}");
        assert!(verdict.words.contains(words), "{verdict:?}");
    }
    let url = signer(Kind::FunctionUrl, None, State::default());
    let verdict = url.verdict(&Answer::new("AccessDeniedException", "", 0).refusal()).unwrap();
    for permission in ["`lambda:InvokeFunctionUrl`", "`lambda:InvokeFunction`"] {
        assert!(verdict.words.contains(permission), "{verdict:?}");
    }
    let answer = Answer::new("", "Unauthorized", 0);
    let refusal = Refusal { status: StatusCode::UNAUTHORIZED, ..answer.refusal() };
    assert!(gateway(0).verdict(&refusal).unwrap().words.contains("AWS_IAM"));
}

#[tokio::test]
async fn the_region_of_the_settings_then_of_the_host_then_of_the_environment() {
    let state = || State { number: 1, region: Some("us-east-1"), ..State::default() };
    let scope = |signer: Signer<Script>, host: &str| {
        let (authorization, _) = signed(&signer, host)?;
        Ok::<_, String>(authorization.split('/').skip(2).take(2).collect::<Vec<_>>().join("/"))
    };
    let kind = Kind::FunctionUrl;
    let url = "x.lambda-url.eu-west-1.on.aws";
    assert_eq!(scope(signer(kind, Some("eu-north-1"), state()), url).unwrap(), "eu-north-1/lambda");
    assert_eq!(scope(signer(kind, None, state()), url).unwrap(), "eu-west-1/lambda");
    assert_eq!(scope(signer(kind, None, state()), "api.example").unwrap(), "us-east-1/lambda");
    let nowhere = signer(kind, None, State { region: None, ..state() });
    let error = scope(nowhere, "api.example").unwrap_err();
    assert!(
        error.contains("`region`") && error.contains("api.example") && error.contains("AWS_REGION"),
        "{error}"
    );
    let nobody = signer(kind, None, State { number: 0, ..state() });
    assert!(scope(nobody, url).unwrap_err().contains("expired"));
}

#[test]
fn a_signer_shows_no_secret() {
    let signer = gateway(0);
    signed(&signer, HOST_NAME).unwrap();
    let text = format!("{signer:?}");
    assert!(text.contains("orders") && !text.contains("hunter2") && !text.contains("token-1"), "{text}");
}
