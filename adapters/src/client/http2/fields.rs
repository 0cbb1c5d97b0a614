//! The fields of an answer: its status, what is kept of the others, and whether they are what HTTP allows. Pure.

use http::{
    HeaderMap, HeaderName, HeaderValue, StatusCode,
    header::{DATE, RETRY_AFTER},
};

/// One list of fields as it comes out of the decoder.
#[derive(Debug, Default)]
pub(super) struct Fields {
    pub(super) status: Option<StatusCode>,
    /// Of a success only what is looked at; of all else everything, as somebody may read why.
    pub(super) headers: HeaderMap,
    pub(super) content_length: Option<u64>,
    pub(super) malformed: Option<&'static str>,
    regular: bool,
    bytes: usize,
}

impl Fields {
    /// `size` is what the field counts in the list, of which the peer was told that it may have `bytes_max`.
    pub(super) fn take(&mut self, name: &[u8], value: &[u8], size: usize, bytes_max: usize) {
        self.bytes += size;
        if self.malformed.is_none() {
            self.malformed = if self.bytes > bytes_max {
                Some("too many header fields")
            } else if let Some(pseudo) = name.strip_prefix(b":") {
                self.pseudo(pseudo, value).err()
            } else {
                self.regular(name, value).err()
            };
        }
    }

    fn pseudo(&mut self, name: &[u8], value: &[u8]) -> Result<(), &'static str> {
        if name != b"status" || self.regular || self.status.is_some() {
            return Err("a pseudo-header field out of place");
        }
        // From 100 on, as its type says.
        self.status = Some(StatusCode::from_bytes(value).map_err(|_| "a status that is none")?);
        Ok(())
    }

    fn regular(&mut self, name: &[u8], value: &[u8]) -> Result<(), &'static str> {
        self.regular = true;
        if name.is_empty() || !name.iter().all(|byte| is_token(*byte)) {
            return Err("a header name with bytes that none may have");
        }
        if value.iter().any(|byte| matches!(byte, 0..=8 | 10..=31 | 127)) {
            return Err("a header value with bytes that none may have");
        }
        match name {
            b"connection" | b"keep-alive" | b"proxy-connection" | b"transfer-encoding" | b"upgrade" => {
                return Err("a header field that HTTP/2 has not");
            }
            b"content-length" => {
                let length = length(value).ok_or("a content-length that is none")?;
                if self.content_length.replace(length).is_some_and(|other| other != length) {
                    return Err("two different content-lengths");
                }
            }
            _ => {}
        }
        if self.keeps(name) {
            let name = HeaderName::from_bytes(name).map_err(|_| "a header name that is none")?;
            let value = HeaderValue::from_bytes(value).map_err(|_| "a header value that is none")?;
            // It holds more than fit into a list.
            _ = self.headers.try_append(name, value);
        }
        Ok(())
    }

    fn keeps(&self, name: &[u8]) -> bool {
        match self.status {
            Some(status) if status.is_success() => {
                name == DATE.as_str().as_bytes() || name == RETRY_AFTER.as_str().as_bytes()
            }
            Some(status) => !status.is_informational(),
            // Trailers.
            None => false,
        }
    }
}

/// What a name may consist of; capital letters are no part of HTTP/2.
fn is_token(byte: u8) -> bool {
    matches!(
        byte,
        b'a'..=b'z' | b'0'..=b'9' | b'!' | b'#' | b'$' | b'%' | b'&' | b'\'' | b'*' | b'+' | b'-' | b'.' | b'^' | b'_' | b'`' | b'|' | b'~'
    )
}

fn length(value: &[u8]) -> Option<u64> {
    let digits = !value.is_empty() && value.iter().all(u8::is_ascii_digit);
    str::from_utf8(value).ok().filter(|_| digits)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(fields: &[(&str, &str)]) -> Fields {
        let mut read = Fields::default();
        for (name, value) in fields {
            read.take(name.as_bytes(), value.as_bytes(), name.len() + value.len() + 32, 4096);
        }
        read
    }

    #[test]
    fn of_a_success_only_what_is_looked_at_is_kept() {
        let others = [("server", "x"), ("date", "d"), ("retry-after", "7"), ("content-length", "12")];
        let success = read(&[&[(":status", "200")], &others[..]].concat());
        assert_eq!((success.status, success.content_length), (Some(StatusCode::OK), Some(12)));
        let names: Vec<_> = success.headers.keys().map(HeaderName::as_str).collect();
        assert_eq!(names, ["date", "retry-after"]);
        let refusal = read(&[&[(":status", "403"), ("x-a", "1"), ("x-a", "2")], &others[..]].concat());
        assert_eq!((refusal.headers.len(), refusal.malformed), (6, None));
        assert_eq!(refusal.headers.get_all("x-a").iter().count(), 2);
        assert!(read(&[(":status", "103"), ("link", "x")]).headers.is_empty());
        assert!(read(&[("grpc-status", "0")]).headers.is_empty());
    }

    #[test]
    fn what_http_does_not_allow_is_malformed() {
        let long = "x".repeat(5000);
        for wrong in [
            &[(":status", "200"), (":status", "200")][..],
            &[("a", "b"), (":status", "200")],
            &[(":path", "/")],
            &[(":status", "2")],
            &[(":status", "099")],
            &[(":status", "200"), ("Upper", "x")],
            &[(":status", "200"), ("", "x")],
            &[(":status", "200"), ("a b", "x")],
            &[(":status", "200"), ("a", "x\r\ny")],
            &[(":status", "200"), ("a", "x\0")],
            &[(":status", "200"), ("connection", "close")],
            &[(":status", "200"), ("transfer-encoding", "chunked")],
            &[(":status", "200"), ("content-length", "+1")],
            &[(":status", "200"), ("content-length", "")],
            &[(":status", "200"), ("content-length", "99999999999999999999999")],
            &[(":status", "200"), ("content-length", "1"), ("content-length", "2")],
            &[(":status", "200"), ("a", &long)],
        ] {
            assert!(read(wrong).malformed.is_some(), "{wrong:?}");
        }
        let twice = read(&[(":status", "200"), ("content-length", "1"), ("content-length", "1")]);
        assert_eq!(twice.malformed, None);
    }
}
