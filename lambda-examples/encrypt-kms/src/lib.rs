//! Envelope encryption of bins: each is encrypted with a data key, and the data key, encrypted by KMS, goes with it.

mod data_key;
mod sealed;

pub use self::{
    data_key::{DataKey, DataKeys},
    sealed::{open, seal},
};
