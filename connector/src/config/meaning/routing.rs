//! The meaning of `routing`: every name is that of a destination.

use std::collections::BTreeMap;

use super::{MAX_BIN_BYTES, Meaning};
use crate::config::{
    NameTransform, Routing, RoutingKey, RoutingRule, RoutingRules, RoutingTable,
    file::{self, Names, OneOrMany},
    problem::{join, shorten},
};
use crate::template::Expression;

impl Meaning<'_> {
    pub(super) fn routing(&mut self, file: file::Routing, path: &str) -> Routing {
        match file {
            file::Routing::Static { destination } => {
                self.known(&destination, &join(path, "destination"));
                Routing::To(vec![destination])
            }
            file::Routing::StaticMultiDestination { destinations } => {
                let names = match destinations {
                    OneOrMany::One(one) => Names::One(one),
                    OneOrMany::Many(many) => Names::Many(many),
                };
                Routing::To(self.names(names, &join(path, "destinations")))
            }
            file::Routing::Namespace { table } => self.table(RoutingKey::Namespace, table, path),
            file::Routing::Set { table } => self.table(RoutingKey::Set, table, path),
            file::Routing::Bin { bin, table } => {
                self.bin_name(&bin, &join(path, "bin"));
                self.table(RoutingKey::Bin(bin), table, path)
            }
            file::Routing::Expression { rules, default } => {
                let within = join(path, "rules");
                let rule = |(n, rule): (usize, file::Rule)| {
                    let path = format!("{within}[{n}]");
                    self.expression(&rule.when, &join(&path, "when"));
                    let destinations = self.names(rule.destinations, &join(&path, "destinations"));
                    RoutingRule { when: rule.when, destinations }
                };
                let rules = rules.into_iter().enumerate().map(rule).collect();
                Routing::Rules(RoutingRules { rules, default: self.names(default, &join(path, "default")) })
            }
            // The shape refused `custom` already.
            file::Routing::Skip | file::Routing::Custom {} => Routing::Skip,
        }
    }

    fn table(&mut self, key: RoutingKey, file: file::Table, path: &str) -> Routing {
        let transforms = self.name_transforms(file.transforms, &join(path, "transforms"));
        let within = join(path, "destinations");
        if file.destinations.is_empty() {
            self.warn(&within, "lists no value: every record goes to `default`");
        }
        let mut destinations = BTreeMap::new();
        for (value, names) in file.destinations {
            let path = join(&within, &value);
            if let Some(why) = never_equal(&value, &transforms) {
                self.warn(&path, format!("no record matches it: {why}"));
            }
            let names = self.names(names, &path);
            destinations.insert(value, names);
        }
        let default = self.names(file.default, &join(path, "default"));
        Routing::By(RoutingTable { key, transforms, destinations, default })
    }

    /// Reports what is wrong with an expression.
    pub(super) fn expression(&mut self, text: &str, path: &str) {
        if let Err(error) = Expression::new(text) {
            self.problem(path, error.to_string());
        }
    }

    /// Names of destinations, each once.
    fn names(&mut self, file: Names, path: &str) -> Vec<String> {
        let list = matches!(file, Names::Many(_));
        let mut names: Vec<String> = Vec::new();
        for (n, name) in file.into_vec().into_iter().enumerate() {
            let path = if list { format!("{path}[{n}]") } else { path.to_owned() };
            self.known(&name, &path);
            if names.contains(&name) {
                self.warn(&path, format!("`{}` is named twice; it gets each record once", shorten(&name)));
            } else {
                names.push(name);
            }
        }
        names
    }

    /// Warns of a name that no bin can have.
    pub(super) fn bin_name(&mut self, name: &str, path: &str) {
        if name.len() > MAX_BIN_BYTES {
            self.warn(path, format!("no bin has a name longer than {MAX_BIN_BYTES} bytes"));
        }
    }
}

/// Why a value that went through `transforms` cannot be `listed`. Only what is plain to see.
fn never_equal(listed: &str, transforms: &[NameTransform]) -> Option<&'static str> {
    match transforms.last()? {
        NameTransform::Lowercase => {
            (listed != listed.to_lowercase()).then_some("`transforms` leaves no capitals")
        }
        NameTransform::Uppercase => {
            (listed != listed.to_uppercase()).then_some("`transforms` leaves no small letters")
        }
        NameTransform::Trim => (listed != listed.trim()).then_some("`transforms` trims white space"),
        NameTransform::Regex { .. } => None,
    }
}
