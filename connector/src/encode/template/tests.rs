use super::*;
use crate::{
    config::Format,
    encode::Encoder,
    notification::{Bin, Digest, ExistsAction, Expiry, GenerationPolicy, Value},
};
use proptest::prelude::*;

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
            "[{{ namespace }},{{ set }},{{ key }},{{ operation }},{{ durable }},{{ generation }},{{ expiry }}]",
            r#"["shop","orders","order-17","write",false,4,0]"#,
        ),
        ("[{{ lut_unix_ms }},{{ lut }}]", r#"[1767225600123,"2026-01-01T00:00:00.123Z"]"#),
        ("{{ digest }}", r#""+/v7+/v7+/v7+/v7+/v7+/v7+/s=""#),
        ("{{ digest_b64url }}", r#""-_v7-_v7-_v7-_v7-_v7-_v7-_s""#),
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

#[test]
fn what_shares_a_request_is_checked_when_the_configuration_is_loaded() {
    let load = |template: &str, batching: &str, destination: &str| {
        let text = format!(
            "destinations: {{a: {destination}}}\nrouting: {{mode: static, destination: a}}\nbatching: {batching}\nformat:\n  mode: template\n{template}"
        );
        config::parse(&text, std::path::Path::new("")).map_err(|problems| problems.to_string())
    };
    let (http, lambda) = ("{urls: ['http://a/']}", "{type: aws-lambda, function-name: f}");
    let (one, many) = ("{enabled: false, max-records: 1}", "{max-records: 10}");
    for (template, batching, destination, expected) in [
        ("  path: /{{ key }}\n  body: '1'", many, http, "`path` of the template depends on the record"),
        (
            "  headers: {X-A: '{{ key }}'}\n  body: '1'",
            many,
            http,
            "`headers.x-a` of the template depends on the record",
        ),
        (
            "  delete: {method: DELETE}\n  body: '1'",
            many,
            http,
            "`write` and `delete` of the template differ",
        ),
        ("  delete: {body: ''}\n  body: '1'", many, http, "the template makes none"),
        (
            "  content-type: text/plain\n  body: '1'",
            "{max-records: 10, body: json-array}",
            http,
            "takes concatenated",
        ),
        ("  path: /x\n  body: '1'", one, lambda, "which `a` (`type: aws-lambda`) does not have"),
        (
            "  delete: {success-status-codes: [404]}\n  body: '1'",
            one,
            "{type: file, path: /tmp/x}",
            "`type: file`",
        ),
        ("  write: {skip: true}\n  delete: {skip: true}", one, http, "skips writes and deletes"),
        ("  body: '1'\n  body-file: x", one, http, "has both `body` and `body-file`"),
        ("  body: '1'\n  headers: {Host: x}", one, http, "headers.Host: names the receiver"),
        ("  body: '1'\n  headers: {Content-Length: '1'}", one, http, "set by the client itself"),
        ("  body: '1'\n  headers: {Content-Type: x/y}", one, http, "has a key of its own"),
        ("  body: '1'\n  headers: {X-A: \"a\\r\\nb\"}", one, http, "not visible ASCII"),
        ("  body: '1'\n  path: //evil/{{ key }}", one, http, "line 7: format.path: starts with two slashes"),
        ("  body: '1'\n  path: ../x", one, http, "a segment of dots"),
        ("  body: '1'\n  path: https://evil/", one, http, "has a colon before its first slash"),
        ("  body: '1'\n  query: 'a b'", one, http, "percent-encoded"),
        (
            "  body: '1'\n  delete:\n    path: /{{ kee }}",
            one,
            http,
            "line 8: format.delete.path: line 1, column 5: unknown name `kee`",
        ),
        ("  body: '1'\n  method: CONNECT", one, http, "unknown value `CONNECT`"),
        ("  body: '{\"a\": \"{{ key }}\"}'", one, http, "a value inside quotes"),
    ] {
        let problems = load(template, batching, destination).map(drop).expect_err(template);
        assert!(problems.contains(expected), "{template}: {problems}");
    }
    for (template, batching, destination) in [
        ("  path: /x\n  method: PUT\n  body: '1'", many, http),
        ("  body: '1'", many, lambda),
        ("  body: '1'\n  delete: {skip: true}", many, http),
    ] {
        assert!(load(template, batching, destination).is_ok(), "{template}");
    }
}

#[test]
fn what_is_not_json_is_not_sent_as_json() {
    for template in [
        "{{ bins.a|safe }}",
        "{{ key }} {{ key }}",
        "[{% for x in bins.l %}{{ x }},{% endfor %}]",
        "{{ key }}}",
    ] {
        let list = crate::wire::value::particle(20, b"\x91\x01").unwrap();
        let error = body(template, &[("a", Value::String(b"1, 2")), ("l", list)]).unwrap_err();
        assert_eq!(error, "`body` of the format: makes text that is not JSON", "{template}");
    }
    assert_eq!(
        body("\n{\"a\":\n\n {{ bins.a }}}\n", &[("a", Value::String(b"\n"))]).as_deref(),
        Ok(r#"{"a": "\n"}"#)
    );
    let lines =
        "  content-type: application/x-ndjson\n  body: |\n    {\"index\": {}}\n\n    {\"a\": {{ key }}}\n";
    assert_eq!(write(lines, &notification(&[])).unwrap().0, "{\"index\": {}}\n{\"a\": \"order-17\"}");
}

const EVERYWHERE: &str = r#"
  path: a/{{ bins.v }}/b/{{ bins.v|safe }}
  query: q={{ bins.v }}&r={{ bins.v|safe }}
  headers: {X-A: "{{ bins.v }}", X-B: "fixed"}
  body: '{"v": {{ bins.v }}, "w": [{{ bins.v|lower }}]}'
"#;

proptest! {
    /// Whatever a bin holds, and even where the operator marked it as safe: what is sent goes to the same host, below the
    /// folder of the URL, with the same headers, and its body has the same structure.
    #[test]
    fn no_value_changes_where_a_request_goes_or_what_it_is(value in hostile()) {
        let mut piece = Vec::new();
        let bins = [("v", Value::String(value.as_bytes()))];
        let Ok(parts) = encoder(EVERYWHERE).encode(&notification(&bins), &mut piece) else { return Ok(()) };
        let parts = parts.unwrap();
        prop_assert_eq!(parts.method.as_ref(), None);
        let names: Vec<_> = parts.headers.iter().map(|(name, _)| name.as_str()).collect();
        prop_assert!(names == ["x-b", "x-a"] || names == ["x-b"], "{:?}", names);
        for (_, header) in &parts.headers {
            prop_assert!(header.as_bytes().iter().all(|byte| (b' '..=b'~').contains(byte)));
        }
        // Both were made by the constructors that are tested beside them.
        let path = format!("{:?}", parts.path);
        prop_assert!(!path.contains("..") || !path.contains("/../"), "{}", path);
        prop_assert!(path.starts_with("Some(Path(\"a/"), "{}", path);
        let body: serde_json::Value = serde_json::from_slice(&piece).unwrap();
        prop_assert_eq!(body, serde_json::json!({"v": value, "w": [value.to_lowercase()]}));
    }

    /// The same without `safe`: everything but what no header may hold, and segments of dots, can be sent, and arrives as
    /// it is in the body.
    #[test]
    fn values_are_encoded_in_a_path(value in hostile()) {
        let mut piece = Vec::new();
        let bins = [("v", Value::String(value.as_bytes()))];
        let encoder = encoder("  path: /x/{{ bins.v }}/y\n  body: '{{ bins.v }}'");
        match encoder.encode(&notification(&bins), &mut piece) {
            Err(_) => prop_assert!(["", ".", ".."].contains(&value.as_str()), "{:?}", value),
            Ok(parts) => {
                let path = format!("{:?}", parts.unwrap().path);
                prop_assert_eq!(path.matches('/').count(), 3, "{}", path);
                prop_assert_eq!(serde_json::from_slice::<String>(&piece).unwrap(), value);
            }
        }
    }
}

fn hostile() -> impl Strategy<Value = String> {
    prop_oneof![
        "[a-z]{1,4}",
        "(\\.\\.|/|//|\\\\|%2e|%2f|:|@|\\?|#|\r|\n|\0|\"|'|\\{\\{|\\}\\}|,|http:|evil| |\u{e9}|&|=){0,8}",
        any::<String>(),
    ]
}
