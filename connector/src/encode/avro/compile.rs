//! Schema to plan.

use std::{collections::HashMap, error::Error as _};

use apache_avro::schema::{
    InnerDecimalSchema, Name, NamesRef, RecordSchema, ResolvedSchema, Schema, UuidSchema,
};
use serde_json::Value as Json;

use super::{
    super::FormatError,
    plan::{Branch, Field, Index, KINDS, Kind, Node, NodeId, Plan, Record, Root, Union},
    write::METADATA,
};

/// Parses a schema, which has to stand on its own.
pub(super) fn parse(schema: &str) -> Result<Schema, FormatError> {
    Schema::parse_str(schema).map_err(|error| rejected(&error))
}

/// Compiles a schema.
pub(super) fn compile(schema: &Schema, stringify_map_keys: bool) -> Result<Plan, FormatError> {
    let resolved = ResolvedSchema::new(schema).map_err(|error| rejected(&error))?;
    let mut compiler = Compiler {
        names: resolved.get_names(),
        nodes: Vec::new(),
        known: HashMap::new(),
        defaults: HashMap::new(),
    };
    let top = compiler.lower(schema, None)?;
    compiler.fill_absent()?;

    let nodes = compiler.nodes;
    // The root is set below, once the plan can be asked.
    let mut plan = Plan {
        nodes,
        root: Root::Map { values: top, takes_null: false, metadata: None },
        stringify_map_keys,
    };
    plan.root = root(&plan, top)?;
    let tables = takers(&plan);
    for (id, takers) in tables {
        if let Node::Union(union) = &mut plan.nodes[id.0] {
            union.takers = takers;
        }
    }
    check_metadata(&plan)?;
    Ok(plan)
}

/// Schema to arena. A type is known while it is still being compiled, so that it can contain itself.
pub(super) struct Compiler<'s> {
    names: &'s NamesRef<'s>,
    pub(super) nodes: Vec<Node>,
    known: HashMap<Name, NodeId>,
    /// Defaults of fields, by record and position.
    pub(super) defaults: HashMap<(usize, usize), &'s Json>,
}

impl<'s> Compiler<'s> {
    fn lower(&mut self, schema: &'s Schema, namespace: Option<&str>) -> Result<NodeId, FormatError> {
        let node = match schema {
            Schema::Ref { name } => return self.lower_reference(name, namespace),
            Schema::Record(record) => return self.lower_record(record, namespace),
            Schema::Null => Node::Null,
            Schema::Boolean => Node::Boolean,
            Schema::Int | Schema::Date | Schema::TimeMillis => Node::Int,
            Schema::Long
            | Schema::TimeMicros
            | Schema::TimestampMillis
            | Schema::TimestampMicros
            | Schema::TimestampNanos
            | Schema::LocalTimestampMillis
            | Schema::LocalTimestampMicros
            | Schema::LocalTimestampNanos => Node::Long,
            Schema::Float => Node::Float,
            Schema::Double => Node::Double,
            Schema::Bytes => Node::Bytes { least: 0, most: usize::MAX },
            Schema::String => Node::String,
            Schema::Uuid(UuidSchema::String) => Node::Uuid,
            // Not in the specification, but `apache-avro` reads nothing else there.
            Schema::Uuid(UuidSchema::Bytes) => Node::Bytes { least: 16, most: 16 },
            Schema::Decimal(decimal) => match &decimal.inner {
                InnerDecimalSchema::Bytes => Node::Bytes { least: 1, most: usize::MAX },
                InnerDecimalSchema::Fixed(fixed) => {
                    return Ok(self.lower_fixed(&fixed.name, fixed.size, namespace));
                }
            },
            Schema::Fixed(fixed) | Schema::Uuid(UuidSchema::Fixed(fixed)) => {
                return Ok(self.lower_fixed(&fixed.name, fixed.size, namespace));
            }
            Schema::Array(array) => Node::Array(self.lower(&array.items, namespace)?),
            Schema::Map(map) => Node::Map(self.lower(&map.types, namespace)?),
            Schema::Union(union) => {
                let mut branches = Vec::new();
                for (index, branch) in union.variants().iter().enumerate() {
                    branches.push(Branch { index, node: self.lower(branch, namespace)? });
                }
                if branches.is_empty() {
                    return Err(problem("a union needs at least one branch"));
                }
                Node::Union(Union { branches, takers: Default::default() })
            }
            Schema::Enum(symbols) => {
                let node = Node::Enum {
                    name: symbols.name.fullname(namespace),
                    symbols: index(symbols.symbols.iter().map(String::as_str)),
                };
                return Ok(self.add_named(&symbols.name, namespace, node));
            }
            Schema::BigDecimal => return Err(unsupported("big-decimal", "bytes")),
            Schema::Duration(_) => return Err(unsupported("duration", "fixed")),
        };
        Ok(self.add(node))
    }

    fn lower_reference(&mut self, name: &Name, namespace: Option<&str>) -> Result<NodeId, FormatError> {
        let name = name.fully_qualified_name(namespace);
        if let Some(id) = self.known.get(name.as_ref()) {
            return Ok(*id);
        }
        match self.names.get(name.as_ref()) {
            Some(schema) => self.lower(schema, name.namespace()),
            None => Err(problem(format!("type {:?} is not defined", name.fullname(None)))),
        }
    }

