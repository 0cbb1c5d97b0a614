//! A change notification: what one message tells about one record.
//!
//! Everything borrows from the frame it was decoded from; nothing is copied until a format writes it.
//! Text is kept as bytes, because neither the protocol nor the server promises UTF-8.

use std::{
    fmt,
    hash::{Hash, Hasher},
};

use crate::wire::value::{List, Map};

/// One record was written or deleted.
#[derive(Clone, Debug, PartialEq)]
pub struct ChangeNotification<'a> {
    /// What happened.
    pub operation: Operation,
    /// Namespace of the record, 1 to 31 bytes.
    pub namespace: &'a [u8],
    /// Set of the record, when it is in one.
    pub set: Option<&'a [u8]>,
    /// Identity of the record within its namespace.
    pub digest: Digest,
    /// The key the client used, when the server stores it.
    pub user_key: Option<Value<'a>>,
    /// Modification count; `None` when the source did not ship it.
    pub generation: Option<u32>,
    /// Last-update time, milliseconds since the Unix epoch; `None` when the source did not ship it.
    pub lut_unix_ms: Option<u64>,
    /// When the record expires. Always [`Expiry::Unknown`] for deletes.
    pub expiry: Expiry,
    /// What the source wants done when the record exists.
    pub exists_action: ExistsAction,
    /// The source's generation check.
    pub generation_policy: GenerationPolicy,
    /// Whether the message carries the XDR bit; ordinary clients do not set it.
    pub xdr: bool,
    /// Bins in wire order, each name once (the last op of a name wins). Empty for deletes.
    pub bins: Vec<Bin<'a>>,
}

impl ChangeNotification<'_> {
    /// Identity of the record.
    pub fn record_id(&self) -> RecordId {
        RecordId::new(self.namespace, self.digest)
    }

    /// A name for this very change: the same whenever it is shipped again, and another one for every other change of
    /// whatever record, as far as times and generations tell.
    pub fn event_id(&self) -> String {
        let namespace = String::from_utf8_lossy(self.namespace);
        let (lut, generation) = (self.lut_unix_ms.unwrap_or(0), self.generation.unwrap_or(0));
        let operation = if self.operation == Operation::Write { "write" } else { "delete" };
        format!("{namespace}-{}-{lut}-{generation}-{operation}", self.digest)
    }

    /// Whether it holds all there is of the record now. What merges into a record may hold only the bins that changed
    /// (`bin-policy`).
    pub fn is_whole(&self) -> bool {
        self.operation != Operation::Write
            || !matches!(self.exists_action, ExistsAction::Update | ExistsAction::UpdateOnly)
    }
}

/// What happened to the record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// Inserted, updated or touched: indistinguishable on the wire.
    Write,
    /// Deleted, expired or evicted.
    Delete,
    /// Deleted, leaving a tombstone.
    DurableDelete,
}

/// 20 bytes that identify a record within its namespace.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Digest(pub [u8; 20]);

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// Identity of a record: the same digest may stand for a record in each of several namespaces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecordId {
    digest: Digest,
    /// The name, and in the last byte its length.
    namespace: [u8; 32],
}

impl RecordId {
    /// The record `digest` of `namespace`, of which the first 31 bytes count: no longer name exists.
    pub fn new(namespace: &[u8], digest: Digest) -> Self {
        let mut padded = [0; 32];
        let bytes = namespace.len().min(31);
        padded[..bytes].copy_from_slice(&namespace[..bytes]);
        padded[31] = bytes as u8;
        Self { digest, namespace: padded }
    }

    /// The record's digest.
    pub fn digest(&self) -> &Digest {
        &self.digest
    }

    /// The record's namespace.
    pub fn namespace(&self) -> &[u8] {
        &self.namespace[..usize::from(self.namespace[31])]
    }
}

impl Hash for RecordId {
    fn hash<H: Hasher>(&self, state: &mut H) {
        // Few records share a digest, and the digest is random already.
        state.write(&self.digest.0);
    }
}

/// When a record expires.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expiry {
    /// Not shipped, or left to the namespace's default.
    Unknown,
    /// The record lives until it is deleted.
    Never,
    /// Seconds since the Unix epoch.
    At(u64),
}

/// Record-exists action shipped by the source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExistsAction {
    /// Create the record or merge into it.
    Update,
    /// Merge only.
    UpdateOnly,
    /// Create or replace.
    Replace,
    /// Replace only.
    ReplaceOnly,
    /// Create only.
    CreateOnly,
}

/// Generation policy shipped by the source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GenerationPolicy {
    /// No check.
    None,
    /// The stored generation must be equal.
    Equal,
    /// The shipped generation must be greater.
    Greater,
}

/// One bin of a record.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bin<'a> {
    /// Name, up to 15 bytes.
    pub name: &'a [u8],
    /// Value; [`Value::Null`] when the bin was deleted.
    pub value: Value<'a>,
}

/// A bin value, a user key, or an element of a list or map.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Value<'a> {
    /// A deleted bin, or a nil inside a list or map.
    Null,
    /// Signed 64-bit integer.
    Integer(i64),
    /// IEEE 754 binary64.
    Double(f64),
    /// Text, in practice UTF-8; the server does not check.
    String(&'a [u8]),
    /// True or false.
    Boolean(bool),
    /// Raw bytes with the particle type they came as: 4 plain, 7 Java, 8 C#, 9 Python, 10 Ruby, 11 PHP,
    /// 12 Erlang, 16 vector, 18 HyperLogLog, or a number this version does not know.
    Blob(u8, &'a [u8]),
    /// GeoJSON text without the cells that precede it on the wire.
    GeoJson(&'a [u8]),
    /// A list.
    List(List<'a>),
    /// A map.
    Map(Map<'a>),
}
