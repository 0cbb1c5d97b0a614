//! A notification as templates see it. Only what a template looks at is made for it.

use std::{collections::BTreeSet, sync::Arc};

use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use minijinja::{
    Value,
    value::{Enumerator, Object},
};

use super::values::{self, Walked};
use crate::{
    dead_letter::rfc3339,
    notification::{ChangeNotification, Expiry, Operation},
};

/// What templates look at. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Record {
    fields: Arc<Fields>,
    walked: Walked,
}

/// Which fields and bins are looked at.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Wanted {
    fields: BTreeSet<&'static str>,
    bins: Bins,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Bins {
    These(BTreeSet<String>),
    /// By names that only show at run time.
    All,
}

impl Default for Bins {
    fn default() -> Self {
        Self::These(BTreeSet::new())
    }
}

/// A map with keys in a fixed order.
#[derive(Debug)]
struct Fields(Vec<(Arc<str>, Value)>);

const BINS: &str = "bins";

type Make = fn(&ChangeNotification<'_>) -> Value;

/// The fields, and how each is made.
const FIELDS: [(&str, Make); 13] = [
    ("namespace", |n| values::text(n.namespace)),
    ("set", |n| n.set.map_or_else(none, values::text)),
    ("key", |n| n.user_key.map_or_else(none, |key| values::value(key, &Walked::default()))),
    ("digest", |n| Value::from(STANDARD.encode(n.digest.0))),
    ("digest_b64url", |n| Value::from(URL_SAFE_NO_PAD.encode(n.digest.0))),
    ("digest_hex", |n| Value::from(n.digest.to_string())),
    ("operation", |n| Value::from(if n.operation == Operation::Write { "write" } else { "delete" })),
    ("durable", |n| Value::from(n.operation == Operation::DurableDelete)),
    ("generation", |n| Value::from(n.generation)),
    ("lut_unix_ms", |n| Value::from(n.lut_unix_ms)),
    ("lut", |n| Value::from(n.lut_unix_ms.map(rfc3339))),
    ("expiry", |n| match n.expiry {
        Expiry::Unknown => Value::from(()),
        Expiry::Never => Value::from(0),
        Expiry::At(seconds) => Value::from(seconds),
    }),
    ("id", |n| Value::from(n.event_id())),
];

fn none() -> Value {
    Value::from(())
}

/// The names a template may use, in words.
pub(super) fn names() -> String {
    let fields = FIELDS.iter().map(|(name, _)| format!("`{name}`"));
    fields.chain(["`bins`".to_owned()]).collect::<Vec<_>>().join(", ")
}

impl Wanted {
    /// What the names of a template ask for, such as `set` and `bins.amount`; the name that does not exist otherwise.
    pub(super) fn new(names: &BTreeSet<String>) -> Result<Self, String> {
        let mut wanted = Self::default();
        for name in names {
            let mut parts = name.split('.');
            let first = parts.next().unwrap_or_default();
            if first == BINS {
                wanted.bins = match (wanted.bins, parts.next()) {
                    (Bins::These(mut bins), Some(bin)) => {
                        bins.insert(bin.to_owned());
                        Bins::These(bins)
                    }
                    _ => Bins::All,
                };
                continue;
            }
            let known = FIELDS.iter().find(|(field, _)| *field == first).ok_or_else(|| first.to_owned())?;
            wanted.fields.insert(known.0);
        }
        Ok(wanted)
    }

    pub(super) fn is_nothing(&self) -> bool {
        *self == Self::default()
    }

    /// What either looks at.
    pub(crate) fn and(self, other: &Self) -> Self {
        let bins = match (self.bins, &other.bins) {
            (Bins::These(bins), Bins::These(others)) => Bins::These(&bins | others),
            _ => Bins::All,
        };
        Self { fields: &self.fields | &other.fields, bins }
    }
}

impl Record {
    /// No record at all, for what needs none.
    pub(super) fn none() -> Self {
        Self { fields: Arc::new(Fields(Vec::new())), walked: Walked::default() }
    }

    /// What is `wanted` of a notification.
    pub(crate) fn new(notification: &ChangeNotification<'_>, wanted: &Wanted) -> Self {
        let fields = FIELDS.iter().filter(|(name, _)| wanted.fields.contains(name));
        let mut fields: Vec<_> =
            fields.map(|(name, value)| (Arc::from(*name), value(notification))).collect();
        let is_wanted = |name: &str| match &wanted.bins {
            Bins::All => true,
            Bins::These(names) => names.contains(name),
        };
        let (mut bins, walked) = (Vec::new(), Walked::default());
        for bin in &notification.bins {
            let name = String::from_utf8_lossy(bin.name);
            if is_wanted(&name) {
                bins.push((Arc::from(name), values::value(bin.value, &walked)));
            }
        }
        fields.push((Arc::from(BINS), Value::from_object(Fields(bins))));
        Self { fields: Arc::new(Fields(fields)), walked }
    }

    pub(super) fn into_value(self) -> Value {
        Value::from_dyn_object(self.fields)
    }

    pub(super) fn walked(&self) -> &Walked {
        &self.walked
    }
}

impl Object for Fields {
    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        self.get_value_by_str(key.as_str()?)
    }

    fn get_value_by_str(self: &Arc<Self>, key: &str) -> Option<Value> {
        self.0.iter().find(|(name, _)| **name == *key).map(|(_, value)| value.clone())
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        Enumerator::Values(self.0.iter().map(|(name, _)| Value::from(Arc::clone(name))).collect())
    }

    fn enumerator_len(self: &Arc<Self>) -> Option<usize> {
        Some(self.0.len())
    }
}
