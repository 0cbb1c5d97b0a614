//! The head of a request: made once, and for the next request the same bytes, as long as they mean the same.

use ::http::{
    HeaderName, HeaderValue, Request,
    header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, USER_AGENT},
};

use super::{
    Call, State,
    hpack::{Encoder, Remember},
};

/// A head without its `content-length`.
pub(super) struct Known {
    content_type: HeaderValue,
    gzip: bool,
    /// Of the encoder, when it was made.
    generation: u64,
    block: Vec<u8>,
}

impl State {
    /// Whether the head for `call` was sent just before.
    pub(super) fn knows(&self, call: &Call<'_>) -> bool {
        self.known.as_ref().is_some_and(|known| {
            is_plain(call)
                && known.generation == self.session.generation()
                && known.gzip == call.gzip
                && known.content_type == call.content_type
        })
    }

    pub(super) fn begin_known(&mut self, call: &Call<'_>) -> Result<u32, &'static str> {
        let block = self.known.as_ref().map_or(&[][..], |known| &known.block);
        let head = |_: &mut Encoder, out: &mut Vec<u8>| {
            out.extend_from_slice(block);
            Encoder::content_length(call.body.len(), out);
        };
        self.session.begin(head, call.body.clone(), call.keep)
    }

    pub(super) fn begin(&mut self, request: &Request<()>, call: &Call<'_>) -> Result<u32, &'static str> {
        if !is_plain(call) {
            let head = |encoder: &mut Encoder, out: &mut Vec<u8>| {
                encode(request, |name| call.parts.is_none() && same_each_time(name), encoder, out);
                if let Some(length) = request.headers().get(CONTENT_LENGTH) {
                    encoder.field(CONTENT_LENGTH.as_str().as_bytes(), length.as_bytes(), Remember::No, out);
                }
            };
            return self.session.begin(head, call.body.clone(), call.keep);
        }
        let before = self.session.generation();
        let mut block = Vec::new();
        let head = |encoder: &mut Encoder, out: &mut Vec<u8>| {
            let at = out.len();
            encode(request, |_| true, encoder, out);
            block.extend_from_slice(&out[at..]);
            Encoder::content_length(call.body.len(), out);
        };
        let begun = self.session.begin(head, call.body.clone(), call.keep)?;
        let generation = self.session.generation();
        if generation == before {
            let content_type = call.content_type.clone();
            self.known = Some(Known { content_type, gzip: call.gzip, generation, block });
        }
        Ok(begun)
    }
}

/// Whether only what the head shows differs from one request to the next.
fn is_plain(call: &Call<'_>) -> bool {
    call.parts.is_none() && call.authorize.is_none() && !call.probe
}

/// Appends all fields but `content-length`. Secrets are marked, and not remembered whatever `remembered` says.
fn encode(
    request: &Request<()>,
    remembered: impl Fn(&str) -> bool,
    encoder: &mut Encoder,
    out: &mut Vec<u8>,
) {
    let uri = request.uri();
    let pseudo = [
        (":method", request.method().as_str()),
        (":scheme", uri.scheme_str().unwrap_or("https")),
        (":authority", uri.authority().map_or("", |authority| authority.as_str())),
        (":path", uri.path_and_query().map_or("/", |path| path.as_str())),
    ];
    let remember = |name: &str| if remembered(name) { Remember::Yes } else { Remember::No };
    for (name, value) in pseudo {
        encoder.field(name.as_bytes(), value.as_bytes(), remember(name), out);
    }
    for (name, value) in request.headers() {
        if name != CONTENT_LENGTH {
            let remember = if value.is_sensitive() { Remember::Never } else { remember(name.as_str()) };
            encoder.field(name.as_str().as_bytes(), value.as_bytes(), remember, out);
        }
    }
}

/// What requests have in common even where each of them proves who sends it.
fn same_each_time(name: &str) -> bool {
    const HEADERS: [HeaderName; 3] = [USER_AGENT, CONTENT_TYPE, CONTENT_ENCODING];
    name.starts_with(':') || HEADERS.iter().any(|header| header == name)
}
