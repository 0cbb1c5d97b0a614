//! The code inside a template, as far as it must be known before any record comes: which filters and tests it names, and
//! where a name stands. The engine looks filters up when it comes to them, which may be for one record in a thousand.

use crate::config::nearest;

/// The filters that templates have, the engine's own one included.
pub(super) const FILTERS: [&str; 19] = [
    "b64encode",
    "b64url",
    "d",
    "default",
    "float",
    "hex",
    "int",
    "items",
    "join",
    "length",
    "lower",
    "replace",
    "rfc3339",
    "safe",
    "string",
    "tojson",
    "trim",
    "upper",
    "urlencode",
];

/// The tests, those of the engine included.
pub(super) const TESTS: [&str; 9] =
    ["defined", "endingwith", "mapping", "none", "number", "sequence", "startingwith", "string", "undefined"];

/// What stands in the code that must not: a filter or a test that does not exist, or a list or a map of the template's own.
///
/// Lists within lists, each naming the one before twice, are the one thing that grows faster than the engine's budget sees:
/// only the right side of `in` may be one, and empty ones are harmless.
pub(super) fn fault(source: &str) -> Option<(String, usize)> {
    let tokens: Vec<Token<'_>> = Tokens::new(source).collect();
    let text = |index: usize| tokens.get(index).map_or("", |token| token.text);
    for (index, token) in tokens.iter().enumerate() {
        let before = index.checked_sub(1).map_or("", text);
        match token.text {
            "|" => {
                if let Some(fault) = unknown("filter", tokens.get(index + 1), &FILTERS) {
                    return Some(fault);
                }
            }
            "is" if before != "." => {
                let name = index + if text(index + 1) == "not" { 2 } else { 1 };
                if let Some(fault) = unknown("test", tokens.get(name), &TESTS) {
                    return Some(fault);
                }
            }
            "[" if is_operand(before) || before == "in" || text(index + 1) == "]" => {}
            "{" if text(index + 1) == "}" => {}
            "[" | "{" => {
                let problem = "a list or a map of the template's own, which only the right side of `in` may be; write JSON \
                               around the values instead";
                return Some((problem.to_owned(), token.at));
            }
            _ => {}
        }
    }
    None
}

fn unknown(kind: &str, name: Option<&Token<'_>>, known: &[&str]) -> Option<(String, usize)> {
    let name = name.filter(|name| is_name(name.text) && !known.contains(&name.text))?;
    let near = nearest(name.text, known.iter().copied());
    let hint =
        near.map_or_else(|| format!("known: {}", known.join(", ")), |near| format!("did you mean `{near}`?"));
    Some((format!("unknown {kind} `{}`; {hint}", name.text), name.at))
}

/// Whether a value ends here, so that a bracket behind it asks for an element.
fn is_operand(text: &str) -> bool {
    let word = matches!(text, "in" | "not" | "and" | "or" | "if" | "elif" | "else" | "is" | "set");
    matches!(text, "]" | ")" | "}" | "\"" | "'") || is_name(text) && !word
}

/// Where `name` stands as a variable: the byte offset.
pub(super) fn place_of(name: &str, source: &str) -> Option<usize> {
    let mut before = "";
    for token in Tokens::new(source) {
        if token.text == name && before != "." {
            return Some(token.at);
        }
        before = token.text;
    }
    None
}

/// Line and column, from 1, of a byte offset.
pub(super) fn line_and_column(source: &str, at: usize) -> (usize, usize) {
    let before = &source[..at];
    let line = before.matches('\n').count() + 1;
    (line, before.chars().rev().take_while(|c| *c != '\n').count() + 1)
}

fn is_name(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
}

#[derive(Clone, Copy, Debug)]
struct Token<'a> {
    text: &'a str,
    at: usize,
}

/// Names and single characters of the code; of strings only the quote that opens them, of comments and the text around nothing.
struct Tokens<'a> {
    source: &'a str,
    at: usize,
    /// What ends the code that `at` is in.
    close: Option<&'static str>,
}

impl<'a> Tokens<'a> {
    fn new(source: &'a str) -> Self {
        Self { source, at: 0, close: None }
    }
}

impl<'a> Iterator for Tokens<'a> {
    type Item = Token<'a>;

    fn next(&mut self) -> Option<Token<'a>> {
        loop {
            let rest = &self.source[self.at..];
            let first = rest.chars().next()?;
            let Some(close) = self.close else {
                self.at += match rest.get(..2) {
                    Some("{#") => rest.find("#}").map_or(rest.len(), |end| end + 2),
                    Some("{{") => {
                        self.close = Some("}}");
                        2
                    }
                    Some("{%") => {
                        self.close = Some("%}");
                        2
                    }
                    _ => first.len_utf8(),
                };
                continue;
            };
            if rest.starts_with(close) {
                self.close = None;
                self.at += close.len();
                continue;
            }
            let at = self.at;
            let bytes = match first {
                '"' | '\'' => {
                    let mut escaped = false;
                    let end = rest.char_indices().skip(1).find(|(_, c)| {
                        let ends = !escaped && *c == first;
                        escaped = !escaped && *c == '\\';
                        ends
                    });
                    self.at += end.map_or(rest.len(), |(end, _)| end + 1);
                    return Some(Token { text: &rest[..1], at });
                }
                c if is_name(&rest[..c.len_utf8()]) => {
                    rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(rest.len())
                }
                c => c.len_utf8(),
            };
            self.at += bytes;
            if !first.is_whitespace() {
                return Some(Token { text: &rest[..bytes], at });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_found_in_code_only() {
        let fine = "a | b {# x|nope #} {{ 'x|nope' ~ \"\\\"|nope\" | lower }} {% if a is not defined %}";
        assert_eq!(fault(fine), None);
        let source = "{{ a }}\n {{ b|default(1)|nope(2) }}";
        let (problem, at) = fault(source).unwrap();
        assert!(problem.starts_with("unknown filter `nope`"), "{problem}");
        assert_eq!(line_and_column(source, at), (2, 18));
        let (problem, at) = fault("{% if a is not odd %}{% endif %}").unwrap();
        assert!(problem.starts_with("unknown test `odd`"), "{problem}");
        assert_eq!(at, 15);
    }

    #[test]
    fn a_template_has_no_lists_of_its_own_but_to_look_for_a_value() {
        for source in [
            "{{ bins['a'][0] }} {{ a.b[1] }} {{ (a)[0] }}",
            "{% if a in ['x', 'y'] and b not in [1] %}{% endif %}",
            "{% for x in a|default([]) %}{{ x|default({}) }}{% endfor %}",
            "{% for x in ['a'] %}{% endfor %} [ { outside } ]",
        ] {
            assert_eq!(fault(source), None, "{source}");
        }
        for source in [
            "{{ [1] }}",
            "{% set a = [b, b] %}",
            "{{ {'a': 1} }}",
            "{% for x in [[1], [2]] %}",
            "{{ a ~ [1] }}",
            "{{ f([1]) }}",
        ] {
            assert!(fault(source).is_some(), "{source}");
        }
    }

    #[test]
    fn a_variable_is_told_from_a_member_and_from_text() {
        assert_eq!(place_of("set", "set {{ bins.set ~ 'set' ~ set }}"), Some(26));
        assert_eq!(place_of("set", "set {{ bins.set }}"), None);
    }
}
