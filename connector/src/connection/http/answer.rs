//! From what became of a message to the status that says so, pure.
//!
//! The sender keeps what is not answered 200. The statuses are those that make another connector do the right thing:
//! wait where this one is busy, try again where a try may help, and set a record aside where none does.

use adapters::{Cause, Outcome};
use bytes::Bytes;
use http::{
    HeaderValue, Response, StatusCode,
    header::{ALLOW, CONTENT_TYPE, RETRY_AFTER},
};
use http_body_util::Full;

use super::body::Problem;
use crate::wire::{ack::ResultCode, frame::FrameError};

/// What became of a message.
#[derive(Debug)]
pub(super) enum Fate {
    /// It was taken in, and this came of it.
    Ended(Outcome),
    /// It was refused when it was read.
    Refused(ResultCode),
    /// There is no message in the body.
    NoMessage(Problem),
    /// There is no room for it now.
    Busy,
    /// The body was not there in time.
    Slow,
    /// The body broke off.
    BrokenOff,
}

impl Fate {
    /// The answer; its body says the reason in words, for those who look.
    pub(super) fn response(&self) -> Response<Full<Bytes>> {
        let (status, words) = self.status();
        let mut response = plain(status);
        if !words.is_empty() {
            *response.body_mut() = Full::from(words);
            response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain"));
        }
        // Less would be taken: the sender is told to wait.
        if matches!(self, Self::Busy | Self::Ended(Outcome::Retryable(Cause::Overloaded))) {
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("1"));
        }
        response
    }

    /// The same as XDR would be told, for recordings.
    pub(super) fn code(&self) -> ResultCode {
        match self {
            Self::Ended(outcome) => (*outcome).into(),
            Self::Refused(code) => *code,
            Self::NoMessage(_) | Self::BrokenOff => ResultCode::Parameter,
            Self::Busy => ResultCode::DeviceOverload,
            Self::Slow => ResultCode::Timeout,
        }
    }

    fn status(&self) -> (StatusCode, &'static str) {
        match self {
            Self::Ended(Outcome::Delivered) => (StatusCode::OK, ""),
            Self::Ended(Outcome::Retryable(cause)) => match cause {
                Cause::Timeout => (StatusCode::GATEWAY_TIMEOUT, cause.as_str()),
                _ => (StatusCode::SERVICE_UNAVAILABLE, cause.as_str()),
            },
            Self::Ended(Outcome::Rejected(cause)) => match cause {
                Cause::TooLarge => (StatusCode::PAYLOAD_TOO_LARGE, cause.as_str()),
                _ => (StatusCode::UNPROCESSABLE_ENTITY, cause.as_str()),
            },
            Self::Refused(code) => match code {
                ResultCode::Forbidden => (StatusCode::UNPROCESSABLE_ENTITY, code.as_str()),
                _ => (StatusCode::BAD_REQUEST, code.as_str()),
            },
            Self::NoMessage(problem) => match problem {
                Problem::Version(_) => {
                    (StatusCode::NOT_IMPLEMENTED, "not a message of XDR of server 5.0 or later")
                }
                Problem::Size(_) | Problem::Frame(FrameError::Size { .. }) => {
                    (StatusCode::PAYLOAD_TOO_LARGE, "larger than max-frame-bytes")
                }
                Problem::Encoding => {
                    (StatusCode::UNSUPPORTED_MEDIA_TYPE, "the only content-encoding is gzip")
                }
                _ => (StatusCode::BAD_REQUEST, "not one whole message"),
            },
            Self::Busy => (StatusCode::SERVICE_UNAVAILABLE, "busy"),
            Self::Slow => (StatusCode::REQUEST_TIMEOUT, "the body did not arrive in time"),
            Self::BrokenOff => (StatusCode::BAD_REQUEST, "the body broke off"),
        }
    }
}

/// A status and nothing else.
pub(super) fn plain(status: StatusCode) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::default());
    *response.status_mut() = status;
    response
}

/// For all but GET, HEAD and POST.
pub(super) fn wrong_method() -> Response<Full<Bytes>> {
    let mut response = plain(StatusCode::METHOD_NOT_ALLOWED);
    response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD, POST"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_that_the_documentation_has() {
        let ended = Fate::Ended;
        for (fate, status, waits) in [
            (ended(Outcome::Delivered), 200, false),
            (ended(Outcome::Retryable(Cause::Overloaded)), 503, true),
            (ended(Outcome::Retryable(Cause::Unreachable)), 503, false),
            (ended(Outcome::Retryable(Cause::Shutdown)), 503, false),
            (ended(Outcome::Retryable(Cause::Status(400))), 503, false),
            (ended(Outcome::Retryable(Cause::Timeout)), 504, false),
            (ended(Outcome::Rejected(Cause::TooLarge)), 413, false),
            (ended(Outcome::Rejected(Cause::Status(400))), 422, false),
            (Fate::Refused(ResultCode::Parameter), 400, false),
            (Fate::Refused(ResultCode::UnsupportedFeature), 400, false),
            (Fate::Refused(ResultCode::Forbidden), 422, false),
            (Fate::NoMessage(Problem::Version(1)), 501, false),
            (Fate::NoMessage(Problem::Empty), 400, false),
            (Fate::NoMessage(Problem::Gzip), 400, false),
            (Fate::NoMessage(Problem::Size(1)), 413, false),
            (Fate::NoMessage(FrameError::Size { found: 2, max: 1 }.into()), 413, false),
            (Fate::NoMessage(FrameError::Type { found: 5 }.into()), 400, false),
            (Fate::Busy, 503, true),
            (Fate::Slow, 408, false),
            (Fate::BrokenOff, 400, false),
            (Fate::NoMessage(Problem::Encoding), 415, false),
        ] {
            let response = fate.response();
            let found = (response.status().as_u16(), response.headers().contains_key(RETRY_AFTER));
            assert_eq!(found, (status, waits), "{fate:?}");
            assert_eq!(status == 200, fate.code() == ResultCode::Ok, "{fate:?}");
        }
    }
}
