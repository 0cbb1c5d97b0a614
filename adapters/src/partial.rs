//! The answer of a consumer that processed some records and not others: `batchItemFailures`. Pure.
//!
//! The contract of AWS's event sources for SQS, so that consumers and their libraries know it. Where an answer can be read
//! in two ways, the one that sends records again is taken: a duplicate can be told, a loss cannot.

use std::fmt;

use serde::de::{
    Deserialize, DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor,
};
use serde_json::error::Category;

use crate::{Cause, Class, ItemFailure, REASON_BYTES_MAX, Report};

/// What an answer says.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Answered {
    /// No failure is named: all records are done.
    AllDone,
    /// All are done, but for these.
    Except(Vec<ItemFailure>),
    /// None is done, all for one reason.
    Alike(Class, Cause),
    /// It is about failures, but in a way that tells nothing of any record; why, for the log.
    Nonsense(&'static str),
}

impl Answered {
    /// The report on a request that was answered like this, and with a success otherwise.
    pub(crate) fn into_report(self, status: Option<u16>) -> Report {
        match self {
            Self::AllDone => Report::delivered(status),
            Self::Except(failures) => Report::partial(status, failures),
            Self::Alike(class, cause) => Report { status, ..Report::failed(class, cause) },
            Self::Nonsense(_) => Report { status, ..Report::failed(Class::Transient, Cause::FunctionError) },
        }
    }
}

/// Most bytes of a success worth reading when it may name each of `records` records.
pub(crate) fn answer_bytes_max(records: usize) -> usize {
    records.saturating_mul(REASON_BYTES_MAX).clamp(64 * 1024, 1024 * 1024)
}

/// Reads the body of a success that answers `records` records; `cut` when the body went on.
pub(crate) fn parse(body: &[u8], cut: bool, records: usize) -> Answered {
    let body = body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body);
    // Consumers may answer with any text, a page or a log included; what names failures is an object.
    if body.trim_ascii_start().first() != Some(&b'{') {
        return Answered::AllDone;
    }
    if cut {
        return Answered::Nonsense("it is longer than the answer to so many records can be");
    }
    let mut reader = serde_json::Deserializer::from_slice(body);
    let read = reader.deserialize_map(Answer { records });
    match read.and_then(|failures| reader.end().map(|()| failures)) {
        Ok(failures) if failures.is_empty() => Answered::AllDone,
        Ok(failures) => Answered::Except(failures),
        Err(error) if error.classify() == Category::Data => {
            Answered::Nonsense("it is no list of objects that each name a record by its itemIdentifier")
        }
        // No JSON after all. But when it was about failures, whoever wrote it did not mean that there are none.
        Err(_) if names_the_list(body) => Answered::Nonsense("it is not valid JSON"),
        Err(_) => Answered::AllDone,
    }
}

fn names_the_list(body: &[u8]) -> bool {
    body.windows(LIST.len()).any(|window| window == LIST.as_bytes())
}

/// The object around the list.
struct Answer {
    records: usize,
}

impl<'de> Visitor<'de> for Answer {
    type Value = Vec<ItemFailure>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut failures = None;
        while let Some(key) = map.next_key::<Shallow>()? {
            if !matches!(key, Shallow::Text(key) if key == LIST) {
                map.next_value::<IgnoredAny>()?;
            } else if failures.replace(map.next_value_seed(List { records: self.records })?).is_some() {
                return Err(A::Error::duplicate_field(LIST));
            }
        }
        Ok(failures.unwrap_or_default())
    }
}

/// The list itself, or null.
struct List {
    records: usize,
}

impl<'de> DeserializeSeed<'de> for List {
    type Value = Vec<ItemFailure>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_option(self)
    }
}

impl<'de> Visitor<'de> for List {
    type Value = Vec<ItemFailure>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list")
    }

    fn visit_none<E>(self) -> Result<Self::Value, E> {
        Ok(Vec::new())
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_seq(self)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut entries: A) -> Result<Self::Value, A::Error> {
        let mut failures = Vec::new();
        while let Some(entry) = entries.next_element::<Entry>()? {
            // A record may be named twice, but not without end: what is kept is bounded by what was sent.
            if failures.len() >= self.records.saturating_add(SPARE_ENTRIES) {
                return Err(A::Error::custom("far more entries than records"));
            }
            failures.push(entry.failure().ok_or_else(|| A::Error::custom("names no record"))?);
        }
        Ok(failures)
    }
}

