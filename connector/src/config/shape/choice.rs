//! The names that a value of the file may have, and which of them may be written.

use serde_json::Value;

/// One name of an enumeration.
pub(super) struct Choice<'s> {
    pub(super) name: &'s str,
    /// Another name of the same.
    alias: Option<&'s str>,
    pub(super) refused: Option<&'s str>,
    /// The schema that applies when the name is chosen.
    pub(super) schema: &'s Value,
}

impl<'s> Choice<'s> {
    /// The name that `constant` fixes; `schema` applies when it is chosen.
    pub(super) fn of(constant: &'s Value, schema: &'s Value) -> Option<Self> {
        let name = constant.get("const")?.as_str()?;
        let text = |key: &str| schema.get(key).and_then(Value::as_str);
        Some(Self { name, alias: text("x-alias"), refused: text("x-refused"), schema })
    }

    /// The names that a schema of text lists.
    pub(super) fn all(schema: &'s Value) -> Vec<Self> {
        let names = schema.get("enum").and_then(Value::as_array).into_iter().flatten();
        let names =
            names.filter_map(Value::as_str).map(|name| Self { name, alias: None, refused: None, schema });
        names.chain(Self::of(schema, schema)).collect()
    }

    /// Whether `text` names this, in any case.
    pub(super) fn is(&self, text: &str) -> bool {
        self.name.eq_ignore_ascii_case(text)
            || self.alias.is_some_and(|alias| alias.eq_ignore_ascii_case(text))
    }
}

/// The names one may write.
pub(super) fn listed(choices: &[Choice<'_>]) -> String {
    let usable = choices.iter().filter(|choice| choice.refused.is_none());
    usable.map(|choice| format!("`{}`", choice.name)).collect::<Vec<_>>().join(" or ")
}
