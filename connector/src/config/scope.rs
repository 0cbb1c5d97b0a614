//! Which sections apply to a record: the precedence of set, namespace, port and root, in one place.
//!
//! Precedence is by section, not by key: the innermost `format` counts as a whole, and so does the
//! innermost one of every other section.

use std::{collections::BTreeSet, fmt};

use super::{
    Batching, BinTransforms, Config, Filter, Format, Namespace, RecordOrdering, Routing, Sections,
    problem::join,
};

/// A kind of record, as far as the configuration can tell them apart. `None` is every name that the
/// configuration does not mention.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Scope<'a> {
    /// Port the record arrived on, when `port-based-config` has it.
    pub port: Option<u16>,
    /// Namespace of the record.
    pub namespace: Option<&'a str>,
    /// Set of the record.
    pub set: Option<&'a str>,
}

/// The records, in words.
impl fmt::Display for Scope<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.namespace, self.set) {
            (Some(namespace), Some(set)) => write!(f, "set {namespace}.{set}")?,
            (Some(namespace), None) => write!(f, "namespace {namespace}")?,
            _ => f.write_str("all other records")?,
        }
        self.port.map_or(Ok(()), |port| write!(f, " from port {port}"))
    }
}

/// The sections that apply to a record. One that is there may still be turned off.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Effective<'a> {
    /// `format`.
    pub format: Option<&'a Format>,
    /// `routing`.
    pub routing: Option<&'a Routing>,
    /// `batching`.
    pub batching: Option<&'a Batching>,
    /// `bin-transforms`.
    pub bin_transforms: Option<&'a BinTransforms>,
    /// `filter`.
    pub filter: Option<&'a Filter>,
    /// `record-ordering`.
    pub record_ordering: Option<&'a RecordOrdering>,
}

impl<'a> Effective<'a> {
    /// Whether any such record is sent to a destination.
    pub fn goes_somewhere(&self) -> bool {
        !self.destinations().is_empty()
    }

    /// The destinations that such a record may be sent to.
    pub fn destinations(&self) -> BTreeSet<&'a str> {
        let names: Vec<_> = match self.routing {
            None | Some(Routing::Skip) => Vec::new(),
            Some(Routing::To(names)) => vec![names],
            Some(Routing::By(table)) => table.destinations.values().chain([&table.default]).collect(),
            Some(Routing::Rules(rules)) => {
                rules.rules.iter().map(|rule| &rule.destinations).chain([&rules.default]).collect()
            }
        };
        names.into_iter().flatten().map(String::as_str).collect()
    }
}

impl Config {
    /// The sections that apply to a record.
    pub fn effective(&self, scope: Scope<'_>) -> Effective<'_> {
        let levels = self.levels(scope);
        let sections = || levels.iter().copied().flatten();
        Effective {
            format: sections().find_map(|s| s.format.as_ref()),
            routing: sections().find_map(|s| s.routing.as_ref()),
            batching: sections().find_map(|s| s.batching.as_ref()),
            bin_transforms: sections().find_map(|s| s.bin_transforms.as_ref()),
            filter: sections().find_map(|s| s.filter.as_ref()),
            record_ordering: sections().find_map(|s| s.record_ordering.as_ref()),
        }
    }

    /// Every kind of record that the configuration tells apart, the most particular first.
    pub fn scopes(&self) -> impl Iterator<Item = Scope<'_>> {
        let ports = self.ports.keys().copied().map(Some).chain([None]);
        ports.flat_map(move |port| {
            let own = port.and_then(|port| self.ports.get(&port)).map(|config| &config.namespaces);
            let names: BTreeSet<&str> = own
                .into_iter()
                .chain([&self.namespaces])
                .flat_map(|map| map.keys())
                .map(String::as_str)
                .collect();
            names.into_iter().map(Some).chain([None]).flat_map(move |namespace| {
                let sets: BTreeSet<&str> = self
                    .namespaces_of(port, namespace)
                    .into_iter()
                    .flatten()
                    .flat_map(|namespace| namespace.sets.keys())
                    .map(String::as_str)
                    .collect();
                sets.into_iter().map(Some).chain([None]).map(move |set| Scope { port, namespace, set })
            })
        })
    }