/// One entry of the list, as far as it is of interest.
#[derive(serde::Deserialize)]
#[serde(rename_all = "camelCase")]
struct Entry {
    #[serde(default)]
    item_identifier: Shallow,
    #[serde(default)]
    retryable: Shallow,
    #[serde(default)]
    reason: Shallow,
}

impl Entry {
    fn failure(self) -> Option<ItemFailure> {
        let identifier = match self.item_identifier {
            Shallow::Text(text) if !text.is_empty() && text.len() <= IDENTIFIER_BYTES_MAX => text,
            // Positions are numbers, and some will write them as such.
            Shallow::Number(number) => number.to_string(),
            _ => return None,
        };
        let reason = match self.reason {
            Shallow::Text(mut text) => {
                text.truncate(text.floor_char_boundary(REASON_BYTES_MAX));
                text.shrink_to_fit();
                Some(text)
            }
            _ => None,
        };
        let retryable = !matches!(self.retryable, Shallow::Bool(false));
        Some(ItemFailure { identifier, retryable, cause: Cause::FunctionError, reason })
    }
}

/// A value, as long as it is a simple one.
#[derive(Default)]
pub(crate) enum Shallow {
    #[default]
    Other,
    Bool(bool),
    Number(u64),
    Text(String),
}

impl<'de> Deserialize<'de> for Shallow {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ShallowVisitor)
    }
}

struct ShallowVisitor;

