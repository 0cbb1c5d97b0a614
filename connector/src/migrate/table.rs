//! What becomes of each option of the vendor's connector: the table of `docs/vendor-options.md`, looked up by key.

/// Options, a tab, what becomes of them; written by `build.rs`.
const TABLE: &str = include_str!(concat!(env!("OUT_DIR"), "/vendor_options.txt"));

/// What becomes of an option.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Outcome {
    /// Does what it does there.
    Same,
    /// Has an effect, but another one than there.
    Otherwise,
    /// Accepted and not needed.
    NoEffect,
    /// Cannot be used.
    Refused,
}

/// One row.
#[derive(Clone, Copy, Debug)]
pub(super) struct Row {
    /// Its first cell.
    pub(super) options: &'static str,
    pub(super) outcome: Outcome,
    /// More about it; may be empty.
    pub(super) words: &'static str,
}

/// How the second cell of a row begins. The longer ones come first.
const BEGINNINGS: [(&str, Outcome); 5] = [
    ("Acted on, otherwise than there", Outcome::Otherwise),
    ("Acted on", Outcome::Same),
    ("No effect", Outcome::NoEffect),
    ("Refused", Outcome::Refused),
    ("Waits for issue", Outcome::Refused),
];

/// Every row, in the order of the page.
pub(super) fn rows() -> impl Iterator<Item = Row> {
    TABLE.lines().filter_map(|line| {
        let (options, cell) = line.split_once('\t')?;
        let (beginning, outcome) =
            BEGINNINGS.into_iter().find(|(beginning, _)| cell.starts_with(beginning))?;
        let words = cell[beginning.len()..].trim_start_matches([':', '.', ',', ';', ' ']);
        Some(Row { options, outcome, words })
    })
}

impl Row {
    /// The keys it is about; none for what is no key, such as "unknown keys".
    pub(super) fn keys(&self) -> impl Iterator<Item = &'static str> {
        self.options.split('`').skip(1).step_by(2)
    }
}

/// The row about the key at `path`, whose names are replaced by `NAME` and `PORT`. `value` is what it is set to, which
/// some rows are about.
pub(super) fn row_of(path: &str, value: Option<&str>) -> Option<Row> {
    let with_value = value.map(|value| format!("{path}: {value}"));
    let about = |wanted: &str| rows().find(|row| row.keys().any(|key| key.eq_ignore_ascii_case(wanted)));
    let found = with_value.as_deref().and_then(about).or_else(|| about(path));
    found.or_else(|| {
        // Sections are described where they stand first.
        let (from, to) = ELSEWHERE.into_iter().find(|(from, _)| path.starts_with(from))?;
        row_of(&format!("{to}{}", &path[from.len()..]), value)
    })
}

/// Where keys are described that may stand in several places. Each is shorter than what it stands for, or leads to one.
const ELSEWHERE: [(&str, &str); 9] = [
    ("service.manage.tls.", "service.tls."),
    ("destinations.NAME.tls.key-store.", "service.tls.key-store."),
    ("destinations.NAME.tls.trust-store.", "service.tls.key-store."),
    ("service.tls.trust-store.", "service.tls.key-store."),
    ("port-based-config.PORT.namespaces.", "namespaces."),
    ("port-based-config.PORT.", ""),
    ("namespaces.NAME.sets.NAME.", ""),
    ("namespaces.NAME.", ""),
    ("bin-transforms.transforms.regex.", "bin-transforms.transforms.regex"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_is_understood() {
        assert!(rows().count() > 80);
        assert_eq!(rows().count(), TABLE.lines().count(), "a row begins with no known outcome");
    }

    #[test]
    fn keys_are_found_where_they_stand_and_where_they_are_described() {
        let outcome = |path: &str, value| row_of(path, value).map(|row| row.outcome);
        assert_eq!(outcome("service.port", Some("8901")), Some(Outcome::Same));
        assert_eq!(outcome("service.io-threads", None), Some(Outcome::NoEffect));
        assert_eq!(outcome("routing.mode", Some("CUSTOM")), Some(Outcome::Refused));
        assert_eq!(outcome("routing.mode", Some("static")), Some(Outcome::Same));
        assert_eq!(outcome("batching.max-bytes", None), Some(Outcome::Otherwise));
        for path in [
            "namespaces.NAME.sets.NAME.batching.max-bytes",
            "port-based-config.PORT.namespaces.NAME.batching.max-bytes",
            "port-based-config.PORT.batching.max-bytes",
        ] {
            assert_eq!(outcome(path, None), Some(Outcome::Otherwise), "{path}");
        }
        assert_eq!(outcome("service.manage.tls.ciphers", None), Some(Outcome::Same));
        assert_eq!(outcome("destinations.NAME.tls.trust-store.store-file", None), Some(Outcome::Same));
        assert_eq!(outcome("metrics.jvm-compat", None), None, "ours");
    }
}
