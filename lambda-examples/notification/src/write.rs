//! Notifications as the connector's own JSON formats, whatever format they came in. Pure.

use serde::{Serialize, Serializer, ser::SerializeMap};

use crate::{Bin, Expiry, Notification, Operation, Value};

/// As the format `json`, with the type of each bin. A [`Decoder`](crate::Decoder) reads it again.
impl Serialize for Notification {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut members = serializer.serialize_map(None)?;
        members.serialize_entry("msg", self.msg())?;
        let key = (&self.key.namespace, &self.key.set, self.key.digest.to_base64(), &self.key.user_key);
        members.serialize_entry("key", &key)?;
        if self.is_delete() {
            members.serialize_entry("durable", &self.durable())?;
            return members.end();
        }
        members.serialize_entry("gen", &self.generation)?;
        members.serialize_entry("exp", &self.exp())?;
        members.serialize_entry("lut", &self.lut_unix_ms)?;
        members.serialize_entry("bins", &self.bins)?;
        members.end()
    }
}

impl Serialize for Bin {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut members = serializer.serialize_map(Some(3))?;
        members.serialize_entry("name", &self.name)?;
        members.serialize_entry("type", self.value.type_name())?;
        members.serialize_entry("value", &self.value)?;
        members.end()
    }
}

/// A notification as `flat-json`: what most destinations want.
#[derive(Clone, Copy, Debug)]
pub struct FlatJson<'a> {
    notification: &'a Notification,
    metadata_key: &'a str,
}

impl Notification {
    /// As `flat-json`, with the metadata under `metadata_key`.
    ///
    /// ```
    /// # fn f(notification: notification::Notification) -> Result<(), serde_json::Error> {
    /// let body = serde_json::to_string(&notification.flat_json("_meta"))?;
    /// # Ok(()) }
    /// ```
    pub fn flat_json<'a>(&'a self, metadata_key: &'a str) -> FlatJson<'a> {
        FlatJson { notification: self, metadata_key }
    }

    fn msg(&self) -> &'static str {
        if self.is_delete() { "delete" } else { "write" }
    }

    fn durable(&self) -> bool {
        self.operation == Operation::DurableDelete
    }

    fn exp(&self) -> Option<u64> {
        self.expiry.map(|expiry| match expiry {
            Expiry::Never => 0,
            Expiry::At(seconds) => seconds,
        })
    }
}

impl Serialize for FlatJson<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut members = serializer.serialize_map(None)?;
        members.serialize_entry(self.metadata_key, &Metadata(self.notification))?;
        // A bin of that name would be taken for the metadata.
        for bin in self.notification.bins.iter().filter(|bin| bin.name != self.metadata_key) {
            members.serialize_entry(&bin.name, &bin.value)?;
        }
        members.end()
    }
}

struct Metadata<'a>(&'a Notification);

impl Serialize for Metadata<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self(notification) = self;
        let key = &notification.key;
        let mut members = serializer.serialize_map(None)?;
        members.serialize_entry("namespace", &key.namespace)?;
        if let Some(set) = &key.set {
            members.serialize_entry("set", set)?;
        }
        if let Some(user_key) = key.user_key.as_ref().filter(|key| **key != Value::Null) {
            members.serialize_entry("userKey", user_key)?;
        }
        members.serialize_entry("digest", &key.digest.to_base64())?;
        members.serialize_entry("msg", notification.msg())?;
        members.serialize_entry("gen", &notification.generation)?;
        members.serialize_entry("lut", &notification.lut_unix_ms)?;
        if notification.is_delete() {
            members.serialize_entry("durable", &notification.durable())?;
        } else {
            members.serialize_entry("exp", &notification.exp())?;
        }
        members.end()
    }
}
