//! `bin-transforms` as it stands in the file, and the changes of names that `routing` shares.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Names;

/// Bins to keep, drop or rename.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) struct BinTransforms {
    /// Bins that are sent, by their original names.
    #[schemars(extend("x-default" = "all"))]
    pub(crate) include: Option<Filter>,
    /// Bins that are not sent, by their original names; this wins over `include`.
    #[schemars(extend("x-default" = "none"))]
    pub(crate) exclude: Option<Filter>,
    /// New names of bins. A bin named here is not touched by `transforms`.
    #[serde(default)]
    pub(crate) map: BTreeMap<String, String>,
    /// Changes to the names of all other bins, in order. When two bins end up with one name, the later one counts.
    #[serde(default)]
    pub(crate) transforms: Vec<NameTransform>,
}

/// A choice of bins.
#[derive(Debug, Deserialize, JsonSchema)]
pub(crate) struct Filter {
    /// Which bins.
    pub(crate) r#type: FilterType,
    /// Their names, for `type: specified`.
    pub(crate) bins: Option<Names>,
}

/// Which bins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum FilterType {
    /// Every bin.
    All,
    /// No bin.
    None,
    /// Those that `bins` names.
    Specified,
}

/// A change to a name: one of these words, or a section `regex`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum NameTransform {
    /// Capitals become small letters.
    Lowercase,
    /// Small letters become capitals.
    Uppercase,
    /// White space at both ends goes.
    Trim,
    /// Every match of a regular expression is replaced.
    Regex(Regex),
}

/// Every match of a regular expression is replaced.
#[derive(Debug, Deserialize, JsonSchema)]
pub(crate) struct Regex {
    /// The expression, in the syntax of the `regex` crate of Rust: Java's, without look-around and back-references.
    pub(crate) pattern: String,
    /// What takes the place of each match: `$1` or `${name}` is a group, `\$` a dollar sign, as in Java.
    pub(crate) replacement: String,
}
