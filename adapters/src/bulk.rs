//! The answer to a `_bulk` request of Elasticsearch or OpenSearch: what became of each record, in the order of the request.
//! Pure.
//!
//! Such an answer is 200 whatever became of the records. It counts only when it is whole and tells of as many records as
//! were sent; otherwise nothing is known of any, and all are sent again.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer as _, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};

use crate::{
    Cause, Class, ItemFailure, Outcome, REASON_BYTES_MAX,
    partial::{Answered, Shallow},
    status::StatusTable,
};

/// Most bytes of an answer worth reading when it tells of each of `records` records. A record that is done takes some 200,
/// far less with `filter_path`; one that is refused, and why, some thousand.
pub(crate) fn answer_bytes_max(records: usize) -> usize {
    records.saturating_mul(2 * 1024).clamp(64 * 1024, 8 * 1024 * 1024)
}

/// Reads the body of a success that answers `records` records; `cut` when the body went on. `statuses` says what the
/// status of a record means.
pub(crate) fn parse(body: &[u8], cut: bool, records: usize, statuses: &StatusTable) -> Answered {
    if cut {
        return Answered::Nonsense("it is longer than the answer to so many records can be");
    }
    let mut reader = serde_json::Deserializer::from_slice(body);
    let read = reader.deserialize_map(Answer { records, statuses });
    match read.and_then(|items| reader.end().map(|()| items)) {
        Ok(Some(Items { count, failed })) if count == records => answered(failed, records),
        Ok(_) => Answered::Nonsense("it tells of another number of records than were sent"),
        Err(_) => Answered::Nonsense("it is no answer to a bulk request, or not all of it came"),
    }
}

/// What the items come to. Where all failed of one thing, that is how the peer is: it asks for less, or takes nothing.
fn answered(failed: Vec<Failed>, records: usize) -> Answered {
    let Some(first) = failed.first() else { return Answered::AllDone };
    let (class, cause) = (first.class, first.failure.cause);
    // One that is alone and refused keeps the words that it is refused with.
    let alike = failed.len() == records
        && failed.iter().all(|failed| failed.class == class)
        && (class != Class::Record || records > 1);
    if alike {
        return Answered::Alike(class, cause);
    }
    Answered::Except(failed.into_iter().map(|failed| failed.failure).collect())
}

/// A record that is not done.
struct Failed {
    class: Class,
    failure: ItemFailure,
}

/// All that was said of records.
struct Items {
    count: usize,
    failed: Vec<Failed>,
}

/// The object around the list.
struct Answer<'s> {
    records: usize,
    statuses: &'s StatusTable,
}

impl<'de> Visitor<'de> for Answer<'_> {
    type Value = Option<Items>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut items = None;
        while let Some(key) = map.next_key::<Shallow>()? {
            if !matches!(key, Shallow::Text(key) if key == "items") {
                map.next_value::<IgnoredAny>()?;
                continue;
            }
            let list = List { records: self.records, statuses: self.statuses };
            if items.replace(map.next_value_seed(list)?).is_some() {
                return Err(A::Error::duplicate_field("items"));
            }
        }
        Ok(items)
    }
}

/// The list itself.
struct List<'s> {
    records: usize,
    statuses: &'s StatusTable,
}

impl<'de> DeserializeSeed<'de> for List<'_> {
    type Value = Items;

    fn deserialize<D: serde::Deserializer<'de>>(self, deserializer: D) -> Result<Items, D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for List<'_> {
    type Value = Items;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut entries: A) -> Result<Items, A::Error> {
        let mut items = Items { count: 0, failed: Vec::new() };
        while let Some(entry) = entries.next_element::<Entry>()? {
            // What is kept is bounded by what was sent.
            if items.count == self.records {
                return Err(A::Error::custom("more items than records"));
            }
            let Entry(action, said) = entry;
            let fault = judge(action, &said, self.statuses).map_err(A::Error::custom)?;
            items.failed.extend(fault.map(|(class, outcome)| said.failed(items.count, class, outcome)));
            items.count += 1;
        }
        Ok(items)
    }
}

