//! The request that goes to one endpoint: everything but the body is built once.

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

pub(super) use self::head::RequestHead;
use self::head::{field, line};

mod head;

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
        out.extend_from_slice(b"content-length: ");
        out.extend_from_slice(itoa::Buffer::new().format(call.body.len()).as_bytes());
        out.extend_from_slice(b"\r\n\r\n");
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
mod tests;
