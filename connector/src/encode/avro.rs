//! The `avro` format: a datum by the user's schema, bare, as a single-object message, or for an object
//! container file.
//!
//! `apache-avro` parses the schema and judges it. From then on a plan compiled from the schema writes the
//! datum straight from the wire bytes: the same bytes that `apache-avro` writes for the same values.
//!
//! The vendor's documentation names the members of the metadata and says that the schema is a map or a
//! record. Where the metadata stands, and how a value finds its type, is our choice, after what is known of
//! the vendor's sample schema:
//!
//! - A *record* schema has a field for each bin, matched by exact name, and a field `metadata`. A bin
//!   without a field is refused. A field without a bin is written as its default, else as null, else the
//!   record is refused. A deleted bin is null, or counts as missing if the field does not take null. Without
//!   a field `metadata` no metadata is written.
//! - A *map* schema holds the bins by name. If its values can be a metadata record, that stands under the
//!   key `metadata`. A deleted bin is null, or is left out if the values do not take null.
//! - A *metadata record* is a record, whatever its name, with any of the fields `namespace`, `set`,
//!   `userKey`, `digest`, `msg`, `gen`, `lut`, `exp` and `durable`; other fields need a default or null. In
//!   a union it is the first such record. A member that the notification does not have is written as the
//!   default, else as null, else the record is refused. Beside it no bin can be called `metadata`.
//! - Integers go to `long`, to `int` in its range, and to `double` and `float` if these hold them exactly.
//!   Doubles go to `double`, and rounded to `float`, because that is what the schema asks for; never to
//!   integers. Booleans go to `boolean`.
//! - Strings go to `string`, to an `enum` that has the symbol, and to `uuid`. What is not UTF-8 becomes
//!   U+FFFD, as in JSON. GeoJSON goes to `string`.
//! - Blobs of all languages and HyperLogLogs go to `bytes`, and to a `fixed` of their size.
//! - Lists go to `array`. Maps go to `map`, where numeric keys become strings with `stringify-map-keys` and
//!   other keys are refused, or to a `record` whose fields are the keys.
//! - In a union an integer prefers `long`, then `int`, `double`, `float`; a double prefers `double`; all
//!   else takes the first branch that it fits. Of a map only the keys are looked at, so a choice never has
//!   to be undone.
//! - A logical type is written as the type it annotates and the number is not converted: `lut` is
//!   milliseconds, `exp` seconds. `duration` and `big-decimal` are refused when the schema is loaded.

use std::sync::Arc;

use super::{EncodeError, FormatError};
use crate::{config::AvroEncoding, notification::ChangeNotification};

mod compile;
mod container;
mod default;
mod describe;
mod fingerprint;
mod metadata;
mod misfit;
mod plan;
mod primitive;
mod write;

use self::plan::Plan;

pub(super) use self::container::Container;

/// Writes notifications by one schema.
#[derive(Clone, Debug)]
pub(super) struct Avro {
    plan: Arc<Plan>,
    /// What stands before each datum.
    prefix: Option<[u8; 10]>,
    container: Option<Container>,
}

impl Avro {
    /// Compiles `schema`.
    pub(super) fn new(
        schema: &str,
        stringify_map_keys: bool,
        encoding: AvroEncoding,
    ) -> Result<Self, FormatError> {
        let parsed = compile::parse(schema)?;
        let plan = Arc::new(compile::compile(&parsed, stringify_map_keys)?);
        let (prefix, container) = match encoding {
            AvroEncoding::Raw => (None, None),
            AvroEncoding::SingleObject => (Some(fingerprint::single_object_prefix(&parsed)), None),
            AvroEncoding::Ocf => (None, Some(Container::new(schema))),
        };
        Ok(Self { plan, prefix, container })
    }

    /// Appends one piece: the datum, or the single-object message. What an error leaves behind means nothing.
    pub(super) fn write(
        &self,
        notification: &ChangeNotification<'_>,
        out: &mut Vec<u8>,
    ) -> Result<(), EncodeError> {
        if let Some(prefix) = &self.prefix {
            out.extend_from_slice(prefix);
        }
        self.plan.write(notification, out)
    }

    /// What puts pieces into an object container file; `None` for the other encodings.
    pub(super) fn container(&self) -> Option<&Container> {
        self.container.as_ref()
    }
}

#[cfg(test)]
mod tests;
