//! What a schema compiles to: an arena of nodes, so that types may contain themselves.
//!
//! Everything that can be decided without a record is decided here: which branches of a union a kind of value
//! can take, what stands for a missing field, where the metadata goes.

use std::collections::HashMap;

use foldhash::fast::FixedState;

use super::metadata::Metadata;
use crate::notification::Value;

/// A compiled schema.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) nodes: Vec<Node>,
    pub(super) root: Root,
    /// Whether numbers may be keys of maps.
    pub(super) stringify_map_keys: bool,
}

/// The outermost type.
#[derive(Debug)]
pub(super) enum Root {
    /// A field for each bin, and perhaps one for the metadata, told by its position.
    Record { record: NodeId, metadata: Option<(usize, Metadata)> },
    /// Bins by name, and perhaps the metadata.
    Map { values: NodeId, takes_null: bool, metadata: Option<Metadata> },
}

/// Position of a node in its plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct NodeId(pub(super) usize);

/// One type.
#[derive(Debug)]
pub(super) enum Node {
    Null,
    Boolean,
    Int,
    Long,
    Float,
    Double,
    /// Any number of bytes between two bounds, which logical types set.
    Bytes {
        least: usize,
        most: usize,
    },
    String,
    /// A string that has to be a UUID.
    Uuid,
    Fixed {
        name: String,
        size: usize,
    },
    Enum {
        name: String,
        symbols: Index,
    },
    Array(NodeId),
    Map(NodeId),
    Record(Record),
    Union(Union),
}

/// Positions by name.
pub(super) type Index = HashMap<Box<[u8]>, usize, FixedState>;

/// A record type.
#[derive(Debug)]
pub(super) struct Record {
    pub(super) name: String,
    pub(super) fields: Vec<Field>,
    pub(super) positions: Index,
}

/// A field of a record type.
#[derive(Debug)]
pub(super) struct Field {
    pub(super) name: String,
    pub(super) node: NodeId,
    /// What is written when there is no value; `None` if there has to be one.
    pub(super) absent: Option<Box<[u8]>>,
    /// Whether a null can be written.
    pub(super) takes_null: bool,
}

/// A union type.
#[derive(Debug)]
pub(super) struct Union {
    /// In the order of the schema.
    pub(super) branches: Vec<Branch>,
    /// For each kind of value the branches that may take it, the preferred one first.
    pub(super) takers: [Vec<Branch>; KINDS.len()],
}

/// A branch of a union.
#[derive(Clone, Copy, Debug)]
pub(super) struct Branch {
    /// Position in the schema.
    pub(super) index: usize,
    pub(super) node: NodeId,
}

/// What matters of a value for the choice of a type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Null,
    Boolean,
    Integer,
    Double,
    /// Strings and GeoJSON.
    Text,
    Blob,
    List,
    Map,
}

/// Every kind, in order of its discriminant.
pub(super) const KINDS: [Kind; 8] =
    [Kind::Null, Kind::Boolean, Kind::Integer, Kind::Double, Kind::Text, Kind::Blob, Kind::List, Kind::Map];

impl Kind {
    pub(super) fn of(value: &Value<'_>) -> Self {
        match value {
            Value::Null => Self::Null,
            Value::Boolean(_) => Self::Boolean,
            Value::Integer(_) => Self::Integer,
            Value::Double(_) => Self::Double,
            Value::String(_) | Value::GeoJson(_) => Self::Text,
            Value::Blob(..) => Self::Blob,
            Value::List(_) => Self::List,
            Value::Map(_) => Self::Map,
        }
    }
}

impl Plan {
    pub(super) fn node(&self, id: NodeId) -> &Node {
        &self.nodes[id.0]
    }

    /// Whether some value of `kind` fits.
    pub(super) fn takes(&self, id: NodeId, kind: Kind) -> bool {
        match self.node(id) {
            Node::Union(union) => union.branches.iter().any(|branch| self.takes(branch.node, kind)),
            Node::Null => kind == Kind::Null,
            Node::Boolean => kind == Kind::Boolean,
            Node::Int | Node::Long => kind == Kind::Integer,
            Node::Float | Node::Double => matches!(kind, Kind::Integer | Kind::Double),
            Node::String | Node::Uuid | Node::Enum { .. } => kind == Kind::Text,
            Node::Bytes { .. } | Node::Fixed { .. } => kind == Kind::Blob,
            Node::Array(_) => kind == Kind::List,
            Node::Map(_) | Node::Record(_) => kind == Kind::Map,
        }
    }
}

impl Record {
    /// Position of the field `name`. The one at `next` is looked at first: names tend to come in the order of the schema.
    pub(super) fn position(&self, name: &[u8], next: usize) -> Option<usize> {
        match self.fields.get(next) {
            Some(field) if field.name.as_bytes() == name => Some(next),
            _ => self.positions.get(name).copied(),
        }
    }

    /// Whether a map with `keys` has every field that has to be there, and no other.
    ///
    /// Looks at the keys only: the choice of a branch stays cheap however deep the values are.
    pub(super) fn takes_keys<'a>(&self, keys: impl Iterator<Item = Value<'a>>) -> bool {
        let mut required = self.fields.iter().filter(|field| field.absent.is_none()).count();
        for key in keys {
            let Value::String(key) = key else { return false };
            let Some(&position) = self.positions.get(key) else { return false };
            if self.fields[position].absent.is_none() {
                // A map has each key once.
                required = required.saturating_sub(1);
            }
        }
        required == 0
    }
}
