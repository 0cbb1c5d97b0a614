//! The audience of a token, where the settings name none. Pure.
//!
//! Services of Cloud Run take their own `run.app` URL, without a path and without the tag of a revision; functions the URL that
//! names them. Behind a domain of the operator's own neither is known.

use ::http::Uri;

use crate::BuildError;

/// An audience that was derived.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Audience {
    pub(super) text: String,
    /// Whether Google takes it without being told to.
    pub(super) certain: bool,
}

/// The one audience of `urls`, which have been checked.
pub(super) fn of_all(urls: &[Uri]) -> Result<Audience, BuildError> {
    let mut audiences = urls.iter().enumerate().map(|(index, url)| of(index, url));
    let first = audiences.next().unwrap_or_else(|| Err(at("urls", "empty".to_owned())))?;
    for other in audiences {
        let other = other?.text;
        if other != first.text {
            return Err(at(
                "audience",
                format!(
                    "needed, because the URLs lead to different ones ({} and {other}): name a custom audience that all of \
                     these services take, or make them several destinations",
                    first.text
                ),
            ));
        }
    }
    Ok(first)
}

fn of(index: usize, url: &Uri) -> Result<Audience, BuildError> {
    let host = url.host().unwrap_or_default().to_ascii_lowercase();
    if host.ends_with(".run.app") {
        let service = host.split_once("---").map_or(host.as_str(), |(_, service)| service);
        return Ok(Audience { text: format!("https://{service}"), certain: true });
    }
    if host.ends_with(".cloudfunctions.net") {
        let function = url.path().split('/').nth(1).filter(|name| !name.is_empty());
        let function = function.ok_or_else(|| {
            at(
                &format!("urls[{index}]"),
                "names no function; expected one like https://HOST/FUNCTION".to_owned(),
            )
        })?;
        return Ok(Audience { text: format!("https://{host}/{function}"), certain: true });
    }
    let scheme = url.scheme_str().unwrap_or("https");
    let authority = url.authority().map_or("", |authority| authority.as_str());
    Ok(Audience { text: format!("{scheme}://{authority}"), certain: false })
}

fn at(key: &str, problem: String) -> BuildError {
    BuildError { key: key.to_owned(), problem }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of_text(urls: &[&str]) -> Result<Audience, BuildError> {
        of_all(&urls.iter().map(|url| url.parse().unwrap()).collect::<Vec<_>>())
    }

    #[test]
    fn by_host() {
        for (url, text, certain) in [
            ("https://orders-abc-ew.a.run.app/records?x=1", "https://orders-abc-ew.a.run.app", true),
            ("https://Orders-abc-ew.a.run.app:443/", "https://orders-abc-ew.a.run.app", true),
            ("https://orders-123.europe-west1.run.app", "https://orders-123.europe-west1.run.app", true),
            ("https://canary---orders-abc-ew.a.run.app/x", "https://orders-abc-ew.a.run.app", true),
            (
                "https://europe-west1-p.cloudfunctions.net/orders",
                "https://europe-west1-p.cloudfunctions.net/orders",
                true,
            ),
            (
                "https://europe-west1-p.cloudfunctions.net/orders/v2?a",
                "https://europe-west1-p.cloudfunctions.net/orders",
                true,
            ),
            ("https://records.example.net/orders", "https://records.example.net", false),
            ("http://127.0.0.1:8080/x", "http://127.0.0.1:8080", false),
            ("https://run.app.example.net/", "https://run.app.example.net", false),
        ] {
            assert_eq!(of_text(&[url]).unwrap(), Audience { text: text.to_owned(), certain }, "{url}");
        }
    }

    #[test]
    fn one_token_for_all_urls_or_none() {
        let same = ["https://a.run.app/x", "https://tag---a.run.app/y"];
        assert_eq!(of_text(&same).unwrap().text, "https://a.run.app");
        let error = of_text(&["https://a.run.app/x", "https://b.run.app/x"]).unwrap_err();
        assert_eq!(error.key, "audience");
        assert!(error.problem.contains("https://a.run.app and https://b.run.app"), "{error}");
        assert_eq!(of_text(&["https://r-p.cloudfunctions.net/"]).unwrap_err().key, "urls[0]");
    }
}
