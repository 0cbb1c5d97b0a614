//! Names of files, which sort in the order in which the files were begun. Pure.
//!
//! `orders-20261122T074500.123Z-000001.ndjson`, and `….ndjson.open` while it is being written.

use std::fmt;

use aws_smithy_types::DateTime;

/// What follows the name of a file that is being written, or was when its writer ended without notice.
pub(super) const OPEN: &str = ".open";

const ENDING: &str = ".ndjson";
/// `20261122T074500.123Z`
const STAMP_BYTES: usize = 20;

/// When a file was begun, and a number that tells it from others of that moment. Ordered as the names are.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Name {
    stamp: String,
    number: u64,
}

impl Name {
    /// The name of a file that is begun `millis` after 1970, and after `last`: a clock that was set back changes no order.
    pub(super) fn after(last: Option<&Self>, millis: i64) -> Self {
        let stamp = stamp(millis);
        match last {
            None => Self { stamp, number: 1 },
            Some(last) => {
                Self { stamp: stamp.max(last.stamp.clone()), number: (last.number + 1) % NUMBERS }.above(last)
            }
        }
    }

    /// Numbers begin again after the last; within one millisecond they may not.
    fn above(mut self, last: &Self) -> Self {
        if self <= *last {
            self.number = last.number + 1;
        }
        self
    }

    /// The file's name once it is finished.
    pub(super) fn file(&self, prefix: &str) -> String {
        format!("{prefix}-{self}{ENDING}")
    }

    /// What `file` is called, and whether it is finished. `None` for anything that is not ours.
    pub(super) fn parse(prefix: &str, file: &str) -> Option<(Self, bool)> {
        let rest = file.strip_prefix(prefix)?.strip_prefix('-')?;
        let (rest, finished) = match rest.strip_suffix(OPEN) {
            Some(rest) => (rest, false),
            None => (rest, true),
        };
        let (stamp, number) = rest.strip_suffix(ENDING)?.split_at_checked(STAMP_BYTES)?;
        let number = number.strip_prefix('-')?;
        let shape = stamp.bytes().enumerate().all(|(at, byte)| match at {
            8 => byte == b'T',
            15 => byte == b'.',
            19 => byte == b'Z',
            _ => byte.is_ascii_digit(),
        });
        let digits = number.len() >= 6 && number.bytes().all(|byte| byte.is_ascii_digit());
        (shape && digits).then_some(())?;
        Some((Self { stamp: stamp.to_owned(), number: number.parse().ok()? }, finished))
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{:06}", self.stamp, self.number)
    }
}

const NUMBERS: u64 = 1_000_000;

/// The start of the names of a destination called `name`: whatever a file name or a shell could trip over is replaced.
pub(super) fn prefix(name: &str) -> String {
    let keep = |c: char| if c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.') { c } else { '_' };
    let text: String = name.chars().map(keep).take(100).collect();
    let hidden = text.is_empty() || text.starts_with(['.', '-']);
    if hidden { format!("_{text}") } else { text }
}

/// In the basic format of ISO 8601, always as long.
fn stamp(millis: i64) -> String {
    use aws_smithy_types::date_time::Format;

    let seconds = DateTime::from_secs(millis.div_euclid(1000));
    // `2026-11-22T07:45:00Z`; a clock beyond the year 9999 is no reason to stop.
    let text = seconds.fmt(Format::DateTime).unwrap_or_else(|_| "1970-01-01T00:00:00Z".to_owned());
    let digits: String = text.chars().filter(|c| !matches!(c, '-' | ':' | 'Z')).collect();
    format!("{digits}.{:03}Z", millis.rem_euclid(1000))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOMENT: i64 = 1_795_333_500_123;

    #[test]
    fn names_are_read_as_they_are_written() {
        let name = Name::after(None, MOMENT);
        assert_eq!(name.file("orders"), "orders-20261122T074500.123Z-000001.ndjson");
        assert_eq!(Name::parse("orders", &name.file("orders")), Some((name.clone(), true)));
        let open = format!("{}{OPEN}", name.file("orders"));
        assert_eq!(Name::parse("orders", &open), Some((name, false)));
        assert_eq!(Name::after(None, 0).file("a"), "a-19700101T000000.000Z-000001.ndjson");
    }

    #[test]
    fn each_name_sorts_after_the_one_before_whatever_the_clock_says() {
        let mut last: Option<Name> = None;
        for millis in [MOMENT, MOMENT, MOMENT - 86_400_000, MOMENT + 1, MOMENT + 1, 0, MOMENT + 5000] {
            let next = Name::after(last.as_ref(), millis);
            if let Some(last) = last {
                assert!(next > last && next.file("a") > last.file("a"), "{next} after {last}");
            }
            last = Some(next);
        }
    }

    #[test]
    fn numbers_begin_again_only_where_the_time_has_gone_on() {
        let last = Name { stamp: stamp(MOMENT), number: 999_999 };
        assert_eq!(Name::after(Some(&last), MOMENT + 1).to_string(), "20261122T074500.124Z-000000");
        assert_eq!(Name::after(Some(&last), MOMENT).to_string(), "20261122T074500.123Z-1000000");
    }

    #[test]
    fn files_of_others_are_left_alone() {
        for file in [
            "b-20261122T074500.123Z-000001.ndjson",
            "a-b-20261122T074500.123Z-000001.ndjson",
            "a-20261122T074500.123Z-000001.ndjson.gz",
            "a-20261122T074500.123Z-1.ndjson",
            "a-20261122T074500.123Z-00000x.ndjson",
            "a-2026-11-22T07:45:00Z-000001.ndjson",
            "a-20261122T074500.123Z-99999999999999999999999.ndjson",
            "a-ä0261122T074500.123Z-000001.ndjson",
            "a-.ndjson",
            "a",
            "",
        ] {
            assert_eq!(Name::parse("a", file), None, "{file}");
        }
    }

    #[test]
    fn names_of_destinations_are_made_harmless() {
        for (name, expected) in [
            ("orders", "orders"),
            ("../x y", "_.._x_y"),
            ("", "_"),
            (".a", "_.a"),
            ("-rf", "_-rf"),
            ("ä", "_"),
        ] {
            assert_eq!(prefix(name), expected, "{name}");
        }
    }
}
