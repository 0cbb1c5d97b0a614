//! What goes out, in both versions.

use super::*;
use crate::request::{Path, Query};

fn call(gzip: bool) -> Call<'static> {
    Call {
        body: Bytes::from_static(b"{}"),
        content_type: HeaderValue::from_static("application/json"),
        parts: None,
        gzip,
        authorize: None,
        probe: false,
        keep: Keep::Nothing,
    }
}

fn template(statics: &[(&'static str, &'static str)]) -> Template {
    let statics = statics
        .iter()
        .map(|(name, value)| (name.parse().unwrap(), HeaderValue::from_static(value)))
        .collect();
    Template::new(&"https://a.example:8443/x%20y?q=1&r".parse().unwrap(), &statics).unwrap()
}

/// A head of HTTP/1.1 as a peer would read it.
fn sent(template: &Template, call: &Call<'_>) -> Request<()> {
    let mut head = RequestHead::default();
    head.bytes.extend_from_slice(b"what stood there before");
    template.http1(call, &mut head).unwrap();
    read(&head)
}

fn read(head: &RequestHead) -> Request<()> {
    let mut fields = [httparse::EMPTY_HEADER; 32];
    let mut parsed = httparse::Request::new(&mut fields);
    assert_eq!(parsed.parse(&head.bytes), Ok(httparse::Status::Complete(head.bytes.len())));
    assert_eq!(parsed.version, Some(1));
    let mut request = Request::builder().method(parsed.method.unwrap()).uri(parsed.path.unwrap());
    for field in parsed.headers {
        request = request.header(field.name, field.value);
    }
    let request = request.body(()).unwrap();
    assert_eq!(head.is_for_head, request.method() == Method::HEAD);
    request
}

#[test]
fn each_version_names_host_and_path_its_own_way() {
    let template = template(&[("x-key", "k")]);
    let first = sent(&template, &call(false));
    assert_eq!(first.uri(), "/x%20y?q=1&r");
    assert_eq!(first.headers()[HOST], "a.example:8443");
    assert_eq!(first.headers()["x-key"], "k");
    assert_eq!(first.headers()[CONTENT_LENGTH], "2");
    assert_eq!(first.headers()[CONTENT_TYPE], "application/json");
    assert!(first.headers().get(CONTENT_ENCODING).is_none());

    let second = template.http2(&call(true)).unwrap();
    assert_eq!(second.uri(), "https://a.example:8443/x%20y?q=1&r");
    assert!(second.headers().get(HOST).is_none());
    assert_eq!(second.headers()[CONTENT_ENCODING], "gzip");
}

#[test]
fn parts_replace_what_they_name_and_never_the_host() {
    let parts = RequestParts {
        method: Some(Method::DELETE),
        path: Some(Path::new("/k/%2e%2Fx".to_owned()).unwrap()),
        query: Some(Query::new("r=2".to_owned()).unwrap()),
        headers: vec![(HeaderName::from_static("x-key"), HeaderValue::from_static("mine"))],
        success_status_codes: Default::default(),
    };
    let template = template(&[("x-key", "k"), ("x-other", "o")]);
    let call = Call { parts: Some(&parts), body: Bytes::new(), ..call(true) };
    for head in [sent(&template, &call).into_parts().0, template.http2(&call).unwrap().into_parts().0] {
        assert_eq!(head.method, Method::DELETE);
        assert_eq!(head.uri.path_and_query().unwrap(), "/k/%2e%2Fx?r=2");
        assert_eq!(head.headers.get_all("x-key").iter().collect::<Vec<_>>(), ["mine"]);
        assert_eq!(head.headers["x-other"], "o");
        assert_eq!(head.headers[CONTENT_LENGTH], "0");
        assert!(!head.headers.contains_key(CONTENT_TYPE), "nothing has no media type");
    }
    assert_eq!(sent(&template, &call).headers()[HOST], "a.example:8443");
    let second = template.http2(&call).unwrap();
    assert_eq!(second.uri(), "https://a.example:8443/k/%2e%2Fx?r=2");
}

