//! Compression of header fields (RFC 7541). Pure.

pub(crate) use self::{
    decoder::Decoder,
    encoder::{Encoder, Remember},
};

mod decoder;
mod encoder;
mod huffman;
mod table;

#[cfg(test)]
use self::decoder::Unreadable;

#[cfg(test)]
mod tests;
