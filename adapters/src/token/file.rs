//! A token in a file that something else keeps up to date, such as the projected tokens of Kubernetes.

use std::{fs::File, io::Read as _, path::PathBuf, time::Duration};

use futures_util::future::BoxFuture;

use super::Token;
use crate::renewed::Source;

/// Read again every other second: whoever writes it tells nobody.
#[derive(Debug)]
pub(super) struct TokenFile(pub(super) PathBuf);

impl Source for TokenFile {
    type Item = Token;

    fn what(&self) -> &'static str {
        "bearer token"
    }

    fn name(&self) -> String {
        format!("file {}", self.0.display())
    }

    fn fetch(&self) -> BoxFuture<'_, Result<Token, String>> {
        let path = self.0.clone();
        Box::pin(async move {
            // A folder may be on a network, and a disk may be slow.
            let read = tokio::task::spawn_blocking(move || read(&path)).await;
            let text = read.map_err(|error| format!("reading it failed: {error}"))?;
            Token::new(&text?, None)
        })
    }

    fn look_every(&self) -> Option<Duration> {
        Some(LOOK_INTERVAL)
    }
}

fn read(path: &PathBuf) -> Result<String, String> {
    let mut text = String::new();
    let file = File::open(path).map_err(|error| format!("cannot open it: {error}"))?;
    let read = file.take(BYTES_MAX + 1).read_to_string(&mut text);
    read.map_err(|error| format!("cannot read it: {error}"))?;
    if text.len() as u64 > BYTES_MAX {
        return Err(format!("larger than {BYTES_MAX} bytes, which no token is"));
    }
    Ok(text)
}

const LOOK_INTERVAL: Duration = Duration::from_secs(2);
/// Receivers take far less in all headers together.
const BYTES_MAX: u64 = 64 * 1024;

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    async fn fetch(path: &std::path::Path) -> Result<Token, String> {
        TokenFile(path.to_owned()).fetch().await
    }

    #[tokio::test]
    async fn what_is_no_token_is_said_without_repeating_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token");
        assert!(fetch(&path).await.unwrap_err().contains("cannot open it"));
        fs::write(&path, "hunter2 and more\n").unwrap();
        let error = fetch(&path).await.unwrap_err();
        assert!(error.contains("one word") && !error.contains("hunter2"), "{error}");
        fs::write(&path, "x".repeat(65 * 1024)).unwrap();
        assert!(fetch(&path).await.unwrap_err().contains("larger than"));
        fs::write(&path, b"\xff\xfe").unwrap();
        assert!(fetch(&path).await.unwrap_err().contains("cannot read it"));
        assert!(fetch(folder.path()).await.is_err());
        fs::write(&path, "hunter2\n").unwrap();
        assert_eq!(fetch(&path).await.unwrap().header, "Bearer hunter2");
    }
}
