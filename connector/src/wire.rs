//! The XDR connector wire protocol: bytes in, meaning out, and back.
//!
//! Pure code: no I/O, no clock, no randomness, and no copy of a value that is only passed on. A frame that
//! makes no sense ends its connection ([`frame::FrameError`]); a message that makes no sense inside a sound
//! frame is refused alone ([`message::MessageError`]). Nothing here trusts a length before the bytes it
//! promises are there.

pub mod ack;
pub mod frame;
pub mod info;
pub mod message;
pub mod security;
pub mod value;

/// Milliseconds from the Unix epoch to 2010-01-01, where Aerospike counts time from.
pub const CL_EPOCH_UNIX_MS: u64 = 1_262_304_000_000;
