//! YAML text as a tree that remembers lines.
//!
//! Bounded in size, depth and aliases whatever the text says. `Debug` shows no values: some are secret.

use std::{collections::HashMap, fmt};

use saphyr_parser::{Event, Parser, ScalarStyle, Span, Tag};

use super::problem::{Findings, join};

/// A value and the line it starts on.
#[derive(Clone)]
pub(crate) struct Node {
    /// Line of the first character, from 1.
    pub(crate) line: usize,
    /// Its column, from 1.
    pub(crate) column: usize,
    /// The value.
    pub(crate) kind: Kind,
}

/// What a [`Node`] holds.
#[derive(Clone)]
pub(crate) enum Kind {
    /// Anything that is not a list or a mapping, as written.
    Scalar {
        /// The characters, without quotes.
        text: String,
        /// Written without quotes, so that it may mean a number, a truth value or nothing.
        plain: bool,
    },
    /// A sequence.
    List(Vec<Node>),
    /// A mapping, in file order, each key once.
    Map(Vec<Entry>),
}

/// One entry of a mapping.
#[derive(Clone)]
pub(crate) struct Entry {
    /// The key, as written.
    pub(crate) key: String,
    /// Line of the key.
    pub(crate) line: usize,
    /// Column of its first character, from 1.
    pub(crate) column: usize,
    /// What it is set to.
    pub(crate) value: Node,
}

impl fmt::Debug for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} on line {}", self.kind_name(), self.line)
    }
}

impl Node {
    /// A mapping without entries.
    pub(crate) fn empty(line: usize) -> Self {
        Self { line, column: 1, kind: Kind::Map(Vec::new()) }
    }

    /// Whether this is YAML's null: nothing written, `~` or `null`.
    pub(crate) fn is_null(&self) -> bool {
        matches!(&self.kind, Kind::Scalar { text, plain: true }
            if matches!(text.as_str(), "" | "~" | "null" | "Null" | "NULL"))
    }

    /// The kind of value, in words for a message; never the value itself.
    pub(crate) fn kind_name(&self) -> &'static str {
        match &self.kind {
            _ if self.is_null() => "nothing",
            Kind::Scalar { plain: true, .. } if self.as_bool().is_some() => "true or false",
            Kind::Scalar { plain: true, text } if text.parse::<f64>().is_ok() => "a number",
            Kind::Scalar { .. } => "text",
            Kind::List(_) => "a list",
            Kind::Map(_) => "a section",
        }
    }

    /// The truth value, also in quotes: templates often add them.
    pub(crate) fn as_bool(&self) -> Option<bool> {
        match &self.kind {
            Kind::Scalar { text, .. } => match text.as_str() {
                "true" | "True" | "TRUE" => Some(true),
                "false" | "False" | "FALSE" => Some(false),
                _ => None,
            },
            _ => None,
        }
    }

    /// The value of `key` in a mapping.
    pub(crate) fn get(&self, key: &str) -> Option<&Self> {
        self.entries().iter().find(|entry| entry.key == key).map(|entry| &entry.value)
    }

    /// The values of a mapping by their keys, for those who ask for many of them: [`Node::get`] looks at one entry after the other.
    pub(crate) fn by_key(&self) -> HashMap<&str, &Self> {
        self.entries().iter().map(|entry| (entry.key.as_str(), &entry.value)).collect()
    }

    /// The entries of a mapping; none for anything else.
    pub(crate) fn entries(&self) -> &[Entry] {
        match &self.kind {
            Kind::Map(entries) => entries,
            _ => &[],
        }
    }

    /// The line of `path`, or of the nearest thing around it that is in the file.
    pub(crate) fn line_of(&self, path: &str) -> usize {
        self.nearest(path).1
    }

    /// Whether something stands at `path`.
    pub(crate) fn has(&self, path: &str) -> bool {
        self.nearest(path).2 == path
    }

    /// How many items the list at `path` has in the file, the broken ones too.
    pub(crate) fn items_at(&self, path: &str) -> usize {
        match self.nearest(path) {
            (Self { kind: Kind::List(items), .. }, _, here) if here == path => items.len(),
            _ => 0,
        }
    }

    /// What is at `path` or around it, the line of its key, and its own path.
    fn nearest(&self, path: &str) -> (&Self, usize, String) {
        let (mut node, mut line, mut here) = (self, self.line, String::new());
        'down: loop {
            for entry in node.entries() {
                // Adapters write keys into paths as they are, without the quotes that odd ones get here.
                for next in [join(&here, &entry.key), format!("{here}.{}", entry.key)] {
                    if within(path, &next) {
                        (node, line, here) = (&entry.value, entry.line, next);
                        continue 'down;
                    }
                }
            }
            if let Kind::List(items) = &node.kind {
                for (n, item) in items.iter().enumerate() {
                    let next = format!("{here}[{n}]");
                    if within(path, &next) {
                        (node, line, here) = (item, item.line, next);
                        continue 'down;
                    }
                }
            }
            return (node, line, here);
        }
    }
}

/// Whether `path` is `outer` or lies inside it.
fn within(path: &str, outer: &str) -> bool {
    path.strip_prefix(outer).is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
}

