use ::http::Uri;
use proptest::prelude::*;

use super::*;

fn target(base: &str, path: Option<&str>, query: Option<&str>) -> String {
    let parts = RequestParts {
        path: path.map(|path| Path::new(path.to_owned()).unwrap()),
        query: query.map(|query| Query::new(query.to_owned()).unwrap()),
        ..RequestParts::default()
    };
    let base: Uri = base.parse().unwrap();
    parts.target(base.path_and_query().unwrap()).to_string()
}

#[test]
fn a_path_is_resolved_against_the_url() {
    for (base, path, expected) in [
        ("https://h/a/b", "c", "/a/c"),
        ("https://h/a/b/", "c", "/a/b/c"),
        ("https://h/a/b", "c/d", "/a/c/d"),
        ("https://h/a/b", "/c", "/c"),
        ("https://h/a/b?x=1", "c", "/a/c"),
        ("https://h/a/b?x=1", "", "/a/b?x=1"),
        ("https://h/", "c%2Fd", "/c%2Fd"),
        ("https://h", "c", "/c"),
        ("https://h/a", "/b:c@d", "/b:c@d"),
    ] {
        assert_eq!(target(base, Some(path), None), expected, "{base} {path}");
    }
}

#[test]
fn a_query_replaces_that_of_the_url() {
    assert_eq!(target("https://h/a?x=1", None, Some("y=2")), "/a?y=2");
    assert_eq!(target("https://h/a?x=1", Some("b"), Some("y=2")), "/b?y=2");
    assert_eq!(target("https://h/a?x=1", None, Some("")), "/a");
    assert_eq!(target("https://h/a?x=1", None, None), "/a?x=1");
}

#[test]
fn what_could_mean_another_place_is_no_path() {
    for text in [
        "//evil.example/x",
        "http://evil.example/",
        "https:evil",
        "a\\b",
        "\\\\evil",
        "..",
        "../x",
        "a/../b",
        "a/..",
        "./a",
        "%2e%2e/x",
        "a/%2E./b",
        ".%2e",
        "a/..;x=1/b",
        "a?b",
        "a#b",
        "a b",
        "a\rb",
        "a\nb",
        "a\0b",
        "\u{e9}",
        "%",
        "a%2",
        "%zz",
    ] {
        assert!(Path::new(text.to_owned()).is_err(), "{text:?}");
    }
    assert!(Path::new("a".repeat(TARGET_BYTES_MAX)).is_ok());
    assert!(Path::new("a".repeat(TARGET_BYTES_MAX + 1)).is_err());
    for text in ["...", "a..b", "a/b/c", "/a//b", "a%2Fb", ""] {
        assert!(Path::new(text.to_owned()).is_ok(), "{text:?}");
    }
}

#[test]
fn a_query_has_no_end_but_its_own() {
    for text in ["a#b", "a b", "a\r\nb", "\u{e9}", "a\"b", "%", "a<b"] {
        assert!(Query::new(text.to_owned()).is_err(), "{text:?}");
    }
    assert!(Query::new("a=b&c=%20/?:@".to_owned()).is_ok());
    assert!(Query::new("a".repeat(TARGET_BYTES_MAX + 1)).is_err());
}

#[test]
fn headers_that_frame_or_route_a_message_are_refused() {
    for name in [
        "Host",
        "content-length",
        "Transfer-Encoding",
        "Connection",
        "TE",
        "Upgrade",
        "Expect",
        "Content-Type",
        "Keep-Alive",
        "Content-Encoding",
        "ESP-Connector-Probe",
        "a b",
        "a:",
        "",
        "a\r\nb",
    ] {
        assert!(header_name(name).is_err(), "{name:?}");
    }
    assert_eq!(header_name("X-Key").unwrap(), "x-key");
}

#[test]
fn a_value_that_ends_its_line_is_refused() {
    for text in ["a\rb", "a\nb", "a\r\nX: y", "a\0b", "\u{7f}", "\u{e9}", "\t"] {
        assert!(header_value(text).is_err(), "{text:?}");
    }
    assert_eq!(header_value(" a b ").unwrap(), "a b");
    assert!(header_value(&"a".repeat(HEADER_BYTES_MAX + 1)).is_err());
}

proptest! {
    /// Whatever passes, the request stays at its host and below the folder of its URL.
    #[test]
    fn nothing_leads_away(path in "([a-zA-Z0-9./\\\\:@?#%;&= \\t\\r\\n]|%2[eEfF]|//|\\.\\.){0,24}", query in "[ -~\\r\\n]{0,16}") {
        let base: Uri = "https://h.example:8443/folder/file?x=1".parse().unwrap();
        let parts = RequestParts {
            path: Path::new(path.clone()).ok(),
            query: Query::new(query).ok(),
            ..RequestParts::default()
        };
        let target = parts.target(base.path_and_query().unwrap());
        let written = format!("https://h.example:8443{target}");
        // A parser that resolves dots and backslashes as browsers do.
        let url = reqwest::Url::parse(&written).unwrap();
        prop_assert_eq!(url.scheme(), "https");
        prop_assert_eq!(url.host_str(), Some("h.example"));
        prop_assert_eq!(url.port(), Some(8443));
        prop_assert_eq!(url.fragment(), None);
        prop_assert_eq!(url.path(), target.path(), "resolving changes nothing");
        if !path.starts_with('/') {
            prop_assert!(url.path().starts_with("/folder/"), "{}", url.path());
        }
        let resolved = base.to_string().parse::<reqwest::Url>().unwrap().join(target.as_str()).unwrap();
        prop_assert_eq!(resolved.host_str(), Some("h.example"));
    }
}

#[test]
fn what_it_keeps_in_memory_is_counted() {
    let value = HeaderValue::from_bytes(&[b'a'; 1000]).unwrap();
    let parts = RequestParts {
        path: Some(Path::new("p".repeat(2000)).unwrap()),
        headers: vec![(HeaderName::from_static("x-key"), value)],
        ..RequestParts::default()
    };
    assert!((3000..3400).contains(&parts.bytes()), "{}", parts.bytes());
}