/// What became of a record: `None` when it is done, or a newer version of it is there already.
fn judge(
    action: Action,
    said: &Said,
    statuses: &StatusTable,
) -> Result<Option<(Class, Outcome)>, &'static str> {
    let Some(status) = said.status else { return Err("an item without a status") };
    let error = said.error.as_ref();
    let done = match (status, action) {
        (200..=299, _) => error.is_none(),
        // It is gone already. With an error it is the index that is not there.
        (404, Action::Delete) => error.is_none(),
        // What is there is as new, or newer: otherwise versions do not meet, but in updates, which read before they write.
        (409, Action::Index | Action::Create | Action::Delete) if !statuses.is_listed(409) => {
            error.is_some_and(|error| error.kind.as_deref() == Some(VERSION_CONFLICT))
        }
        _ => false,
    };
    if done {
        return Ok(None);
    }
    match statuses.judge(status, false) {
        (Class::Done | Class::Partial, _) => Err("a success with an error"),
        (_, Outcome::Delivered) => Err("neither a success nor a failure"),
        (class, outcome) => Ok(Some((class, outcome))),
    }
}

/// What was to be done with a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
enum Action {
    Index,
    Create,
    Update,
    Delete,
}

/// An item: an object with one member, which is named after the action.
struct Entry(Action, Said);

impl<'de> serde::Deserialize<'de> for Entry {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(EntryVisitor)
    }
}

struct EntryVisitor;

impl<'de> Visitor<'de> for EntryVisitor {
    type Value = Entry;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object that names an action")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Entry, A::Error> {
        let entry = map.next_entry()?.ok_or_else(|| A::Error::custom("an item without an action"))?;
        match map.next_key::<IgnoredAny>()? {
            None => Ok(Entry(entry.0, entry.1)),
            Some(_) => Err(A::Error::custom("an item with several actions")),
        }
    }
}

/// What is said of a record, as far as it is of interest.
#[derive(serde::Deserialize)]
struct Said {
    #[serde(default)]
    status: Option<u16>,
    #[serde(default)]
    error: Option<Fault>,
}

impl Said {
    fn failed(self, index: usize, class: Class, outcome: Outcome) -> Failed {
        let (retryable, cause) = match outcome {
            Outcome::Rejected(cause) => (false, cause),
            Outcome::Retryable(cause) => (true, cause),
            // Judged as a failure, so it is none of those.
            Outcome::Delivered => (true, Cause::Malformed),
        };
        let reason = self.error.and_then(Fault::words);
        Failed { class, failure: ItemFailure { identifier: index.to_string(), retryable, cause, reason } }
    }
}

/// `error`: an object with a type and a reason, or, as old versions have it, a text.
struct Fault {
    kind: Option<String>,
    reason: Option<String>,
}

impl Fault {
    /// Type and reason, for the dead letter.
    fn words(self) -> Option<String> {
        match (self.kind, self.reason) {
            (Some(kind), Some(reason)) => Some(cut(format!("{kind}: {reason}"))),
            (one, other) => one.or(other),
        }
    }
}

impl<'de> serde::Deserialize<'de> for Fault {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(FaultVisitor)
    }
}

struct FaultVisitor;

impl<'de> Visitor<'de> for FaultVisitor {
    type Value = Fault;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an error")
    }

    fn visit_str<E>(self, text: &str) -> Result<Fault, E> {
        Ok(Fault { kind: None, reason: Some(cut(text.to_owned())) })
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Fault, A::Error> {
        let mut fault = Fault { kind: None, reason: None };
        while let Some(key) = map.next_key::<Shallow>()? {
            let place = match key {
                Shallow::Text(key) if key == "type" => &mut fault.kind,
                Shallow::Text(key) if key == "reason" => &mut fault.reason,
                _ => {
                    map.next_value::<IgnoredAny>()?;
                    continue;
                }
            };
            if let Shallow::Text(text) = map.next_value()? {
                *place = Some(cut(text));
            }
        }
        Ok(fault)
    }
}

fn cut(mut text: String) -> String {
    text.truncate(text.floor_char_boundary(REASON_BYTES_MAX));
    text.shrink_to_fit();
    text
}

const VERSION_CONFLICT: &str = "version_conflict_engine_exception";

#[cfg(test)]
mod tests;
