//! Which records can never be processed: the consumer and those who judge it agree on one rule. Pure.

/// Whether a record of this digest is one of `per_mille` of a thousand. Digests are hashes, so this is a fair choice,
/// and the same in every run.
pub fn is_poison(digest: &[u8], per_mille: u32) -> bool {
    let first = digest.first_chunk().map(|bytes| u32::from_be_bytes(*bytes));
    first.is_some_and(|first| first % 1000 < per_mille)
}
