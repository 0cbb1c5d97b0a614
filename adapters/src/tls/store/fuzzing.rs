//! The door of the fuzz targets to key stores.

use super::{entries, jks};

/// A store, opened by this password, and what stands in it behind the digest that nobody can guess.
pub fn store(bytes: &[u8], password: &str) {
    let behind = bytes.strip_prefix(&jks::MAGIC).map(jks::parse).into_iter();
    for found in behind.chain([entries(bytes, password)]).flatten() {
        for key in &found.keys {
            let _ = key.open(password);
        }
    }
}
