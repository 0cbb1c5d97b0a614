//! The audience of a token, where the settings name none. Pure.
//!
//! Services of Cloud Run take their own `run.app` URL, without a path and without the tag of a revision; functions the URL that
//! names them. Behind a domain of the operator's own neither is known.

use ::http::Uri;

use crate::BuildError;

/// The one audience of `urls`, which have been checked.
pub(super) fn of_all(urls: &[Uri]) -> Result<String, BuildError> {
    let mut audiences = urls.iter().enumerate().map(|(index, url)| of(index, url));
    let first = audiences.next().unwrap_or_else(|| Err(at("urls", "empty".to_owned())))?;
    for other in audiences {
        let other = other?;
        if other != first {
            return Err(at(
                "audience",
                format!(
                    "needed, because the URLs lead to different ones ({first} and {other}): name a custom audience that all of \
                     these services take, or make them several destinations"
                ),
            ));
        }
    }
    Ok(first)
}

fn of(index: usize, url: &Uri) -> Result<String, BuildError> {
    let host = url.host().unwrap_or_default().to_ascii_lowercase();
    if host.ends_with(".run.app") {
        let service = host.split_once("---").map_or(host.as_str(), |(_, service)| service);
        return Ok(format!("https://{service}"));
    }
    if host.ends_with(".cloudfunctions.net") {
        let function = url.path().split('/').nth(1).filter(|name| !name.is_empty());
        let function = function.ok_or_else(|| {
            at(
                &format!("urls[{index}]"),
                "names no function; expected one like https://HOST/FUNCTION".to_owned(),
            )
        })?;
        return Ok(format!("https://{host}/{function}"));
    }
    let scheme = url.scheme_str().unwrap_or("https");
    let authority = url.authority().map_or("", |authority| authority.as_str());
    Ok(format!("{scheme}://{authority}"))
}

fn at(key: &str, problem: String) -> BuildError {
    BuildError { key: key.to_owned(), problem }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of_text(urls: &[&str]) -> Result<String, BuildError> {
        of_all(&urls.iter().map(|url| url.parse().unwrap()).collect::<Vec<_>>())
    }

    #[test]
    fn by_host() {
        for (url, text) in [
            ("https://orders-abc-ew.a.run.app/records?x=1", "https://orders-abc-ew.a.run.app"),
            ("https://Orders-abc-ew.a.run.app:443/", "https://orders-abc-ew.a.run.app"),
            ("https://orders-123.europe-west1.run.app", "https://orders-123.europe-west1.run.app"),
            ("https://canary---orders-abc-ew.a.run.app/x", "https://orders-abc-ew.a.run.app"),
            (
                "https://europe-west1-p.cloudfunctions.net/orders",
                "https://europe-west1-p.cloudfunctions.net/orders",
            ),
            (
                "https://europe-west1-p.cloudfunctions.net/orders/v2?a",
                "https://europe-west1-p.cloudfunctions.net/orders",
            ),
            ("https://records.example.net/orders", "https://records.example.net"),
            ("http://127.0.0.1:8080/x", "http://127.0.0.1:8080"),
            ("https://run.app.example.net/", "https://run.app.example.net"),
        ] {
            assert_eq!(of_text(&[url]).unwrap(), text, "{url}");
        }
    }

    #[test]
    fn one_token_for_all_urls_or_none() {
        let same = ["https://a.run.app/x", "https://tag---a.run.app/y"];
        assert_eq!(of_text(&same).unwrap(), "https://a.run.app");
        let error = of_text(&["https://a.run.app/x", "https://b.run.app/x"]).unwrap_err();
        assert_eq!(error.key, "audience");
        assert!(error.problem.contains("https://a.run.app and https://b.run.app"), "{error}");
        assert_eq!(of_text(&["https://r-p.cloudfunctions.net/"]).unwrap_err().key, "urls[0]");
    }
}
