//! How a value is written where a template says `{{ … }}`, so that it stays a value: it can neither end the text around it
//! nor become a part of its structure.

use std::fmt;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use minijinja::{
    Error, ErrorKind, HtmlEscape, Output, Value,
    value::{ObjectRepr, ValueKind},
};

use super::{OUTPUT_BYTES_MAX, SyntaxError, values::Foreign};
use crate::encode::write_json_text;

/// What stands around a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Escape {
    /// Text without rules of its own.
    Text,
    /// JSON: a value is a JSON value, text with its quotes.
    Json,
    /// XML or HTML.
    Markup,
    /// Names and values of a form, or a query.
    Form,
    /// A path of a URL: a value stays within its segment, and is never empty.
    Path,
    /// The value of a header.
    Header,
}

impl Escape {
    /// Writes `value`.
    pub(super) fn write(self, value: &Value, out: &mut Output<'_>) -> Result<(), Error> {
        if value.is_undefined() {
            return Err(Error::from(ErrorKind::UndefinedError));
        }
        let text;
        let text = match (self, value.as_str()) {
            // Marked by the author of the template, or written by it before.
            (_, Some(safe)) if value.is_safe() => safe,
            (Self::Json, _) => {
                text = json(value)?;
                text.as_str()
            }
            (_, Some(text)) => text,
            _ => {
                text = self.plain(value)?;
                text.as_str()
            }
        };
        let as_it_is = value.is_safe() || matches!(self, Self::Json | Self::Text | Self::Header);
        match self {
            Self::Path if text.is_empty() => {
                return Err(bad("puts nothing into a path where a value belongs"));
            }
            _ if as_it_is => out.write_str(text),
            Self::Markup => write!(out, "{}", HtmlEscape(text)),
            _ => write!(out, "{}", Percent(text)),
        }
        .map_err(Error::from)
    }

    /// A value other than text, as text.
    fn plain(self, value: &Value) -> Result<String, Error> {
        let has_structure = matches!(value.kind(), ValueKind::Seq | ValueKind::Map | ValueKind::Iterable);
        match value.kind() {
            ValueKind::None if matches!(self, Self::Path | Self::Header) => {
                Err(bad("puts a value that is not there into the path, the query or a header"))
            }
            ValueKind::None => Ok(String::new()),
            ValueKind::Bool => Ok(if value.is_true() { "true" } else { "false" }.to_owned()),
            _ if has_structure && matches!(self, Self::Path | Self::Header | Self::Form) => Err(bad(
                "puts a list or a map into the path, the query, a form or a header; take an element, or `tojson`",
            )),
            _ if has_structure => json(value),
            _ => Ok(value.to_string()),
        }
    }
}

/// A value as JSON, as the JSON formats write it.
pub(super) fn json(value: &Value) -> Result<String, Error> {
    let mut out = Vec::new();
    write_json(value, DEPTH_MAX, &mut NODES_MAX.clone(), &mut out)?;
    String::from_utf8(out).map_err(|_| bad("makes JSON that is not UTF-8"))
}