    /// Path of the section `key` that applies to a record: of the innermost level that `has` it.
    pub(super) fn section_path(
        &self,
        scope: Scope<'_>,
        key: &str,
        has: impl Fn(&Sections) -> bool,
    ) -> Option<String> {
        let level = self.levels(scope).iter().position(|level| level.is_some_and(&has))?;
        let port = scope.port.map(|port| join("port-based-config", &port.to_string())).unwrap_or_default();
        let namespace = |outer: &str| join(&join(outer, "namespaces"), scope.namespace.unwrap_or_default());
        let set = |namespace: &str| join(&join(namespace, "sets"), scope.set.unwrap_or_default());
        let sections = match level {
            0 => set(&namespace(&port)),
            1 => set(&namespace("")),
            2 => namespace(&port),
            3 => namespace(""),
            4 => port,
            _ => String::new(),
        };
        Some(join(&sections, key))
    }

    /// The sections that concern a record, the innermost first.
    fn levels(&self, scope: Scope<'_>) -> [Option<&Sections>; 6] {
        let [in_port, at_root] = self.namespaces_of(scope.port, scope.namespace);
        fn set<'a>(namespace: Option<&'a Namespace>, name: Option<&str>) -> Option<&'a Sections> {
            namespace?.sets.get(name?)
        }
        [
            set(in_port, scope.set),
            set(at_root, scope.set),
            in_port.map(|namespace| &namespace.sections),
            at_root.map(|namespace| &namespace.sections),
            scope.port.and_then(|port| self.ports.get(&port)).map(|port| &port.sections),
            Some(&self.root),
        ]
    }

    /// The namespace's entry inside the port, and the one outside.
    fn namespaces_of(&self, port: Option<u16>, namespace: Option<&str>) -> [Option<&Namespace>; 2] {
        let in_port =
            port.and_then(|port| self.ports.get(&port)).and_then(|port| port.namespaces.get(namespace?));
        [in_port, namespace.and_then(|name| self.namespaces.get(name))]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::PortConfig;

    fn to(name: &str) -> Sections {
        Sections { routing: Some(Routing::To(vec![name.to_owned()])), ..Sections::default() }
    }

    /// A namespace entry with one set `s`.
    fn namespace(sections: &str, set: &str) -> Namespace {
        Namespace { sections: to(sections), sets: [("s".to_owned(), to(set))].into() }
    }

    fn config() -> Config {
        Config {
            root: to("root"),
            namespaces: [("n".to_owned(), namespace("namespace", "set"))].into(),
            ports: [(
                9000,
                PortConfig {
                    sections: to("port"),
                    namespaces: [("p".to_owned(), namespace("port namespace", "port set"))].into(),
                },
            )]
            .into(),
            ..Config::default()
        }
    }

    #[test]
    fn the_innermost_section_counts() {
        let config = config();
        for (port, namespace, set, expected, path) in [
            (None, None, None, "root", "routing"),
            (None, Some("n"), None, "namespace", "namespaces.n.routing"),
            (None, Some("n"), Some("s"), "set", "namespaces.n.sets.s.routing"),
            (None, Some("p"), Some("s"), "root", "routing"),
            (Some(9000), None, None, "port", "port-based-config.9000.routing"),
            (Some(9000), Some("n"), None, "namespace", "namespaces.n.routing"),
            (Some(9000), Some("n"), Some("s"), "set", "namespaces.n.sets.s.routing"),
            (Some(9000), Some("p"), None, "port namespace", "port-based-config.9000.namespaces.p.routing"),
            (
                Some(9000),
                Some("p"),
                Some("s"),
                "port set",
                "port-based-config.9000.namespaces.p.sets.s.routing",
            ),
            (
                Some(9000),
                Some("p"),
                Some("other"),
                "port namespace",
                "port-based-config.9000.namespaces.p.routing",
            ),
        ] {
            let scope = Scope { port, namespace, set };
            let found = config.effective(scope).routing;
            assert_eq!(found, Some(&Routing::To(vec![expected.to_owned()])), "{scope:?}");
            let found = config.section_path(scope, "routing", |sections| sections.routing.is_some());
            assert_eq!(found.as_deref(), Some(path), "{scope:?}");
        }
    }

    #[test]
    fn scopes_name_every_combination_once() {
        let config = config();
        let scopes: Vec<_> = config.scopes().map(|s| (s.port, s.namespace, s.set)).collect();
        let at_root = [(Some("n"), Some("s")), (Some("n"), None), (None, None)];
        let in_port = [at_root[0], at_root[1], (Some("p"), Some("s")), (Some("p"), None), (None, None)];
        let expected: Vec<_> = in_port
            .map(|(n, s)| (Some(9000), n, s))
            .into_iter()
            .chain(at_root.map(|(n, s)| (None, n, s)))
            .collect();
        assert_eq!(scopes, expected);
    }
}
