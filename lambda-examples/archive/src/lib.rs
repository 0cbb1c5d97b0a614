//! What an archive of change notifications looks like, wherever it is kept: which records go into one object, what it is called,
//! and what is in it. The invariant: the name of an object is a function of its content. Pure.

mod object;
mod partition;

pub use self::{
    object::{GZIP, gzip, lines, path},
    partition::partitions,
};
