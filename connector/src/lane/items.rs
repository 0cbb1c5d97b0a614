//! Which records of a request a consumer means that says which ones it could not process. Pure.
//!
//! A name is a record's position in the request, or its digest as the body shows it. A name that stands for nobody makes
//! the whole answer worthless: it may have meant a record that would otherwise be taken for delivered.

use adapters::{Cause, ItemFailure, Outcome};
use base64::{
    Engine,
    alphabet::{STANDARD, URL_SAFE},
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};

use crate::notification::Digest;

/// A record that failed, and what was said of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Named<'a> {
    /// Position in the request.
    pub(super) index: usize,
    /// Whether another attempt may succeed.
    pub(super) retryable: bool,
    /// Why it failed.
    pub(super) cause: Cause,
    /// In the consumer's own words.
    pub(super) reason: Option<&'a str>,
}

/// The records that failed, by position, each once; `None` when a name stands for none of the `count` records, whose
/// digests `digest` tells.
pub(super) fn find<'a>(
    failures: &'a [ItemFailure],
    count: usize,
    digest: impl Fn(usize) -> Digest,
) -> Option<Vec<Named<'a>>> {
    let mut named = Vec::with_capacity(failures.len().min(count));
    let mut digests: Option<Vec<(Digest, usize)>> = None;
    for failure in failures {
        let ItemFailure { retryable, cause, ref reason, .. } = *failure;
        let at = |index| Named { index, retryable, cause, reason: reason.as_deref() };
        if let Some(index) = position(&failure.identifier) {
            named.push(at(index).within(count)?);
            continue;
        }
        let wanted = digest_named(&failure.identifier)?;
        let digests = digests.get_or_insert_with(|| {
            let mut all: Vec<_> = (0..count).map(|index| (digest(index), index)).collect();
            all.sort_unstable_by_key(|(digest, index)| (digest.0, *index));
            all
        });
        // Records of several namespaces may share a digest: who names it may mean any of them.
        let first = digests.partition_point(|(digest, _)| digest.0 < wanted.0);
        let meant = digests[first..].iter().take_while(|(digest, _)| *digest == wanted);
        let before = named.len();
        named.extend(meant.map(|(_, index)| at(*index)));
        if named.len() == before {
            return None;
        }
    }
    named.sort_by_key(|named| named.index);
    named.dedup_by(|again, first| {
        let same = again.index == first.index;
        if same {
            // Who says both that it may help to try again and that it may not is not believed about the worse.
            first.retryable |= again.retryable;
            first.reason = first.reason.or(again.reason);
        }
        same
    });
    Some(named)
}

impl Named<'_> {
    fn within(self, count: usize) -> Option<Self> {
        (self.index < count).then_some(self)
    }

    /// Whether it is refused, and not in the consumer's own words.
    pub(super) fn is_refused_by_status(&self) -> bool {
        !self.retryable && self.cause != Cause::FunctionError
    }

    /// What this means for the record.
    pub(super) fn outcome(&self) -> Outcome {
        if self.retryable { Outcome::Retryable(self.cause) } else { Outcome::Rejected(self.cause) }
    }
}

/// A decimal number as we write it.
fn position(name: &str) -> Option<usize> {
    let canonical = name == "0" || !name.starts_with('0');
    let digits = name.bytes().all(|byte| byte.is_ascii_digit());
    if canonical && digits { name.parse().ok() } else { None }
}

/// A digest in hexadecimal or Base64.
fn digest_named(name: &str) -> Option<Digest> {
    let mut bytes = [0; 20];
    if name.len() == 40 {
        for (byte, digits) in bytes.iter_mut().zip(name.as_bytes().chunks_exact(2)) {
            *byte = hex(digits[0])? << 4 | hex(digits[1])?;
        }
        return Some(Digest(bytes));
    }
    // 27 characters, and one to fill up.
    if !(27..=28).contains(&name.len()) {
        return None;
    }
    let url = name.bytes().any(|byte| byte == b'-' || byte == b'_');
    let engine = if url { URL } else { PLAIN };
    let mut buffer = [0; 21];
    let decoded = engine.decode_slice(name, &mut buffer).ok()?;
    bytes.copy_from_slice(buffer[..decoded].first_chunk::<20>().filter(|_| decoded == 20)?);
    Some(Digest(bytes))
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).map(|value| value as u8)
}

