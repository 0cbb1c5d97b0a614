//! From what the file says to what the program uses: names resolved, ports merged, contradictions found.
//!
//! Works on whatever had the right shape, so that one look at a broken file finds everything. The result
//! is only used when nothing was found wrong.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

use serde::de::DeserializeOwned;
use serde_json::Value;

mod batching;
mod bin_transforms;
mod dead_letter;
mod destination;
mod format;
mod logging;
mod routing;
mod service;
mod template;
mod tls;
mod whole;

use super::{
    Config, Filter, Format, JsonRules, Namespace, NanPolicy, PortConfig, RecordOrdering, Sections,
    file::{self, Misfit},
    problem::{Findings, join, nearest, shorten},
    tree::Node,
};

/// Turns `value`, the part of `tree` that has the right shape, into a [`Config`].
pub(crate) fn resolve(value: Value, tree: &Node, folder: &Path, findings: &mut Findings) -> Config {
    let Some(file) = Meaning::typed::<file::File>(findings, tree, "", value) else {
        return Config::default();
    };
    let names =
        tree.get("destinations").into_iter().flat_map(Node::entries).map(|entry| entry.key.clone()).collect();
    let mut meaning = Meaning { tree, folder, names, used: BTreeSet::new(), findings };
    meaning.config(file)
}

struct Meaning<'a> {
    tree: &'a Node,
    folder: &'a Path,
    /// The destinations of the file, the broken ones too.
    names: BTreeSet<String>,
    /// Those that some route names.
    used: BTreeSet<String>,
    findings: &'a mut Findings,
}

