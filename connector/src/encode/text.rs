//! Text from the wire as UTF-8, which neither the protocol nor the server promises.

use std::borrow::Cow;

/// The bytes of `text` as UTF-8. What is not UTF-8 becomes U+FFFD: the record still arrives.
pub(super) fn utf8(text: &[u8]) -> Cow<'_, [u8]> {
    // `from_utf8_lossy` looks at every single byte; nearly all text needs no such care.
    if text.is_ascii() || str::from_utf8(text).is_ok() {
        return Cow::Borrowed(text);
    }
    Cow::Owned(String::from_utf8_lossy(text).into_owned().into_bytes())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn it_is_what_the_standard_library_makes_of_it(text in any::<Vec<u8>>(), valid in any::<String>()) {
            prop_assert_eq!(utf8(&text).into_owned(), String::from_utf8_lossy(&text).into_owned().into_bytes());
            prop_assert_eq!(utf8(valid.as_bytes()), Cow::Borrowed(valid.as_bytes()));
        }
    }
}
