//! AWS credentials: where they come from, and what of them a client needs. They are renewed ahead of expiry.

use std::{sync::Arc, time::SystemTime};

use schemars::JsonSchema;
use serde::Deserialize;
use tokio::time::Instant;

pub(crate) use self::source::words;
use self::source::{Fetched, Providers};
use crate::{
    Access,
    authorize::Unproven,
    renewed::{Item, Renewed},
};

#[cfg(test)]
pub(crate) mod scripted;
mod sdk;
mod source;

/// Whose credentials are used. Without any of these: the environment, the profile, the container, the instance, in the order of
/// the AWS tools.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub struct Config {
    /// Region of the service. When absent, the first of: that in the host name of the URL or in the ARN of the function, `AWS_REGION`,
    /// the profile, the instance.
    #[serde(default)]
    pub region: Option<String>,
    /// Profile of the AWS configuration files.
    #[serde(default)]
    pub profile: Option<String>,
    /// ARN of a role to assume with those credentials.
    #[serde(default)]
    pub role_arn: Option<String>,
    /// External id that the role's trust policy asks for.
    #[serde(default)]
    pub external_id: Option<String>,
}

/// The credentials of one destination.
#[derive(Debug)]
pub(crate) struct Credentials(Renewed<Providers>);

/// Credentials at one moment.
#[derive(Clone, Debug)]
pub(crate) struct Current {
    pub(crate) credentials: aws_credential_types::Credentials,
    /// Region of the settings, the environment, the profile or the instance.
    pub(crate) region: Option<String>,
}

impl Credentials {
    /// Those that `config` names, for `destination`. Nothing is fetched yet.
    pub(crate) fn new(destination: &str, config: &Config) -> Arc<Self> {
        Arc::new(Self(Renewed::new(destination, Providers::new(config))))
    }

    /// Those that a test makes up.
    #[cfg(test)]
    fn scripted(sessions: scripted::Sessions) -> Arc<Self> {
        Arc::new(Self(Renewed::new("test", Providers::scripted(sessions))))
    }

    /// Sees to it that there are some; waits only while there never were any.
    pub(crate) async fn prepare(&self) -> Result<(), Unproven> {
        self.0.prepare().await
    }

    /// Those to use now; `None` before [`Self::prepare`] went well, and when they have expired and cannot be renewed.
    pub(crate) fn current(&self) -> Option<Current> {
        self.0.current().map(|Fetched { credentials, base }| {
            let region = base.region().map(|region| region.as_ref().to_owned());
            Current { credentials, region }
        })
    }

    /// A peer refused what signed a call that began at `began`. Asks the source again, unless that was done a moment ago; true
    /// when there are others now.
    pub(crate) async fn renew_since(&self, began: Instant) -> bool {
        self.0.renew_since(began).await
    }

    /// For metrics.
    pub(crate) fn access(&self) -> Access {
        self.0.access()
    }
}

impl Item for Fetched {
    fn expiry(&self) -> Option<SystemTime> {
        self.credentials.expiry()
    }

    fn is_same(&self, other: &Self) -> bool {
        let (one, other) = (&self.credentials, &other.credentials);
        one.access_key_id() == other.access_key_id()
            && one.secret_access_key() == other.secret_access_key()
            && one.session_token() == other.session_token()
    }
}
