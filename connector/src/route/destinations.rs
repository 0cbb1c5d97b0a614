//! Who gets a record: always the same destinations, or those that a value of the record picks.

use std::{collections::HashMap, sync::Arc};

use crate::{
    config::RoutingKey,
    notification::{ChangeNotification, Value},
    transform::NameTransforms,
};

/// Positions of destinations in [`super::Router::destinations`].
pub(super) type Positions = Arc<[usize]>;

/// Who gets a record.
#[derive(Debug)]
pub(super) enum Destinations {
    /// Always these.
    All(Positions),
    /// By a value.
    By(Table),
}

/// Destinations by the text of a value.
#[derive(Debug)]
pub(super) struct Table {
    pub(super) key: RoutingKey,
    /// Applied to the value before it is looked up.
    pub(super) transforms: NameTransforms,
    pub(super) by_value: HashMap<String, Positions>,
    pub(super) default: Positions,
}

impl Destinations {
    /// All who may get a record.
    pub(super) fn every(&self) -> impl Iterator<Item = usize> {
        let (always, by_value) = match self {
            Self::All(positions) => (positions, None),
            Self::By(table) => (&table.default, Some(table.by_value.values())),
        };
        always.iter().chain(by_value.into_iter().flatten().flat_map(|positions| positions.iter())).copied()
    }

    /// Whether some record may go to more than one.
    pub(super) fn may_be_several(&self) -> bool {
        match self {
            Self::All(positions) => positions.len() > 1,
            Self::By(table) => {
                table.default.len() > 1 || table.by_value.values().any(|positions| positions.len() > 1)
            }
        }
    }

    pub(super) fn of(&self, notification: &ChangeNotification<'_>) -> &[usize] {
        match self {
            Self::All(positions) => positions,
            Self::By(table) => table.of(notification),
        }
    }
}

impl Table {
    fn of(&self, notification: &ChangeNotification<'_>) -> &[usize] {
        match &self.key {
            RoutingKey::Namespace => self.at(notification.namespace),
            RoutingKey::Set => notification.set.map_or(&self.default, |set| self.at(set)),
            RoutingKey::Bin(name) => {
                let bin = notification.bins.iter().find(|bin| bin.name == name.as_bytes());
                match bin.map(|bin| bin.value) {
                    Some(Value::String(text)) => self.at(text),
                    Some(Value::Integer(number)) => self.at(itoa::Buffer::new().format(number).as_bytes()),
                    Some(Value::Boolean(true)) => self.at(b"true"),
                    Some(Value::Boolean(false)) => self.at(b"false"),
                    // No text stands for the others, and a delete has no bins.
                    _ => &self.default,
                }
            }
        }
    }

    fn at(&self, value: &[u8]) -> &Positions {
        let Ok(text) = str::from_utf8(value) else { return &self.default };
        self.by_value.get(&*self.transforms.apply(text)).unwrap_or(&self.default)
    }
}
