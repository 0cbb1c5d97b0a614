//! Particle bytes to values.

/// A list, still in its wire form.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct List<'a> {
    bytes: &'a [u8],
}

/// A map, still in its wire form.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Map<'a> {
    bytes: &'a [u8],
}
