//! `routing` as it stands in the file.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{NameTransform, OneOrMany};

/// Where records go, by `mode`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(tag = "mode", rename_all = "kebab-case", rename_all_fields = "kebab-case")]
pub(crate) enum Routing {
    /// To one destination.
    Static {
        /// Its name under `destinations`.
        destination: String,
    },
    /// The same record to several destinations; it is acknowledged when all of them confirmed it.
    StaticMultiDestination {
        /// Their names under `destinations`; one name may stand without a list.
        destinations: OneOrMany<String>,
    },
    /// Nowhere: the record is acknowledged at once.
    Skip,
    /// By the namespace of the record.
    #[schemars(extend("x-ours" = true))]
    Namespace {
        #[serde(flatten)]
        table: Table,
    },
    /// By the set of the record. A record without a set, a delete that arrives without it too, goes to `default`.
    #[schemars(extend("x-ours" = true))]
    Set {
        #[serde(flatten)]
        table: Table,
    },
    /// By the value of a bin: text as it is, integers and booleans as text. Deletes carry no bins, so they always go
    /// to `default`, and so does every other kind of value.
    #[schemars(extend("x-ours" = true))]
    Bin {
        /// The name of the bin, as it is before `bin-transforms`.
        #[schemars(length(min = 1))]
        bin: String,
        #[serde(flatten)]
        table: Table,
    },
    /// By expressions over the record, of which the first that is true decides.
    #[schemars(extend("x-ours" = true))]
    Expression {
        /// The rules, in order.
        rules: Vec<Rule>,
        /// Names under `destinations` for every record of which no rule is true, and for those of which one cannot be worked
        /// out; one name may stand without a list, and `[]` acknowledges the record and sends it nowhere.
        default: Names,
    },
    /// A Java class.
    #[schemars(extend("x-refused" = NO_JAVA_ROUTER))]
    Custom {},
}

const NO_JAVA_ROUTER: &str = "Java classes cannot run in this connector; `mode: namespace`, `mode: set`, `mode: bin` and \
     `mode: expression` route by what a record holds";

/// What the routings by value share.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) struct Table {
    /// For each value one name under `destinations`, or a list of them; `[]` acknowledges the record and sends it
    /// nowhere. Upper and lower case differ.
    pub(crate) destinations: BTreeMap<String, Names>,
    /// The same, for every value that is not listed and for records without one.
    pub(crate) default: Names,
    /// Changes to the value before it is looked up, in order.
    #[serde(default)]
    pub(crate) transforms: Vec<NameTransform>,
}

/// One rule of routing by expressions.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) struct Rule {
    /// An expression over the record, as it is before `bin-transforms`.
    #[schemars(length(min = 1))]
    pub(crate) when: String,
    /// One name under `destinations`, or a list of them; `[]` acknowledges the record and sends it nowhere.
    pub(crate) destinations: Names,
}

/// One name, or a list of them that may be empty.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(untagged)]
pub(crate) enum Names {
    One(String),
    Many(Vec<String>),
}

impl Names {
    pub(crate) fn into_vec(self) -> Vec<String> {
        match self {
            Self::One(one) => vec![one],
            Self::Many(many) => many,
        }
    }
}
