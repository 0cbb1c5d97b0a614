//! Where in a record something does not fit the schema, and why. Never tells a value.

use std::{borrow::Cow, fmt::Write as _};

use super::super::EncodeError;

/// Result of writing a part of a datum. The error is boxed to keep the way of the records that fit narrow.
pub(super) type Written = Result<(), Box<Misfit>>;

/// A value that does not fit, with the way to it.
#[derive(Debug)]
pub(super) struct Misfit {
    problem: Cow<'static, str>,
    /// From the inside out.
    steps: Vec<Step>,
}

/// One step into a value. A map key is data of the record, so an entry is told by its position.
#[derive(Debug)]
pub(super) enum Step {
    /// Position in a list, from 0.
    Element(usize),
    /// Position in a map, from 0.
    Entry(usize),
    /// Field of a record, by its name in the schema.
    Field(String),
}

/// Steps that are told; deeper ones do not help anyone.
const STEPS_TOLD_MAX: usize = 8;

impl Misfit {
    pub(super) fn new(problem: impl Into<Cow<'static, str>>) -> Box<Self> {
        Box::new(Self { problem: problem.into(), steps: Vec::new() })
    }

    /// The same, seen from one level further out.
    pub(super) fn within(mut self: Box<Self>, step: Step) -> Box<Self> {
        self.steps.push(step);
        self
    }

    /// The error for a record in which this happened in `place`.
    pub(super) fn at(self, mut place: String) -> EncodeError {
        let told = self.steps.iter().rev().take(STEPS_TOLD_MAX);
        for step in told {
            // Writing to a string cannot fail.
            let _ = match step {
                Step::Element(index) => write!(place, ", element {index}"),
                Step::Entry(index) => write!(place, ", entry {index}"),
                Step::Field(name) => write!(place, ", field {name:?}"),
            };
        }
        if self.steps.len() > STEPS_TOLD_MAX {
            place.push_str(", deeper");
        }
        EncodeError { place, problem: self.problem }
    }
}

/// Names a bin.
pub(super) fn bin_place(name: &[u8]) -> String {
    format!("bin {:?}", String::from_utf8_lossy(name))
}

/// Names a field of the schema.
pub(super) fn field_place(name: &str) -> String {
    format!("field {name:?}")
}

/// Names a field of the metadata record.
pub(super) fn metadata_place(name: &str) -> String {
    format!("field \"metadata.{name}\"")
}
