//! Credentials that a test makes up.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::{Duration, SystemTime},
};

use aws_config::{BehaviorVersion, Region, SdkConfig};
use futures_util::future::BoxFuture;

use super::{Credentials, source::Fetched};

/// Hands out sessions of the given keys, one after the other, and the last one again and again.
#[derive(Clone, Debug)]
pub(crate) struct Sessions {
    keys: Arc<Mutex<Vec<&'static str>>>,
    pub(crate) fetches: Arc<AtomicUsize>,
    region: Option<&'static str>,
}

impl Sessions {
    pub(crate) fn new(keys: &[&'static str]) -> Self {
        let keys = keys.iter().rev().copied().collect();
        Self { keys: Arc::new(Mutex::new(keys)), fetches: Arc::default(), region: Some("eu-west-1") }
    }

    pub(crate) fn without_region(self) -> Self {
        Self { region: None, ..self }
    }

    pub(crate) fn credentials(&self) -> Arc<Credentials> {
        Credentials::scripted(self.clone())
    }

    pub(super) fn fetch(&self) -> BoxFuture<'_, Result<Fetched, String>> {
        self.fetches.fetch_add(1, SeqCst);
        let mut keys = self.keys.lock().unwrap();
        let key = if keys.len() > 1 { keys.pop() } else { keys.last().copied() };
        let fetched = key.map(|key| {
            let expiry = SystemTime::now() + Duration::from_secs(3600);
            let (secret, token) = (format!("secret-of-{key}"), Some(format!("token-of-{key}")));
            let credentials =
                aws_credential_types::Credentials::new(key, secret, token, Some(expiry), "script");
            let base = SdkConfig::builder()
                .behavior_version(BehaviorVersion::latest())
                .region(self.region.map(Region::new))
                .build();
            Fetched { credentials, base }
        });
        Box::pin(async move { fetched.ok_or_else(|| "no one is there".to_owned()) })
    }
}