#[test]
fn a_query_without_a_path_gets_one() {
    let template = Template::new(&"http://a?x=1".parse().unwrap(), &Vec::new()).unwrap();
    assert_eq!(sent(&template, &call(false)).uri().path_and_query().unwrap().as_str(), "/?x=1");
    assert_eq!(template.http2(&call(false)).unwrap().uri().path_and_query().unwrap().as_str(), "/?x=1");
}

#[test]
fn the_operator_outranks_host_agent_and_media_type() {
    let template = template(&[("host", "b.example"), ("user-agent", "me"), ("content-type", "text/x")]);
    let first = sent(&template, &call(false));
    assert_eq!(first.headers()[HOST], "b.example");
    assert_eq!(first.headers()[USER_AGENT], "me");
    assert_eq!(first.headers()[CONTENT_TYPE], "text/x");
    assert_eq!(template.http2(&call(false)).unwrap().uri().authority().unwrap(), "b.example");
}

/// What only adds is written without a map of headers, and must be no other request for it.
#[test]
fn the_quick_way_makes_the_same_request() {
    let statics: [&[(&str, &str)]; 3] =
        [&[], &[("x-key", "k"), ("x-b", "")], &[("content-type", "text/x"), ("host", "b:1")]];
    let parts = |method: Option<Method>, path: Option<&str>, headers: &[(&'static str, &'static str)]| {
        let headers = headers
            .iter()
            .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)));
        Some(RequestParts {
            method,
            path: path.map(|path| Path::new(path.to_owned()).unwrap()),
            headers: headers.collect(),
            ..RequestParts::default()
        })
    };
    let mut quick = 0;
    for (index, statics) in statics.into_iter().enumerate() {
        let template = template(statics);
        for parts in [
            None,
            parts(None, None, &[]),
            parts(Some(Method::PUT), None, &[("ce-id", "1"), ("ce-type", "t")]),
            parts(Some(Method::HEAD), Some("k"), &[]),
            parts(None, Some("/a/b"), &[("x-key", "mine")]),
            parts(None, None, &[("ce-id", "1"), ("ce-id", "2")]),
            parts(None, None, &[("content-type", "application/x")]),
            parts(None, None, &[("content-encoding", "br")]),
        ] {
            for (body, gzip, probe) in
                [("{}", false, false), ("", false, true), ("{}", true, false), ("", true, false)]
            {
                let body = Bytes::from_static(body.as_bytes());
                let call = Call { parts: parts.as_ref(), body, probe, ..call(gzip) };
                let (written, whole) = (sent(&template, &call), template.fill(&template.http1, &call));
                assert_eq!(
                    (written.method(), written.uri(), written.headers()),
                    (whole.method(), whole.uri(), whole.headers()),
                    "{index} {parts:?}"
                );
                quick += usize::from(template.adds_only(&call));
            }
        }
    }
    assert_eq!(quick, 48, "of 96");
}

#[test]
fn what_is_signed_is_what_is_sent() {
    #[derive(Debug)]
    struct Signer;
    impl Authorize for Signer {
        fn prepare(&self) -> futures_util::future::BoxFuture<'_, Result<(), Unproven>> {
            Box::pin(async { Ok(()) })
        }
        fn authorize(&self, request: &mut Request<()>, body: &[u8]) -> Result<(), Unproven> {
            let seen = format!("{} {} {}", request.uri(), request.headers().len(), body.len());
            let seen = HeaderValue::from_str(&seen).map_err(|_| Unproven("?".to_owned()))?;
            request.headers_mut().insert("x-signature", seen);
            Ok(())
        }
        fn refused<'a>(
            &'a self,
            _: crate::authorize::Refusal<'a>,
        ) -> futures_util::future::BoxFuture<'a, bool> {
            Box::pin(async { false })
        }
        fn access(&self) -> crate::Access {
            unreachable!()
        }
    }
    let call = Call { authorize: Some(&Signer), ..call(true) };
    let request = sent(&template(&[("x-key", "k")]), &call);
    assert_eq!(request.headers()["x-signature"], "/x%20y?q=1&r 6 2");
    assert_eq!(request.headers().len(), 7);
}
