//! Who gets a record: always the same destinations, or those that a value of the record picks.

use std::{collections::HashMap, sync::Arc};

use crate::{
    config::RoutingKey,
    notification::{ChangeNotification, Value},
    template::{Expression, Record, Wanted},
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
    /// By expressions.
    Rules(Rules),
}

/// Destinations by the first rule that is true.
#[derive(Debug)]
pub(super) struct Rules {
    pub(super) rules: Vec<(Expression, Positions)>,
    pub(super) default: Positions,
    /// What any rule looks at.
    pub(super) wanted: Wanted,
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
        self.choices().into_iter().flat_map(|positions| positions.iter().copied())
    }

    /// Whether some record may go to more than one.
    pub(super) fn may_be_several(&self) -> bool {
        self.choices().into_iter().any(|positions| positions.len() > 1)
    }

    fn choices(&self) -> Vec<&Positions> {
        match self {
            Self::All(positions) => vec![positions],
            Self::By(table) => table.by_value.values().chain([&table.default]).collect(),
            Self::Rules(rules) => {
                rules.rules.iter().map(|(_, positions)| positions).chain([&rules.default]).collect()
            }
        }
    }

    /// Those of a record; whether they could be worked out.
    pub(super) fn of(&self, notification: &ChangeNotification<'_>) -> (&[usize], bool) {
        match self {
            Self::All(positions) => (positions, true),
            Self::By(table) => (table.of(notification), true),
            Self::Rules(rules) => rules.of(notification),
        }
    }
}

impl Rules {
    fn of(&self, notification: &ChangeNotification<'_>) -> (&[usize], bool) {
        let record = Record::new(notification, &self.wanted);
        for (when, positions) in &self.rules {
            match when.is_true(&record) {
                Ok(true) => return (positions, true),
                Ok(false) => {}
                // A later rule may be meant for what this one did not exclude.
                Err(_) => return (&self.default, false),
            }
        }
        (&self.default, true)
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
