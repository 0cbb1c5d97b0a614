//! `Retry-After`: how long a peer asks to be left alone. Pure; the clock is an argument.

use std::time::{Duration, SystemTime};

use ::http::{HeaderMap, header::RETRY_AFTER};

/// Longest wait a peer can ask for; the source must not be silenced for hours by one header.
const LONGEST: Duration = Duration::from_secs(5 * 60);

/// The wait asked for in `headers`, as seconds or as a date; `None` when absent or nonsense.
pub(crate) fn parse(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    let wait = if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        // More digits than fit are still a request to wait long.
        text.parse().map_or(LONGEST, Duration::from_secs)
    } else {
        // A date in the past asks for no wait at all.
        httpdate::parse_http_date(text).ok()?.duration_since(now).unwrap_or_default()
    };
    Some(wait.min(LONGEST))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wait(value: &str) -> Option<Duration> {
        let mut headers = HeaderMap::new();
        headers.insert(RETRY_AFTER, value.parse().unwrap());
        // Sun, 06 Nov 1994 08:49:37 GMT
        parse(&headers, SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_777))
    }

    #[test]
    fn seconds_and_dates() {
        assert_eq!(parse(&HeaderMap::new(), SystemTime::now()), None);
        assert_eq!(wait("0"), Some(Duration::ZERO));
        assert_eq!(wait(" 7 "), Some(Duration::from_secs(7)));
        assert_eq!(wait("Sun, 06 Nov 1994 08:50:00 GMT"), Some(Duration::from_secs(23)));
        assert_eq!(wait("Sun, 06 Nov 1994 08:00:00 GMT"), Some(Duration::ZERO));
    }

    #[test]
    fn long_waits_are_capped_and_nonsense_is_ignored() {
        for long in ["301", "99999999999999999999999999", "Sat, 06 Nov 2094 08:49:37 GMT"] {
            assert_eq!(wait(long), Some(LONGEST), "{long}");
        }
        for nonsense in ["", "-1", "1.5", "soon", "+3", "1e9"] {
            assert_eq!(wait(nonsense), None, "{nonsense}");
        }
    }
}
