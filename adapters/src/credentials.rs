//! AWS credentials: where they come from, and a cache that renews them ahead of expiry.
//!
//! Static ones are fetched once, and again only when a peer refuses them. Others are replaced in the background, so that a
//! request never waits for them but at the very first, and never fails while old ones live.

use std::{
    sync::{Arc, OnceLock},
    time::SystemTime,
};

use schemars::JsonSchema;
use serde::Deserialize;
use tokio::task::AbortHandle;

pub(crate) use self::source::words;
use self::{cache::Cache, source::Providers};
use crate::{Access, authorize::Unproven};

mod cache;
mod schedule;
mod sdk;
mod source;

/// Whose credentials are used. Without any of these: the environment, the profile, the container, the instance, in the order of
/// the AWS tools.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub struct Config {
    /// Region of the service; that of the environment or the profile when absent.
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
pub(crate) struct Credentials {
    cache: Arc<Cache>,
    keeper: OnceLock<AbortHandle>,
}

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
        let source = Box::new(Providers::new(config));
        let cache = Arc::new(Cache::new(destination, source, Box::new(SystemTime::now)));
        Arc::new(Self { cache, keeper: OnceLock::new() })
    }

    /// Sees to it that there are some; waits only while there never were any.
    pub(crate) async fn prepare(&self) -> Result<(), Unproven> {
        self.start();
        self.cache.prepare().await
    }

    /// Those to use now; `None` before [`Self::prepare`] went well, and when they have expired and cannot be renewed.
    pub(crate) fn current(&self) -> Option<Current> {
        self.cache.current()
    }

    /// A peer refused `used`. Asks the source again, unless that was done a moment ago; true when there are others now.
    pub(crate) async fn renew(&self, used: &aws_credential_types::Credentials) -> bool {
        self.start();
        self.cache.renew(used).await
    }

    /// For metrics.
    pub(crate) fn access(&self) -> Access {
        self.cache.access()
    }

    fn start(&self) {
        self.keeper.get_or_init(|| tokio::spawn(Arc::clone(&self.cache).keep()).abort_handle());
    }
}

impl Drop for Credentials {
    fn drop(&mut self) {
        if let Some(keeper) = self.keeper.get() {
            keeper.abort();
        }
    }
}
