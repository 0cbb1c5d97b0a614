//! HTTP/1.1 for clients that send a content length.

use std::io;

use memchr::memmem;
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    time,
};

use super::{
    Sink,
    faults::{Fault, records},
};

/// Serves a connection whose first bytes are in `input`.
pub(super) async fn serve(
    sink: &Sink,
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    mut input: Vec<u8>,
) -> io::Result<()> {
    let mut out = Vec::new();
    loop {
        let mut taken = 0;
        while let Some(request) = Request::first(&input[taken..]) {
            let Some(body) = input[taken..].get(request.head_bytes..request.head_bytes + request.body_bytes)
            else {
                if request.expects {
                    stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").await?;
                }
                input.reserve(request.head_bytes + request.body_bytes);
                break;
            };
            taken += request.head_bytes + request.body_bytes;
            if request.is_get {
                let page = sink.counts.page();
                out.extend_from_slice(
                    format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{page}", page.len()).as_bytes(),
                );
                continue;
            }
            match sink.faults.of(sink.counts.request()) {
                None => {
                    sink.counts.confirmed(records(body), body.len() as u64);
                    if !sink.faults.delay.is_zero() {
                        time::sleep(sink.faults.delay).await;
                    }
                    out.extend_from_slice(b"HTTP/1.1 204 No Content\r\n\r\n");
                }
                Some(fault) => {
                    sink.counts.failed();
                    let status: &[u8] = match fault {
                        Fault::Unavailable => b"503 Service Unavailable",
                        Fault::TooMany => b"429 Too Many Requests",
                        Fault::Cut => return Ok(()),
                    };
                    for part in [b"HTTP/1.1 ", status, b"\r\ncontent-length: 0\r\n\r\n"] {
                        out.extend_from_slice(part);
                    }
                }
            }
        }
        input.drain(..taken);
        if !out.is_empty() {
            stream.write_all(&out).await?;
            stream.flush().await?;
            out.clear();
        }
        if stream.read_buf(&mut input).await? == 0 {
            return Ok(());
        }
    }
}

/// What has to be known of a request.
struct Request {
    head_bytes: usize,
    body_bytes: usize,
    is_get: bool,
    expects: bool,
}

impl Request {
    /// The one at the start of `input`, once its head is there.
    fn first(input: &[u8]) -> Option<Self> {
        let head_bytes = memmem::find(input, b"\r\n\r\n")? + 4;
        let mut request =
            Self { head_bytes, body_bytes: 0, is_get: input.starts_with(b"GET "), expects: false };
        for line in input[..head_bytes].split(|byte| *byte == b'\n') {
            let (name, value) = line.split_at(line.iter().position(|byte| *byte == b':').unwrap_or(0));
            if name.eq_ignore_ascii_case(b"content-length") {
                let value = std::str::from_utf8(&value[1..]).unwrap_or_default();
                request.body_bytes = value.trim().parse().unwrap_or(0);
            }
            request.expects |= name.eq_ignore_ascii_case(b"expect");
        }
        Some(request)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_as_long_as_its_head_says() {
        let input =
            b"POST / HTTP/1.1\r\nHost: a\r\nContent-LENGTH:  3\r\nexpect: 100-continue\r\n\r\nabcGET /";
        for bytes in 0..input.len() - 8 {
            assert!(Request::first(&input[..bytes]).is_none(), "{bytes} bytes are not a head");
        }
        let request = Request::first(input).unwrap();
        assert_eq!((request.head_bytes, request.body_bytes), (input.len() - 8, 3));
        assert!(request.expects && !request.is_get);
        assert!(Request::first(b"GET / HTTP/1.1\r\n\r\n").unwrap().is_get);
    }
}
