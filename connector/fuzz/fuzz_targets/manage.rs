//! Requests to the management endpoint: a line with method and path, lines of headers, an empty one, and the body.
#![no_main]

use std::sync::LazyLock;

use bytes::Bytes;
use esp_connector::fuzzing::Management;
use http_body_util::Full;
use libfuzzer_sys::fuzz_target;
use tokio::runtime::{Builder, Runtime};

static RUNTIME: LazyLock<Runtime> =
    LazyLock::new(|| Builder::new_current_thread().enable_time().build().expect("a runtime"));
static MANAGEMENT: LazyLock<Management> = LazyLock::new(Management::default);

fuzz_target!(|input: &[u8]| {
    let Some(request) = request(input) else { return };
    let (status, body) = RUNTIME.block_on(MANAGEMENT.answer(request));
    assert!((200..=503).contains(&status) && status != 500, "{status}");
    assert!(body.len() < 256 * 1024, "{} bytes", body.len());
});

fn request(input: &[u8]) -> Option<http::Request<Full<Bytes>>> {
    let mut rest = input;
    let mut line = || {
        let end = rest.iter().position(|byte| *byte == b'\n').unwrap_or(rest.len());
        let (line, after) = rest.split_at(end);
        rest = after.get(1..).unwrap_or_default();
        line
    };
    let first = line();
    let space = first.iter().position(|byte| *byte == b' ')?;
    let mut request = http::Request::builder().method(&first[..space]).uri(&first[space + 1..]);
    loop {
        let header = line();
        let Some(colon) = header.iter().position(|byte| *byte == b':') else { break };
        request = request.header(&header[..colon], &header[colon + 1..]);
    }
    request.body(Full::new(Bytes::copy_from_slice(rest))).ok()
}
