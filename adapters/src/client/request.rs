//! The request that goes to one endpoint: everything but the body is built once.

use std::io::Write as _;

use ::http::{
    HeaderMap, HeaderName, HeaderValue, Method, Request, Uri,
    header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, HOST, USER_AGENT},
    uri::{Authority, PathAndQuery},
};
use bytes::Bytes;

use super::kept::Keep;
use crate::{
    BuildError, RequestParts,
    authorize::{Authorize, Unproven},
    headers::StaticHeaders,
};

/// What differs from one request to the next.
pub(crate) struct Call<'a> {
    /// The body as it goes out.
    pub(crate) body: Bytes,
    pub(crate) content_type: HeaderValue,
    /// Where it is not a POST to the URL of the endpoint.
    pub(crate) parts: Option<&'a RequestParts>,
    pub(crate) gzip: bool,
    /// Proves who sends, with headers that are added last.
    pub(crate) authorize: Option<&'a dyn Authorize>,
    /// Marks a request that carries no records.
    pub(crate) probe: bool,
    /// How much of the answer's body is wanted.
    pub(crate) keep: Keep,
}

/// A request without its body, once per HTTP version.
pub(crate) struct Template {
    http1: (Uri, HeaderMap),
    /// The request line of a POST to the URL, and all headers whose values are known, as they go out.
    http1_line: Vec<u8>,
    http1_fixed: Vec<u8>,
    http2: (Uri, HeaderMap),
    /// The operator named the media type: it outranks the format's.
    content_type_fixed: bool,
}

impl Template {
    /// `url` has been checked: it has a scheme and a host.
    pub(crate) fn new(url: &Uri, statics: &StaticHeaders) -> Result<Self, BuildError> {
        let mut headers = HeaderMap::new();
        headers.insert(
            USER_AGENT,
            HeaderValue::from_static(concat!("esp-connector/", env!("CARGO_PKG_VERSION"))),
        );
        // Placeholders: replacing a value in a copied map is cheaper than growing the map.
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
        headers.insert(CONTENT_LENGTH, HeaderValue::from_static("0"));
        for (name, value) in statics {
            headers.insert(name, value.clone());
        }
        let content_type_fixed = statics.iter().any(|(name, _)| *name == CONTENT_TYPE);

        // Written out and read again: `http://host?query` has no path of its own until it is written.
        let path = url.path_and_query().map_or_else(|| "/".to_owned(), ToString::to_string);
        let path: PathAndQuery = path.parse().map_err(impossible)?;
        let authority = authority(url, headers.remove(HOST))?;
        let mut target = url.clone().into_parts();
        target.authority = Some(authority.clone());
        target.path_and_query = Some(path.clone());
        let http2 = (Uri::from_parts(target).map_err(impossible)?, headers.clone());
        headers.insert(HOST, HeaderValue::from_str(authority.as_str()).map_err(impossible)?);
        let (mut http1_line, mut http1_fixed) = (Vec::new(), Vec::new());
        line(&mut http1_line, &Method::POST, &path);
        // Next to the request line, where everybody puts it.
        field(&mut http1_fixed, &HOST, &headers[HOST]);
        for (name, value) in &headers {
            let changes = *name == CONTENT_LENGTH || *name == CONTENT_TYPE && !content_type_fixed;
            if *name != HOST && !changes {
                field(&mut http1_fixed, name, value);
            }
        }
        Ok(Self { http1: (path.into(), headers), http1_line, http1_fixed, http2, content_type_fixed })
    }

    /// For HTTP/1.1: the path in the request line, the host in its header. What stood in `head` is replaced.
    pub(super) fn http1(&self, call: &Call<'_>, head: &mut RequestHead) -> Result<(), Unproven> {
        head.bytes.clear();
        if call.authorize.is_none() && self.adds_only(call) {
            self.add(call, head);
        } else {
            head.of(&authorized(self.fill(&self.http1, call), call)?);
        }
        Ok(())
    }

    /// For HTTP/2: scheme and host are part of the target. The body follows by itself.
    pub(super) fn http2(&self, call: &Call<'_>) -> Result<Request<()>, Unproven> {
        authorized(self.fill(&self.http2, call), call)
    }

    /// Whom requests name as their receiver: `host` or `host:port`.
    pub(super) fn host(&self) -> &str {
        self.http2.0.authority().map_or("", Authority::as_str)
    }

    /// Whether `call` replaces none of the headers that every request has.
    fn adds_only(&self, call: &Call<'_>) -> bool {
        let Some(parts) = call.parts else { return true };
        let mut names = parts.headers.iter().map(|(name, _)| name).enumerate();
        !(call.body.is_empty() && self.content_type_fixed)
            && names.all(|(index, name)| {
                let again = parts.headers[..index].iter().any(|(other, _)| other == name);
                !again && !self.http1.1.contains_key(name) && !CHANGING.contains(name)
            })
    }

