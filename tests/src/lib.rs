//! Harness of the end-to-end tests.
//!
//! XDR on one side ([`XdrClient`]), HTTP on the other ([`Receiver`]), a real connector in between ([`Connector`]).
//! Nothing here decides anything by waiting a fixed time: a test waits for what it wants to see, within [`WITHIN`].
#![allow(clippy::unwrap_used, reason = "a harness fails by panicking, as tests do")]

use std::{path::PathBuf, time::Duration};

pub mod chains;
mod connector;
pub mod fixtures;
pub mod poison;
mod receiver;
mod xdr_client;

pub use self::{
    connector::Connector,
    receiver::{Receiver, Request},
    xdr_client::{Ack, XdrClient, delete, info_request, version, write},
};

/// How long a test waits for what must happen before it fails. Generous: the machine may be busy.
pub const WITHIN: Duration = Duration::from_secs(60);

/// The top of the repository.
pub fn repository() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/..")).canonicalize().unwrap()
}
