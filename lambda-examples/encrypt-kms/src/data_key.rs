//! Data keys, each used for a while: a call to KMS for every bin would be slow and dear, one key for ever would be no protection.

use std::{
    fmt,
    sync::Arc,
    time::{Duration, SystemTime},
};

use aws_config::SdkConfig;
use aws_lc_rs::aead::{AES_256_GCM, RandomizedNonceKey};
use aws_sdk_kms::{Client, error::DisplayErrorContext, types::DataKeySpec};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use notification::Failure;
use tokio::sync::Mutex;

/// A key for bins.
pub struct DataKey {
    pub(crate) cipher: RandomizedNonceKey,
    /// The key as KMS encrypted it, in Base64.
    pub(crate) encrypted: String,
}

impl DataKey {
    /// The key of these 32 bytes.
    pub fn new(plaintext: &[u8], encrypted: &[u8]) -> Result<Self, Failure> {
        let cipher = RandomizedNonceKey::new(&AES_256_GCM, plaintext);
        let cipher = cipher.map_err(|_| Failure::retry("KMS: a data key that is not of 256 bits"))?;
        Ok(Self { cipher, encrypted: STANDARD.encode(encrypted) })
    }
}

impl fmt::Debug for DataKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DataKey")
    }
}

/// Where data keys come from.
#[derive(Debug)]
pub struct DataKeys {
    kms: Client,
    key_id: String,
    uses_max: u64,
    lives: Duration,
    current: Mutex<Option<Lease>>,
}

/// A key, and for how long it is the one to use.
#[derive(Debug)]
struct Lease {
    key: Arc<DataKey>,
    uses_left: u64,
    until: SystemTime,
    since: SystemTime,
}

impl DataKeys {
    /// Keys of the KMS key `key_id`; each is used so many times at most, and for so long.
    pub fn new(config: &SdkConfig, key_id: String, uses_max: u64, lives: Duration) -> Self {
        // The cipher draws 96 random bits for each use: far below 2^32 uses none of them comes twice.
        let uses_max = uses_max.clamp(1, 1 << 30);
        Self { kms: Client::new(config), key_id, uses_max, lives, current: Mutex::default() }
    }

    /// The key to use once.
    pub(crate) async fn take(&self) -> Result<Arc<DataKey>, Failure> {
        // Held while KMS is asked: all who need a new key wait for the same one.
        let mut current = self.current.lock().await;
        // The monotonic clock stands still while Lambda freezes the function; this one does not.
        let now = SystemTime::now();
        if let Some(key) = current.as_mut().and_then(|lease| lease.take(now)) {
            return Ok(key);
        }
        let made =
            self.kms.generate_data_key().key_id(&self.key_id).key_spec(DataKeySpec::Aes256).send().await;
        let made = made.map_err(|error| Failure::retry(format!("KMS: {}", DisplayErrorContext(error))))?;
        let (Some(plaintext), Some(encrypted)) = (made.plaintext, made.ciphertext_blob) else {
            return Err(Failure::retry("KMS: an answer without a data key"));
        };
        let key = Arc::new(DataKey::new(plaintext.as_ref(), encrypted.as_ref())?);
        let lease = Lease {
            key: Arc::clone(&key),
            uses_left: self.uses_max - 1,
            until: now + self.lives,
            since: now,
        };
        *current = Some(lease);
        Ok(key)
    }
}

impl Lease {
    /// The key, if it may be used once more. A clock that was set back ends a lease too.
    fn take(&mut self, now: SystemTime) -> Option<Arc<DataKey>> {
        if now < self.since || now >= self.until {
            return None;
        }
        self.uses_left = self.uses_left.checked_sub(1)?;
        Some(Arc::clone(&self.key))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lease_ends_by_uses_and_by_time() {
        let since = SystemTime::UNIX_EPOCH + Duration::from_secs(1_767_225_600);
        let key = Arc::new(DataKey::new(&[7; 32], b"encrypted").unwrap());
        let mut lease = Lease { key, uses_left: 2, until: since + Duration::from_secs(300), since };
        assert!(lease.take(since + Duration::from_secs(300)).is_none());
        assert!(lease.take(since - Duration::from_secs(1)).is_none());
        assert!(lease.take(since).is_some() && lease.take(since + Duration::from_secs(299)).is_some());
        assert!(lease.take(since).is_none());
        assert!(DataKey::new(&[7; 16], b"encrypted").is_err());
    }
}
