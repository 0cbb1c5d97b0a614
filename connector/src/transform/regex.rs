//! Replacing by a regular expression, as Java's `replaceAll` does it.
//!
//! Configurations were written for Java, whose patterns and replacements mean other things than those of the `regex`
//! crate in places. What may matter for names is translated here, and nearly all of the rest is an error when the
//! configuration is read. Known to pass with another meaning: a possessive quantifier (`a*+`) gives back what it took,
//! and `(?U)` makes quantifiers lazy. The expected results in the tests are those of a real Java.

use std::{borrow::Cow, str::Chars};

use regex::Regex;

use super::TransformError;

/// A pattern and what its matches become.
#[derive(Clone, Debug)]
pub(super) struct Replace {
    regex: Regex,
    pieces: Vec<Piece>,
    names_groups: bool,
}

#[derive(Clone, Debug, PartialEq)]
enum Piece {
    Text(String),
    Group(usize),
}

impl Replace {
    pub(super) fn new(pattern: &str, replacement: &str) -> Result<Self, TransformError> {
        let error = |problem| TransformError { pattern: pattern.to_owned(), problem };
        let regex = Regex::new(&translated(pattern)).map_err(|e| error(complaint(&e, pattern)))?;
        let pieces = pieces(replacement, &regex)
            .map_err(|problem| error(format!("its replacement {replacement:?}: {problem}")))?;
        let names_groups = pieces.iter().any(|piece| matches!(piece, Piece::Group(_)));
        Ok(Self { regex, pieces, names_groups })
    }

    /// Replaces every match. Unlike the crate's own `replace_all`, and like Java, an empty match may follow a match
    /// directly: `.*` matches a name twice, whole and at its end.
    pub(super) fn apply<'a>(&self, name: &'a str) -> Cow<'a, str> {
        if !self.regex.is_match(name) {
            return Cow::Borrowed(name);
        }
        let mut groups = self.names_groups.then(|| self.regex.capture_locations());
        let mut out = String::with_capacity(name.len() + 16);
        let (mut from, mut copied) = (0, 0);
        while from <= name.len() {
            let found = match &mut groups {
                Some(groups) => self.regex.captures_read_at(groups, name, from),
                None => self.regex.find_at(name, from),
            };
            let Some(found) = found else { break };
            out.push_str(&name[copied..found.start()]);
            for piece in &self.pieces {
                match piece {
                    Piece::Text(text) => out.push_str(text),
                    Piece::Group(group) => {
                        // A group that took no part in the match is empty.
                        let range = groups.as_ref().and_then(|groups| groups.get(*group));
                        out.push_str(range.map_or("", |(start, end)| &name[start..end]));
                    }
                }
            }
            copied = found.end();
            from = copied;
            if found.is_empty() {
                from += name[copied..].chars().next().map_or(1, char::len_utf8);
            }
        }
        out.push_str(&name[copied..]);
        Cow::Owned(out)
    }
}

/// The pattern with Java's meaning of the classes `\w`, `\d` and `\s` and of POSIX classes, which know ASCII only, of
/// `\h` and `\v`, which are horizontal and vertical space, and of `\<` and `\>`, which are these characters.
fn translated(pattern: &str) -> String {
    let mut out = String::with_capacity(pattern.len() + 16);
    let mut rest = pattern.chars();
    while let Some(letter) = rest.next() {
        if letter != '\\' {
            out.push(letter);
            continue;
        }
        match rest.next() {
            Some('d') => out.push_str("[0-9]"),
            Some('D') => out.push_str("[^0-9]"),
            Some('w') => out.push_str("[a-zA-Z0-9_]"),
            Some('W') => out.push_str("[^a-zA-Z0-9_]"),
            Some('s') => out.push_str(r"[\x20\t\n\x0b\f\r]"),
            Some('S') => out.push_str(r"[^\x20\t\n\x0b\f\r]"),
            Some('h') => out.push_str(r"[\x20\t\u00a0\u1680\u180e\u2000-\u200a\u202f\u205f\u3000]"),
            Some('H') => out.push_str(r"[^\x20\t\u00a0\u1680\u180e\u2000-\u200a\u202f\u205f\u3000]"),
            Some('v') => out.push_str(r"[\n\x0b\f\r\x85\u2028\u2029]"),
            Some('V') => out.push_str(r"[^\n\x0b\f\r\x85\u2028\u2029]"),
            Some(letter @ ('<' | '>')) => out.push(letter),
            Some(sign @ ('p' | 'P')) => match posix_class(&mut rest) {
                Some(class) => {
                    out.push_str(if sign == 'p' { "[[:" } else { "[^[:" });
                    out.push_str(class);
                    out.push_str(":]]");
                }
                None => out.extend(['\\', sign]),
            },
            Some(letter) => out.extend(['\\', letter]),
            None => out.push('\\'),
        }
    }
    out
}

