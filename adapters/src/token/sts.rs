//! Tokens of the AWS security token service: a proof for receivers outside of AWS's own signatures, without any secret.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use aws_config::retry::RetryConfig;
use aws_sdk_sts::{Client, config, error::ProvideErrorMetadata as _};
use futures_util::future::BoxFuture;
use tokio::time::Instant;

use super::{AwsWebIdentity, Token};
use crate::{
    credentials::{Credentials, words},
    renewed::Source,
};

/// Asks with the destination's AWS credentials.
#[derive(Debug)]
pub(super) struct WebIdentity {
    keys: Arc<Credentials>,
    wanted: AwsWebIdentity,
}

impl WebIdentity {
    pub(super) fn new(keys: Arc<Credentials>, wanted: AwsWebIdentity) -> Self {
        Self { keys, wanted }
    }

    async fn ask(&self) -> Result<Token, String> {
        self.keys.prepare().await.map_err(|unproven| unproven.0)?;
        let began = Instant::now();
        match self.ask_once().await {
            Err(Fault { words, credentials: true }) => {
                if !self.keys.renew_since(began).await {
                    return Err(words);
                }
                self.ask_once().await.map_err(|fault| fault.words)
            }
            result => result.map_err(|fault| fault.words),
        }
    }

    async fn ask_once(&self) -> Result<Token, Fault> {
        let fault = |words: &str| Fault { words: words.to_owned(), credentials: false };
        let settings = self.keys.sdk_config(CALL_TIMEOUT, CONNECT_TIMEOUT);
        let settings = settings.ok_or_else(|| fault("there are no AWS credentials yet"))?;
        if settings.region().is_none() {
            return Err(fault("no region, which this service needs; set `region` or AWS_REGION"));
        }
        // No record waits for this, and asking twice harms nobody: the SDK may try again, and learn the time on the way.
        let retries = config::Builder::new().retry_config(RetryConfig::standard().with_max_attempts(3));
        let request = Client::new(&settings)
            .get_web_identity_token()
            .audience(&self.wanted.audience)
            .signing_algorithm("RS256")
            .duration_seconds(i32::try_from(self.wanted.duration_seconds).unwrap_or(i32::MAX))
            .customize()
            .config_override(retries);
        let answer = Box::pin(request.send()).await.map_err(|error| Fault {
            credentials: error.code().is_some_and(is_about_credentials),
            words: words(&error),
        })?;
        let text = answer.web_identity_token().unwrap_or_default();
        let expiry = answer.expiration().and_then(|end| SystemTime::try_from(*end).ok());
        Token::new(text, expiry).map_err(|words| fault(&words))
    }
}

impl Source for WebIdentity {
    type Item = Token;

    fn what(&self) -> &'static str {
        "web identity token"
    }

    fn name(&self) -> String {
        format!("AWS STS (GetWebIdentityToken for audience {})", self.wanted.audience)
    }

    fn fetch(&self) -> BoxFuture<'_, Result<Token, String>> {
        Box::pin(self.ask())
    }
}

struct Fault {
    words: String,
    /// Whether other AWS credentials may help.
    credentials: bool,
}

fn is_about_credentials(code: &str) -> bool {
    matches!(
        code,
        "ExpiredToken"
            | "ExpiredTokenException"
            | "InvalidClientTokenId"
            | "UnrecognizedClientException"
            | "InvalidToken"
    )
}

const CALL_TIMEOUT: Duration = Duration::from_secs(10);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
