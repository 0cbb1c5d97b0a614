//! What is wrong with a configuration, and where.
//!
//! A message may name keys, names and enum values, never a header value or the content of a file.

use std::{
    fmt,
    path::{Path, PathBuf},
};

/// One thing to correct, or to know about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The file, as it was named; empty for text that came from elsewhere.
    pub file: PathBuf,
    /// Line in the file, from 1; 0 when the problem belongs to no line.
    pub line: usize,
    /// Where in the configuration, such as `destinations.orders.urls[0]`; empty for the whole.
    pub path: String,
    /// What is wrong and what was expected.
    pub message: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.file.as_os_str().is_empty(), self.line) {
            (true, 0) => {}
            (true, line) => write!(f, "line {line}: ")?,
            (false, 0) => write!(f, "{}: ", self.file.display())?,
            (false, line) => write!(f, "{}:{line}: ", self.file.display())?,
        }
        if !self.path.is_empty() {
            write!(f, "{}: ", self.path)?;
        }
        f.write_str(&self.message)
    }
}

/// Everything that is wrong with one configuration, in line order. Prints one problem a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problems(pub Vec<Problem>);

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, problem) in self.0.iter().enumerate() {
            if n > 0 {
                f.write_str("\n")?;
            }
            problem.fmt(f)?;
        }
        Ok(())
    }
}

impl std::error::Error for Problems {}

/// Gathers what the steps of loading find.
#[derive(Debug)]
pub(crate) struct Findings {
    file: PathBuf,
    problems: Vec<Problem>,
    warnings: Vec<Problem>,
    notes: Vec<Problem>,
}

impl Findings {
    /// Starts empty; `file` is only for the messages.
    pub(crate) fn new(file: &Path) -> Self {
        Self { file: file.to_owned(), problems: Vec::new(), warnings: Vec::new(), notes: Vec::new() }
    }

    /// Something that must be corrected.
    pub(crate) fn problem(&mut self, line: usize, path: &str, message: impl Into<String>) {
        let problem = self.entry(line, path, message.into());
        push(&mut self.problems, problem);
    }

    /// Something the operator should know.
    pub(crate) fn warn(&mut self, line: usize, path: &str, message: impl Into<String>) {
        let problem = self.entry(line, path, message.into());
        push(&mut self.warnings, problem);
    }

    /// Something that is so by design, and no reason to act.
    pub(crate) fn note(&mut self, line: usize, path: &str, message: impl Into<String>) {
        let problem = self.entry(line, path, message.into());
        push(&mut self.notes, problem);
    }

    /// Whether further problems only count: what is costly to say about them need not be worked out.
    pub(crate) fn full(&self) -> bool {
        self.problems.len() > MAX_FINDINGS
    }

    /// The same for warnings.
    pub(crate) fn warned_enough(&self) -> bool {
        self.warnings.len() > MAX_FINDINGS
    }

    /// And for notes.
    pub(crate) fn noted_enough(&self) -> bool {
        self.notes.len() > MAX_FINDINGS
    }

    /// The notes so far, in line order.
    pub(crate) fn notes(&self) -> Vec<Problem> {
        self.in_order(self.notes.clone())
    }

    /// The warnings, in line order, when nothing has to be corrected.
    pub(crate) fn finish(self) -> Result<Vec<Problem>, Problems> {
        let warnings = self.in_order(self.warnings.clone());
        if self.problems.is_empty() {
            Ok(warnings)
        } else {
            Err(Problems(self.in_order(self.problems.clone())))
        }
    }

    fn in_order(&self, mut list: Vec<Problem>) -> Vec<Problem> {
        let more = list.len() > MAX_FINDINGS;
        list.truncate(MAX_FINDINGS);
        list.sort_by_key(|problem| problem.line);
        if more {
            list.push(self.entry(0, "", "there is more, not shown".to_owned()));
        }
        list
    }

    fn entry(&self, line: usize, path: &str, message: String) -> Problem {
        Problem { file: self.file.clone(), line, path: path.to_owned(), message }
    }
}

/// A hostile file could be wrong on every line: nobody reads further than this.
const MAX_FINDINGS: usize = 200;

/// Takes one more than is shown, as a sign that there was more.
fn push(list: &mut Vec<Problem>, problem: Problem) {
    if list.len() <= MAX_FINDINGS {
        list.push(problem);
    }
}

/// `path` extended by `key`, quoted when it would read like something else.
pub(crate) fn join(path: &str, key: &str) -> String {
    let plain = |c: char| c.is_alphanumeric() || matches!(c, '-' | '_' | '*' | '<' | '>' | '/');
    let key = shorten(key);
    let key = if !key.is_empty() && key.chars().all(plain) { key } else { format!("{key:?}") };
    if path.is_empty() { key } else { format!("{path}.{key}") }
}

/// `text` cut to a length that fits a message.
pub(crate) fn shorten(text: &str) -> String {
    const MAX_CHARS: usize = 64;
    match text.char_indices().nth(MAX_CHARS) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

/// The name among `known` that a mistyped `name` most likely means.
pub(crate) fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let name = shorten(name).to_lowercase().replace('_', "-");
    let allowed = ((name.chars().count() + 1) / 3).min(4);
    known
        .into_iter()
        .map(|candidate| {
            (strsim::damerau_levenshtein(&name, &candidate.to_lowercase().replace('_', "-")), candidate)
        })
        .filter(|(distance, _)| *distance <= allowed)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_names_file_line_and_path() {
        let mut findings = Findings::new(Path::new("config.yml"));
        findings.problem(12, "destinations.orders.retires", "unknown key");
        findings.problem(3, "", "first by line");
        let problems = findings.finish().unwrap_err();
        assert_eq!(
            problems.to_string(),
            "config.yml:3: first by line\nconfig.yml:12: destinations.orders.retires: unknown key"
        );
    }

    #[test]
    fn nearest_takes_slips_and_refuses_strangers() {
        let known = ["retries", "urls", "call-timeout"];
        assert_eq!(nearest("retires", known), Some("retries"));
        assert_eq!(nearest("call_timeout", known), Some("call-timeout"));
        assert_eq!(nearest("url", known), Some("urls"));
        assert_eq!(nearest("something-else", known), None);
        assert_eq!(nearest("b", ["a"]), None);
    }

    #[test]
    fn findings_are_bounded() {
        let mut findings = Findings::new(Path::new(""));
        for line in 0..10_000 {
            findings.problem(line, "", "again");
        }
        assert!(findings.full());
        let problems = findings.finish().unwrap_err();
        assert_eq!(problems.0.len(), MAX_FINDINGS + 1);
        assert!(problems.to_string().ends_with("line 199: again\nthere is more, not shown"));
    }

    #[test]
    fn odd_keys_are_quoted_in_paths() {
        assert_eq!(join("namespaces", "a.b"), "namespaces.\"a.b\"");
        assert_eq!(join("", "service"), "service");
    }
}