const WITH_OR_WITHOUT_PADDING: GeneralPurposeConfig =
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
const PLAIN: GeneralPurpose = GeneralPurpose::new(&STANDARD, WITH_OR_WITHOUT_PADDING);
const URL: GeneralPurpose = GeneralPurpose::new(&URL_SAFE, WITH_OR_WITHOUT_PADDING);

#[cfg(test)]
mod tests {
    use base64::prelude::{BASE64_STANDARD, BASE64_STANDARD_NO_PAD, BASE64_URL_SAFE, BASE64_URL_SAFE_NO_PAD};
    use proptest::prelude::*;

    use super::*;

    fn failure(identifier: &str) -> ItemFailure {
        ItemFailure {
            identifier: identifier.to_owned(),
            retryable: true,
            cause: Cause::FunctionError,
            reason: None,
        }
    }

    /// Digests that need `+` and `/` in Base64.
    fn digest(index: usize) -> Digest {
        let mut bytes = [0xfb; 20];
        bytes[16..].copy_from_slice(&(index as u32).to_be_bytes());
        Digest(bytes)
    }

    fn found(names: &[&str], count: usize) -> Option<Vec<usize>> {
        let failures: Vec<_> = names.iter().map(|name| failure(name)).collect();
        Some(find(&failures, count, digest)?.iter().map(|named| named.index).collect())
    }

    #[test]
    fn positions_and_digests_in_every_form_name_a_record() {
        let bytes = digest(7).0;
        for name in [
            "7".to_owned(),
            digest(7).to_string(),
            digest(7).to_string().to_uppercase(),
            BASE64_STANDARD.encode(bytes),
            BASE64_STANDARD_NO_PAD.encode(bytes),
            BASE64_URL_SAFE.encode(bytes),
            BASE64_URL_SAFE_NO_PAD.encode(bytes),
        ] {
            assert_eq!(found(&[&name], 10), Some(vec![7]), "{name}");
            assert_eq!(found(&[&name], 7), None, "{name}: of 7 records the last one is number 6");
        }
    }

    #[test]
    fn a_name_of_nobody_makes_the_answer_worthless() {
        let other = digest(99).to_string();
        let cut = &digest(7).to_string()[1..];
        let misfit = "+_v7+/v7+/v7+/v7+/v7+wAAAAc";
        let long = "9".repeat(400);
        for name in ["", " ", "10", "-1", "+1", "07", "1.0", "1e0", "null", "r-1", &other, cut, misfit, &long]
        {
            assert_eq!(found(&[name], 10), None, "{name:?}");
            assert_eq!(found(&["3", name], 10), None, "{name:?} beside a good one");
        }
        assert_eq!(found(&[], 10), Some(vec![]));
    }

    #[test]
    fn named_twice_is_named_once_and_the_better_is_believed() {
        let mut failures = [failure("3"), failure(&digest(3).to_string()), failure("1")];
        (failures[0].retryable, failures[1].reason) = (false, Some("why".to_owned()));
        let named = find(&failures, 10, digest).expect("all of them are known");
        let expected = [(1, true, None), (3, true, Some("why"))];
        let seen: Vec<_> = named.iter().map(|named| (named.index, named.retryable, named.reason)).collect();
        assert_eq!(seen, expected);
        failures[1].retryable = false;
        let named = find(&failures, 10, digest).expect("all of them are known");
        assert_eq!(named[1].outcome(), Outcome::Rejected(Cause::FunctionError));
    }

    #[test]
    fn a_digest_that_several_records_share_names_them_all() {
        let failures = [failure(&digest(1).to_string())];
        let named = find(&failures, 9, |index| digest(index % 3)).expect("known");
        assert_eq!(named.iter().map(|named| named.index).collect::<Vec<_>>(), [1, 4, 7]);
    }

    #[test]
    fn ten_thousand_failures_of_ten_thousand_records_are_found_at_once() {
        let failures: Vec<_> = (0..10_000).map(|index| failure(&digest(index).to_string())).collect();
        let looked = std::cell::Cell::new(0);
        let named = find(&failures, 10_000, |index| {
            looked.set(looked.get() + 1);
            digest(index)
        });
        assert_eq!((named.map(|named| named.len()), looked.get()), (Some(10_000), 10_000));
    }

    proptest! {
        #[test]
        fn any_name_is_taken_or_refused_and_never_panics(name in "\\PC{0,45}", count in 0_usize..50) {
            if let Some(named) = found(&[&name], count) {
                prop_assert!(named.iter().all(|index| *index < count));
            }
        }
    }
}
