//! `esp-connector migrate`: what of a file of the vendor's connector changes its meaning here, key by key.
//!
//! Knows options only from the table of `docs/vendor-options.md`, and what must be changed only from loading the file. Prints
//! keys, never what they are set to. Reads no file but the configuration.

use std::{
    collections::BTreeSet,
    io::{self, Write},
    path::Path,
};

use self::table::{Outcome, Row, row_of, rows};
use crate::config::{self, Examined, Problem, Problems, Written};

mod table;

/// Why nothing is printed.
#[derive(Debug, thiserror::Error)]
pub enum MigrateError {
    /// The file cannot be read, or is no YAML.
    #[error(transparent)]
    Unreadable(#[from] Problems),
    /// The report cannot be written.
    #[error("cannot write: {0}")]
    Write(#[from] io::Error),
}

/// Tells to `out` what becomes of the file at `path`, which may also be a file of values for the vendor's Helm chart. True
/// when it would run as it is.
pub fn run(path: &Path, out: &mut dyn Write) -> Result<bool, MigrateError> {
    let examined = config::examine_vendor_file(path)?;
    Ok(Report::of(examined).print(path, out)?)
}

/// A line of the report: where, what, and more about it.
struct Line {
    line: usize,
    column: usize,
    key: String,
    words: String,
}

#[derive(Default)]
struct Report {
    changes: Vec<Line>,
    otherwise: Vec<Line>,
    no_effect: Vec<Line>,
    same: Vec<Line>,
    ours: Vec<Line>,
    remarks: Vec<Line>,
    absent: Vec<(String, &'static str)>,
}

impl Report {
    fn of(examined: Examined) -> Self {
        let written = examined.written();
        let mut report = Self::default();
        let column = |problem: &Problem| {
            let here = written.iter().find(|key| key.line == problem.line && key.path == problem.path);
            here.or_else(|| written.iter().find(|key| key.line == problem.line)).map_or(1, |key| key.column)
        };
        let told = |problem: Problem| Line {
            line: problem.line,
            column: column(&problem),
            key: problem.path,
            words: problem.message,
        };
        let noted = examined.findings.notes();
        let warned = match examined.findings.finish() {
            Ok(warnings) => warnings,
            Err(Problems(problems)) => {
                report.changes = problems.into_iter().map(told).collect();
                Vec::new()
            }
        };
        report.remarks = warned.into_iter().map(told).collect();
        let refused: BTreeSet<&str> = report.changes.iter().map(|line| line.key.as_str()).collect();
        let mut there = BTreeSet::new();
        for key in &written {
            let row = row_of(&key.generic, key.name.as_deref());
            there.extend(row.iter().flat_map(Row::keys));
            let known = noted.iter().find(|note| note.path == key.path).map(|note| note.message.clone());
            // What is wrong with it, or in it, is told already; and a section is what is in it.
            if key.section
                || refused.iter().any(|path| path.starts_with(&key.path) || key.path.starts_with(*path))
            {
                continue;
            }
            let line = |words: &str| Line {
                line: key.line,
                column: key.column,
                key: key.path.clone(),
                words: words.to_owned(),
            };
            match row.map(|row| (row.outcome, row.words)) {
                None => report.ours.push(line("")),
                Some((Outcome::Same, words)) => report.same.push(line(words)),
                Some((Outcome::Otherwise, words)) => report.otherwise.push(line(words)),
                // Goes with what is refused in the same section.
                Some((Outcome::Refused, _))
                    if refused.iter().any(|path| around(path) == around(&key.path)) => {}
                Some((Outcome::NoEffect | Outcome::Refused, words)) => {
                    report.no_effect.push(line(known.as_deref().unwrap_or(words)));
                }
            }
        }
        report.absent = absent(&there, &written);
        report
    }

    fn print(&self, path: &Path, out: &mut dyn Write) -> io::Result<bool> {
        writeln!(out, "{}: what becomes of it here", path.display())?;
        for (heading, lines) in [
            ("must be changed", &self.changes),
            ("has another effect", &self.otherwise),
            ("has no effect", &self.no_effect),
            ("worth a look", &self.remarks),
            ("is this connector's own", &self.ours),
            ("does what it did", &self.same),
        ] {
            section(heading, lines, out)?;
        }
        writeln!(out, "\ndiffers without a word in the file")?;
        for (key, words) in &self.absent {
            writeln!(out, "  {key}: {words}")?;
        }
        let runs = self.changes.is_empty();
        match self.changes.len() {
            0 => writeln!(out, "\nIt would run as it is. Next: esp-connector check --config FILE")?,
            1 => writeln!(out, "\nIt does not run as it is: 1 thing must be changed.")?,
            n => writeln!(out, "\nIt does not run as it is: {n} things must be changed.")?,
        }
        Ok(runs)
    }
}

fn section(heading: &str, lines: &[Line], out: &mut dyn Write) -> io::Result<()> {
    if lines.is_empty() {
        return Ok(());
    }
    writeln!(out, "\n{heading} ({})", lines.len())?;
    let place = |line: &Line| match line.line {
        0 => String::new(),
        _ => format!("{}:{}", line.line, line.column),
    };
    let places = lines.iter().map(|line| place(line).len()).max().unwrap_or(0);
    let keys = lines.iter().map(|line| line.key.chars().count().min(KEY_COLUMNS)).max().unwrap_or(0);
    for line in lines {
        let text = format!("  {:places$}  {:keys$}  {}", place(line), line.key, line.words);
        writeln!(out, "{}", text.trim_end())?;
    }
    Ok(())
}

/// The path of the section that a key stands in.
fn around(path: &str) -> &str {
    path.rsplit_once('.').map_or("", |(section, _)| section)
}

/// Longer keys do not move the column of words.
const KEY_COLUMNS: usize = 48;

/// What is other here although the file does not say it: all that is no key, and keys whose section is in the file.
fn absent(there: &BTreeSet<&str>, written: &[Written]) -> Vec<(String, &'static str)> {
    let has_section = |key: &str| {
        let section = key.rsplit_once('.').map_or("", |(section, _)| section);
        written.iter().any(|key| {
            key.section && (key.generic == section || key.generic.ends_with(&format!(".{section}")))
        })
    };
    rows()
        .filter(|row| row.outcome == Outcome::Otherwise)
        .filter(|row| row.keys().all(|key| !there.contains(key) && has_section(key)))
        .map(|row| (row.options.replace('`', ""), row.words))
        .collect()
}

#[cfg(test)]
mod tests;
