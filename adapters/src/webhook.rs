//! POST to a receiver of Standard Webhooks: every request carries an id, the time of the attempt, and a signature of both
//! and the body by each of the secrets.
//!
//! The signature is made last, over the bytes that go out, and anew for each attempt: receivers take one for five minutes.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use ::http::{HeaderName, HeaderValue, Request, StatusCode};
use futures_util::future::BoxFuture;
use schemars::JsonSchema;
use serde::Deserialize;

use self::{
    secrets::{Secrets, Sources},
    signature::Stamp,
};
use crate::{
    Access, BuildError,
    authorize::{Authorize, Refusal, Unproven, Verdict},
    headers,
    http::{self, Compression, Http, Traits},
    renewed::Renewed,
};

mod secrets;
mod signature;

/// Settings of a destination that takes Standard Webhooks.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub struct Config {
    /// All of plain HTTP.
    #[serde(flatten)]
    pub http: http::Config,
    /// Secrets that sign, each as `whsec_` and 24 to 64 bytes in Base64: more than one while they are exchanged. A file or a
    /// variable may hold several, one a line; files are read again when they change.
    pub secrets: Vec<http::HeaderValue>,
}

/// Builds the target. Reads the secrets, so that a mistake shows at once.
pub(crate) fn build(name: &str, config: Config) -> Result<Http, BuildError> {
    let Config { http, secrets } = config;
    for (header, _) in headers::read(&http.headers)? {
        if OWNED.contains(&header) {
            let key = format!("headers.{header}");
            return Err(BuildError { key, problem: "set by the signature; leave it out".to_owned() });
        }
    }
    if http.compression != Compression::None {
        let problem = "bodies cannot be compressed here: some receivers check the signature of what they get, others of what \
                       they unpack; leave it out";
        return Err(BuildError { key: "compression".to_owned(), problem: problem.to_owned() });
    }
    let sources = Sources::new(secrets)?;
    let signer = Signer { secrets: Renewed::new(name, sources), clock: SystemTime::now };
    let traits = Traits { concurrency_start: std::num::NonZeroUsize::new(8), ..Traits::PLAIN };
    http::authorized(name, http, Arc::new(signer), traits)
}

/// Signs the requests of one destination.
#[derive(Debug)]
struct Signer {
    secrets: Renewed<Sources>,
    /// The time of day.
    clock: fn() -> SystemTime,
}

impl Signer {
    fn sign(&self, request: &mut Request<()>, body: &[u8], secrets: &Secrets) -> Result<(), Unproven> {
        let unix = (self.clock)().duration_since(SystemTime::UNIX_EPOCH).unwrap_or(Duration::ZERO).as_secs();
        let given = request.headers().get(ID).map(HeaderValue::as_bytes);
        let Stamp { id, timestamp, signatures } = signature::stamp(secrets.all(), given, unix, body);
        let value = |text: String| {
            HeaderValue::from_str(&text).map_err(|_| Unproven("the request cannot be signed".to_owned()))
        };
        let mut signatures = value(signatures)?;
        // Hidden from logs, and kept out of the compression tables of HTTP/2.
        signatures.set_sensitive(true);
        let headers = request.headers_mut();
        headers.insert(ID, value(id)?);
        headers.insert(TIMESTAMP, value(timestamp)?);
        headers.insert(SIGNATURE, signatures);
        Ok(())
    }
}

impl Authorize for Signer {
    fn prepare(&self) -> BoxFuture<'_, Result<(), Unproven>> {
        Box::pin(self.secrets.prepare())
    }

    fn authorize(&self, request: &mut Request<()>, body: &[u8]) -> Result<(), Unproven> {
        let secrets =
            self.secrets.current().ok_or_else(|| Unproven("there are no secrets to sign with".to_owned()))?;
        self.sign(request, body, &secrets)
    }

    fn refused<'a>(&'a self, refusal: Refusal<'a>) -> BoxFuture<'a, bool> {
        Box::pin(async move {
            refusal.status != StatusCode::FORBIDDEN && self.secrets.renew_since(refusal.began).await
        })
    }

    fn verdict(&self, refusal: &Refusal<'_>) -> Option<Verdict> {
        (refusal.status == StatusCode::UNAUTHORIZED).then(|| Verdict {
            credentials: true,
            missing: "credentials",
            words: "the signature is not taken; see that the receiver has one of the secrets, that its clock and this \
                    machine's agree within five minutes, and that nothing in between changes the body"
                .to_owned(),
        })
    }

    fn access(&self) -> Access {
        self.secrets.access()
    }
}

const ID: HeaderName = HeaderName::from_static("webhook-id");
const TIMESTAMP: HeaderName = HeaderName::from_static("webhook-timestamp");
const SIGNATURE: HeaderName = HeaderName::from_static("webhook-signature");
/// What is the same in every request can be no id, and the rest is made here.
const OWNED: [HeaderName; 3] = [ID, TIMESTAMP, SIGNATURE];

#[cfg(test)]
mod tests;