impl Meaning<'_> {
    fn config(&mut self, file: file::File) -> Config {
        let tree = self.tree;
        let destinations = file
            .destinations
            .into_iter()
            .filter_map(|(name, d)| Some((name.clone(), self.destination(&name, d)?)));
        let destinations = destinations.collect();
        let root = self.sections(file.sections, file.record_ordering, Some(tree), "");
        let namespaces = self.namespaces(file.namespaces, Some(tree), "");
        let ports = self.ports(file.port_based_config);
        let service = self.service(file.service, &ports);
        let logging = self.logging(file.logging);
        let jvm_compat = file.metrics.jvm_compat;
        let config = Config { service, destinations, root, namespaces, ports, logging, jvm_compat };
        self.chains(&config);
        self.whole(&config);
        config
    }

    /// `node` is the mapping that holds the sections: what it has but `file` has not was broken.
    fn sections(
        &mut self,
        file: file::Sections,
        ordering: Option<file::RecordOrdering>,
        node: Option<&Node>,
        path: &str,
    ) -> Sections {
        let format = match file.format {
            Some(format) => Some(self.format(format, &join(path, "format"))),
            // Stands for the one that was reported, so that nothing is said about a missing one.
            None => given(node, "format").then_some(JSON),
        };
        let batching = node.and_then(|node| node.get("batching"));
        Sections {
            format,
            routing: file.routing.map(|routing| self.routing(routing, &join(path, "routing"))),
            filter: file.filter.map(|expression| {
                self.expression(&expression, &join(path, "filter"));
                Filter { expression }
            }),
            batching: file.batching.map(|file| self.batching(file, batching, &join(path, "batching"))),
            bin_transforms: file
                .bin_transforms
                .map(|file| self.bin_transforms(file, &join(path, "bin-transforms"))),
            record_ordering: ordering.map(RecordOrdering::from),
        }
    }

    /// Reports a destination that does not exist.
    fn known(&mut self, name: &str, path: &str) {
        if self.names.contains(name) {
            self.used.insert(name.to_owned());
            return;
        }
        if self.findings.full() {
            return;
        }
        let hint = match nearest(name, self.names.iter().map(String::as_str)) {
            Some(near) => format!("did you mean `{near}`?"),
            None if self.names.is_empty() => "there are no `destinations`".to_owned(),
            None => {
                let names: Vec<&str> = self.names.iter().map(String::as_str).take(20).collect();
                format!("known: {}", names.join(", "))
            }
        };
        self.problem(path, format!("no destination is called `{}`; {hint}", shorten(name).escape_debug()));
    }

    fn namespaces(
        &mut self,
        file: BTreeMap<String, file::Namespace>,
        parent: Option<&Node>,
        path: &str,
    ) -> BTreeMap<String, Namespace> {
        let parent = parent.and_then(|parent| parent.get("namespaces")).map(Node::by_key).unwrap_or_default();
        let path = join(path, "namespaces");
        let mut namespaces = BTreeMap::new();
        for (name, file) in file {
            let (node, path) = (parent.get(name.as_str()).copied(), join(&path, &name));
            if name.len() > MAX_NAMESPACE_BYTES {
                self.warn(&path, format!("no namespace has a name longer than {MAX_NAMESPACE_BYTES} bytes"));
            }
            let sections = self.sections(file.sections, file.record_ordering, node, &path);
            let parent = node.and_then(|node| node.get("sets")).map(Node::by_key).unwrap_or_default();
            let path = join(&path, "sets");
            let mut sets = BTreeMap::new();
            for (name, file) in file.sets {
                let (node, path) = (parent.get(name.as_str()).copied(), join(&path, &name));
                if name.len() > MAX_SET_BYTES {
                    self.warn(&path, format!("no set has a name longer than {MAX_SET_BYTES} bytes"));
                }
                sets.insert(name, self.sections(file, None, node, &path));
            }
            namespaces.insert(name, Namespace { sections, sets });
        }
        namespaces
    }

    fn ports(&mut self, file: BTreeMap<String, file::Port>) -> BTreeMap<u16, PortConfig> {
        let parent = self.tree.get("port-based-config");
        let mut ports = BTreeMap::new();
        for (key, file) in file {
            let (node, path) = (parent.and_then(|parent| parent.get(&key)), join("port-based-config", &key));
            let sections = self.sections(file.sections, file.record_ordering, node, &path);
            let namespaces = self.namespaces(file.namespaces, node, &path);
            match key.parse::<u16>() {
                Ok(port @ 1024..) => drop(ports.insert(port, PortConfig { sections, namespaces })),
                _ => self.problem(&path, "expected a port from 1024 to 65535"),
            }
        }
        ports
    }

    /// `value` as a `T`. The shape was checked, so that a failure means that shape and types disagree.
    fn typed<T: DeserializeOwned>(
        findings: &mut Findings,
        tree: &Node,
        path: &str,
        value: Value,
    ) -> Option<T> {
        Self::accepted(findings, tree, path, serde_path_to_error::deserialize::<_, T>(value))
    }

    /// What was read, or a problem that says where it was not.
    fn accepted<T>(findings: &mut Findings, tree: &Node, path: &str, read: Result<T, Misfit>) -> Option<T> {
        match read {
            Ok(typed) => Some(typed),
            Err(e) => {
                let inner = e.path().to_string();
                let path = match (path, inner.as_str()) {
                    (path, "." | "?") => path.to_owned(),
                    ("", inner) => inner.to_owned(),
                    (path, inner) => format!("{path}.{inner}"),
                };
                // The text of the error may hold the value, and the value may be a secret.
                findings.problem(
                    tree.line_of(&path),
                    &path,
                    "not accepted here; see the reference for what is",
                );
                None
            }
        }
    }

    fn problem(&mut self, path: &str, message: impl Into<String>) {
        let line = if self.findings.full() { 0 } else { self.tree.line_of(path) };
        self.findings.problem(line, path, message);
    }

    fn note(&mut self, path: &str, message: impl Into<String>) {
        let line = if self.findings.noted_enough() { 0 } else { self.tree.line_of(path) };
        self.findings.note(line, path, message);
    }

    fn warn(&mut self, path: &str, message: impl Into<String>) {
        let line = if self.findings.warned_enough() { 0 } else { self.tree.line_of(path) };
        self.findings.warn(line, path, message);
    }
}

/// Whether something was written for `key`.
fn given(node: Option<&Node>, key: &str) -> bool {
    node.and_then(|node| node.get(key)).is_some_and(|node| !node.is_null())
}

const JSON: Format = Format::Json(JsonRules { stringify_map_keys: true, nan_policy: NanPolicy::String });
const MAX_NAMESPACE_BYTES: usize = 31;
const MAX_SET_BYTES: usize = 63;
const MAX_BIN_BYTES: usize = 15;
