//! A change notification: what one message tells about one record. The one invariant: no value of a bin and no user key
//! is shown by `Debug`, so that logging a notification is safe.

use std::fmt;

use crate::{Value, base64};

/// One record was written or deleted.
#[derive(Clone, PartialEq)]
pub struct Notification {
    /// What happened.
    pub operation: Operation,
    /// Which record.
    pub key: Key,
    /// How often the record was modified; `None` when it was not shipped.
    pub generation: Option<u32>,
    /// Last-update time in milliseconds since the Unix epoch; `None` when it was not shipped. Later versions of a record
    /// have later ones: the version to compare with.
    pub lut_unix_ms: Option<u64>,
    /// When the record expires; `None` when it was not shipped, and for deletes.
    pub expiry: Option<Expiry>,
    /// The bins, in the order in which they came. Empty for deletes.
    pub bins: Vec<Bin>,
}

/// What happened to a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// Inserted, updated or touched: XDR does not tell which.
    Write,
    /// Deleted, expired or evicted.
    Delete,
    /// Deleted, leaving a tombstone.
    DurableDelete,
}

/// Which record it is.
#[derive(Clone, PartialEq)]
pub struct Key {
    /// Namespace. Empty when an Avro schema leaves it out.
    pub namespace: String,
    /// Set, if the record is in one. Deletes may come without it.
    pub set: Option<String>,
    /// Identity of the record in its namespace.
    pub digest: Digest,
    /// The key that the application uses, where the server stores it.
    pub user_key: Option<Value>,
}

/// 20 bytes that identify a record within its namespace.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Digest(pub [u8; 20]);

/// When a record expires.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expiry {
    /// It lives until it is deleted.
    Never,
    /// Seconds since the Unix epoch.
    At(u64),
}

/// One bin of a record.
#[derive(Clone, PartialEq)]
pub struct Bin {
    /// Name, up to 15 bytes.
    pub name: String,
    /// Value; [`Value::Null`] when the bin was deleted.
    pub value: Value,
}

impl Notification {
    /// The value of a bin.
    pub fn bin(&self, name: &str) -> Option<&Value> {
        self.bins.iter().find(|bin| bin.name == name).map(|bin| &bin.value)
    }

    /// Whether the record is gone.
    pub fn is_delete(&self) -> bool {
        self.operation != Operation::Write
    }

    /// Names this version of this record, the same each time it is sent: digest in hexadecimal, last-update time,
    /// generation, with `-` in between. At most 73 characters, none of them special anywhere. `None` without a
    /// last-update time, which `json` does not tell of deletes: two of them could not be told apart.
    pub fn version_id(&self) -> Option<String> {
        let lut = self.lut_unix_ms?;
        Some(format!("{}-{lut}-{}", self.key.digest, self.generation.unwrap_or_default()))
    }
}

impl Digest {
    /// In Base64 with padding, as the JSON formats write it.
    pub fn to_base64(self) -> String {
        base64(&self.0)
    }
}

/// In hexadecimal.
impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let user_key = self.user_key.as_ref().map(Value::type_name);
        f.debug_struct("Key")
            .field("namespace", &self.namespace)
            .field("set", &self.set)
            .field("digest", &self.digest)
            .field("user_key", &user_key)
            .finish()
    }
}

impl fmt::Debug for Bin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {}", self.name, self.value.type_name())
    }
}

impl fmt::Debug for Notification {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Notification")
            .field("operation", &self.operation)
            .field("key", &self.key)
            .field("generation", &self.generation)
            .field("lut_unix_ms", &self.lut_unix_ms)
            .field("expiry", &self.expiry)
            .field("bins", &self.bins)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_shows_no_value() {
        let secret = || Value::Text("hunter2".to_owned());
        let notification = Notification {
            operation: Operation::Write,
            key: Key {
                namespace: "shop".to_owned(),
                set: Some("orders".to_owned()),
                digest: Digest([7; 20]),
                user_key: Some(secret()),
            },
            generation: Some(1),
            lut_unix_ms: Some(1_767_225_600_123),
            expiry: Some(Expiry::Never),
            bins: vec![Bin { name: "password".to_owned(), value: secret() }],
        };
        let shown = format!("{notification:?} {notification:#?}");
        assert!(!shown.contains("hunter2"), "{shown}");
        assert!(shown.contains(r#""password": str"#) && shown.contains("0707"), "{shown}");
        assert_eq!(notification.version_id(), Some(format!("{}-1767225600123-1", "07".repeat(20))));
        assert_eq!(Notification { lut_unix_ms: None, ..notification }.version_id(), None);
    }
}
