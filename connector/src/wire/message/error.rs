//! Why a message is refused, and which record it was about.

use crate::{
    notification::Digest,
    wire::{ack::ResultCode, value::ValueError},
};

/// A message that is refused. Its connection goes on.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", self.parts.problem)]
pub struct MessageError {
    /// Boxed, because refusals are rare and successes should not carry their size.
    parts: Box<Parts>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Parts {
    problem: Problem,
    namespace: Option<Box<[u8]>>,
    digest: Option<Digest>,
}

impl MessageError {
    /// Remembers which record it was, as far as it could be read.
    pub(super) fn new(problem: Problem, identity: &Identity<'_>) -> Self {
        let namespace = identity.namespace.map(Box::from);
        Self { parts: Box::new(Parts { problem, namespace, digest: identity.digest }) }
    }

    /// What is wrong.
    pub fn problem(&self) -> &Problem {
        &self.parts.problem
    }

    /// The answer to give.
    pub fn result_code(&self) -> ResultCode {
        match self.parts.problem {
            Problem::NotAChange { .. } => ResultCode::UnsupportedFeature,
            Problem::NoNamespace | Problem::Namespace { .. } => ResultCode::Namespace,
            _ => ResultCode::Parameter,
        }
    }

    /// Namespace of the record, when it could be read.
    pub fn namespace(&self) -> Option<&[u8]> {
        self.parts.namespace.as_deref()
    }

    /// Digest of the record, when it could be read.
    pub fn digest(&self) -> Option<Digest> {
        self.parts.digest
    }
}

impl From<Problem> for MessageError {
    fn from(problem: Problem) -> Self {
        Self::new(problem, &Identity::default())
    }
}

/// What is wrong with a message. Positions count from the start of the frame, once inflated.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs, reason = "the texts say what the fields are")]
pub enum Problem {
    #[error("a message of {found} bytes, expected at least the 22 of its header")]
    Short { found: usize },
    #[error("header size {found}, expected 22 or more and no more than the message has")]
    HeaderSize { found: u8 },
    #[error("the field at byte {at} is longer than the message")]
    FieldOverrun { at: usize },
    #[error("the field at byte {at} is empty, expected at least its type")]
    FieldEmpty { at: usize },
    #[error("the op at byte {at} is longer than the message, or too short for what it announces")]
    OpOverrun { at: usize },
    #[error("{found} bytes follow the last op, at byte {at}")]
    Trailing { found: usize, at: usize },
    #[error("not a write or a delete of one record (info1 {info1:#04x}, info2 {info2:#04x})")]
    NotAChange { info1: u8, info2: u8 },
    #[error("no namespace")]
    NoNamespace,
    #[error("a namespace of {found} bytes at byte {at}, expected 1 to 31")]
    Namespace { found: usize, at: usize },
    #[error("a set name of {found} bytes at byte {at}, expected at most 63")]
    Set { found: usize, at: usize },
    #[error("no digest")]
    NoDigest,
    #[error("a digest of {found} bytes at byte {at}, expected 20")]
    Digest { found: usize, at: usize },
    #[error("an empty user key, expected at least its type")]
    KeyEmpty,
    #[error("the user key: {source}")]
    Key { source: ValueError },
    #[error("operation {found} at byte {at}, expected 2 (write), 11 (touch) or 14 (delete all bins)")]
    Op { found: u8, at: usize },
    #[error("a bin name of {found} bytes at byte {at}, expected at most 15")]
    BinName { found: usize, at: usize },
    #[error("the bin at byte {at}: {source}")]
    Value { source: ValueError, at: usize },
    #[error("a compressed frame of {found} bytes, expected at least 8")]
    CompressedShort { found: usize },
    #[error("a compressed frame that announces {announced} bytes, at most {max} are accepted")]
    InflatedSize { announced: u64, max: u64 },
    #[error("a compressed frame does not inflate to the {announced} bytes it announces (stopped at {found})")]
    InflatedLength { announced: u64, found: u64 },
    #[error("a compressed frame that holds no whole message frame")]
    InflatedFrame,
    #[error("a compressed frame that is no sound zlib stream: {problem}")]
    Zlib { problem: String },
}

/// Which record a message is about, as far as it was read.
#[derive(Debug, Default)]
pub(super) struct Identity<'a> {
    pub(super) namespace: Option<&'a [u8]>,
    pub(super) digest: Option<Digest>,
}
