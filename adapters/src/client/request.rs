//! The request that goes to one endpoint: everything but the body is built once.

use ::http::{
    HeaderMap, HeaderName, HeaderValue, Method, Request, Uri,
    header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, HOST, USER_AGENT},
    uri::{Authority, PathAndQuery},
};
use bytes::Bytes;
use http_body_util::Full;

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
        Ok(Self { http1: (path.into(), headers), http2, content_type_fixed })
    }

    /// For HTTP/1.1: the path in the request line, the host in its header.
    pub(super) fn http1(&self, call: &Call<'_>) -> Result<Request<Full<Bytes>>, Unproven> {
        authorized(self.fill(&self.http1, call, Full::new(call.body.clone())), call)
    }

    /// For HTTP/2: scheme and host are part of the target. The body follows by itself.
    pub(super) fn http2(&self, call: &Call<'_>) -> Result<Request<()>, Unproven> {
        authorized(self.fill(&self.http2, call, ()), call)
    }

    /// Whom requests name as their receiver: `host` or `host:port`.
    pub(super) fn host(&self) -> &str {
        self.http2.0.authority().map_or("", Authority::as_str)
    }

    fn fill<B>(&self, (uri, headers): &(Uri, HeaderMap), call: &Call<'_>, body: B) -> Request<B> {
        let mut request = Request::new(body);
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
            headers.insert(PROBE, HeaderValue::from_static("1"));
        }
        *request.headers_mut() = headers;
        if let Some(parts) = call.parts {
            apply(parts, &mut request, call.body.is_empty());
        }
        request
    }
}

/// Makes of the POST to the endpoint's URL what the payload wants. Scheme and host stay.
fn apply<B>(parts: &RequestParts, request: &mut Request<B>, is_empty: bool) {
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
fn authorized<B>(request: Request<B>, call: &Call<'_>) -> Result<Request<B>, Unproven> {
    let Some(authorize) = call.authorize else { return Ok(request) };
    let (head, body) = request.into_parts();
    let mut bare = Request::from_parts(head, ());
    authorize.authorize(&mut bare, &call.body)?;
    Ok(Request::from_parts(bare.into_parts().0, body))
}

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

    #[test]
    fn each_version_names_host_and_path_its_own_way() {
        let template = template(&[("x-key", "k")]);
        let first = template.http1(&call(false)).unwrap();
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
        for head in
            [template.http1(&call).unwrap().into_parts().0, template.http2(&call).unwrap().into_parts().0]
        {
            assert_eq!(head.method, Method::DELETE);
            assert_eq!(head.uri.path_and_query().unwrap(), "/k/%2e%2Fx?r=2");
            assert_eq!(head.headers.get_all("x-key").iter().collect::<Vec<_>>(), ["mine"]);
            assert_eq!(head.headers["x-other"], "o");
            assert_eq!(head.headers[CONTENT_LENGTH], "0");
            assert!(!head.headers.contains_key(CONTENT_TYPE), "nothing has no media type");
        }
        assert_eq!(template.http1(&call).unwrap().headers()[HOST], "a.example:8443");
        let second = template.http2(&call).unwrap();
        assert_eq!(second.uri(), "https://a.example:8443/k/%2e%2Fx?r=2");
    }

    #[test]
    fn a_query_without_a_path_gets_one() {
        let template = Template::new(&"http://a?x=1".parse().unwrap(), &Vec::new()).unwrap();
        assert_eq!(template.http1(&call(false)).unwrap().uri().path_and_query().unwrap().as_str(), "/?x=1");
        assert_eq!(template.http2(&call(false)).unwrap().uri().path_and_query().unwrap().as_str(), "/?x=1");
    }

    #[test]
    fn the_operator_outranks_host_agent_and_media_type() {
        let template = template(&[("host", "b.example"), ("user-agent", "me"), ("content-type", "text/x")]);
        let first = template.http1(&call(false)).unwrap();
        assert_eq!(first.headers()[HOST], "b.example");
        assert_eq!(first.headers()[USER_AGENT], "me");
        assert_eq!(first.headers()[CONTENT_TYPE], "text/x");
        assert_eq!(template.http2(&call(false)).unwrap().uri().authority().unwrap(), "b.example");
    }
}
