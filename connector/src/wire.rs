//! The XDR connector wire protocol: bytes in, meaning out, and back. Pure code, no I/O.

pub mod value;
