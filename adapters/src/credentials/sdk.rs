//! What the clients of the AWS SDK are built from, so that they use the credentials of the cache and leave waiting and
//! trying again to the connector.

use std::time::Duration;

use aws_config::{
    SdkConfig, identity::IdentityCache, retry::RetryConfig,
    stalled_stream_protection::StalledStreamProtectionConfig, timeout::TimeoutConfig,
};
use aws_credential_types::provider::{
    ProvideCredentials, SharedCredentialsProvider, error::CredentialsError, future,
};

use super::{Credentials, source::Providers};
use crate::renewed::Cache;

impl Credentials {
    /// Settings for a client whose calls take at most `call`, connecting included, and `connect` for that alone. `None`
    /// before [`Credentials::prepare`] went well.
    pub(crate) fn sdk_config(&self, call: Duration, connect: Duration) -> Option<SdkConfig> {
        let base = self.0.cache().last()?.base;
        let timeouts = TimeoutConfig::builder()
            .operation_timeout(call)
            .operation_attempt_timeout(call)
            .connect_timeout(connect)
            .build();
        let settings = base
            .into_builder()
            .credentials_provider(SharedCredentialsProvider::new(FromCache(self.0.cache())))
            // Its own memory would outlive a renewal that a refusing peer made necessary.
            .identity_cache(IdentityCache::no_cache())
            // Attempts inside a call would hide throttling from whoever paces, and take time that is not there.
            .retry_config(RetryConfig::disabled())
            .timeout_config(timeouts)
            // Requests and answers are small and have a time limit as a whole.
            .stalled_stream_protection(StalledStreamProtectionConfig::disabled());
        Some(settings.build())
    }
}

/// Never waits: whoever calls has prepared.
#[derive(Debug)]
struct FromCache(std::sync::Arc<Cache<Providers>>);

impl ProvideCredentials for FromCache {
    fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        let current = self.0.current();
        future::ProvideCredentials::ready(match current {
            Some(current) => Ok(current.credentials),
            None => Err(CredentialsError::not_loaded("they have expired and could not be renewed")),
        })
    }
}
