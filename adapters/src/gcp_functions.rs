//! POST to a Google Cloud function or a Cloud Run service, with an identity token.

use std::sync::Arc;

use ::http::{HeaderName, StatusCode};
use schemars::JsonSchema;
use serde::Deserialize;

use self::source::IdentityToken;
use crate::{
    BuildError,
    authorize::Verdict,
    http::{self, Http, Traits},
    token::{Bearer, Refused},
    url,
};

mod audience;
mod source;

/// Settings of a destination that asks for a Google identity token.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub struct Config {
    /// All of plain HTTP.
    #[serde(flatten)]
    pub http: http::Config,
    /// Audience of the token; scheme and host of the first of `urls`, and for functions their path, when absent.
    #[serde(default)]
    pub audience: Option<String>,
    /// Service account to impersonate: its e-mail address.
    #[serde(default)]
    pub impersonate: Option<String>,
}

/// Builds the target. Asks nobody for a token yet.
pub(crate) fn build(name: &str, config: Config) -> Result<Http, BuildError> {
    let Config { http, audience, impersonate } = config;
    let audience = match audience {
        Some(audience) if audience.trim().is_empty() => {
            return Err(problem(
                "audience",
                "empty; leave it out, or name the audience that the service takes",
            ));
        }
        Some(audience) => audience,
        None => audience::of_all(&url::check_all(&http.urls)?)?,
    };
    if impersonate.as_ref().is_some_and(|account| !is_account(account)) {
        let expected =
            "no service account; expected its e-mail address, like name@project.iam.gserviceaccount.com";
        return Err(problem("impersonate", expected));
    }
    let has = |header: &str| http.headers.keys().any(|name| name.eq_ignore_ascii_case(header));
    if has(SERVERLESS.as_str()) {
        return Err(problem(
            &format!("headers.{SERVERLESS}"),
            "filled with the identity token; leave it out",
        ));
    }
    let source = IdentityToken::new(audience.clone(), impersonate);
    let mut bearer = Bearer::new(name, source, move |refused| judge(&audience, refused));
    if has("authorization") {
        // The operator's is for the service itself, the other for what stands before it.
        bearer = bearer.in_header(SERVERLESS);
    }
    http::authorized(name, http, Arc::new(bearer), TRAITS)
}

/// Who may call is judged before the function runs: 401 for a token, 403 for whom it names.
fn judge(audience: &str, Refused { status, subject, source }: Refused<'_>) -> Option<Verdict> {
    match status {
        StatusCode::UNAUTHORIZED => Some(Verdict {
            credentials: true,
            missing: "audience",
            words: format!(
                "the identity token from {source} is not taken; its audience is {audience}: see that this is the service's \
                 own URL (https://….run.app, or the function's https://….cloudfunctions.net/…) or one of its custom audiences"
            ),
        }),
        StatusCode::FORBIDDEN => Some(Verdict {
            credentials: false,
            missing: "permission",
            words: format!(
                "{} may not call this; grant it roles/run.invoker on the service (functions of the 1st generation: \
                 roles/cloudfunctions.invoker)",
                subject.unwrap_or("whom the identity token names")
            ),
        }),
        _ => None,
    }
}

fn is_account(text: &str) -> bool {
    let parts = text.split_once('@');
    let word = |part: &str| {
        !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
    };
    parts.is_some_and(|(name, domain)| word(name) && word(domain) && domain.contains('.'))
}

fn problem(key: &str, problem: &str) -> BuildError {
    BuildError { key: key.to_owned(), problem: problem.to_owned() }
}

/// Judged instead of `Authorization` where both are there, and taken off before the service sees it.
const SERVERLESS: HeaderName = HeaderName::from_static("x-serverless-authorization");

/// The limit of functions of the 1st generation; all others take 32 MB. Bodies reach functions as they are.
const BYTES_MAX: usize = 10_000_000;

const TRAITS: Traits = Traits {
    text_bytes_max: BYTES_MAX,
    binary_bytes_max: BYTES_MAX,
    concurrency_start: std::num::NonZeroUsize::new(8),
};

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::Target as _;

    fn built(more: Value) -> Result<Http, BuildError> {
        let mut settings = json!({
            "urls": ["https://orders-abcdefghij-ew.a.run.app/records"],
            "max-connections-per-endpoint": 16,
        });
        settings.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        build("d", serde_json::from_value(settings).unwrap())
    }

    #[tokio::test]
    async fn limits() {
        let target = built(json!({})).unwrap();
        for content_type in ["application/json", "application/x-msgpack"] {
            assert_eq!(target.body_bytes_max(content_type), 10_000_000);
        }
        assert_eq!(target.concurrency_start().get(), 8);
        let larger = built(json!({"max-request-bytes": 30_000_000})).unwrap();
        assert_eq!(larger.body_bytes_max("application/json"), 30_000_000);
    }

    #[tokio::test]
    async fn settings_that_make_no_sense() {
        for (more, key) in [
            (json!({"audience": " "}), "audience"),
            (json!({"impersonate": "connector"}), "impersonate"),
            (json!({"impersonate": "a@b/../c.d"}), "impersonate"),
            (
                json!({"headers": {"X-Serverless-Authorization": "Bearer x"}}),
                "headers.x-serverless-authorization",
            ),
            (json!({"urls": ["https://a.run.app", "https://b.run.app"]}), "audience"),
        ] {
            let error = built(more.clone()).expect_err(&more.to_string());
            assert_eq!(error.key, key, "{error}");
        }
        built(json!({"impersonate": "connector@my-project.iam.gserviceaccount.com"})).unwrap();
        built(json!({"urls": ["https://a.run.app", "https://b.run.app"], "audience": "both"})).unwrap();
    }

    #[test]
    fn refusals_say_what_to_look_at() {
        let judged = |status: u16, subject| {
            let status = StatusCode::from_u16(status).unwrap();
            judge("https://a.run.app", Refused { status, subject, source: "the metadata server" })
        };
        let verdict = judged(401, None).unwrap();
        assert!(verdict.credentials && verdict.words.contains("https://a.run.app"), "{verdict:?}");
        let verdict = judged(403, Some("a@b")).unwrap();
        assert!(!verdict.credentials && verdict.words.starts_with("a@b may not"), "{verdict:?}");
        assert_eq!(judged(407, None), None);
    }
}
