//! What a JSON web token says of itself. Pure; nothing is verified: that is its receiver's business.

use std::time::Duration;

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use serde::Deserialize;

/// The claims that matter to whoever sends the token.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Claims {
    exp: Option<serde_json::Number>,
    email: Option<String>,
    sub: Option<String>,
}

impl Claims {
    /// When it ends, since 1970.
    pub(super) fn expiry(&self) -> Option<Duration> {
        let seconds = self.exp.as_ref()?.as_f64().filter(|seconds| (0.0..1e11).contains(seconds))?;
        Duration::try_from_secs_f64(seconds).ok()
    }

    /// Whom it names.
    pub(super) fn subject(self) -> Option<String> {
        self.email.or(self.sub)
    }
}

/// `None` for a token of another kind.
pub(super) fn claims(token: &str) -> Option<Claims> {
    let mut parts = token.split('.');
    let (Some(_), Some(claims), Some(_), None) = (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return None;
    };
    let claims = BASE64_URL_SAFE_NO_PAD.decode(claims.trim_end_matches('=')).ok()?;
    serde_json::from_slice(&claims).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(claims: &str) -> String {
        format!("eyJhbGciOiJSUzI1NiJ9.{}.c2ln", BASE64_URL_SAFE_NO_PAD.encode(claims))
    }

    #[test]
    fn the_end_is_read_and_who_it_is() {
        let end = |claims: &str| super::claims(&token(claims)).unwrap().expiry().map(|end| end.as_millis());
        assert_eq!(end(r#"{"exp": 1795333500, "aud": ["a", "b"]}"#), Some(1_795_333_500_000));
        assert_eq!(end(r#"{"exp": 1.5}"#), Some(1500));
        for strange in [r#"{}"#, r#"{"exp": -1}"#, r#"{"exp": 1e300}"#, r#"{"exp": null}"#] {
            assert_eq!(end(strange), None, "{strange}");
        }
        let subject = |claims: &str| super::claims(&token(claims)).unwrap().subject();
        assert_eq!(subject(r#"{"sub": "123", "email": "a@b"}"#).unwrap(), "a@b");
        assert_eq!(subject(r#"{"sub": "123"}"#).unwrap(), "123");
    }

    #[test]
    fn other_tokens_say_nothing() {
        let no_json = token("hunter2");
        for text in ["", "opaque", "a.b", "a.b.c", "a.b.c.d", "..", no_json.as_str()] {
            assert!(claims(text).is_none(), "{text}");
        }
    }
}
