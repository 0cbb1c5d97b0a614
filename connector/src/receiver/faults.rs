//! How an endpoint misbehaves. Request number and seed decide, so a run can be repeated.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header};
use http_body_util::Full;

use crate::simulator::random;

/// Faults of an endpoint; by default there are none. Shares are of all requests.
#[derive(Clone, Debug)]
pub struct Faults {
    /// Answered with `fail_status` at once.
    pub fail_share: f64,
    /// See `fail_share`.
    pub fail_status: StatusCode,
    /// `Retry-After` of those answers, in seconds.
    pub retry_after_seconds: Option<u32>,
    /// Never answered.
    pub hang_share: f64,
    /// Connection closed instead of an answer: half of the time before the request is read.
    pub close_share: f64,
    /// Every confirmation is kept back this long.
    pub delay: Duration,
    /// Records confirmed per second, at most.
    pub rate_limit: Option<u32>,
    /// Which requests are hit.
    pub seed: u64,
}

impl Default for Faults {
    fn default() -> Self {
        Self {
            fail_share: 0.0,
            fail_status: StatusCode::SERVICE_UNAVAILABLE,
            retry_after_seconds: None,
            hang_share: 0.0,
            close_share: 0.0,
            delay: Duration::ZERO,
            rate_limit: None,
            seed: 1,
        }
    }
}

/// What happens to one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It is taken.
    None,
    /// It is refused.
    Fail,
    /// It is never answered.
    Hang,
    /// Its connection is closed before it is read.
    CloseUnread,
    /// Its connection is closed after it was read.
    CloseRead,
}

impl Faults {
    /// What happens to request number `request`.
    pub fn draw(&self, request: u64) -> Fault {
        let Self { fail_share, hang_share, close_share, seed, .. } = *self;
        if fail_share + hang_share + close_share <= 0.0 {
            return Fault::None;
        }
        let drawn = random::share(seed, 0, request);
        if drawn < fail_share {
            Fault::Fail
        } else if drawn < fail_share + hang_share {
            Fault::Hang
        } else if drawn < fail_share + hang_share + close_share / 2.0 {
            Fault::CloseUnread
        } else if drawn < fail_share + hang_share + close_share {
            Fault::CloseRead
        } else {
            Fault::None
        }
    }

    /// The answer to a request that is refused.
    pub(super) fn refusal(&self) -> Response<Full<Bytes>> {
        let mut response = Response::new(Full::default());
        *response.status_mut() = self.fail_status;
        if let Some(seconds) = self.retry_after_seconds {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_kept_and_repeatable() {
        let faults = Faults { fail_share: 0.2, hang_share: 0.05, close_share: 0.1, ..Faults::default() };
        let drawn: Vec<Fault> = (0..20_000).map(|request| faults.draw(request)).collect();
        let share = |fault| drawn.iter().filter(|drawn| **drawn == fault).count() as f64 / 20_000.0;
        for (fault, expected) in
            [(Fault::Fail, 0.2), (Fault::Hang, 0.05), (Fault::CloseUnread, 0.05), (Fault::CloseRead, 0.05)]
        {
            assert!((share(fault) - expected).abs() < 0.01, "{fault:?}: {}", share(fault));
        }
        assert!((0..20_000).all(|request| faults.draw(request) == drawn[request as usize]));
        let other = Faults { seed: 2, ..faults };
        assert!((0..20_000).any(|request| other.draw(request) != drawn[request as usize]));
    }

    #[test]
    fn without_shares_there_are_no_faults() {
        assert!((0..1000).all(|request| Faults::default().draw(request) == Fault::None));
    }
}