    /// The head of a request that only adds to what every request has.
    fn add(&self, call: &Call<'_>, head: &mut RequestHead) {
        let out = &mut head.bytes;
        let method = call.parts.and_then(|parts| parts.method.as_ref());
        head.is_for_head = method == Some(&Method::HEAD);
        match (call.parts, self.http1.0.path_and_query()) {
            (Some(parts), Some(base)) if method.is_some() || !parts.keeps_target() => {
                line(out, method.unwrap_or(&Method::POST), &parts.target(base));
            }
            _ => out.extend_from_slice(&self.http1_line),
        }
        out.extend_from_slice(&self.http1_fixed);
        let is_bare = call.parts.is_some() && call.body.is_empty();
        if !self.content_type_fixed && !is_bare {
            field(out, &CONTENT_TYPE, &call.content_type);
        }
        if call.gzip && !is_bare {
            out.extend_from_slice(b"content-encoding: gzip\r\n");
        }
        if call.probe {
            field(out, &PROBE, &PROBE_VALUE);
        }
        for (name, value) in call.parts.iter().flat_map(|parts| &parts.headers) {
            field(out, name, value);
        }
        _ = write!(out, "content-length: {}\r\n\r\n", call.body.len());
    }

    fn fill(&self, (uri, headers): &(Uri, HeaderMap), call: &Call<'_>) -> Request<()> {
        let mut request = Request::new(());
        *request.method_mut() = Method::POST;
        *request.uri_mut() = uri.clone();
        let mut headers = headers.clone();
        headers.insert(CONTENT_LENGTH, call.body.len().into());
        if !self.content_type_fixed {
            headers.insert(CONTENT_TYPE, call.content_type.clone());
        }
        if call.gzip {
            headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        }
        if call.probe {
            headers.insert(PROBE, PROBE_VALUE);
        }
        *request.headers_mut() = headers;
        if let Some(parts) = call.parts {
            apply(parts, &mut request, call.body.is_empty());
        }
        request
    }
}

/// Makes of the POST to the endpoint's URL what the payload wants. Scheme and host stay.
fn apply(parts: &RequestParts, request: &mut Request<()>, is_empty: bool) {
    if let Some(method) = &parts.method {
        *request.method_mut() = method.clone();
    }
    if !parts.keeps_target() {
        let mut target = request.uri().clone().into_parts();
        target.path_and_query = target.path_and_query.map(|base| parts.target(&base));
        if let Ok(uri) = Uri::from_parts(target) {
            *request.uri_mut() = uri;
        }
    }
    let headers = request.headers_mut();
    if is_empty {
        headers.remove(CONTENT_TYPE);
        headers.remove(CONTENT_ENCODING);
    }
    for (name, value) in &parts.headers {
        headers.insert(name, value.clone());
    }
}

/// The same request with its proof. Nothing is added to it later, so what is signed is what is sent.
fn authorized(mut request: Request<()>, call: &Call<'_>) -> Result<Request<()>, Unproven> {
    if let Some(authorize) = call.authorize {
        authorize.authorize(&mut request, &call.body)?;
    }
    Ok(request)
}

/// The head of a request in HTTP/1.1, as it goes out.
///
/// All it is made of was checked when it was made: none of these types can hold the end of a line, and no header that frames
/// the message comes from elsewhere.
#[derive(Default)]
pub(super) struct RequestHead {
    pub(super) bytes: Vec<u8>,
    /// The method is HEAD, whose answers have no bodies.
    pub(super) is_for_head: bool,
}

impl RequestHead {
    fn of(&mut self, request: &Request<()>) {
        let method = request.method();
        self.is_for_head = *method == Method::HEAD;
        if let Some(target) = request.uri().path_and_query() {
            line(&mut self.bytes, method, target);
        }
        for (name, value) in request.headers() {
            field(&mut self.bytes, name, value);
        }
        self.bytes.extend_from_slice(b"\r\n");
    }
}

fn line(out: &mut Vec<u8>, method: &Method, target: &PathAndQuery) {
    for piece in [method.as_str(), " ", target.as_str(), " HTTP/1.1\r\n"] {
        out.extend_from_slice(piece.as_bytes());
    }
}

fn field(out: &mut Vec<u8>, name: &HeaderName, value: &HeaderValue) {
    for piece in [name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"] {
        out.extend_from_slice(piece);
    }
}

/// Headers that change with the request although nobody names them.
const CHANGING: [HeaderName; 5] = [CONTENT_TYPE, CONTENT_LENGTH, CONTENT_ENCODING, HOST, PROBE];
const PROBE_VALUE: HeaderValue = HeaderValue::from_static("1");

/// The operator's `Host`, or that of the URL.
fn authority(url: &Uri, host: Option<HeaderValue>) -> Result<Authority, BuildError> {
    match (host, url.authority()) {
        (Some(host), _) => Authority::try_from(host.as_bytes()).map_err(|_| BuildError {
            key: "headers.Host".to_owned(),
            problem: "not a host name, nor host:port".to_owned(),
        }),
        (None, Some(authority)) => Ok(authority.clone()),
        (None, None) => Err(impossible("no host")),
    }
}

/// Tells a receiver that a request carries no records on purpose.
pub(crate) const PROBE: HeaderName = HeaderName::from_static("esp-connector-probe");

fn impossible(problem: impl ToString) -> BuildError {
    BuildError { key: "urls".to_owned(), problem: problem.to_string() }
}

#[cfg(test)]
mod tests {
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
}
