//! Why nothing was confirmed.

use std::io::{self, ErrorKind};

use crate::Class;

/// Why lines are not on disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Fault {
    pub(super) class: Class,
    /// For the log: what was tried, where, and what the system said. Never content.
    pub(super) text: String,
}

impl Fault {
    /// `what` was tried, and the system said `error`.
    pub(super) fn new(what: &str, error: &io::Error) -> Self {
        Self { class: class(error.kind()), text: format!("{what}: {error}") }
    }

    /// Something that an operator has to settle.
    pub(super) fn held(text: String) -> Self {
        Self { class: Class::Hold, text }
    }

    /// Something that may well be over at the next attempt.
    pub(super) fn passing(text: String) -> Self {
        Self { class: Class::Transient, text }
    }

    /// The thread that writes has ended, or the target is going away.
    pub(super) fn ended() -> Self {
        Self::passing("the thread that writes has ended".to_owned())
    }
}

/// Nobody but an operator changes a permission or what a path leads to; space comes back by itself.
fn class(kind: ErrorKind) -> Class {
    match kind {
        ErrorKind::PermissionDenied
        | ErrorKind::ReadOnlyFilesystem
        | ErrorKind::NotADirectory
        | ErrorKind::IsADirectory
        | ErrorKind::InvalidFilename => Class::Hold,
        _ => Class::Transient,
    }
}
