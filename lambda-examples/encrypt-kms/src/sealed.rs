//! A bin that is encrypted: AES-256-GCM over the bin as JSON. Namespace, digest and name of the bin are authenticated with it, so
//! that what belongs to one record cannot be passed off as another one's.
//!
//! ```json
//! {"alg": "AES-256-GCM", "key": "the data key, encrypted by KMS", "iv": "96 bits", "data": "ciphertext and tag"}
//! ```

use aws_lc_rs::aead::{Aad, Nonce};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use notification::{Bin, Failure, Key, Notification, Value};

use crate::{DataKey, DataKeys};

/// Encrypts those of `bins` that the record has.
pub async fn seal(notification: &mut Notification, bins: &[String], keys: &DataKeys) -> Result<(), Failure> {
    for bin in &mut notification.bins {
        if bins.contains(&bin.name) {
            let key = keys.take().await?;
            bin.value = sealed(bin, &notification.key, &key)?;
        }
    }
    Ok(())
}

fn sealed(bin: &Bin, of: &Key, key: &DataKey) -> Result<Value, Failure> {
    let mut data = serde_json::to_vec(bin)?;
    let nonce = key.cipher.seal_in_place_append_tag(authenticated(of, &bin.name), &mut data)?;
    let text = |name: &str, value: String| (Value::Text(name.to_owned()), Value::Text(value));
    Ok(Value::Map(vec![
        text("alg", ALGORITHM.to_owned()),
        text("key", key.encrypted.clone()),
        text("iv", STANDARD.encode(nonce.as_ref())),
        text("data", STANDARD.encode(data)),
    ]))
}

/// The bin, as JSON with its type, that is sealed in `value` as the bin `name` of the record `of`. `None` when it is not, or
/// was tampered with, or `key` is not its key.
pub fn open(value: &Value, of: &Key, name: &str, key: &DataKey) -> Option<serde_json::Value> {
    let text = |name: &str| value.get(name).and_then(Value::as_str);
    let decoded = |name: &str| STANDARD.decode(text(name)?).ok();
    if text("alg") != Some(ALGORITHM) {
        return None;
    }
    let nonce = Nonce::try_assume_unique_for_key(&decoded("iv")?).ok()?;
    let mut data = decoded("data")?;
    let plaintext = key.cipher.open_in_place(nonce, authenticated(of, name), &mut data).ok()?;
    serde_json::from_slice(plaintext).ok()
}

/// `namespace/digest in hexadecimal/name of the bin`.
fn authenticated(of: &Key, name: &str) -> Aad<String> {
    Aad::from(format!("{}/{}/{name}", of.namespace, of.digest))
}

const ALGORITHM: &str = "AES-256-GCM";

#[cfg(test)]
mod tests {
    use notification::Digest;
    use serde_json::json;

    use super::*;

    fn key_of(namespace: &str, digest: u8) -> Key {
        Key { namespace: namespace.to_owned(), set: None, digest: Digest([digest; 20]), user_key: None }
    }

    #[test]
    fn only_the_record_and_bin_that_was_sealed_opens() {
        let (record, key) = (key_of("shop", 1), DataKey::new(&[7; 32], b"encrypted").unwrap());
        let bin = Bin { name: "card".to_owned(), value: Value::Text("4111".to_owned()) };
        let other = sealed(&bin, &record, &key).unwrap();
        let sealed = sealed(&bin, &record, &key).unwrap();
        assert_eq!(sealed.get("key").and_then(Value::as_str), Some("ZW5jcnlwdGVk"));
        assert!(!format!("{sealed:?}").contains("4111"));
        let opened = json!({"name": "card", "type": "str", "value": "4111"});
        assert_eq!(open(&sealed, &record, "card", &key), Some(opened));
        for (of, name) in
            [(key_of("shop", 2), "card"), (key_of("shops", 1), "card"), (key_of("shop", 1), "name")]
        {
            assert_eq!(open(&sealed, &of, name, &key), None);
        }
        assert_eq!(open(&sealed, &record, "card", &DataKey::new(&[8; 32], b"").unwrap()), None);
        // Any bit of it.
        for part in ["iv", "data"] {
            let Value::Map(mut parts) = sealed.clone() else { panic!() };
            let (_, Value::Text(text)) =
                parts.iter_mut().find(|(name, _)| name.as_str() == Some(part)).unwrap()
            else {
                panic!()
            };
            let mut bytes = STANDARD.decode(&*text).unwrap();
            bytes[3] ^= 1;
            *text = STANDARD.encode(bytes);
            assert_eq!(open(&Value::Map(parts), &record, "card", &key), None, "{part}");
        }
        assert_ne!(other, sealed, "a new nonce each time");
    }
}
