use super::*;
use crate::{
    config::Format,
    encode::Encoder,
    notification::{Bin, Digest, ExistsAction, Expiry, GenerationPolicy, Value},
};

fn notification<'a>(bins: &[(&'a str, Value<'a>)]) -> ChangeNotification<'a> {
    ChangeNotification {
        operation: Operation::Write,
        namespace: b"shop",
        set: Some(b"orders"),
        digest: Digest([0xfb; 20]),
        user_key: Some(Value::String(b"order-17")),
        generation: Some(4),
        lut_unix_ms: Some(1_767_225_600_123),
        expiry: Expiry::Never,
        exists_action: ExistsAction::Replace,
        generation_policy: GenerationPolicy::None,
        xdr: true,
        bins: bins.iter().map(|(name, value)| Bin { name: name.as_bytes(), value: *value }).collect(),
    }
}

fn delete() -> ChangeNotification<'static> {
    ChangeNotification { operation: Operation::DurableDelete, expiry: Expiry::Unknown, ..notification(&[]) }
}

/// The format that stands in a configuration.
fn format(text: &str) -> Result<Format, String> {
    let text = format!(
        "destinations: {{a: {{urls: ['http://a/b/c']}}}}\nrouting: {{mode: static, destination: a}}\nformat:\n  mode: template\n{text}"
    );
    let loaded = config::parse(&text, std::path::Path::new("")).map_err(|problems| problems.to_string())?;
    Ok(loaded.config.root.format.expect("it was written"))
}

fn encoder(text: &str) -> Encoder {
    Encoder::new(format(text).unwrap_or_else(|problems| panic!("{problems}"))).expect("checked")
}

fn write(text: &str, notification: &ChangeNotification<'_>) -> Result<(String, RequestParts), String> {
    let mut piece = Vec::new();
    let parts = encoder(text).encode(notification, &mut piece).map_err(|error| error.to_string())?;
    let parts = parts.map(|parts| RequestParts::clone(&parts)).unwrap_or_default();
    Ok((String::from_utf8(piece).expect("text"), parts))
}

fn body(text: &str, bins: &[(&str, Value<'_>)]) -> Result<String, String> {
    write(&format!("  body: |\n    {}", text.replace('\n', "\n    ")), &notification(bins))
        .map(|(body, _)| body)
}

const ELASTICSEARCH: &str = r#"
  path: /orders/_doc/{{ digest_hex }}
  query: version={{ lut_unix_ms }}&version_type=external
  headers: {X-Id: "{{ id }}", X-Fixed: "yes"}
  write:
    method: PUT
    body: '{"sku": {{ bins.sku }}, "qty": {{ bins.qty|default(0) }}}'
  delete:
    method: DELETE
    success-status-codes: [200, 404]
"#;

#[test]
fn a_write_and_a_delete_have_requests_of_their_own() {
    let sku = Value::String(b"A \"9\"");
    let (body, parts) = write(ELASTICSEARCH, &notification(&[("sku", sku)])).unwrap();
    assert_eq!(body, r#"{"sku": "A \"9\"", "qty": 0}"#);
    let digest = "fb".repeat(20);
    assert_eq!(parts.method, Some(Method::PUT));
    assert_eq!(parts.path, Some(Path::new(format!("/orders/_doc/{digest}")).unwrap()));
    assert_eq!(
        parts.query,
        Some(Query::new("version=1767225600123&version_type=external".to_owned()).unwrap())
    );
    let headers: Vec<_> =
        parts.headers.iter().map(|(name, value)| (name.as_str(), value.to_str().unwrap())).collect();
    let id = format!("shop-{digest}-1767225600123-4-write");
    assert_eq!(headers, [("x-fixed", "yes"), ("x-id", id.as_str())]);
    assert!(parts.success_status_codes.is_empty());

    let (body, parts) = write(ELASTICSEARCH, &delete()).unwrap();
    assert_eq!((body.as_str(), parts.method), ("", Some(Method::DELETE)));
    assert_eq!(*parts.success_status_codes, [200, 404]);
}

#[test]
fn every_field_and_type_of_value_has_its_form() {
    // {"b": [1, nil]} and [1, "a"]
    let map = crate::wire::value::particle(19, b"\x81\xa2\x03b\x92\x01\xc0").unwrap();
    let list = crate::wire::value::particle(20, b"\x92\x01\xa2\x03a").unwrap();
    let bins = [
        ("i", Value::Integer(i64::MIN)),
        ("f", Value::Double(1.0)),
        ("nan", Value::Double(f64::NAN)),
        ("t", Value::Boolean(true)),
        ("s", Value::String(b"a\xff")),
        ("n", Value::Null),
        ("blob", Value::Blob(4, &[0, 255])),
        ("geo", Value::GeoJson(br#"{"type":"Point"}"#)),
        ("map", map),
        ("list", list),
    ];
    for (template, expected) in [
        (
            "{{ [namespace, set, key, operation, durable, generation, expiry] }}",
            r#"["shop","orders","order-17","write",false,4,0]"#,
        ),
        ("{{ [lut_unix_ms, lut] }}", r#"[1767225600123,"2026-01-01T00:00:00.123Z"]"#),
        ("{{ digest }}", r#""+/v7+/v7+/v7+/v7+/v7+/v7+/s=""#),
        ("{{ bins.i }}", "-9223372036854775808"),
        ("{{ bins.f }}", "1.0"),
        ("{{ bins.nan }}", "\"NaN\""),
        ("{{ bins.t }}", "true"),
        ("{{ bins.s }}", "\"a\u{fffd}\""),
        ("{{ bins.n }}", "null"),
        ("{{ bins.blob }}", "\"AP8=\""),
        ("{{ bins.blob|hex }}", "\"00ff\""),
        ("{{ \"x\" ~ bins.blob }}", "\"xAP8=\""),
        ("{{ bins.geo }}", r#"{"type":"Point"}"#),
        ("{{ bins.map }}", r#"{"b":[1,null]}"#),
        ("{{ bins.map.b[0] }}", "1"),
        ("{{ bins[\"list\"] }}", r#"[1,"a"]"#),
        ("{{ bins.list|length }}", "2"),
        ("{{ 'a' in bins.list }}", "true"),
        ("[{% for x in bins.list %}{{ x }}{% if not loop.last %},{% endif %}{% endfor %}]", r#"[1,"a"]"#),
        ("[{% for pair in bins.map|items %}{{ pair[0] }}{% endfor %}]", r#"["b"]"#),
        ("{{ bins.list|tojson|string }}", r#""[1,\"a\"]""#),
        ("{{ bins.absent|default(none) }}", "null"),
        ("{{ bins.absent is defined }}", "false"),
        ("{{ namespace ~ '/' ~ set|upper }}", "\"shop/ORDERS\""),
        ("{{ '17'|int + 1 }}", "18"),
        ("{{ lut_unix_ms|rfc3339 }}", "\"2026-01-01T00:00:00.123Z\""),
    ] {
        assert_eq!(body(template, &bins).as_deref(), Ok(expected), "{template}");
    }
    let all = body("{{ bins }}", &bins[..2]).unwrap();
    assert_eq!(all, r#"{"i":-9223372036854775808,"f":1.0}"#);
}
