//! The filters and tests of templates: few, each in linear time, and none that reaches outside.

use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use minijinja::{Environment, Error, ErrorKind, Value, value::Rest};

use super::{
    OUTPUT_BYTES_MAX,
    escape::{Escape, Percent, bad, json},
    values::Foreign,
};
use crate::dead_letter::rfc3339;

/// Adds all of them, and leaves nothing of the engine's own but `safe`.
pub(super) fn add(environment: &mut Environment<'static>, escape: Escape) {
    for name in ["escape", "e"] {
        environment.remove_filter(name);
    }
    environment.add_filter("safe", |text: String| Value::from_safe_string(text));
    // In JSON it is written as it is, elsewhere as the text that it is.
    environment.add_filter("tojson", move |value: Value| -> Result<Value, Error> {
        let json = json(&value)?;
        Ok(if escape == Escape::Json { Value::from_safe_string(json) } else { Value::from(json) })
    });
    environment.add_filter("default", default);
    environment.add_filter("d", default);
    environment.add_filter("urlencode", |value: Value| Ok::<_, Error>(Percent(&text(&value)?).to_string()));
    environment.add_filter("b64encode", |value: Value| bytes(&value, |bytes| STANDARD.encode(bytes)));
    environment.add_filter("b64url", |value: Value| bytes(&value, |bytes| URL_SAFE_NO_PAD.encode(bytes)));
    environment.add_filter("hex", |value: Value| {
        bytes(&value, |bytes| bytes.iter().map(|byte| format!("{byte:02x}")).collect())
    });
    environment.add_filter("lower", |value: Value| Ok::<_, Error>(text(&value)?.to_lowercase()));
    environment.add_filter("upper", |value: Value| Ok::<_, Error>(text(&value)?.to_uppercase()));
    environment.add_filter("trim", |value: Value| Ok::<_, Error>(text(&value)?.trim().to_owned()));
    environment.add_filter("string", |value: Value| text(&value));
    environment.add_filter("int", int);
    environment.add_filter("float", float);
    environment.add_filter("length", |value: Value| value.len().ok_or_else(|| bad(NO_LENGTH)));
    environment.add_filter("rfc3339", |unix_ms: u64| rfc3339(unix_ms));
    environment.add_filter("items", items);
    environment.add_filter("join", join);
    environment.add_filter("replace", |value: Value, from: String, to: String| {
        let text = text(&value)?;
        // An empty one would be found between all characters.
        if from.is_empty() { Ok(text) } else { bounded(&text, &from, &to).map(|()| text.replace(&from, &to)) }
    });
    environment.add_test("string", |value: Value| value.as_str().is_some());
    environment.add_test("number", |value: Value| value.is_number());
    environment.add_test("mapping", |value: Value| value.kind() == minijinja::value::ValueKind::Map);
    environment.add_test("sequence", |value: Value| value.kind() == minijinja::value::ValueKind::Seq);
    environment.add_test("startingwith", |value: Value, start: String| {
        value.as_str().is_some_and(|text| text.starts_with(&start))
    });
    environment.add_test("endingwith", |value: Value, end: String| {
        value.as_str().is_some_and(|text| text.ends_with(&end))
    });
}

/// The other value for one that is undefined or none.
fn default(value: Value, other: Rest<Value>) -> Value {
    if value.is_undefined() || value.is_none() {
        return other.first().cloned().unwrap_or_else(|| Value::from(""));
    }
    value
}

/// Text as it is, and what stands for other values where text is wanted.
fn text(value: &Value) -> Result<String, Error> {
    use minijinja::value::ValueKind as Kind;
    match value.kind() {
        Kind::Undefined => Err(Error::from(ErrorKind::UndefinedError)),
        Kind::None => Ok(String::new()),
        Kind::Bool => Ok(if value.is_true() { "true" } else { "false" }.to_owned()),
        Kind::Seq | Kind::Map | Kind::Iterable => json(value),
        _ => Ok(value.to_string()),
    }
}

/// Of the bytes of a blob, or those of a text.
fn bytes(value: &Value, write: impl Fn(&[u8]) -> String) -> Result<String, Error> {
    match value.downcast_object_ref::<Foreign>().and_then(Foreign::as_blob) {
        Some(blob) => Ok(write(blob)),
        None => Ok(write(text(value)?.as_bytes())),
    }
}

fn int(value: Value) -> Result<Value, Error> {
    if value.is_integer() {
        return Ok(value);
    }
    if let Some(text) = value.as_str() {
        return text.trim().parse::<i64>().map(Value::from).map_err(|_| bad(NO_NUMBER));
    }
    match f64::try_from(value) {
        Ok(number) if number.abs() < 9.2e18 => Ok(Value::from(number as i64)),
        _ => Err(bad(NO_NUMBER)),
    }
}

fn float(value: Value) -> Result<Value, Error> {
    if let Some(text) = value.as_str() {
        return text.trim().parse::<f64>().map(Value::from).map_err(|_| bad(NO_NUMBER));
    }
    f64::try_from(value).map(Value::from).map_err(|_| bad(NO_NUMBER))
}

/// The elements of a list, with `between` between them.
fn join(value: Value, between: Rest<String>) -> Result<String, Error> {
    let between = between.first().map(String::as_str).unwrap_or_default();
    let mut joined = String::new();
    for (index, element) in value.try_iter()?.checked().enumerate() {
        if index > 0 {
            joined.push_str(between);
        }
        joined.push_str(&text(&element?)?);
        if joined.len() > OUTPUT_BYTES_MAX {
            return Err(Error::from(ErrorKind::OutOfFuel));
        }
    }
    Ok(joined)
}

/// Whether the replacement stays within what a template may make: a short text may hold `from` many times.
fn bounded(text: &str, from: &str, to: &str) -> Result<(), Error> {
    let bytes = text.matches(from).count().saturating_mul(to.len()).saturating_add(text.len());
    if bytes > OUTPUT_BYTES_MAX { Err(Error::from(ErrorKind::OutOfFuel)) } else { Ok(()) }
}

/// The pairs of a map, each a list of two.
fn items(value: Value) -> Result<Value, Error> {
    if let Some(pairs) = value.downcast_object_ref::<Foreign>().and_then(Foreign::pairs) {
        return Ok(pairs.map(|(key, value)| Value::from(vec![key, value])).collect());
    }
    let pairs = value.try_iter()?.checked().map(|key| {
        let key = key?;
        let value = value.get_item(&key)?;
        Ok(Value::from(vec![key, value]))
    });
    pairs.collect::<Result<Vec<Value>, Error>>().map(Value::from)
}

pub(super) const NO_LENGTH: &str = "asks for the length of a value that has none";
pub(super) const NO_NUMBER: &str = "makes a number of what is none";
