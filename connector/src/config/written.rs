//! The keys that stand in a file, with their places: for those who judge keys and not values.

use super::{
    problem::join,
    tree::{Kind, Node},
};

/// One key of the file.
#[derive(Clone, Debug)]
pub(crate) struct Written {
    /// Line, from 1.
    pub(crate) line: usize,
    /// Column of its first character, from 1.
    pub(crate) column: usize,
    /// As problems name it.
    pub(crate) path: String,
    /// The same with the names that the author chose replaced by `NAME` and `PORT`.
    pub(crate) generic: String,
    /// Whether more keys stand under it.
    pub(crate) section: bool,
    /// Its value, where that is one word or number. Not to be printed: it may be secret.
    pub(crate) name: Option<String>,
}

/// Every key under `tree`, in file order.
pub(super) fn keys(tree: &Node) -> Vec<Written> {
    let mut found = Vec::new();
    walk(tree, "", "", &mut found);
    found
}

fn walk(node: &Node, path: &str, generic: &str, found: &mut Vec<Written>) {
    if let Kind::List(items) = &node.kind {
        for (n, item) in items.iter().enumerate() {
            walk(item, &format!("{path}[{n}]"), generic, found);
        }
    }
    for entry in node.entries() {
        let path = join(path, &entry.key);
        let last = generic.rsplit('.').next().unwrap_or_default();
        let chosen = match last {
            "port-based-config" => Some("PORT"),
            "destinations" | "namespaces" | "sets" | "headers" => Some("NAME"),
            _ => None,
        };
        let generic = match (generic, chosen) {
            ("", _) => entry.key.clone(),
            (around, chosen) => format!("{around}.{}", chosen.unwrap_or(&entry.key)),
        };
        let free = FREE.iter().any(|end| generic.ends_with(end));
        let name = match &entry.value.kind {
            Kind::Scalar { text, .. } => Some(text.clone()),
            _ => None,
        };
        let section = !free
            && (chosen.is_some() || matches!(&entry.value.kind, Kind::Map(entries) if !entries.is_empty()));
        let value = &entry.value;
        found.push(Written {
            line: entry.line,
            column: entry.column,
            path: path.clone(),
            generic: generic.clone(),
            section,
            name,
        });
        if !free {
            walk(value, &path, &generic, found);
        }
    }
}

/// Keys under which the author's own words stand.
const FREE: [&str; 6] = [
    "destinations.NAME.headers",
    "bin-transforms.map",
    "logging.levels",
    "routing.params",
    "format.params",
    "custom-transformer.params",
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{problem::Findings, tree};

    #[test]
    fn keys_are_found_with_places_and_without_names() {
        let text = "destinations:\n  orders:\n    urls: ['http://a/']\n    headers: {X-A: secret}\nbin-transforms:\n  map: {a: b}\n  \
                    transforms:\n    - regex: {pattern: a}\nnamespaces:\n  shop: {sets: {carts: {routing: {mode: skip}}}}\n";
        let tree = tree::read(text, &mut Findings::new("".as_ref()));
        let found: Vec<_> = keys(&tree)
            .into_iter()
            .filter(|key| !key.section)
            .map(|key| format!("{}:{} {} {}", key.line, key.column, key.path, key.generic))
            .collect();
        assert_eq!(
            found,
            [
                "3:5 destinations.orders.urls destinations.NAME.urls",
                "4:5 destinations.orders.headers destinations.NAME.headers",
                "6:3 bin-transforms.map bin-transforms.map",
                "7:3 bin-transforms.transforms bin-transforms.transforms",
                "8:15 bin-transforms.transforms[0].regex.pattern bin-transforms.transforms.regex.pattern",
                "10:35 namespaces.shop.sets.carts.routing.mode namespaces.NAME.sets.NAME.routing.mode",
            ]
        );
    }
}
