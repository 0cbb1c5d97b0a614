//! Values of bins as templates see them. Lists and maps stay in their wire form and are walked when a template looks inside.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use minijinja::{
    Error, ErrorKind, Value,
    value::{Enumerator, Object, ObjectRepr},
};

use crate::{
    config::JsonRules,
    encode::write_json_value,
    notification::Value as Wire,
    wire::value::{Elements, List, Map},
};

/// A list, a map, bytes or GeoJSON of a bin.
#[derive(Debug)]
pub(super) struct Foreign {
    kind: Kind,
    bytes: Bytes,
    walked: Walked,
}

#[derive(Clone, Copy, Debug)]
enum Kind {
    List,
    Map,
    /// Of this particle type.
    Blob(u8),
    GeoJson,
}

/// How many bytes of lists and maps were walked for a record. An element is found by walking to it, which the engine's own
/// budget does not see.
#[derive(Clone, Debug, Default)]
pub(super) struct Walked(Arc<AtomicUsize>);

/// Most of them: a tenth of a second or so.
const WALKED_BYTES_MAX: usize = 64 << 20;

impl Walked {
    /// Counts `bytes`; the error that ends the template after too many.
    fn add(&self, bytes: usize) -> Result<(), Error> {
        // Each element counts for a little, however small it is.
        let before = self.0.fetch_add(bytes.saturating_add(16), Ordering::Relaxed);
        if before > WALKED_BYTES_MAX { Err(Error::from(ErrorKind::OutOfFuel)) } else { Ok(()) }
    }

    /// Ends the template with an error, where there is no other way to say that there is one.
    fn fail(&self) {
        self.0.store(WALKED_BYTES_MAX + 1, Ordering::Relaxed);
    }

    /// Whether anything of that kind happened.
    pub(super) fn check(&self) -> Result<(), Error> {
        let failed = self.0.load(Ordering::Relaxed) > WALKED_BYTES_MAX;
        if failed { Err(Error::from(ErrorKind::OutOfFuel)) } else { Ok(()) }
    }
}

/// Text from the wire. What is not UTF-8 becomes U+FFFD.
pub(super) fn text(bytes: &[u8]) -> Value {
    Value::from(String::from_utf8_lossy(bytes))
}

/// A value from the wire.
pub(super) fn value(wire: Wire<'_>, walked: &Walked) -> Value {
    let foreign = |kind, bytes| {
        Value::from_object(Foreign { kind, bytes: Bytes::copy_from_slice(bytes), walked: walked.clone() })
    };
    match wire {
        Wire::Null => Value::from(()),
        Wire::Integer(number) => Value::from(number),
        Wire::Double(number) => Value::from(number),
        Wire::Boolean(boolean) => Value::from(boolean),
        Wire::String(bytes) => text(bytes),
        Wire::Blob(kind, bytes) => foreign(Kind::Blob(kind), bytes),
        Wire::GeoJson(bytes) => foreign(Kind::GeoJson, bytes),
        Wire::List(list) => foreign(Kind::List, list.bytes()),
        Wire::Map(map) => foreign(Kind::Map, map.bytes()),
    }
}

impl Foreign {
    /// Its bytes, if they are that.
    pub(super) fn as_blob(&self) -> Option<&[u8]> {
        matches!(self.kind, Kind::Blob(_)).then_some(&*self.bytes)
    }

    /// Its pairs, if it is a map.
    pub(super) fn pairs(&self) -> Option<impl Iterator<Item = (Value, Value)>> {
        let Wire::Map(map) = self.wire() else { return None };
        Some(map.iter().map(|(key, wire)| (value(key, &self.walked), value(wire, &self.walked))))
    }

    fn wire(&self) -> Wire<'_> {
        match self.kind {
            Kind::List => Wire::List(List::from_checked(&self.bytes)),
            Kind::Map => Wire::Map(Map::from_checked(&self.bytes)),
            Kind::Blob(kind) => Wire::Blob(kind, &self.bytes),
            Kind::GeoJson => Wire::GeoJson(&self.bytes),
        }
    }

    /// What ends the template when too much has been walked, up to where `elements` are.
    fn walked(&self, elements: &Elements<'_>, passed: usize) -> Option<Value> {
        let bytes = self.bytes.len().saturating_sub(elements.rest().0.len()).saturating_add(passed * 16);
        self.walked.add(bytes).err().map(Value::from)
    }

    /// As the JSON formats write it.
    pub(super) fn write_json(&self, out: &mut Vec<u8>) -> Result<(), &'static str> {
        write_json_value(self.wire(), JsonRules::default(), out)
    }
}

impl Object for Foreign {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        match self.kind {
            Kind::List => ObjectRepr::Seq,
            Kind::Map => ObjectRepr::Map,
            Kind::Blob(_) | Kind::GeoJson => ObjectRepr::Plain,
        }
    }

    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        match self.wire() {
            Wire::List(list) => {
                let index = key.as_usize()?;
                let mut elements = list.iter();
                let found = elements.nth(index);
                self.walked(&elements, index).or_else(|| found.map(|wire| value(wire, &self.walked)))
            }
            Wire::Map(map) => {
                let is_meant = |name: &Wire<'_>| match name {
                    Wire::String(bytes) => key.as_str().is_some_and(|key| key.as_bytes() == *bytes),
                    Wire::Integer(number) => key.is_integer() && key.as_i64() == Some(*number),
                    _ => false,
                };
                let mut pairs = map.iter();
                let mut passed = 0;
                let found = pairs.by_ref().find(|(name, _)| {
                    passed += 1;
                    is_meant(name)
                });
                let found = found.map(|(_, wire)| value(wire, &self.walked));
                self.walked(&pairs.elements(), passed).or(found)
            }
            _ => None,
        }
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        let walk = |elements: Elements<'_>| Walk {
            rest: self.bytes.slice_ref(elements.rest().0),
            left: elements.rest().1,
            walked: self.walked.clone(),
        };
        match self.wire() {
            Wire::List(list) => Enumerator::Iter(Box::new(walk(list.iter()))),
            Wire::Map(map) => Enumerator::Iter(Box::new(walk(map.iter().elements()).step_by(2))),
            _ => Enumerator::NonEnumerable,
        }
    }

    fn enumerator_len(self: &Arc<Self>) -> Option<usize> {
        match self.wire() {
            Wire::List(list) => Some(list.len()),
            Wire::Map(map) => Some(map.len()),
            Wire::Blob(_, bytes) | Wire::GeoJson(bytes) => Some(bytes.len()),
            _ => None,
        }
    }

    fn render(self: &Arc<Self>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(bytes) = self.as_blob() {
            return f.write_str(&STANDARD.encode(bytes));
        }
        // Nothing can fail here; what is wrong shows when the template ends.
        let mut json = Vec::new();
        if self.walked.add(self.bytes.len()).is_err() || self.write_json(&mut json).is_err() {
            self.walked.fail();
            return Ok(());
        }
        f.write_str(&String::from_utf8_lossy(&json))
    }
}

/// The elements that are left of a list, or the keys and values of a map.
struct Walk {
    rest: Bytes,
    left: usize,
    walked: Walked,
}

impl Iterator for Walk {
    type Item = Value;

    fn next(&mut self) -> Option<Value> {
        let mut elements = Elements::resume((&self.rest, self.left));
        let found = elements.next()?;
        let (rest, left) = elements.rest();
        if let Err(error) = self.walked.add(self.rest.len() - rest.len()) {
            self.left = 0;
            return Some(Value::from(error));
        }
        let found = value(found, &self.walked);
        (self.rest, self.left) = (self.rest.slice_ref(rest), left);
        Some(found)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}
