//! Types and kinds of values in words, for the messages of records and schemas that do not fit.

use super::plan::{Node, NodeId, Plan, Union};
use crate::notification::Value;

/// Branches of a union that are told.
const BRANCHES_TOLD_MAX: usize = 12;

impl Plan {
    /// Names a type. Short however large the schema.
    pub(super) fn describe(&self, id: NodeId) -> String {
        let word = match self.node(id) {
            Node::Null => "null",
            Node::Boolean => "boolean",
            Node::Int => "int",
            Node::Long => "long",
            Node::Float => "float",
            Node::Double => "double",
            Node::Bytes { least: 0, .. } => "bytes",
            Node::Bytes { least, most } if least == most => return format!("{least} bytes"),
            Node::Bytes { .. } => "decimal",
            Node::String => "string",
            Node::Uuid => "uuid",
            Node::Array(_) => "array",
            Node::Map(_) => "map",
            Node::Fixed { name, size } => return format!("fixed {name} of {size} bytes"),
            Node::Enum { name, .. } => return format!("enum {name}"),
            Node::Record(record) => return format!("record {}", record.name),
            Node::Union(union) => return self.describe_union(union),
        };
        word.to_owned()
    }

    /// Why `value` cannot be written as the type `id`.
    pub(super) fn problem(&self, id: NodeId, value: Value<'_>) -> String {
        let wanted = || self.describe(id);
        match (self.node(id), value) {
            (Node::Int, Value::Integer(_)) => "an integer outside the range of int".to_owned(),
            (Node::Float, Value::Double(_)) => "a double outside the range of float".to_owned(),
            (Node::Float | Node::Double, Value::Integer(_)) => {
                format!("an integer that {} cannot hold exactly", wanted())
            }
            (Node::Enum { name, .. }, Value::String(_)) => {
                format!("a string that is not among the symbols of enum {name}")
            }
            (Node::Uuid, Value::String(_)) => "a string that is not a UUID with hyphens".to_owned(),
            (Node::Fixed { .. } | Node::Bytes { .. }, Value::Blob(_, bytes)) => {
                format!("a blob of {} bytes, expected {}", bytes.len(), wanted())
            }
            (Node::Union(_), Value::Map(_)) => {
                format!("a map whose keys do not fit, expected {}", wanted())
            }
            _ => format!("{}, expected {}", describe_kind(value), wanted()),
        }
    }

    fn describe_union(&self, union: &Union) -> String {
        let told = union.branches.iter().take(BRANCHES_TOLD_MAX);
        let mut names: Vec<_> = told.map(|branch| self.describe(branch.node)).collect();
        if union.branches.len() > BRANCHES_TOLD_MAX {
            names.push("others".to_owned());
        }
        names.join(" or ")
    }
}

fn describe_kind(value: Value<'_>) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Integer(_) => "an integer",
        Value::Double(_) => "a double",
        Value::String(_) => "a string",
        Value::Boolean(_) => "a boolean",
        Value::Blob(18, _) => "a HyperLogLog",
        Value::Blob(..) => "a blob",
        Value::GeoJson(_) => "GeoJSON",
        Value::List(_) => "a list",
        Value::Map(_) => "a map",
    }
}