    fn lower_fixed(&mut self, name: &Name, size: usize, namespace: Option<&str>) -> NodeId {
        self.add_named(name, namespace, Node::Fixed { name: name.fullname(namespace), size })
    }

    fn lower_record(
        &mut self,
        record: &'s RecordSchema,
        namespace: Option<&str>,
    ) -> Result<NodeId, FormatError> {
        let full_name = record.name.fully_qualified_name(namespace).into_owned();
        // Takes the place, and is replaced when the fields are known.
        let id = self.add_named(&record.name, namespace, Node::Null);
        let mut fields = Vec::with_capacity(record.fields.len());
        for (position, field) in record.fields.iter().enumerate() {
            let node = self.lower(&field.schema, full_name.namespace())?;
            fields.push(Field { name: field.name.clone(), node, absent: None, takes_null: false });
            if let Some(default) = &field.default {
                self.defaults.insert((id.0, position), default);
            }
        }
        let positions = index(record.fields.iter().map(|field| field.name.as_str()));
        self.nodes[id.0] = Node::Record(Record { name: full_name.fullname(None), fields, positions });
        Ok(id)
    }

    fn add_named(&mut self, name: &Name, namespace: Option<&str>, node: Node) -> NodeId {
        let id = self.add(node);
        self.known.insert(name.fully_qualified_name(namespace).into_owned(), id);
        id
    }

    fn add(&mut self, node: Node) -> NodeId {
        self.nodes.push(node);
        NodeId(self.nodes.len() - 1)
    }
}

/// Finds the bins' and the metadata's place in the outermost type.
fn root(plan: &Plan, top: NodeId) -> Result<Root, FormatError> {
    match plan.node(top) {
        Node::Map(values) => Ok(Root::Map {
            values: *values,
            takes_null: plan.takes(*values, Kind::Null),
            metadata: plan.find_metadata(*values),
        }),
        Node::Record(record) => {
            let Some(&position) = record.positions.get(METADATA.as_bytes()) else {
                return Ok(Root::Record { record: top, metadata: None });
            };
            let field = record.fields[position].node;
            let metadata = plan.find_metadata(field).ok_or_else(|| {
                let found = plan.describe(field);
                problem(format!(
                    "field \"{METADATA}\" is {found}, expected a record of metadata: its fields are namespace, set, \
                     userKey, digest, msg, gen, lut, exp, durable, and others only with a default or null"
                ))
            })?;
            Ok(Root::Record { record: top, metadata: Some((position, metadata)) })
        }
        _ => Err(problem(format!("it is {}, expected a record or a map", plan.describe(top)))),
    }
}

/// The branches of every union by kind of value.
fn takers(plan: &Plan) -> Vec<(NodeId, [Vec<Branch>; KINDS.len()])> {
    // The metadata record in the values of a map is for the metadata, not for bins that look like it.
    let reserved = match &plan.root {
        Root::Map { values, metadata: Some(metadata), .. } => metadata.branch.map(|branch| (*values, branch)),
        _ => None,
    };
    let unions = plan.nodes.iter().enumerate().filter_map(|(at, node)| match node {
        Node::Union(union) => Some((NodeId(at), union)),
        _ => None,
    });
    unions
        .map(|(id, union)| {
            let takers = KINDS.map(|kind| {
                let free = union.branches.iter().filter(|branch| Some((id, branch.index)) != reserved);
                let mut takers: Vec<_> =
                    free.filter(|branch| plan.takes(branch.node, kind)).copied().collect();
                // Stable: what is not a number keeps the order of the schema.
                takers.sort_by_key(|branch| match plan.node(branch.node) {
                    Node::Long => 0,
                    Node::Int => 1,
                    Node::Double => 2,
                    Node::Float => 3,
                    _ => 4,
                });
                takers
            });
            (id, takers)
        })
        .collect()
}

fn check_metadata(plan: &Plan) -> Result<(), FormatError> {
    let metadata = match &plan.root {
        Root::Map { metadata, .. } => metadata.as_ref(),
        Root::Record { metadata, .. } => metadata.as_ref().map(|(_, metadata)| metadata),
    };
    metadata.map_or(Ok(()), |metadata| plan.check_metadata(metadata)).map_err(problem)
}

fn index<'n>(names: impl Iterator<Item = &'n str>) -> Index {
    names.enumerate().map(|(position, name)| (name.as_bytes().into(), position)).collect()
}

fn unsupported(logical_type: &str, base: &str) -> FormatError {
    problem(format!("logical type {logical_type} is not supported; leave it out to write plain {base}"))
}

fn rejected(error: &apache_avro::Error) -> FormatError {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let error_text = error.to_string();
        if !text.contains(&error_text) {
            text.push_str(": ");
            text.push_str(&error_text);
        }
        cause = error.source();
    }
    problem(text)
}

pub(super) fn problem(text: impl AsRef<str>) -> FormatError {
    FormatError { problem: format!("the Avro schema cannot be used: {}", text.as_ref()) }
}