impl<'de> Visitor<'de> for ShallowVisitor {
    type Value = Shallow;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Shallow, E> {
        Ok(Shallow::Bool(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Shallow, E> {
        Ok(Shallow::Number(value))
    }

    fn visit_i64<E>(self, _: i64) -> Result<Shallow, E> {
        Ok(Shallow::Other)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Shallow, E> {
        Ok(Shallow::Other)
    }

    fn visit_str<E>(self, value: &str) -> Result<Shallow, E> {
        Ok(Shallow::Text(value.to_owned()))
    }

    fn visit_unit<E>(self) -> Result<Shallow, E> {
        Ok(Shallow::Other)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Shallow, A::Error> {
        while items.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Shallow::Other)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Shallow, A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Shallow::Other)
    }
}

const LIST: &str = "batchItemFailures";
/// Entries beyond one for each record before an answer is no longer believed.
const SPARE_ENTRIES: usize = 16;
/// No name of a record comes near it.
const IDENTIFIER_BYTES_MAX: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;

    fn read(body: &str) -> Answered {
        parse(body.as_bytes(), false, 3)
    }

    fn failure(identifier: &str) -> ItemFailure {
        ItemFailure {
            identifier: identifier.to_owned(),
            retryable: true,
            cause: Cause::FunctionError,
            reason: None,
        }
    }

    fn is_nonsense(answered: &Answered) -> bool {
        matches!(answered, Answered::Nonsense(_))
    }

    #[test]
    fn what_names_no_failure_is_all_done() {
        for body in [
            "",
            "  \n",
            "ok",
            "null",
            "true",
            "\"batchItemFailures\"",
            "[]",
            "[{\"itemIdentifier\":\"0\"}]",
            "{}",
            "{ \"processed\": 3, \"nested\": {\"batchItemFailures\": [{\"itemIdentifier\":\"0\"}]} }",
            "{\"batchItemFailures\":null}",
            "{\"batchItemFailures\":[]}",
            "\u{feff}{\"batchItemFailures\": [ ] }",
            "{not json}",
            "<html>batchItemFailures</html>",
        ] {
            assert_eq!(read(body), Answered::AllDone, "{body}");
        }
        assert_eq!(parse(b"\xff\xfe{", false, 3), Answered::AllDone);
        assert_eq!(parse(b"a long page", true, 3), Answered::AllDone);
    }

    #[test]
    fn named_records_failed() {
        let body = r#"{"more":[{"a":1}],"batchItemFailures":[{"itemIdentifier":"2"},
            {"itemIdentifier":"a\u0062","retryable":false,"reason":"no \"room\"","more":{}},
            {"itemIdentifier":0,"retryable":true,"reason":null},
            {"itemIdentifier":"1","retryable":"no","reason":7}],"after":1}"#;
        let expected = vec![
            failure("2"),
            ItemFailure { retryable: false, reason: Some("no \"room\"".to_owned()), ..failure("ab") },
            failure("0"),
            // Only a plain no keeps a record from being tried again.
            failure("1"),
        ];
        assert_eq!(read(body), Answered::Except(expected));
        assert_eq!(
            read(r#"{"batchItemFailures":[{"itemIdentifier":"2"}]}"#).into_report(Some(202)),
            Report::partial(Some(202), vec![failure("2")])
        );
    }

    #[test]
    fn names_that_are_none_fail_the_whole_batch() {
        for list in [
            r#"[{"itemIdentifier":null}]"#,
            r#"[{"itemIdentifier":""}]"#,
            r#"[{"itemIdentifier":"0"},{"itemIdentifier":""}]"#,
            r#"[{"itemidentifier":"0"}]"#,
            r#"[{"itemIdentifier":-1}]"#,
            r#"[{"itemIdentifier":1.5}]"#,
            r#"[{"itemIdentifier":true}]"#,
            r#"[{"itemIdentifier":["0"]}]"#,
            r#"[{"itemIdentifier":"0","itemIdentifier":"1"}]"#,
            r#"[{}]"#,
            r#"["0"]"#,
            r#"[0]"#,
            r#"[null]"#,
            r#"[[]]"#,
            r#"{}"#,
            r#"{"itemIdentifier":"0"}"#,
            r#""0""#,
            r#"false"#,
            r#"0"#,
            r#"[{"itemIdentifier":"0"}],"batchItemFailures":[]"#,
        ] {
            let body = format!("{{\"batchItemFailures\":{list}}}");
            assert!(is_nonsense(&read(&body)), "{body}: {:?}", read(&body));
        }
        let long = format!("{{\"batchItemFailures\":[{{\"itemIdentifier\":\"{}\"}}]}}", "0".repeat(257));
        assert!(is_nonsense(&read(&long)));
        assert_eq!(
            read(r#"{"batchItemFailures":7}"#).into_report(Some(200)),
            Report { status: Some(200), ..Report::failed(Class::Transient, Cause::FunctionError) }
        );
    }

    #[test]
    fn every_answer_that_was_cut_short_is_doubted_once_it_names_the_list() {
        let body = r#"{"batchItemFailures":[{"itemIdentifier":"2","reason":"é"}],"more":{"a":[1,2]}}"#;
        assert_eq!(
            read(body),
            Answered::Except(vec![ItemFailure { reason: Some("é".to_owned()), ..failure("2") }])
        );
        for end in 0..body.len() {
            let answered = parse(&body.as_bytes()[..end], false, 3);
            if end >= LIST.len() + 2 {
                assert!(is_nonsense(&answered), "{end}: {answered:?}");
            } else {
                assert_eq!(answered, Answered::AllDone, "{end}");
            }
            assert!(end == 0 || is_nonsense(&parse(&body.as_bytes()[..end], true, 3)), "{end}");
        }
        assert!(is_nonsense(&read(&format!("{body}x"))));
    }

    #[test]
    fn a_million_entries_are_not_kept() {
        let entries = vec![r#"{"itemIdentifier":"0"}"#; 1_000_000].join(",");
        let body = format!("{{\"batchItemFailures\":[{entries}]}}");
        assert!(is_nonsense(&read(&body)));
        let most = vec![r#"{"itemIdentifier":"0"}"#; 3 + SPARE_ENTRIES].join(",");
        let Answered::Except(failures) = read(&format!("{{\"batchItemFailures\":[{most}]}}")) else {
            panic!()
        };
        assert_eq!(failures.len(), 3 + SPARE_ENTRIES);
    }

    #[test]
    fn reasons_are_cut_between_characters() {
        for (reason, length) in [("é".repeat(512), 1024), (format!("x{}", "é".repeat(512)), 1023)] {
            let body =
                format!("{{\"batchItemFailures\":[{{\"itemIdentifier\":\"0\",\"reason\":\"{reason}\"}}]}}");
            let Answered::Except(failures) = read(&body) else { panic!() };
            assert_eq!(failures[0].reason.as_ref().unwrap().len(), length);
        }
    }

    #[test]
    fn deep_nesting_does_no_harm() {
        let deep = format!("{{\"a\":{}", "[".repeat(500_000));
        assert_eq!(read(&deep), Answered::AllDone);
        let deep = format!("{{\"batchItemFailures\":{}", "[".repeat(500_000));
        assert!(is_nonsense(&read(&deep)));
    }

    #[test]
    fn room_for_the_answer_grows_with_the_batch_and_not_without_end() {
        assert_eq!(answer_bytes_max(1), 64 * 1024);
        assert_eq!(answer_bytes_max(500), 500 * 1024);
        assert_eq!(answer_bytes_max(usize::MAX), 1024 * 1024);
    }
}