fn write_json(value: &Value, depth: usize, nodes: &mut usize, out: &mut Vec<u8>) -> Result<(), Error> {
    // A repeated list is no larger than its elements until it is written.
    if out.len() > OUTPUT_BYTES_MAX || depth == 0 || *nodes == 0 {
        return Err(Error::from(ErrorKind::OutOfFuel));
    }
    *nodes -= 1;
    if let Some(foreign) = value.downcast_object_ref::<Foreign>() {
        return foreign.write_json(out).map_err(bad);
    }
    match value.kind() {
        ValueKind::Undefined => return Err(Error::from(ErrorKind::UndefinedError)),
        ValueKind::None => out.extend_from_slice(b"null"),
        ValueKind::Bool => out.extend_from_slice(if value.is_true() { b"true" } else { b"false" }),
        ValueKind::Number if value.is_integer() => out.extend_from_slice(value.to_string().as_bytes()),
        ValueKind::Number => {
            let number = f64::try_from(value.clone())?;
            crate::encode::write_json_value(
                crate::notification::Value::Double(number),
                crate::config::JsonRules::default(),
                out,
            )
            .map_err(bad)?;
        }
        ValueKind::String => write_json_text(value.as_str().unwrap_or_default(), out),
        ValueKind::Bytes => write_json_text(&STANDARD.encode(value.as_bytes().unwrap_or_default()), out),
        ValueKind::Seq | ValueKind::Iterable => {
            out.push(b'[');
            for (index, element) in value.try_iter()?.checked().enumerate() {
                if index > 0 {
                    out.push(b',');
                }
                write_json(&element?, depth - 1, nodes, out)?;
            }
            out.push(b']');
        }
        ValueKind::Map => {
            out.push(b'{');
            for (index, key) in value.try_iter()?.checked().enumerate() {
                let key = key?;
                if index > 0 {
                    out.push(b',');
                }
                write_json_text(&key.to_string(), out);
                out.push(b':');
                write_json(&value.get_item(&key)?, depth - 1, nodes, out)?;
            }
            out.push(b'}');
        }
        _ if value.as_object().is_some_and(|object| object.repr() == ObjectRepr::Plain) => {
            write_json_text(&value.to_string(), out);
        }
        _ => return Err(bad("writes a value that has no JSON form")),
    }
    Ok(())
}

/// Percent-encoding of all but the characters that nobody takes for anything else.
pub(super) struct Percent<'a>(pub(super) &'a str);

impl fmt::Display for Percent<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rest = self.0.as_bytes();
        while !rest.is_empty() {
            let plain = rest.iter().take_while(|byte| is_unreserved(**byte)).count();
            f.write_str(str::from_utf8(&rest[..plain]).map_err(|_| fmt::Error)?)?;
            if let Some(byte) = rest.get(plain) {
                write!(f, "%{byte:02X}")?;
            }
            rest = rest.get(plain + 1..).unwrap_or_default();
        }
        Ok(())
    }
}

/// Percent-encoded text.
pub(crate) fn percent(text: &str) -> String {
    Percent(text).to_string()
}

fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~')
}

/// An error in our own words, which never hold a value.
pub(super) fn bad(why: &'static str) -> Error {
    Error::new(ErrorKind::BadSerialization, why)
}

/// The words of such an error.
pub(super) fn reason(error: &Error) -> String {
    error.detail().unwrap_or("writes a value that cannot be written there").to_owned()
}

const DEPTH_MAX: usize = 200;

/// Values in a list or a map that is not just as it came.
const NODES_MAX: usize = 1_000_000;

/// Refuses values inside quotes, where a template of JSON would write quotes within quotes.
pub(super) fn check_quotes(source: &str) -> Result<(), SyntaxError> {
    let (mut in_text, mut escaped, mut rest) = (false, false, source);
    while let Some(c) = rest.chars().next() {
        let tag =
            [("{{", "}}"), ("{%", "%}"), ("{#", "#}")].into_iter().find(|(open, _)| rest.starts_with(open));
        if let Some((open, close)) = tag {
            let end = rest.find(close).map_or(rest.len(), |at| at + close.len());
            let marked = rest[..end].trim_end_matches(['}', '-', ' ']).ends_with("safe");
            if open == "{{" && in_text && !marked {
                let before = &source[..source.len() - rest.len()];
                let problem = "a value inside quotes: in JSON a value is written with quotes of its own, so leave yours \
                               out, and join text with `~`, as in `{{ \"user-\" ~ bins.id }}`";
                return Err(SyntaxError {
                    problem: problem.to_owned(),
                    line: Some(before.matches('\n').count() + 1),
                    column: Some(before.chars().rev().take_while(|c| *c != '\n').count() + 1),
                });
            }
            rest = &rest[end..];
            continue;
        }
        match c {
            _ if escaped => escaped = false,
            '\\' if in_text => escaped = true,
            '"' => in_text = !in_text,
            _ => {}
        }
        rest = &rest[c.len_utf8()..];
    }
    Ok(())
}
