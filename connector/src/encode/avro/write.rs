//! Writes a datum: walks the plan and the values of a notification side by side.
//!
//! Recursion follows the nesting of the values, which the decoder bounds; a schema that contains itself adds
//! none. Nothing but the index of a branch is ever taken back, so the work grows with the record only.

use super::{
    super::EncodeError,
    metadata::Metadata,
    misfit::{Misfit, Step, Written, bin_place, field_place, metadata_place},
    plan::{Branch, Kind, Node, NodeId, Plan, Record, Root, Union},
    primitive::{write_bytes, write_len, write_long, write_text},
};
use crate::{
    notification::{Bin, ChangeNotification, Operation, Value},
    wire::value::{List, Map},
};

/// Name of the field or key that holds the metadata.
pub(super) const METADATA: &str = "metadata";

/// Fields for which the values of a record are gathered on the stack.
const STACK_FIELDS_MAX: usize = 16;

impl Plan {
    /// Appends the datum. On an error what was appended is meaningless.
    pub(super) fn write(
        &self,
        notification: &ChangeNotification<'_>,
        out: &mut Vec<u8>,
    ) -> Result<(), EncodeError> {
        match &self.root {
            Root::Record { record, metadata } => {
                let Node::Record(record) = self.node(*record) else { return Ok(()) };
                self.write_record_root(record, metadata.as_ref(), notification, out)
            }
            Root::Map { values, takes_null, metadata } => {
                self.write_map_root(*values, *takes_null, metadata.as_ref(), notification, out)
            }
        }
    }

    fn write_record_root(
        &self,
        record: &Record,
        metadata: Option<&(usize, Metadata)>,
        notification: &ChangeNotification<'_>,
        out: &mut Vec<u8>,
    ) -> Result<(), EncodeError> {
        let metadata_position = metadata.map(|(position, _)| *position);
        with_slots(record.fields.len(), |slots| {
            let mut next = 0;
            for bin in &notification.bins {
                let position = match record.position(bin.name, next) {
                    Some(position) if Some(position) != metadata_position => position,
                    Some(_) => return Err(hidden(bin)),
                    None => return Err(Misfit::new(NO_FIELD).at(bin_place(bin.name))),
                };
                next = position + 1;
                // A deleted bin is one that the record does not have.
                if bin.value != Value::Null || record.fields[position].takes_null {
                    slots[position] = Some(bin.value);
                }
            }
            for (position, (field, slot)) in record.fields.iter().zip(slots).enumerate() {
                match (slot, &field.absent) {
                    (Some(value), _) => self
                        .write_value(field.node, *value, out)
                        .map_err(|misfit| misfit.at(bin_place(field.name.as_bytes())))?,
                    (None, _) if Some(position) == metadata_position => {
                        if let Some((_, metadata)) = metadata {
                            self.write_metadata(metadata, notification, out)?;
                        }
                    }
                    (None, Some(absent)) => out.extend_from_slice(absent),
                    (None, None) => {
                        let problem = match notification.operation {
                            Operation::Write => {
                                "there is no such bin, and the field has neither a default nor null"
                            }
                            Operation::Delete | Operation::DurableDelete => {
                                "a delete has no bins, and the field has neither a default nor null"
                            }
                        };
                        return Err(Misfit::new(problem).at(field_place(&field.name)));
                    }
                }
            }
            Ok(())
        })
    }

    fn write_map_root(
        &self,
        values: NodeId,
        takes_null: bool,
        metadata: Option<&Metadata>,
        notification: &ChangeNotification<'_>,
        out: &mut Vec<u8>,
    ) -> Result<(), EncodeError> {
        let bins = || notification.bins.iter().filter(|bin| takes_null || bin.value != Value::Null);
        let count = bins().count() + usize::from(metadata.is_some());
        if count > 0 {
            write_len(count, out);
        }
        if let Some(metadata) = metadata {
            write_bytes(METADATA.as_bytes(), out);
            self.write_metadata(metadata, notification, out)?;
        }
        for bin in bins() {
            if metadata.is_some() && bin.name == METADATA.as_bytes() {
                return Err(hidden(bin));
            }
            write_text(bin.name, out);
            self.write_value(values, bin.value, out).map_err(|misfit| misfit.at(bin_place(bin.name)))?;
        }
        out.push(0);
        Ok(())
    }

