//! The URLs of a destination: what they may hold, and what a connection needs of them. Pure.

use std::{sync::Arc, time::Duration};

use ::http::{Uri, uri::Authority};
use rustls::{ClientConfig, pki_types::ServerName};

use crate::{BuildError, client::Peer, tls::Reloading};

/// Parses the entries of `urls`.
pub(crate) fn check_all(urls: &[String]) -> Result<Vec<Uri>, BuildError> {
    if urls.is_empty() {
        return Err(BuildError {
            key: "urls".to_owned(),
            problem: "empty; expected at least one URL".to_owned(),
        });
    }
    urls.iter().enumerate().map(|(index, url)| check(index, url)).collect()
}

/// Parses entry `index` of `urls`; path and query stay as they are written.
fn check(index: usize, text: &str) -> Result<Uri, BuildError> {
    // Problems never repeat the text: it may hold a password.
    let refuse = |problem: &str| Err(at(index, problem));
    if text.contains('#') {
        return refuse("holds a fragment (#…), which is never sent; leave it out");
    }
    let Ok(url) = text.parse::<Uri>() else {
        return refuse("not a URL; expected one like https://host/path, without spaces");
    };
    if !matches!(url.scheme_str(), Some("http" | "https")) {
        return refuse("expected a URL that starts with http:// or https://");
    }
    match url.authority() {
        Some(authority) if authority.as_str().contains('@') => {
            refuse("holds a user name or password; use `headers` (Authorization) instead")
        }
        Some(authority) if authority.host().is_empty() => refuse("has no host"),
        Some(authority) if !has_valid_port(authority) => refuse("has no valid port; expected 1 to 65535"),
        Some(_) => Ok(url),
        None => refuse("has no host"),
    }
}

/// Whether connections to `url` use TLS.
pub(crate) fn is_https(url: &Uri) -> bool {
    url.scheme_str() == Some("https")
}

/// Where `url` leads.
pub(crate) fn peer(
    url: &Uri,
    tls: Option<&Arc<Reloading<ClientConfig>>>,
    timeout: Duration,
) -> Result<Peer, BuildError> {
    let host = url.host().unwrap_or_default().trim_start_matches('[').trim_end_matches(']').to_owned();
    let tls = match tls.filter(|_| is_https(url)) {
        Some(tls) => {
            let name = ServerName::try_from(host.clone()).map_err(|_| BuildError {
                key: "urls".to_owned(),
                problem: format!("{host} cannot be the name on a certificate"),
            })?;
            Some((Arc::clone(tls), name))
        }
        None => None,
    };
    let default = if is_https(url) { 443 } else { 80 };
    Ok(Peer { host, port: url.port_u16().unwrap_or(default), tls, timeout })
}

/// The parser takes any number, and none, after the colon.
fn has_valid_port(authority: &Authority) -> bool {
    match authority.as_str().strip_prefix(authority.host()) {
        Some("") => true,
        Some(port) => {
            port.strip_prefix(':').and_then(|port| port.parse().ok()).is_some_and(|port: u16| port > 0)
        }
        None => false,
    }
}

fn at(index: usize, problem: &str) -> BuildError {
    BuildError { key: format!("urls[{index}]"), problem: problem.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn path_and_query_stay_as_written() {
        for text in ["http://a/", "https://a.example:8443/x%2Fy/../z?q=%20&r=1", "http://[::1]:80/?a"] {
            assert_eq!(check(0, text).unwrap().to_string(), text);
        }
        assert_eq!(check(0, "http://a").unwrap().path(), "/");
    }

    #[test]
    fn what_makes_no_sense_is_refused_without_repeating_it() {
        for (text, word) in [
            ("http://user:hunter2@a/", "user name or password"),
            ("http://a/#part", "fragment"),
            ("ftp://a/", "http://"),
            ("a/b", "http"),
            ("/b", "http://"),
            ("", "URL"),
            ("http://", "URL"),
            ("http:///x", "URL"),
            ("http://a b/", "URL"),
            ("http://a:0/", "port"),
            ("http://a:99999/", "port"),
            ("http://a:/", "port"),
            ("http://:80/", "host"),
        ] {
            let error = check(3, text).expect_err(text);
            assert_eq!(error.key, "urls[3]", "{text}");
            assert!(error.problem.contains(word), "{text}: {error}");
            assert!(!error.problem.contains("hunter2"));
        }
    }

    #[test]
    fn peers() {
        let peer = |text: &str| {
            let peer = peer(&check(0, text).unwrap(), None, Duration::ZERO).unwrap();
            (peer.host, peer.port)
        };
        assert_eq!(peer("http://a.example"), ("a.example".to_owned(), 80));
        assert_eq!(peer("https://a.example/x"), ("a.example".to_owned(), 443));
        assert_eq!(peer("http://[::1]:8080/"), ("::1".to_owned(), 8080));
    }
}
