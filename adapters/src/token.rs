//! Bearer tokens: where they come from, and how they get into requests. They are renewed ahead of expiry.

use std::{fmt, path::PathBuf, sync::Arc, time::SystemTime};

use ::http::HeaderValue;
use schemars::JsonSchema;
use serde::Deserialize;

pub(crate) use self::bearer::{Bearer, Judge, Refused};
use self::{file::TokenFile, sts::WebIdentity};
use crate::{BuildError, authorize::Authorize, credentials, renewed::Item};

mod bearer;
mod file;
mod jwt;
mod sts;

/// Where a bearer token comes from.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Source {
    /// A file that something else keeps up to date.
    File {
        /// Path, relative to the configuration file.
        file: PathBuf,
    },
    /// The AWS security token service (`GetWebIdentityToken`).
    AwsWebIdentity {
        /// What to ask for.
        #[serde(rename = "aws-web-identity")]
        aws_web_identity: AwsWebIdentity,
    },
}

/// A token of the AWS security token service.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct AwsWebIdentity {
    /// Who shall accept the token.
    pub audience: String,
    /// Seconds it shall live, 60 to 3600.
    #[serde(default = "duration_seconds")]
    pub duration_seconds: u32,
}

fn duration_seconds() -> u32 {
    300
}

/// A token at one moment, and what can be read in it.
#[derive(Clone)]
pub(crate) struct Token {
    /// As it goes into the header; marked as sensitive.
    header: HeaderValue,
    expiry: Option<SystemTime>,
    /// Whom it names: an e-mail address, or a number or ARN.
    subject: Option<String>,
}

impl Token {
    /// `text` as it came, with the end that whoever gave it told, or that can be read in it. An error is words, without it.
    pub(crate) fn new(text: &str, expiry: Option<SystemTime>) -> Result<Self, String> {
        let text = text.trim();
        if text.is_empty() {
            return Err("there is no token, only white space".to_owned());
        }
        if !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err("that is no token: expected one word, without `Bearer` before it".to_owned());
        }
        let mut header = HeaderValue::try_from(format!("Bearer {text}"))
            .map_err(|_| "that is no token: it holds characters no header may hold".to_owned())?;
        header.set_sensitive(true);
        let claims = jwt::claims(text).unwrap_or_default();
        let expiry = expiry.or_else(|| SystemTime::UNIX_EPOCH.checked_add(claims.expiry()?));
        Ok(Self { header, expiry, subject: claims.subject() })
    }

    /// Whom it names.
    pub(crate) fn subject(&self) -> Option<&str> {
        self.subject.as_deref()
    }
}

impl Item for Token {
    fn expiry(&self) -> Option<SystemTime> {
        self.expiry
    }

    fn is_same(&self, other: &Self) -> bool {
        self.header == other.header
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Token").field("expiry", &self.expiry).finish_non_exhaustive()
    }
}

/// Adds tokens of `source` to requests. Asks nobody for one yet.
pub(crate) fn authorize(
    destination: &str,
    source: &Source,
    whose: &credentials::Config,
    judge: Judge,
) -> Result<Arc<dyn Authorize>, BuildError> {
    let refuse = |key: &str, problem: &str| {
        Err(BuildError { key: format!("token.{key}"), problem: problem.to_owned() })
    };
    match source {
        Source::File { file } if file.as_os_str().is_empty() => {
            refuse("file", "empty; expected the path of a file")
        }
        Source::File { file } => Ok(Arc::new(Bearer::new(destination, TokenFile(file.clone()), judge))),
        Source::AwsWebIdentity { aws_web_identity } if aws_web_identity.audience.is_empty() => refuse(
            "aws-web-identity.audience",
            "empty; expected the audience that the load balancer asks for",
        ),
        Source::AwsWebIdentity { aws_web_identity }
            if !(60..=3600).contains(&aws_web_identity.duration_seconds) =>
        {
            refuse("aws-web-identity.duration-seconds", "expected 60 to 3600")
        }
        Source::AwsWebIdentity { aws_web_identity } => {
            let keys = credentials::Credentials::new(destination, whose);
            let source = WebIdentity::new(keys, aws_web_identity.clone());
            Ok(Arc::new(Bearer::new(destination, source, judge)))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_one_word_and_stays_hidden() {
        for (text, word) in [
            ("", "white space"),
            (" \n", "white space"),
            ("Bearer hunter2", "one word"),
            ("hünter2", "one word"),
        ] {
            let error = Token::new(text, None).unwrap_err();
            assert!(error.contains(word) && !error.contains("nter2"), "{error}");
        }
        let token = Token::new(" hunter2\r\n", None).unwrap();
        assert_eq!(token.header, "Bearer hunter2");
        assert!(!format!("{token:?} {:?}", token.header).contains("hunter2"));
        assert_eq!((token.expiry, token.subject()), (None, None));
    }

    #[test]
    fn sources_are_checked() {
        let key = |json: &str| {
            let source: Source = serde_json::from_str(json).unwrap();
            let judge: Judge = |_| None;
            authorize("d", &source, &credentials::Config::default(), judge).unwrap_err().key
        };
        assert_eq!(key(r#"{"file": ""}"#), "token.file");
        let sts = |settings: &str| key(&format!(r#"{{"aws-web-identity": {{{settings}}}}}"#));
        assert_eq!(sts(r#""audience": """#), "token.aws-web-identity.audience");
        for seconds in [0, 59, 3601] {
            let settings = format!(r#""audience": "a", "duration-seconds": {seconds}"#);
            assert_eq!(sts(&settings), "token.aws-web-identity.duration-seconds");
        }
    }
}
