//! A source whose records change: what it ships, what XDR ships again, and what is there in the end.

use std::{collections::BTreeMap, net::SocketAddr};

use esp_connector::simulator::{
    encode::{Change as Kind, Head, Message, UserKey, digest},
    particle::Particle,
};
use tokio::time::Instant;

use crate::{Ack, WITHIN, XdrClient};

/// One change of a record of namespace `test`.
#[derive(Clone, Debug, PartialEq)]
pub struct Change {
    /// Set of the record.
    pub set: &'static str,
    /// Its key, an integer.
    pub key: i64,
    /// Last-update time.
    pub lut_unix_ms: u64,
    /// How often it was changed.
    pub generation: u32,
    /// Its bins; `None` when it is deleted.
    pub bins: Option<Vec<(&'static str, Bin)>>,
}

/// The value of a bin.
#[derive(Clone, Debug, PartialEq)]
pub enum Bin {
    /// An integer.
    Integer(i64),
    /// A double.
    Double(f64),
    /// Text.
    Text(String),
    /// True or false.
    Boolean(bool),
}

impl Bin {
    fn particle(&self) -> Particle<'_> {
        match self {
            Self::Integer(value) => Particle::Integer(*value),
            Self::Double(value) => Particle::Double(*value),
            Self::Text(text) => Particle::String(text.as_bytes()),
            Self::Boolean(value) => Particle::Boolean(*value),
        }
    }

    fn json(&self) -> serde_json::Value {
        match self {
            Self::Integer(value) => (*value).into(),
            Self::Double(value) => (*value).into(),
            Self::Text(text) => text.as_str().into(),
            Self::Boolean(value) => (*value).into(),
        }
    }
}

impl Change {
    /// The digest of its record.
    pub fn digest(&self) -> [u8; 20] {
        digest(Some(self.set.as_bytes()), UserKey::Integer(self.key))
    }

    /// The same in hexadecimal.
    pub fn digest_hex(&self) -> String {
        self.digest().iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// Its bins as JSON; null when it is deleted.
    pub fn json(&self) -> serde_json::Value {
        let bins =
            self.bins.as_ref().map(|bins| bins.iter().map(|(name, bin)| ((*name).to_owned(), bin.json())));
        bins.map_or(serde_json::Value::Null, |bins| serde_json::Value::Object(bins.collect()))
    }

    /// As XDR ships it.
    pub fn message(&self) -> Vec<u8> {
        let key = UserKey::Integer(self.key);
        let head = Head {
            change: if self.bins.is_some() { Kind::Replace } else { Kind::Delete },
            namespace: b"test",
            set: Some(self.set.as_bytes()),
            digest: self.digest(),
            user_key: Some(key),
            generation: self.generation,
            ttl_seconds: 0,
            lut_unix_ms: Some(self.lut_unix_ms),
        };
        let mut bytes = Vec::new();
        let mut message = Message::begin(&mut bytes, &head);
        for (name, bin) in self.bins.iter().flatten() {
            message.bin(name.as_bytes(), &bin.particle());
        }
        message.finish();
        bytes
    }
}

/// What is there in the end, by key.
pub fn last(changes: &[Change]) -> BTreeMap<i64, &Change> {
    changes.iter().map(|change| (change.key, change)).collect()
}

/// Ships `changes` in order and, as XDR does, the newest state of each record again whose change was refused for now, until
/// all are acknowledged. How many changes were refused for now.
pub async fn ship(address: SocketAddr, changes: &[Change]) -> usize {
    let newest = last(changes);
    let mut source = XdrClient::connect(address).await.unwrap();
    let mut pending: Vec<&Change> = changes.iter().collect();
    let (mut again, started) = (0, Instant::now());
    loop {
        let mut refused = BTreeMap::new();
        // Not more at once than fit into the buffers of a connection whose answers nobody reads.
        for part in pending.chunks(500) {
            let bytes: Vec<u8> = part.iter().flat_map(|change| change.message()).collect();
            source.send(&bytes).await.unwrap();
            for change in part {
                let ack = source.ack().await.unwrap();
                if ack != Ack::OK {
                    assert!(ack.is_temporary(), "{ack:?} for {change:?}");
                    refused.insert(change.key, newest[&change.key]);
                    again += 1;
                }
            }
        }
        if refused.is_empty() {
            return again;
        }
        assert!(started.elapsed() < WITHIN, "{} records are still refused", refused.len());
        pending = refused.into_values().collect();
    }
}