    fn write_metadata(
        &self,
        metadata: &Metadata,
        notification: &ChangeNotification<'_>,
        out: &mut Vec<u8>,
    ) -> Result<(), EncodeError> {
        let Node::Record(record) = self.node(metadata.record) else { return Ok(()) };
        if let Some(branch) = metadata.branch {
            write_len(branch, out);
        }
        for (member, field) in metadata.members.iter().zip(&record.fields) {
            let value = member.and_then(|member| member.value(notification));
            match (value, &field.absent) {
                (Some(value), _) => self
                    .write_value(field.node, value, out)
                    .map_err(|misfit| misfit.at(metadata_place(&field.name)))?,
                (None, Some(absent)) => out.extend_from_slice(absent),
                (None, None) => {
                    let problem =
                        "the notification does not have it, and the field has neither a default nor null";
                    return Err(Misfit::new(problem).at(metadata_place(&field.name)));
                }
            }
        }
        Ok(())
    }

    /// Appends `value` as the type `id`.
    pub(super) fn write_value(&self, id: NodeId, value: Value<'_>, out: &mut Vec<u8>) -> Written {
        let id = match self.node(id) {
            Node::Union(union) => match self.write_branch(union, value, out) {
                Some(Chosen::Branch(id)) => id,
                Some(Chosen::Written) => return Ok(()),
                None => return Err(Misfit::new(self.problem(id, value))),
            },
            _ => id,
        };
        match (self.node(id), value) {
            (Node::Array(items), Value::List(list)) => self.write_list(*items, list, out),
            (Node::Map(values), Value::Map(map)) => self.write_map(*values, map, out),
            (Node::Record(record), Value::Map(map)) => self.write_record(record, map, out),
            (node, _) if node.write_scalar(value, out) => Ok(()),
            _ => Err(Misfit::new(self.problem(id, value))),
        }
    }

    /// Appends the index of the branch for `value`, if one may take it.
    fn write_branch(&self, union: &Union, value: Value<'_>, out: &mut Vec<u8>) -> Option<Chosen> {
        let takers = union.takers[Kind::of(&value) as usize].as_slice();
        let branch = match (takers, value) {
            ([], _) => return None,
            ([only], _) => only,
            (_, Value::Map(map)) => takers.iter().find(|branch| self.takes_keys(branch, map))?,
            _ => {
                let start = out.len();
                for branch in takers {
                    write_len(branch.index, out);
                    if self.node(branch.node).write_scalar(value, out) {
                        return Some(Chosen::Written);
                    }
                    out.truncate(start);
                }
                return None;
            }
        };
        write_len(branch.index, out);
        Some(Chosen::Branch(branch.node))
    }

    fn takes_keys(&self, branch: &Branch, map: Map<'_>) -> bool {
        match self.node(branch.node) {
            Node::Record(record) => record.takes_keys(map.iter().map(|(key, _)| key)),
            _ => true,
        }
    }

    fn write_list(&self, items: NodeId, list: List<'_>, out: &mut Vec<u8>) -> Written {
        let elements = list.iter();
        if elements.len() > 0 {
            write_len(elements.len(), out);
        }
        for (index, element) in elements.enumerate() {
            self.write_value(items, element, out).map_err(|misfit| misfit.within(Step::Element(index)))?;
        }
        out.push(0);
        Ok(())
    }

    fn write_map(&self, values: NodeId, map: Map<'_>, out: &mut Vec<u8>) -> Written {
        let entries = map.iter();
        if entries.len() > 0 {
            write_len(entries.len(), out);
        }
        for (index, (key, value)) in entries.enumerate() {
            self.write_key(key, out)
                .and_then(|()| self.write_value(values, value, out))
                .map_err(|misfit| misfit.within(Step::Entry(index)))?;
        }
        out.push(0);
        Ok(())
    }

    fn write_key(&self, key: Value<'_>, out: &mut Vec<u8>) -> Written {
        match key {
            Value::String(text) => write_text(text, out),
            Value::Integer(integer) if self.stringify_map_keys => {
                write_bytes(itoa::Buffer::new().format(integer).as_bytes(), out);
            }
            // Java's words for what is not a number, as in JSON.
            Value::Double(double) if self.stringify_map_keys => write_bytes(
                match double {
                    _ if double.is_nan() => b"NaN",
                    f64::INFINITY => b"Infinity",
                    f64::NEG_INFINITY => b"-Infinity",
                    _ => return write_finite_key(double, out),
                },
                out,
            ),
            Value::Integer(_) | Value::Double(_) => {
                return Err(Misfit::new("a map key is a number and stringify-map-keys is false"));
            }
            _ => return Err(Misfit::new("a map key is neither a string nor a number")),
        }
        Ok(())
    }

