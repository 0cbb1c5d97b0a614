//! What a refusal by AWS says: its type, and as much of its message as may be shown. Pure.
//!
//! A message may repeat the canonical request, with the session token in it; and a body may come from the function, with
//! what was sent in it. So a message is shown only with a type that is known to hold neither.

use ::http::HeaderMap;

/// What a refusal is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Fault {
    pub(super) about: About,
    /// The type AWS gives, such as `AccessDeniedException`.
    pub(super) name: Option<String>,
    /// Its message, where it holds no secret.
    pub(super) message: Option<String>,
}

/// The kinds of refusals.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum About {
    /// The time of the signature.
    Clock,
    /// The region or service of the signature.
    Scope,
    /// The signature itself: a wrong secret, or a request that was changed on its way. Or the time, unsaid.
    Signature,
    /// Who signs: the credentials are not, or no longer, known.
    Credentials,
    /// What who signs may do.
    Permission,
    /// There is nothing at that address that would ask who signs.
    Address,
    /// It is not said.
    Unsaid,
}

impl Fault {
    pub(super) fn read(headers: &HeaderMap, body: &[u8]) -> Self {
        let body: Option<serde_json::Value> = serde_json::from_slice(body).ok();
        let text = |keys: &[&str]| {
            let body = body.as_ref()?;
            keys.iter().find_map(|key| body.get(key)?.as_str())
        };
        let header = headers.get(ERROR_TYPE).and_then(|value| value.to_str().ok());
        // `AccessDeniedException:http://internal.amazon.com/...`, `com.amazon.coral.service#ExpiredTokenException`
        let name = header
            .or_else(|| text(&["__type", "code"]))
            .map(|name| name.split(':').next().unwrap_or_default())
            .map(|name| name.rsplit('#').next().unwrap_or_default())
            .filter(|name| is_name(name));
        let message = text(&["message", "Message"]);
        let about = about(name.unwrap_or_default(), message.unwrap_or_default());
        let shown = message.filter(|message| {
            header.is_some()
                && matches!(about, About::Credentials | About::Permission | About::Address)
                && !echoes(message)
        });
        Self { about, name: name.map(str::to_owned), message: shown.map(plain) }
    }

    /// Type and message, as far as there are any.
    pub(super) fn words(&self) -> String {
        match (&self.name, &self.message) {
            (Some(name), Some(message)) => format!("{name} ({message})"),
            (Some(name), None) => name.clone(),
            (None, _) => "it does not say why".to_owned(),
        }
    }
}

fn about(name: &str, message: &str) -> About {
    let message = message.to_ascii_lowercase();
    let says = |words: &[&str]| words.iter().any(|word| message.contains(word));
    match name.trim_end_matches("Exception") {
        "RequestTimeTooSkewed" | "RequestExpired" | "RequestInTheFuture" => About::Clock,
        "InvalidSignature" | "SignatureDoesNotMatch" | "IncompleteSignature" => {
            if says(&["signature expired", "not yet current"]) {
                About::Clock
            } else if says(&["scoped to"]) {
                About::Scope
            } else {
                About::Signature
            }
        }
        "ExpiredToken" | "UnrecognizedClient" | "InvalidClientTokenId" | "InvalidAccessKeyId" => {
            About::Credentials
        }
        "AccessDenied" | "Forbidden" | "NotAuthorized" => About::Permission,
        "MissingAuthenticationToken" => About::Address,
        _ if says(&["signature expired", "signature not yet current"]) => About::Clock,
        // OpenSearch gives no type.
        "" if says(&["credential should be scoped to"]) => About::Scope,
        "" if says(&["request signature we calculated does not match"]) => About::Signature,
        "" if says(&["security token included in the request is"]) => About::Credentials,
        _ => About::Unsaid,
    }
}

/// A type is one word; anything else is not shown.
fn is_name(name: &str) -> bool {
    (1..=64).contains(&name.len()) && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'.')
}

/// Whether a message looks as if it repeated a part of the request.
fn echoes(message: &str) -> bool {
    let message = message.to_ascii_lowercase();
    ["canonical", "aws4", "signature=", "credential=", "x-amz-", "authorization"]
        .iter()
        .any(|mark| message.contains(mark))
}

/// One line of bounded length.
fn plain(message: &str) -> String {
    let cut = &message[..message.floor_char_boundary(MESSAGE_BYTES_MAX)];
    cut.chars().map(|char| if char.is_control() { ' ' } else { char }).collect()
}

