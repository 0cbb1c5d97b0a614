//! Where the secrets come from, and that those in files are read again when they change.

use std::{fmt, fs::File, io::Read as _, path::Path, time::Duration};

use futures_util::future::BoxFuture;

use super::signature::Secret;
use crate::{
    BuildError,
    http::HeaderValue,
    renewed::{Item, Source},
};

/// The secrets at one moment, those that are named first in front.
#[derive(Clone, PartialEq)]
pub(super) struct Secrets(Vec<Secret>);

impl Secrets {
    pub(super) fn all(&self) -> &[Secret] {
        &self.0
    }
}

impl Item for Secrets {
    fn expiry(&self) -> Option<std::time::SystemTime> {
        None
    }

    fn is_same(&self, other: &Self) -> bool {
        self == other
    }
}

/// The places that the settings name.
pub(super) struct Sources(Vec<HeaderValue>);

impl Sources {
    /// Reads all of them once.
    pub(super) fn new(sources: Vec<HeaderValue>) -> Result<Self, BuildError> {
        if sources.is_empty() {
            let problem = "none; expected at least one secret, as {file: …}, {env: …} or whsec_…";
            return Err(BuildError { key: "secrets".to_owned(), problem: problem.to_owned() });
        }
        let mut count = 0;
        for (index, source) in sources.iter().enumerate() {
            let key = format!("secrets[{index}]");
            count += read(source).map_err(|problem| BuildError { key: key.clone(), problem })?.len();
            if count > SECRETS_MAX {
                let problem = format!("more than {SECRETS_MAX} secrets: each signs every request");
                return Err(BuildError { key, problem });
            }
        }
        Ok(Self(sources))
    }
}

impl fmt::Debug for Sources {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Sources").field(&self.0).finish()
    }
}

impl Source for Sources {
    type Item = Secrets;

    fn what(&self) -> &'static str {
        "secrets of webhooks"
    }

    fn name(&self) -> String {
        let names = self.0.iter().map(|source| match source {
            HeaderValue::File { file } => format!("file {}", file.display()),
            HeaderValue::Env { env } => format!("variable {env}"),
            HeaderValue::Plain(_) | HeaderValue::Value { .. } => "the configuration".to_owned(),
        });
        names.collect::<Vec<_>>().join(", ")
    }

    fn fetch(&self) -> BoxFuture<'_, Result<Secrets, String>> {
        let sources = self.0.clone();
        Box::pin(async move {
            // A folder may be on a network, and a disk may be slow.
            let read = tokio::task::spawn_blocking(move || read_all(&sources)).await;
            read.map_err(|error| format!("reading failed: {error}"))?
        })
    }

    fn look_every(&self) -> Option<Duration> {
        // Whoever writes a file tells nobody.
        let in_files = self.0.iter().any(|source| matches!(source, HeaderValue::File { .. }));
        in_files.then_some(LOOK_INTERVAL)
    }
}

fn read_all(sources: &[HeaderValue]) -> Result<Secrets, String> {
    let mut secrets = Vec::new();
    for source in sources {
        secrets.extend(read(source)?);
        if secrets.len() > SECRETS_MAX {
            return Err(format!("more than {SECRETS_MAX} secrets"));
        }
    }
    Ok(Secrets(secrets))
}

/// The secrets in one place; what is wrong with it is said without them.
fn read(source: &HeaderValue) -> Result<Vec<Secret>, String> {
    let text = match source {
        HeaderValue::Plain(value) | HeaderValue::Value { value } => value.clone(),
        HeaderValue::Env { env } => std::env::var(env).map_err(|error| match error {
            std::env::VarError::NotPresent => format!("environment variable {env} is not set"),
            std::env::VarError::NotUnicode(_) => format!("environment variable {env} is not valid UTF-8"),
        })?,
        HeaderValue::File { file } => {
            content(file).map_err(|error| format!("{}: {error}", file.display()))?
        }
    };
    let words = text.split_whitespace().map(Secret::new);
    let secrets: Vec<Secret> = words.collect::<Result<_, _>>().map_err(|problem| match source {
        HeaderValue::File { file } => format!("{}: {problem}", file.display()),
        _ => problem.to_owned(),
    })?;
    if secrets.is_empty() { Err("empty; expected whsec_ and Base64".to_owned()) } else { Ok(secrets) }
}

fn content(path: &Path) -> Result<String, String> {
    let mut text = String::new();
    let file = File::open(path).map_err(|error| format!("cannot open it: {error}"))?;
    let read = file.take(BYTES_MAX + 1).read_to_string(&mut text);
    read.map_err(|error| format!("cannot read it: {error}"))?;
    if text.len() as u64 > BYTES_MAX {
        return Err(format!("larger than {BYTES_MAX} bytes, which no secrets are"));
    }
    Ok(text)
}

const LOOK_INTERVAL: Duration = Duration::from_secs(2);
/// More than one is for a time of exchange.
const SECRETS_MAX: usize = 8;
const BYTES_MAX: u64 = 4 * 1024;