/// Takes `{Name}` from `rest` when it is one of Java's POSIX classes.
fn posix_class(rest: &mut Chars<'_>) -> Option<&'static str> {
    const CLASSES: [(&str, &str); 13] = [
        ("{Lower}", "lower"),
        ("{Upper}", "upper"),
        ("{ASCII}", "ascii"),
        ("{Alpha}", "alpha"),
        ("{Digit}", "digit"),
        ("{Alnum}", "alnum"),
        ("{Punct}", "punct"),
        ("{Graph}", "graph"),
        ("{Print}", "print"),
        ("{Blank}", "blank"),
        ("{Cntrl}", "cntrl"),
        ("{XDigit}", "xdigit"),
        ("{Space}", "space"),
    ];
    let (name, class) = CLASSES.iter().find(|(name, _)| rest.as_str().starts_with(name))?;
    *rest = rest.as_str()[name.len()..].chars();
    Some(class)
}

/// The parser's own words, without the drawing around them.
fn complaint(error: &regex::Error, pattern: &str) -> String {
    let text = error.to_string();
    let what = text.rsplit_once("error: ").map_or(text.as_str(), |(_, what)| what).trim();
    let of_java = ["look-around", "backreference"].iter().any(|word| what.contains(word));
    if of_java || pattern.contains(r"\k<") {
        return format!("{what}; Java has look-around and back-references, they do not exist here");
    }
    what.to_owned()
}

/// Splits a replacement into text and groups: `$1`, `${name}`, and `\` before what is meant as it stands.
fn pieces(replacement: &str, regex: &Regex) -> Result<Vec<Piece>, String> {
    let mut pieces = Vec::new();
    let mut text = String::new();
    let mut rest = replacement.chars();
    while let Some(letter) = rest.next() {
        let group = match letter {
            '\\' => match rest.next() {
                Some(letter) => {
                    text.push(letter);
                    continue;
                }
                None => return Err(r"the \ at the end has nothing behind it (\\ is a backslash)".to_owned()),
            },
            '$' => group(&mut rest, regex)?,
            letter => {
                text.push(letter);
                continue;
            }
        };
        if !text.is_empty() {
            pieces.push(Piece::Text(std::mem::take(&mut text)));
        }
        pieces.push(Piece::Group(group));
    }
    if !text.is_empty() {
        pieces.push(Piece::Text(text));
    }
    Ok(pieces)
}

/// What stands behind a `$`. Of several digits as many count as make the number of a group that exists.
fn group(rest: &mut Chars<'_>, regex: &Regex) -> Result<usize, String> {
    let last = regex.captures_len() - 1;
    if let Some(named) = rest.as_str().strip_prefix('{') {
        let (name, after) = named.split_once('}').ok_or("${ without a }")?;
        *rest = after.chars();
        return match regex.capture_names().position(|known| known == Some(name)) {
            Some(group) => Ok(group),
            None => Err(format!("the pattern has no group named {name:?}")),
        };
    }
    let digit = |rest: &Chars<'_>| rest.clone().next().and_then(|letter| letter.to_digit(10));
    let Some(first) = digit(rest) else {
        return Err(r"a $ needs the number of a group or {name} behind it (\$ is a dollar)".to_owned());
    };
    let mut group = first as usize;
    if group > last {
        return Err(match last {
            0 => format!("${group}, but the pattern has no group"),
            _ => format!("${group}, but the pattern's last group is {last}"),
        });
    }
    rest.next();
    while let Some(digit) = digit(rest) {
        let longer = group * 10 + digit as usize;
        if longer > last {
            break;
        }
        group = longer;
        rest.next();
    }
    Ok(group)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn replaced(pattern: &str, replacement: &str, name: &str) -> String {
        Replace::new(pattern, replacement).expect("sound").apply(name).into_owned()
    }

    #[test]
    fn replacements_are_read_as_java_reads_them() {
        let eleven = "(.)(.)(.)(.)(.)(.)(.)(.)(.)(.)(.)";
        let ten = "(.)(.)(.)(.)(.)(.)(.)(.)(.)(.)";
        for (pattern, replacement, name, expected) in [
            ("(a)(b)", "$2$1", "abab", "baba"),
            ("(a)", "$1a", "ab", "aab"),
            ("(a)", "$1_x", "ab", "a_xb"),
            ("a", "$0$0", "ab", "aab"),
            ("(a)", "$10", "ab", "a0b"),
            // The example of a well-known answer about `$11`.
            (eleven, "$11$10$9$3$2$1", "ABCDEFGHIJKLMN", "KJICBALMN"),
            (ten, "$11$10$9$3$2$1", "ABCDEFGHIJKLMN", "A1JICBAKLMN"),
            ("(?<first>a)(b)", "${first}-$2", "ab", "a-b"),
            ("a", r"\$1\\\n", "a", r"$1\n"),
            ("a", "{}", "a", "{}"),
            ("(a)|(b)", "[$1|$2]", "ab", "[a|][|b]"),
            ("a", "", "banana", "bnn"),
        ] {
            assert_eq!(replaced(pattern, replacement, name), expected, "{pattern} {replacement}");
        }
    }

    #[test]
    fn empty_matches_are_java_s() {
        for (pattern, name, expected) in [
            ("x*", "abc", "-a-b-c-"),
            ("x*", "axc", "-a--c-"),
            (".*", "abc", "--"),
            ("^.*$", "abc", "-"),
            (".*", "", "-"),
            // Java would cut the second character in two.
            ("", "\u{e4}\u{1f600}", "-\u{e4}-\u{1f600}-"),
            (r"\b", "a b", "-a- -b-"),
        ] {
            assert_eq!(replaced(pattern, "-", name), expected, "{pattern:?} on {name:?}");
        }
    }

    #[test]
    fn classes_know_ascii_only() {
        let name = "a\u{e4}1\u{663} _\u{a0}-<";
        for (pattern, expected) in [
            (r"\w", ".\u{e4}.\u{663} .\u{a0}-<"),
            (r"\W", "a.1.._..."),
            (r"[^\w]", "a.1.._..."),
            (r"[\w-]", ".\u{e4}.\u{663} .\u{a0}.<"),
            (r"\d", "a\u{e4}.\u{663} _\u{a0}-<"),
            (r"[\D]", "..1......"),
            (r"\s", "a\u{e4}1\u{663}._\u{a0}-<"),
            (r"[^\S]", "a\u{e4}1\u{663}._\u{a0}-<"),
            (r"\h", "a\u{e4}1\u{663}._.-<"),
            (r"\H", ".... .\u{a0}.."),
            (r"\v", name),
            (r"\V", "........."),
            (r"\p{Punct}", "a\u{e4}1\u{663} .\u{a0}.."),
            (r"[^\p{Alnum}]", "a.1......"),
            (r"\P{Alpha}", "a........"),
            (r"\p{L}", "..1\u{663} _\u{a0}-<"),
            (r"\<", "a\u{e4}1\u{663} _\u{a0}-."),
            (r"\\d", name),
        ] {
            assert_eq!(replaced(pattern, ".", name), expected, "{pattern}");
        }
    }

    #[test]
    fn what_cannot_be_used_is_said() {
        for (pattern, replacement, expected) in [
            ("(", "", r#"regex "(": unclosed group"#),
            ("a{99999}{99999}", "", "size limit"),
            ("(?=a)", "", "look-around, including look-ahead and look-behind, is not supported; Java has"),
            (r"(a)\1", "", "backreferences are not supported; Java has look-around"),
            (r"(?<x>a)\k<x>", "", "Java has look-around and back-references, they do not exist here"),
            ("a", "$1", r#"regex "a": its replacement "$1": $1, but the pattern has no group"#),
            ("(a)", "$2", "$2, but the pattern's last group is 1"),
            ("a", "${x}", r#"the pattern has no group named "x""#),
            ("a", "${x", "${ without a }"),
            ("a", "5$", r"a $ needs the number of a group or {name} behind it (\$ is a dollar)"),
            ("a", r"x\", r"the \ at the end has nothing behind it"),
        ] {
            let error = Replace::new(pattern, replacement).expect_err(pattern).to_string();
            assert!(error.contains(expected), "{error}");
            assert!(!error.contains('\n'), "{error}");
        }
    }
}
