//! What stands where in a configuration file, to tell what another one has otherwise. Names only, never a value.

use std::{collections::BTreeSet, sync::Arc};

use super::{
    problem::join,
    tree::{Entry, Kind, Node},
};

/// The keys of a file and what they are set to.
#[derive(Clone, Debug)]
pub struct Outline(pub(super) Arc<Node>);

impl Outline {
    /// Paths of the keys that are set otherwise in `other`, or only in one of the two: the innermost that both have, and of
    /// what only one has the outermost.
    pub fn differences(&self, other: &Self) -> Vec<String> {
        let mut found = Vec::new();
        differences(&self.0, &other.0, "", &mut found);
        found
    }
}

fn differences(one: &Node, other: &Node, path: &str, found: &mut Vec<String>) {
    let (Kind::Map(_), Kind::Map(_)) = (&one.kind, &other.kind) else {
        if !is_same(one, other) {
            found.push(path.to_owned());
        }
        return;
    };
    let (one, other) = (one.by_key(), other.by_key());
    let keys: BTreeSet<&str> = one.keys().chain(other.keys()).copied().collect();
    for key in keys {
        match (one.get(key), other.get(key)) {
            (Some(one), Some(other)) => differences(one, other, &join(path, key), found),
            _ => found.push(join(path, key)),
        }
    }
}

/// Whether both hold the same, on whatever lines.
fn is_same(one: &Node, other: &Node) -> bool {
    match (&one.kind, &other.kind) {
        (Kind::Scalar { text, plain }, Kind::Scalar { text: others, plain: others_plain }) => {
            text == others && plain == others_plain
        }
        (Kind::List(items), Kind::List(others)) => {
            items.len() == others.len() && items.iter().zip(others).all(|(one, other)| is_same(one, other))
        }
        (Kind::Map(entries), Kind::Map(others)) => {
            let other = other.by_key();
            let same = |entry: &Entry| {
                other.get(entry.key.as_str()).is_some_and(|other| is_same(&entry.value, other))
            };
            entries.len() == others.len() && entries.iter().all(same)
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use crate::config::parse;

    fn differences(one: &str, other: &str) -> Vec<String> {
        let outline = |text| parse(text, Path::new("")).unwrap().outline();
        outline(one).differences(&outline(other))
    }

    const FILE: &str = "destinations: {a: {urls: ['http://h/'], headers: {X-Key: hunter2}}}
format: json
routing: {mode: static, destination: a}
";

    #[test]
    fn names_what_differs_and_never_a_value() {
        assert!(differences(FILE, FILE).is_empty());
        let moved = format!("# a comment, and other lines\n\n{}", FILE.replace("format: json\n", ""))
            + "format: json\n";
        assert!(differences(FILE, &moved).is_empty(), "order and lines are nothing");
        let other = FILE.replace("http://h/", "http://i/").replace("hunter2", "hunter3")
            + "batching: {max-records: 3}\nnamespaces: {n: {sets: {s: {routing: {mode: skip}}}}}\n";
        assert_eq!(
            differences(FILE, &other),
            ["batching", "destinations.a.headers.X-Key", "destinations.a.urls", "namespaces"]
        );
        let deeper = other.replace("skip", "static, destination: a");
        assert_eq!(
            differences(&other, &deeper),
            ["namespaces.n.sets.s.routing.destination", "namespaces.n.sets.s.routing.mode"]
        );
    }
}