const ERROR_TYPE: &str = "x-amzn-errortype";
const MESSAGE_BYTES_MAX: usize = 300;

#[cfg(test)]
mod tests {
    use super::*;

    fn read(kind: &str, body: &str) -> Fault {
        let mut headers = HeaderMap::new();
        if !kind.is_empty() {
            headers.insert(ERROR_TYPE, kind.parse().unwrap());
        }
        Fault::read(&headers, body.as_bytes())
    }

    #[test]
    fn types_tell_what_a_refusal_is_about() {
        for (kind, message, expected) in [
            (
                "InvalidSignatureException",
                "The request signature we calculated does not match",
                About::Signature,
            ),
            (
                "InvalidSignatureException",
                "Signature expired: 20150830T123600Z is now earlier than",
                About::Clock,
            ),
            ("InvalidSignatureException", "Signature not yet current: 2015 is still later", About::Clock),
            ("InvalidSignatureException", "Credential should be scoped to a valid region.", About::Scope),
            (
                "SignatureDoesNotMatch",
                "Credential should be scoped to correct service: 'lambda'.",
                About::Scope,
            ),
            ("RequestTimeTooSkewed", "", About::Clock),
            (
                "ExpiredTokenException",
                "The security token included in the request is expired",
                About::Credentials,
            ),
            ("ExpiredToken", "", About::Credentials),
            ("UnrecognizedClientException", "The security token is invalid", About::Credentials),
            ("InvalidClientTokenId:http://internal.amazon.com/coral/", "", About::Credentials),
            ("AccessDeniedException", "User: arn:aws:iam::1:user/u is not authorized", About::Permission),
            ("com.amazon.coral.service#AccessDeniedException", "", About::Permission),
            ("ForbiddenException", "Forbidden", About::Permission),
            ("MissingAuthenticationTokenException", "Missing Authentication Token", About::Address),
            ("SomethingNew", "Signature expired: x", About::Clock),
            ("SomethingNew", "", About::Unsaid),
            ("", "Forbidden", About::Unsaid),
            ("", "The request signature we calculated does not match the signature", About::Signature),
            ("", "Credential should be scoped to correct service: 'es'.", About::Scope),
            ("", "The security token included in the request is expired", About::Credentials),
            ("", "User: anonymous is not authorized to perform: es:ESHttpPost", About::Unsaid),
        ] {
            let fault = read(kind, &serde_json::json!({"message": message}).to_string());
            assert_eq!(fault.about, expected, "{kind}: {message}");
            let fault = read(kind, &serde_json::json!({"Message": message}).to_string());
            assert_eq!(fault.about, expected, "{kind}: {message}");
        }
        assert_eq!(read("", r#"{"__type":"a.b#ExpiredTokenException"}"#).about, About::Credentials);
        for nonsense in ["", "null", "[]", "{\"message\":7}", "<html>", "{\"message\":\"For"] {
            assert_eq!(read("", nonsense), Fault { about: About::Unsaid, name: None, message: None });
        }
    }

    #[test]
    fn only_harmless_messages_are_shown() {
        let denied = "User: arn:aws:iam::1:user/u is not authorized to perform: execute-api:Invoke";
        let body = serde_json::json!({"message": denied}).to_string();
        assert_eq!(read("AccessDeniedException", &body).words(), format!("AccessDeniedException ({denied})"));
        // The function may have said so, about anything.
        assert_eq!(read("", &body).words(), "it does not say why");
        assert_eq!(read("MyFunctionError", &body).words(), "MyFunctionError");
        let echo = "The Canonical String for this request should have been 'POST\n/\n\nx-amz-security-token:hunter2'";
        for kind in ["InvalidSignatureException", "AccessDeniedException", "ExpiredTokenException", "Other"] {
            let words = read(kind, &serde_json::json!({"message": echo}).to_string()).words();
            assert_eq!(words, kind);
        }
        assert_eq!(read("not a name: hunter2", "{}").words(), "it does not say why");
        assert_eq!(read(&"x".repeat(65), "{}").words(), "it does not say why");
    }

    #[test]
    fn messages_are_one_short_line() {
        let message = format!("a\nb\u{1b}[2J{}", "é".repeat(1000));
        let body = serde_json::json!({"message": message}).to_string();
        let shown = read("AccessDeniedException", &body).message.unwrap();
        assert!(shown.starts_with("a b [2Jé") && shown.len() <= MESSAGE_BYTES_MAX, "{shown}");
    }
}
