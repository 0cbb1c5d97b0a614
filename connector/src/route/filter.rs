//! Which records of a route are sent at all.

use crate::{
    config,
    notification::ChangeNotification,
    template::{Expression, Record, SyntaxError},
};

/// Keeps the records of which an expression is true.
#[derive(Debug)]
pub(super) struct Filter {
    expression: Expression,
}

impl Filter {
    pub(super) fn new(settings: &config::Filter) -> Result<Self, SyntaxError> {
        Ok(Self { expression: Expression::new(&settings.expression)? })
    }

    /// `None` when the expression cannot be worked out for this record.
    pub(super) fn keeps(&self, notification: &ChangeNotification<'_>) -> Option<bool> {
        let record = Record::new(notification, self.expression.wanted());
        self.expression.is_true(&record).ok()
    }
}
