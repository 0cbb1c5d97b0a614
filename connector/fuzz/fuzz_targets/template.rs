//! Templates, and what records make of them: up to the first byte 255 the templates of body, path, query and header, between
//! newlines; behind it a message.
#![no_main]

use std::collections::BTreeMap;

use esp_connector::{
    config::{Format, RequestTemplate, TemplateFormat},
    encode::Encoder,
    wire::message,
};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let split = input.iter().position(|byte| *byte == 255).unwrap_or(input.len());
    let (templates, message) = (&input[..split], input.get(split + 1..).unwrap_or_default());
    let Ok(templates) = std::str::from_utf8(templates) else { return };
    let mut templates = templates.split('\n').map(str::to_owned);
    let request = RequestTemplate {
        body: templates.next(),
        path: templates.next(),
        query: templates.next(),
        headers: templates.next().map(|value| BTreeMap::from([("X-Value".to_owned(), value)])).unwrap_or_default(),
        ..RequestTemplate::default()
    };
    let content_type = "application/json".to_owned();
    let format = TemplateFormat { content_type, write: Some(request.clone()), delete: Some(request) };
    let Ok(encoder) = Encoder::new(Format::Template(Box::new(format))) else { return };
    let Ok(decoded) = message::decode(message, 1_700_000_000_000) else { return };
    let mut out = Vec::new();
    let Ok(parts) = encoder.encode(&decoded.notification, &mut out) else { return };
    if !out.is_empty() {
        serde_json::from_slice::<serde::de::IgnoredAny>(&out).expect("a body of JSON is JSON");
    }
    let Some(parts) = parts else { return };
    for (name, value) in &parts.headers {
        assert_eq!(name, "x-value");
        assert!(!value.as_bytes().iter().any(|byte| matches!(byte, b'\r' | b'\n' | 0)), "a header that ends its line");
    }
});
