//! What stands for a field without a value: its default, encoded once, or null.
//!
//! Encoded here and not by `apache-avro` 0.22, which takes a default for bytes as UTF-8 where the
//! specification has one byte for each code point, does not check the length of one for a `fixed`, and takes
//! any default of a union that starts with null for null. A test compares the rest.

use serde_json::Value as Json;

use super::{
    super::FormatError,
    compile::{Compiler, problem},
    plan::{Node, NodeId},
    primitive::{write_bytes, write_len, write_long},
    write::is_uuid,
};

/// Deepest nesting of a default; deeper ones come from defaults that contain themselves.
const DEPTH_MAX: usize = 64;

type Encoded = Result<(), String>;

impl Compiler<'_> {
    /// Fills in what every field of every record is written as when there is no value.
    pub(super) fn fill_absent(&mut self) -> Result<(), FormatError> {
        for at in 0..self.nodes.len() {
            let Node::Record(record) = &self.nodes[at] else { continue };
            let absent = (record.fields.iter().enumerate())
                .map(|(position, field)| {
                    let null = self.null(field.node);
                    let Some(json) = self.defaults.get(&(at, position)) else {
                        return Ok((null.clone(), null));
                    };
                    let mut default = Vec::new();
                    self.encode(field.node, json, DEPTH_MAX, &mut default).map_err(|why| {
                        problem(format!("default of field {:?} of record {}: {why}", field.name, record.name))
                    })?;
                    Ok((Some(default), null))
                })
                .collect::<Result<Vec<_>, FormatError>>()?;
            let Node::Record(record) = &mut self.nodes[at] else { continue };
            for (field, (absent, null)) in record.fields.iter_mut().zip(absent) {
                field.absent = absent.map(Vec::into_boxed_slice);
                field.takes_null = null.is_some();
            }
        }
        Ok(())
    }

    /// A null, where the type takes one.
    fn null(&self, id: NodeId) -> Option<Vec<u8>> {
        let mut out = Vec::new();
        self.encode(id, &Json::Null, DEPTH_MAX, &mut out).ok().map(|()| out)
    }

    /// Appends `json` as the type `id`.
    fn encode(&self, id: NodeId, json: &Json, depth_left: usize, out: &mut Vec<u8>) -> Encoded {
        let depth_left = depth_left.checked_sub(1).ok_or("it is nested too deeply, or contains itself")?;
        match (&self.nodes[id.0], json) {
            (Node::Null, Json::Null) => {}
            (Node::Boolean, Json::Bool(boolean)) => out.push((*boolean).into()),
            (Node::Int, Json::Number(_)) => {
                let int = json.as_i64().filter(|number| i32::try_from(*number).is_ok());
                write_long(int.ok_or("expected an integer in the range of int")?, out);
            }
            (Node::Long, Json::Number(_)) => {
                write_long(json.as_i64().ok_or("expected an integer in the range of long")?, out);
            }
            (Node::Float, _) => out.extend_from_slice(&(number(json)? as f32).to_le_bytes()),
            (Node::Double, _) => out.extend_from_slice(&number(json)?.to_le_bytes()),
            (Node::Bytes { least, most }, Json::String(text)) => {
                let bytes = code_points(text)?;
                if !(*least..=*most).contains(&bytes.len()) {
                    return Err(format!("{} bytes do not fit the logical type", bytes.len()));
                }
                write_bytes(&bytes, out);
            }
            (Node::Fixed { size, .. }, Json::String(text)) => {
                let bytes = code_points(text)?;
                if bytes.len() != *size {
                    return Err(format!("expected {size} bytes, found {}", bytes.len()));
                }
                out.extend_from_slice(&bytes);
            }
            (Node::String, Json::String(text)) => write_bytes(text.as_bytes(), out),
            (Node::Uuid, Json::String(text)) if is_uuid(text.as_bytes()) => write_bytes(text.as_bytes(), out),
            (Node::Enum { symbols, .. }, Json::String(text)) => {
                let position = symbols.get(text.as_bytes()).ok_or("it is not a symbol of the enum")?;
                write_len(*position, out);
            }
            (Node::Array(items), Json::Array(elements)) => {
                if !elements.is_empty() {
                    write_len(elements.len(), out);
                }
                elements.iter().try_for_each(|element| self.encode(*items, element, depth_left, out))?;
                out.push(0);
            }
            (Node::Map(values), Json::Object(entries)) => {
                if !entries.is_empty() {
                    write_len(entries.len(), out);
                }
                for (key, value) in entries {
                    write_bytes(key.as_bytes(), out);
                    self.encode(*values, value, depth_left, out)?;
                }
                out.push(0);
            }
            (Node::Record(record), Json::Object(entries)) => {
                for (position, field) in record.fields.iter().enumerate() {
                    let value =
                        entries.get(&field.name).or_else(|| self.defaults.get(&(id.0, position)).copied());
                    let value = value.ok_or_else(|| format!("field {:?} is missing", field.name))?;
                    self.encode(field.node, value, depth_left, out)?;
                }
            }
            (Node::Union(union), _) => {
                let start = out.len();
                for branch in &union.branches {
                    write_len(branch.index, out);
                    if self.encode(branch.node, json, depth_left, out).is_ok() {
                        return Ok(());
                    }
                    out.truncate(start);
                }
                return Err("it fits no branch of the union".to_owned());
            }
            _ => return Err("it does not fit the type".to_owned()),
        }
        Ok(())
    }
}

/// A number, or one of the words for what JSON has no number for.
fn number(json: &Json) -> Result<f64, &'static str> {
    match json {
        Json::Number(number) => number.as_f64(),
        Json::String(text) => match text.as_str() {
            "NaN" => Some(f64::NAN),
            "INF" | "Infinity" => Some(f64::INFINITY),
            "-INF" | "-Infinity" => Some(f64::NEG_INFINITY),
            _ => None,
        },
        _ => None,
    }
    .ok_or("expected a number")
}

/// The specification's form of bytes in JSON: a code point up to 255 for each byte.
fn code_points(text: &str) -> Result<Vec<u8>, &'static str> {
    text.chars()
        .map(|code_point| u8::try_from(u32::from(code_point)))
        .collect::<Result<_, _>>()
        .map_err(|_| "bytes are written as code points up to U+00FF")
}