    /// A map as a record: each key has to be a field.
    fn write_record(&self, record: &Record, map: Map<'_>, out: &mut Vec<u8>) -> Written {
        with_slots(record.fields.len(), |slots| {
            let mut next = 0;
            for (index, (key, value)) in map.iter().enumerate() {
                let position = match key {
                    Value::String(key) => record.position(key, next),
                    _ => None,
                };
                let Some(position) = position else {
                    let problem = format!("the key of this entry is not a field of record {}", record.name);
                    return Err(Misfit::new(problem).within(Step::Entry(index)));
                };
                next = position + 1;
                slots[position] = Some(value);
            }
            for (field, slot) in record.fields.iter().zip(slots) {
                let written = match (slot, &field.absent) {
                    (Some(value), _) => self.write_value(field.node, *value, out),
                    (None, Some(absent)) => {
                        out.extend_from_slice(absent);
                        Ok(())
                    }
                    (None, None) => Err(Misfit::new(
                        "the map has no such key, and the field has neither a default nor null",
                    )),
                };
                written.map_err(|misfit| misfit.within(Step::Field(field.name.clone())))?;
            }
            Ok(())
        })
    }
}

/// What became of a value for a union.
enum Chosen {
    /// It comes next, as this type.
    Branch(NodeId),
    /// It was a scalar, and is written.
    Written,
}

impl Node {
    /// Appends `value` if it is a scalar that fits; says whether it did. Nothing is appended otherwise.
    fn write_scalar(&self, value: Value<'_>, out: &mut Vec<u8>) -> bool {
        match (self, value) {
            (Self::Null, Value::Null) => {}
            (Self::Boolean, Value::Boolean(boolean)) => out.push(boolean.into()),
            (Self::Int, Value::Integer(integer)) if i32::try_from(integer).is_ok() => {
                write_long(integer, out)
            }
            (Self::Long, Value::Integer(integer)) => write_long(integer, out),
            (Self::Double, Value::Integer(integer)) if (integer as f64) as i128 == integer.into() => {
                out.extend_from_slice(&(integer as f64).to_le_bytes());
            }
            (Self::Float, Value::Integer(integer)) if (integer as f32) as i128 == integer.into() => {
                out.extend_from_slice(&(integer as f32).to_le_bytes());
            }
            (Self::Double, Value::Double(double)) => out.extend_from_slice(&double.to_le_bytes()),
            (Self::Float, Value::Double(double)) if (double as f32).is_finite() || !double.is_finite() => {
                out.extend_from_slice(&(double as f32).to_le_bytes());
            }
            (Self::String, Value::String(text) | Value::GeoJson(text)) => write_text(text, out),
            (Self::Uuid, Value::String(text)) if is_uuid(text) => write_bytes(text, out),
            (Self::Enum { symbols, .. }, Value::String(text)) => match symbols.get(text) {
                Some(&position) => write_len(position, out),
                None => return false,
            },
            (Self::Bytes { least, most }, Value::Blob(_, bytes))
                if (*least..=*most).contains(&bytes.len()) =>
            {
                write_bytes(bytes, out);
            }
            (Self::Fixed { size, .. }, Value::Blob(_, bytes)) if bytes.len() == *size => {
                out.extend_from_slice(bytes);
            }
            _ => return false,
        }
        true
    }
}

/// Whether `text` is a UUID in the form with hyphens.
pub(super) fn is_uuid(text: &[u8]) -> bool {
    text.len() == 36
        && text.iter().enumerate().all(|(at, byte)| match at {
            8 | 13 | 18 | 23 => *byte == b'-',
            _ => byte.is_ascii_hexdigit(),
        })
}

const NO_FIELD: &str = "the schema has no field of this name";

fn hidden(bin: &Bin<'_>) -> EncodeError {
    Misfit::new("the schema keeps this name for the metadata").at(bin_place(bin.name))
}

fn write_finite_key(double: f64, out: &mut Vec<u8>) -> Written {
    write_bytes(ryu::Buffer::new().format_finite(double).as_bytes(), out);
    Ok(())
}

/// Calls `fill` with a slot for each of `count` fields, on the stack if there are few.
fn with_slots<'a, T>(count: usize, fill: impl FnOnce(&mut [Option<Value<'a>>]) -> T) -> T {
    if count <= STACK_FIELDS_MAX {
        fill(&mut [None; STACK_FIELDS_MAX][..count])
    } else {
        fill(&mut vec![None; count])
    }
}
