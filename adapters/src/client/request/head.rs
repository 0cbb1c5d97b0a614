//! A request's head as bytes.

use ::http::{HeaderName, HeaderValue, Method, Request, uri::PathAndQuery};

/// The head of a request in HTTP/1.1, as it goes out.
///
/// All it is made of was checked when it was made: none of these types can hold the end of a line, and no header that frames
/// the message comes from elsewhere.
#[derive(Default)]
pub(in crate::client) struct RequestHead {
    pub(in crate::client) bytes: Vec<u8>,
    /// The method is HEAD, whose answers have no bodies.
    pub(in crate::client) is_for_head: bool,
}

impl RequestHead {
    /// Appends all of `request`.
    pub(super) fn of(&mut self, request: &Request<()>) {
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

/// Appends a request line.
pub(super) fn line(out: &mut Vec<u8>, method: &Method, target: &PathAndQuery) {
    for piece in [method.as_str(), " ", target.as_str(), " HTTP/1.1\r\n"] {
        out.extend_from_slice(piece.as_bytes());
    }
}

/// Appends a header.
pub(super) fn field(out: &mut Vec<u8>, name: &HeaderName, value: &HeaderValue) {
    for piece in [name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"] {
        out.extend_from_slice(piece);
    }
}
