//! Where credentials come from: the providers of `aws-config`, asked anew each time.
//!
//! Nothing is kept between two fetches but the region, so that a changed profile file is seen, and a provider's own
//! memory of older credentials cannot pass for a success.

use std::{
    error::Error,
    sync::{Mutex, PoisonError},
};

use aws_config::{
    AppName, BehaviorVersion, Region, SdkConfig, profile::ProfileFileCredentialsProvider,
    provider_config::ProviderConfig, sts::AssumeRoleProvider,
};
use aws_credential_types::provider::{ProvideCredentials, error::CredentialsError};
use futures_util::future::BoxFuture;

use super::Config;
use crate::{REASON_BYTES_MAX, renewed::Source};

/// What a source gave.
#[derive(Clone, Debug)]
pub(super) struct Fetched {
    pub(super) credentials: aws_credential_types::Credentials,
    /// What the environment and the profile say beside them; region and endpoints among it.
    pub(super) base: SdkConfig,
}

/// The environment, the profile, the container, the instance; then maybe a role.
#[derive(Debug)]
pub(super) struct Providers {
    config: Config,
    /// Found once: a metadata service that is away later must not take it away.
    region: Mutex<Option<Region>>,
    #[cfg(test)]
    script: Option<super::scripted::Sessions>,
}

impl Providers {
    pub(super) fn new(config: &Config) -> Self {
        Self {
            config: config.clone(),
            region: Mutex::new(config.region.clone().map(Region::new)),
            #[cfg(test)]
            script: None,
        }
    }

    /// None of those, but what a test says.
    #[cfg(test)]
    pub(super) fn scripted(sessions: super::scripted::Sessions) -> Self {
        Self { script: Some(sessions), ..Self::new(&Config::default()) }
    }

    /// What the environment and the profile say.
    async fn base(&self) -> SdkConfig {
        let known = self.region.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let mut loader = aws_config::defaults(BehaviorVersion::latest());
        if let Ok(name) = AppName::new(SESSION_NAME) {
            loader = loader.app_name(name);
        }
        if let Some(profile) = &self.config.profile {
            loader = loader.profile_name(profile);
        }
        if let Some(region) = known {
            loader = loader.region(region);
        }
        let base = Box::pin(loader.load()).await;
        *self.region.lock().unwrap_or_else(PoisonError::into_inner) = base.region().cloned();
        base
    }

    async fn first(&self, base: &SdkConfig) -> Result<aws_credential_types::Credentials, CredentialsError> {
        // A profile that is named here is meant, whatever keys the environment holds. The default chain would prefer those.
        if let Some(profile) = &self.config.profile {
            let settings = ProviderConfig::without_region().with_region(base.region().cloned());
            let provider =
                ProfileFileCredentialsProvider::builder().configure(&settings).profile_name(profile);
            return Box::pin(provider.build().provide_credentials()).await;
        }
        match base.credentials_provider() {
            Some(provider) => Box::pin(provider.provide_credentials()).await,
            None => Err(CredentialsError::not_loaded("no source is known")),
        }
    }

    async fn ask(&self) -> Result<Fetched, String> {
        let base = self.base().await;
        let first = self.first(&base).await.map_err(|error| words(&error))?;
        let Some(role) = &self.config.role_arn else {
            return Ok(Fetched { credentials: first, base });
        };
        if base.region().is_none() {
            return Err(format!("no region, which assuming {role} needs; set `region` or AWS_REGION"));
        }
        let mut builder = AssumeRoleProvider::builder(role).session_name(SESSION_NAME).configure(&base);
        if let Some(id) = &self.config.external_id {
            builder = builder.external_id(id);
        }
        let provider = builder.build_from_provider(first).await;
        let assumed = Box::pin(provider.provide_credentials()).await;
        let credentials = assumed.map_err(|error| format!("assuming {role}: {}", words(&error)))?;
        Ok(Fetched { credentials, base })
    }
}

impl Source for Providers {
    type Item = Fetched;

    fn what(&self) -> &'static str {
        "AWS credentials"
    }

    fn fetch(&self) -> BoxFuture<'_, Result<Fetched, String>> {
        #[cfg(test)]
        if let Some(script) = &self.script {
            return script.fetch();
        }
        Box::pin(self.ask())
    }

    fn name(&self) -> String {
        let first = match &self.config.profile {
            Some(profile) => format!("profile {profile}"),
            None => "environment, profile, web identity, container or instance".to_owned(),
        };
        match &self.config.role_arn {
            Some(role) => format!("role {role} by {first}"),
            None => first,
        }
    }
}

/// An error and its causes, each said once. Their `Debug` is never used: it may hold whole answers.
pub(crate) fn words(error: &(dyn Error + 'static)) -> String {
    let mut text = String::new();
    let mut next = Some(error);
    while let Some(error) = next {
        // One line, whatever it was.
        let part = error.to_string().split_whitespace().collect::<Vec<_>>().join(" ");
        if !text.contains(&part) {
            if !text.is_empty() {
                text.push_str(": ");
            }
            text.push_str(&part);
        }
        next = error.source();
    }
    // What a credential process says on its way out may hold anything.
    if let Some(at) = text.find(" Stderr:") {
        text.truncate(at);
        text.push_str(" What it wrote to its standard error is not repeated here.");
    }
    cut(&mut text, REASON_BYTES_MAX);
    text
}

fn cut(text: &mut String, bytes_max: usize) {
    if text.len() > bytes_max {
        let end = (0..=bytes_max).rev().find(|at| text.is_char_boundary(*at)).unwrap_or_default();
        text.truncate(end);
    }
}

/// Name of the sessions of assumed roles, as audit logs show it, and of the application.
const SESSION_NAME: &str = "esp-connector";

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("{0}")]
    struct Link(String, #[source] Option<Box<Self>>);

    #[test]
    fn an_error_is_told_with_its_causes_and_cut() {
        let chain = |parts: &[&str]| {
            let link = parts
                .iter()
                .rev()
                .fold(None, |source, text| Some(Box::new(Link((*text).to_owned(), source))));
            words(&*link.unwrap())
        };
        assert_eq!(
            chain(&["no credentials", "no connection", "refused"]),
            "no credentials: no connection: refused"
        );
        assert_eq!(chain(&["refused  by\n\tpeer", "refused"]), "refused by peer");
        assert_eq!(chain(&["é".repeat(REASON_BYTES_MAX).as_str()]).len(), REASON_BYTES_MAX);
        let process = chain(&["an error occurred", "process exited with code 1. Stderr: AWS_SECRET=hunter2"]);
        assert!(process.contains("code 1") && !process.contains("hunter2"), "{process}");
    }

    #[test]
    fn a_source_is_named_by_its_settings() {
        let name = |profile: Option<&str>, role_arn: Option<&str>| {
            let (profile, role_arn) = (profile.map(str::to_owned), role_arn.map(str::to_owned));
            let external_id = Some("hunter2".to_owned());
            Providers::new(&Config { profile, role_arn, external_id, region: None }).name()
        };
        assert_eq!(name(Some("ops"), Some("arn:r")), "role arn:r by profile ops");
        assert!(name(None, None).contains("instance"));
    }
}
