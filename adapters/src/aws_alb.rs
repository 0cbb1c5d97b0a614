//! POST to an application load balancer, which takes bearer tokens or client certificates and no signatures.

use ::http::StatusCode;
use schemars::JsonSchema;
use serde::Deserialize;

use crate::{
    BuildError,
    authorize::Verdict,
    credentials,
    http::{self, Http, Traits},
    token::{self, Refused},
};

/// Settings of a destination behind an application load balancer.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub struct Config {
    /// All of plain HTTP.
    #[serde(flatten)]
    pub http: http::Config,
    /// Token sent as `Authorization: Bearer`; none when absent.
    #[serde(default)]
    pub token: Option<token::Source>,
    /// Whose credentials ask for an AWS web identity token.
    #[serde(flatten)]
    pub credentials: credentials::Config,
}

/// Builds the target. Asks nobody for a token yet.
pub(crate) fn build(name: &str, config: Config) -> Result<Http, BuildError> {
    let Config { http, token, credentials } = config;
    let traits = Traits::function(TEXT_BYTES_MAX);
    let Some(token) = token else { return http::of_kind(name, http, traits) };
    if let Some(header) = http.headers.keys().find(|name| name.eq_ignore_ascii_case("authorization")) {
        let problem = "`token` fills this header; leave out one of the two".to_owned();
        return Err(BuildError { key: format!("headers.{header}"), problem });
    }
    let authorize = token::authorize(name, &token, &credentials, judge)?;
    http::authorized(name, http, authorize, traits)
}

/// The load balancer itself answers 401 to a token it does not take; whatever else refuses is behind it.
fn judge(refused: Refused<'_>) -> Option<Verdict> {
    (refused.status == StatusCode::UNAUTHORIZED).then(|| Verdict {
        credentials: true,
        missing: "credentials",
        words: format!(
            "the token from {} is not taken; compare its issuer, audience and algorithm (RS256) with the listener's rule, \
             and see that the listener reaches the issuer's keys",
            refused.source
        ),
    })
}

/// Well under the 1 MB of the event that a function gets.
const TEXT_BYTES_MAX: usize = 900 * 1024;

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::Target as _;

    fn config(more: serde_json::Value) -> Config {
        let mut settings =
            json!({"urls": ["https://records.example.net/"], "max-connections-per-endpoint": 16});
        settings.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        serde_json::from_value(settings).unwrap()
    }

    #[tokio::test]
    async fn limits_leave_room_for_the_event() {
        for more in [json!({}), json!({"token": {"file": "/nowhere"}})] {
            let target = build("d", config(more)).unwrap();
            assert_eq!(target.body_bytes_max("application/json"), 900 * 1024);
            assert_eq!(target.body_bytes_max("application/x-msgpack"), 675 * 1024);
            assert_eq!(target.concurrency_start().get(), 8);
        }
    }

    #[tokio::test]
    async fn one_author_for_a_header() {
        let both = json!({"token": {"file": "/nowhere"}, "headers": {"authorization": "Bearer hunter2"}});
        let error = build("d", config(both)).unwrap_err();
        assert_eq!(error.key, "headers.authorization");
        assert!(!error.to_string().contains("hunter2"));
        build("d", config(json!({"headers": {"authorization": "Bearer hunter2"}}))).unwrap();
    }
}