/// Reads `text`. Whatever cannot be read is reported; what could be read is returned.
pub(crate) fn read(text: &str, findings: &mut Findings) -> Node {
    if text.len() > MAX_TEXT_BYTES {
        findings.problem(0, "", format!("larger than {MAX_TEXT_BYTES} bytes"));
        return Node::empty(1);
    }
    let mut reader = Reader { findings, open: Vec::new(), root: None, anchors: HashMap::new(), nodes: 0 };
    if let Err(Stop { line, message }) = reader.run(text) {
        reader.findings.problem(line, "", message);
        return Node::empty(line);
    }
    match reader.root {
        Some(root) if !root.is_null() => root,
        _ => Node::empty(1),
    }
}

/// Largest text that is looked at.
pub(crate) const MAX_TEXT_BYTES: usize = 1 << 20;
const MAX_DEPTH: usize = 32;
/// More than a text of [`MAX_TEXT_BYTES`] can need for tens of thousands of sets, and far less than aliases of aliases make.
const MAX_NODES: usize = 200_000;

/// Why reading ended early.
struct Stop {
    line: usize,
    message: String,
}

/// A list or mapping whose end has not been seen.
struct Open {
    node: Node,
    anchor: usize,
    /// In a mapping: the key that waits for its value.
    key: Option<(String, usize, usize)>,
    /// In a mapping: where each key was first seen.
    seen: HashMap<String, usize>,
}

struct Reader<'a> {
    findings: &'a mut Findings,
    open: Vec<Open>,
    root: Option<Node>,
    /// Finished nodes that aliases may repeat.
    anchors: HashMap<usize, Node>,
    nodes: usize,
}

impl Reader<'_> {
    fn run(&mut self, text: &str) -> Result<(), Stop> {
        let mut parser = Parser::new_from_str(text);
        while let Some(event) = parser.next_event() {
            let (event, span) =
                event.map_err(|e| stop(e.marker().line(), format!("not valid YAML: {}", e.info())))?;
            self.event(event, span)?;
        }
        Ok(())
    }

    fn event(&mut self, event: Event<'_>, span: Span) -> Result<(), Stop> {
        let (line, column) = (span.start.line(), span.start.col() + 1);
        match event {
            Event::DocumentStart(_) if self.root.is_some() => {
                Err(stop(line, "a second YAML document; the configuration is one"))
            }
            Event::Scalar(text, style, anchor, tag) => {
                let plain = match tag.as_deref() {
                    None => style == ScalarStyle::Plain,
                    Some(tag) => known_tag(tag, line)? != "str",
                };
                self.count(1, line)?;
                self.finish(
                    Node { line, column, kind: Kind::Scalar { text: text.into_owned(), plain } },
                    anchor,
                )
            }
            Event::SequenceStart(anchor, tag) => {
                self.start(Node { line, column, kind: Kind::List(Vec::new()) }, anchor, tag.as_deref())
            }
            Event::MappingStart(anchor, tag) => {
                self.start(Node { line, column, kind: Kind::Map(Vec::new()) }, anchor, tag.as_deref())
            }
            Event::SequenceEnd | Event::MappingEnd => match self.open.pop() {
                Some(open) => self.finish(open.node, open.anchor),
                None => Err(stop(line, "not valid YAML: an end without a start")),
            },
            Event::Alias(anchor) => {
                let Some(node) = self.anchors.get(&anchor).cloned() else {
                    return Err(stop(line, "an alias inside what it refers to"));
                };
                let (nodes, depth) = extent(&node);
                self.count(nodes, line)?;
                if self.open.len() + depth > MAX_DEPTH {
                    return Err(too_deep(line));
                }
                self.finish(node, 0)
            }
            Event::Nothing
            | Event::StreamStart
            | Event::StreamEnd
            | Event::DocumentStart(_)
            | Event::DocumentEnd => Ok(()),
        }
    }

    fn start(&mut self, node: Node, anchor: usize, tag: Option<&Tag>) -> Result<(), Stop> {
        if let Some(tag) = tag {
            known_tag(tag, node.line)?;
        }
        self.count(1, node.line)?;
        if self.open.len() >= MAX_DEPTH {
            return Err(too_deep(node.line));
        }
        self.open.push(Open { node, anchor, key: None, seen: HashMap::new() });
        Ok(())
    }

    /// Puts a complete node where it belongs.
    fn finish(&mut self, node: Node, anchor: usize) -> Result<(), Stop> {
        if anchor != 0 {
            self.count(extent(&node).0, node.line)?;
            self.anchors.insert(anchor, node.clone());
        }
        let Some(parent) = self.open.last_mut() else {
            self.root = Some(node);
            return Ok(());
        };
        let (line, column) = (node.line, node.column);
        match (&mut parent.node.kind, parent.key.take()) {
            (Kind::List(items), _) => items.push(node),
            (Kind::Map(entries), Some((key, line, column))) => match parent.seen.get(&key) {
                Some(first) => {
                    let message = format!("given twice; first on line {first}");
                    let path = join(&self.path(), &key);
                    self.findings.problem(line, &path, message);
                }
                None => {
                    parent.seen.insert(key.clone(), line);
                    entries.push(Entry { key, line, column, value: node });
                }
            },
            (_, None) => match node.kind {
                Kind::Scalar { text, .. } if text == "<<" => {
                    return Err(stop(line, "`<<` (merging) is not supported; repeat the keys"));
                }
                Kind::Scalar { text, .. } => parent.key = Some((text, line, column)),
                _ => return Err(stop(line, "a key must be plain text or a number")),
            },
            (Kind::Scalar { .. }, Some(_)) => {}
        }
        Ok(())
    }

    fn count(&mut self, nodes: usize, line: usize) -> Result<(), Stop> {
        self.nodes = self.nodes.saturating_add(nodes);
        if self.nodes > MAX_NODES {
            return Err(stop(line, format!("more than {MAX_NODES} values, aliases counted out")));
        }
        Ok(())
    }

    /// Path of the innermost open mapping or list.
    fn path(&self) -> String {
        let mut path = String::new();
        for open in self.open.iter().take(self.open.len().saturating_sub(1)) {
            match (&open.node.kind, &open.key) {
                (Kind::List(items), _) => path = format!("{path}[{}]", items.len()),
                (_, Some((key, ..))) => path = join(&path, key),
                _ => {}
            }
        }
        path
    }
}

