//! The meaning of `bin-transforms`, and of the changes of names that `routing` shares.

use std::collections::{BTreeMap, BTreeSet};

use regex::Regex;

use super::Meaning;
use crate::config::{
    BinTransforms, Exclude, NameTransform,
    file::{self, Filter, FilterType, Names},
    problem::{join, shorten},
};

impl Meaning<'_> {
    pub(super) fn bin_transforms(&mut self, file: file::BinTransforms, path: &str) -> BinTransforms {
        let include = file.include.and_then(|filter| self.filter(filter, &join(path, "include")));
        let exclude = match file.exclude {
            None => Exclude::default(),
            Some(filter) => self.filter(filter, &join(path, "exclude")).map_or(Exclude::All, Exclude::These),
        };
        let within = join(path, "map");
        let mut taken: BTreeMap<&str, &str> = BTreeMap::new();
        for (old, new) in &file.map {
            let path = join(&within, old);
            self.bin_name(old, &path);
            if new.is_empty() {
                self.problem(&path, "must not be empty");
            } else if let Some(other) = taken.insert(new, old) {
                let (other, new) = (shorten(other), shorten(new));
                self.warn(
                    &path,
                    format!("`{other}` becomes `{new}` too; of a record with both, the later bin counts"),
                );
            }
        }
        let transforms = self.name_transforms(file.transforms, &join(path, "transforms"));
        BinTransforms { include, exclude, map: file.map, transforms }
    }

    /// The bins of a filter; `None` is all of them.
    fn filter(&mut self, file: Filter, path: &str) -> Option<BTreeSet<String>> {
        let bins = join(path, "bins");
        match (file.r#type, file.bins) {
            (FilterType::Specified, Some(names)) => {
                let list = matches!(names, Names::Many(_));
                let names = names.into_vec();
                for (n, name) in names.iter().enumerate() {
                    self.bin_name(name, &if list { format!("{bins}[{n}]") } else { bins.clone() });
                }
                Some(names.into_iter().collect())
            }
            (FilterType::Specified, None) => {
                self.problem(&bins, "required key is missing: `type: specified` needs the names of bins");
                Some(BTreeSet::new())
            }
            (kind, names) => {
                if names.is_some() {
                    self.warn(&bins, "no effect: only `type: specified` looks at it");
                }
                (kind == FilterType::None).then(BTreeSet::new)
            }
        }
    }

    pub(super) fn name_transforms(
        &mut self,
        file: Vec<file::NameTransform>,
        path: &str,
    ) -> Vec<NameTransform> {
        // Items that were left out as broken make the numbers of the others unknown.
        let numbered = self.tree.items_at(path) == file.len();
        let at = |n: usize| if numbered { format!("{path}[{n}].regex") } else { path.to_owned() };
        let each = file.into_iter().enumerate().filter_map(|(n, step)| match step {
            file::NameTransform::Lowercase => Some(NameTransform::Lowercase),
            file::NameTransform::Uppercase => Some(NameTransform::Uppercase),
            file::NameTransform::Trim => Some(NameTransform::Trim),
            file::NameTransform::Regex(regex) => self.regex(regex, &at(n)),
        });
        each.collect()
    }

    /// `None`: reported.
    fn regex(&mut self, file: file::Regex, path: &str) -> Option<NameTransform> {
        let regex = match Regex::new(&file.pattern) {
            Ok(regex) => regex,
            Err(e) => {
                let e = e.to_string();
                // Before the last line it draws the pattern, with a mark where it stopped.
                let why = e.lines().last().unwrap_or_default().trim_start_matches("error: ");
                let message = format!(
                    "not a regular expression here: {why} (look-around and back-references, which Java has, do not \
                     exist)"
                );
                self.problem(&join(path, "pattern"), message);
                return None;
            }
        };
        match replacement(&file.replacement, &regex) {
            Ok(replacement) => Some(NameTransform::Regex { pattern: file.pattern, replacement }),
            Err(why) => {
                self.problem(&join(path, "replacement"), why);
                None
            }
        }
    }
}

/// A replacement in Java's syntax as one in that of `regex`: `$12` is as much of the number as there are groups, `\`
/// takes its meaning from what follows.
fn replacement(java: &str, regex: &Regex) -> Result<String, String> {
    let mut out = String::new();
    let mut rest = java.chars().peekable();
    while let Some(c) = rest.next() {
        match c {
            '\\' => match rest.next() {
                Some('$') => out.push_str("$$"),
                Some(escaped) => out.push(escaped),
                None => return Err("ends in a single `\\`; write `\\\\` for a backslash".to_owned()),
            },
            '$' if rest.peek() == Some(&'{') => {
                rest.next();
                let name: String = rest.by_ref().take_while(|c| *c != '}').collect();
                if !regex.capture_names().flatten().any(|known| known == name) {
                    return Err(format!(
                        "the pattern has no group called `{}`",
                        shorten(&name).escape_debug()
                    ));
                }
                out.push_str(&format!("${{{name}}}"));
            }
            '$' => {
                let mut group = None;
                while let Some(digit) = rest.peek().and_then(|c| c.to_digit(10)) {
                    let longer = group.unwrap_or(0) * 10 + digit as usize;
                    if group.is_some() && longer >= regex.captures_len() {
                        break;
                    }
                    group = Some(longer);
                    rest.next();
                }
                match group {
                    Some(group) if group < regex.captures_len() => out.push_str(&format!("${{{group}}}")),
                    Some(group) => return Err(format!("the pattern has no group {group}")),
                    None => return Err("a `$` without a group; write `\\$` for a dollar sign".to_owned()),
                }
            }
            other => out.push(other),
        }
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replacements_mean_what_they_mean_in_java() {
        let regex = Regex::new("(a)(?<second>b)").unwrap();
        for (java, expected) in [
            ("_", "_"),
            ("$1_", "a_"),
            ("$2$1", "ba"),
            // There are two groups: the 3 is text.
            ("$13", "a3"),
            ("${second}x", "bx"),
            ("$0$0", "abab"),
            (r"\$1", "$1"),
            (r"\\\a", r"\a"),
            ("$1{2}", "a{2}"),
        ] {
            let rust = replacement(java, &regex).unwrap();
            assert_eq!(regex.replace_all("ab", rust.as_str()), expected, "{java} as {rust}");
        }
        for (java, why) in [
            ("$3", "no group 3"),
            ("$", "a `$` without"),
            ("$x", "a `$` without"),
            ("${third}", "no group called `third`"),
            ("${sec", "no group called `sec`"),
            ("\\", "single"),
        ] {
            let error = replacement(java, &regex).unwrap_err();
            assert!(error.contains(why), "{java}: {error}");
        }
    }
}