fn stop(line: usize, message: impl Into<String>) -> Stop {
    Stop { line, message: message.into() }
}

fn too_deep(line: usize) -> Stop {
    stop(line, format!("nested deeper than {MAX_DEPTH} levels"))
}

/// The name of a tag of the YAML core schema; other tags mean nothing here.
fn known_tag(tag: &Tag, line: usize) -> Result<&str, Stop> {
    if tag.is_yaml_core_schema() {
        Ok(&tag.suffix)
    } else {
        Err(stop(line, "a YAML tag; tags are not supported"))
    }
}

/// How many nodes there are in `node`, and how deep it is.
fn extent(node: &Node) -> (usize, usize) {
    let children: &mut dyn Iterator<Item = &Node> = match &node.kind {
        Kind::Scalar { .. } => return (1, 0),
        Kind::List(items) => &mut items.iter(),
        Kind::Map(entries) => &mut entries.iter().map(|entry| &entry.value),
    };
    let (nodes, depth) = children
        .map(extent)
        .fold((0, 0), |(nodes, depth), (more, deeper)| (nodes + more, usize::max(depth, deeper)));
    (nodes + 1, depth + 1)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn read_text(text: &str) -> Result<Node, String> {
        let mut findings = Findings::new(Path::new(""));
        let node = read(text, &mut findings);
        findings.finish().map(|_| node).map_err(|problems| problems.to_string())
    }

    #[test]
    fn lines_are_found_by_path() {
        let node = read_text("a: 1\nb:\n  c:\n    - x\n    - d: 2\n  \"e.f\": 3\n").unwrap();
        for (path, line) in [
            ("a", 1),
            ("b", 2),
            ("b.c[0]", 4),
            ("b.c[1].d", 5),
            ("b.\"e.f\"", 6),
            ("b.c[7].x", 3),
            ("nowhere", 1),
        ] {
            assert_eq!(node.line_of(path), line, "{path}");
        }
    }

    #[test]
    fn duplicate_keys_are_refused_with_both_lines() {
        assert_eq!(
            read_text("s:\n  port: 1\n  x: 2\n  port: 3").unwrap_err(),
            "line 4: s.port: given twice; first on line 2"
        );
    }

    #[test]
    fn aliases_repeat_within_bounds() {
        let node = read_text("a: &x [1, 2]\nb: *x").unwrap();
        assert!(matches!(&node.get("b").unwrap().kind, Kind::List(items) if items.len() == 2));

        let mut bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n".to_owned();
        for n in 1..12 {
            let p = format!("*a{}", n - 1);
            bomb += &format!("a{n}: &a{n} [{}]\n", [p.as_str(); 9].join(", "));
        }
        assert!(read_text(&bomb).unwrap_err().contains("more than 200000 values"));
    }

    #[test]
    fn depth_size_and_documents_are_bounded() {
        assert!(read_text(&"[".repeat(100)).unwrap_err().contains("nested deeper than 32"));
        assert!(read_text(&"[".repeat(100_000)).is_err());
        assert!(read_text(&"- ".repeat(400_000)).is_err());
        assert!(read_text(&" ".repeat(MAX_TEXT_BYTES + 1)).unwrap_err().contains("larger than"));
        assert!(read_text("a: 1\n---\nb: 2").unwrap_err().contains("second YAML document"));
        assert!(read_text("a: &x [*x]").is_err());
        assert!(read_text("a: {<<: {b: 1}}").unwrap_err().contains("merging"));
        assert!(read_text("a: !odd 1").unwrap_err().contains("tag"));
    }

    #[test]
    fn debug_shows_no_value() {
        let node = read_text("secret: hunter2").unwrap();
        assert!(!format!("{node:?}").contains("hunter2"));
    }
}
