//! Against events of real function URLs, and against the types that consumers read them with.

use std::{io::Read as _, time::Duration};

use aws_lambda_events::{apigw::ApiGatewayV2httpRequest, lambda_function_urls::LambdaFunctionUrlRequest};
use http::{HeaderMap, HeaderName, HeaderValue};
use serde_json::Value;

use super::*;

/// What a function URL without signatures gave to a function, as the slides of its introduction show it; only that names
/// are shortened.
const REAL: &str = r#"{
    "version": "2.0", "routeKey": "$default", "rawPath": "/", "rawQueryString": "",
    "headers": {
        "x-amzn-trace-id": "Root=1-6252dbdd-2a88d899750a6e1f3", "x-forwarded-proto": "https",
        "host": "f.lambda-url.ap-northeast-1.on.aws", "x-forwarded-port": "443", "content-type": "application/json",
        "x-forwarded-for": "27.0.4.123", "accept": "*/*", "user-agent": "curl/7.71.1", "content-length": "5"
    },
    "requestContext": {
        "accountId": "anonymous", "apiId": "f",
        "domainName": "f.lambda-url.ap-northeast-1.on.aws", "domainPrefix": "f",
        "http": {
            "method": "POST", "path": "/", "protocol": "HTTP/1.1", "sourceIp": "27.0.4.123", "userAgent": "curl/7.71.1"
        },
        "requestId": "84545120-9bda-41af-9b45-6bd9fb4503a6", "routeKey": "$default", "stage": "$default",
        "time": "10/Apr/2022:13:30:05 +0000", "timeEpoch": 1649597405529
    },
    "body": "hello", "isBase64Encoded": false
}"#;

/// 10 April 2022, 13:30:05.529 UTC
fn moment() -> Moment {
    let time = SystemTime::UNIX_EPOCH + Duration::from_millis(1_649_597_405_529);
    Moment { request: 0x8454_5120_9bda_f1af_db45_6bd9_fb45_03a6, time }
}

fn envelope(statics: &[(&'static str, &'static str)], function: &str) -> Envelope {
    let header = |(name, value): &(&'static str, &'static str)| {
        (HeaderName::from_static(name), HeaderValue::from_str(value).unwrap())
    };
    let function = Function::new(function, None).unwrap();
    Envelope::new(&function, &statics.iter().map(header).collect()).unwrap()
}

fn event(envelope: &Envelope, bytes: &[u8], content_type: &str, gzip: bool) -> Value {
    let body = Body { bytes, content_type, gzip };
    serde_json::from_slice(&envelope.wrap(&body, "lambda.eu-west-1.amazonaws.com", moment())).unwrap()
}

/// Every key with the kind of its value, headers aside.
fn shape(value: &Value, path: &str, into: &mut Vec<String>) {
    let Value::Object(members) = value else {
        let kind = match value {
            Value::String(_) => "string",
            Value::Number(_) => "number",
            Value::Bool(_) => "bool",
            other => panic!("{path}: {other}"),
        };
        return into.push(format!("{path}: {kind}"));
    };
    for (key, value) in members.iter().filter(|(key, _)| *key != "headers") {
        shape(value, &format!("{path}.{key}"), into);
    }
}

#[test]
fn it_has_the_fields_of_a_real_one_and_no_others() {
    let (mut ours, mut real) = (Vec::new(), Vec::new());
    let event = event(&envelope(&[], "orders"), b"hello", "application/json", false);
    shape(&event, "", &mut ours);
    shape(&serde_json::from_str(REAL).unwrap(), "", &mut real);
    ours.sort();
    real.sort();
    assert_eq!(ours, real);
    // Those that do not depend on where it was sent.
    let real: Value = serde_json::from_str(REAL).unwrap();
    for key in ["version", "routeKey", "rawPath", "rawQueryString", "body", "isBase64Encoded"] {
        assert_eq!(event[key], real[key], "{key}");
    }
    for key in ["accountId", "requestId", "routeKey", "stage", "time", "timeEpoch"] {
        assert_eq!(event["requestContext"][key], real["requestContext"][key], "{key}");
    }
    for key in ["method", "path", "protocol"] {
        assert_eq!(event["requestContext"]["http"][key], real["requestContext"]["http"][key], "{key}");
    }
}

#[test]
fn consumers_read_it_as_a_request_of_either_kind() {
    let arn = "arn:aws:lambda:eu-west-1:123456789012:function:orders:live";
    let event =
        event(&envelope(&[("x-team", "é")], arn), r#"[{"a":"\"ä"}]"#.as_bytes(), "application/json", false);

    let gateway: ApiGatewayV2httpRequest = serde_json::from_value(event.clone()).unwrap();
    assert_eq!(gateway.body.as_deref(), Some(r#"[{"a":"\"ä"}]"#));
    assert!(!gateway.is_base64_encoded && gateway.query_string_parameters.is_empty());
    let context = gateway.request_context;
    assert_eq!(
        (context.account_id.as_deref(), context.apiid.as_deref()),
        (Some("123456789012"), Some("orders"))
    );
    assert_eq!(context.http.method, "POST");
    assert_eq!(context.http.source_ip.as_deref(), Some("127.0.0.1"));
    assert_eq!(context.time_epoch, 1_649_597_405_529);

    let url: LambdaFunctionUrlRequest = serde_json::from_value(event).unwrap();
    let headers: &HeaderMap = &url.headers;
    assert_eq!(headers["content-type"], "application/json");
    assert_eq!(headers["content-length"], "14");
    assert_eq!(headers["host"], "lambda.eu-west-1.amazonaws.com");
    assert_eq!(headers["x-team"].as_bytes(), "é".as_bytes());
    assert_eq!(headers["user-agent"], url.request_context.http.user_agent.as_deref().unwrap());
    assert_eq!(url.request_context.domain_name.as_deref(), Some("lambda.eu-west-1.amazonaws.com"));
    assert_eq!(url.request_context.domain_prefix.as_deref(), Some("lambda"));
    assert_eq!(headers.len(), 5, "{headers:?}");
}

#[test]
fn what_is_no_text_becomes_base64() {
    let envelope = envelope(&[], "orders");
    for (bytes, content_type) in [
        (&b"\x82\xa1a\x01"[..], "application/vnd.msgpack"),
        (b"{}", "application/octet-stream"),
        (b"{}\n", "application/x-ndjson"),
        // Says that it is text, and is not.
        (b"\"\xff\"", "application/json"),
    ] {
        let event = event(&envelope, bytes, content_type, false);
        assert_eq!(event["isBase64Encoded"], true, "{content_type}");
        assert_eq!(BASE64.decode(event["body"].as_str().unwrap()).unwrap(), bytes, "{content_type}");
        assert_eq!(event["headers"]["content-length"], bytes.len().to_string());
    }
    for content_type in ["text/plain", "application/json; charset=utf-8", "application/xml"] {
        assert_eq!(event(&envelope, b"x", content_type, false)["isBase64Encoded"], false, "{content_type}");
    }
}

#[test]
fn what_is_compressed_says_so() {
    let bytes = crate::gzip::Gzip::default().compress(b"[1,2,3]");
    let event = event(&envelope(&[], "orders"), &bytes, "application/json", true);
    assert_eq!(event["headers"]["content-encoding"], "gzip");
    assert_eq!(event["isBase64Encoded"], true);
    let body = BASE64.decode(event["body"].as_str().unwrap()).unwrap();
    let mut text = String::new();
    flate2::read::GzDecoder::new(&body[..]).read_to_string(&mut text).unwrap();
    assert_eq!(text, "[1,2,3]");
}

#[test]
fn the_operators_headers_win() {
    let statics =
        [("content-type", "application/vnd.orders"), ("host", "orders.example:8443"), ("user-agent", "me")];
    let event = event(&envelope(&statics, "orders"), b"{}", "application/json", false);
    assert_eq!(event["headers"]["content-type"], "application/vnd.orders");
    assert_eq!(event["isBase64Encoded"], true, "as a gateway does with what it does not know");
    assert_eq!(event["requestContext"]["domainName"], "orders.example:8443");
    assert_eq!(event["requestContext"]["domainPrefix"], "orders");
    assert_eq!(event["requestContext"]["http"]["userAgent"], "me");
}

#[test]
fn ids_look_like_random_uuids() {
    assert_eq!(request_id(0), "00000000-0000-4000-8000-000000000000");
    assert_eq!(request_id(u128::MAX), "ffffffff-ffff-4fff-bfff-ffffffffffff");
}

#[test]
fn no_time_is_impossible() {
    for (time, text) in [
        (SystemTime::UNIX_EPOCH - Duration::from_secs(9), "01/Jan/1970:00:00:00 +0000"),
        (SystemTime::UNIX_EPOCH + LAST * 2, "31/Dec/9999:23:59:59 +0000"),
    ] {
        assert_eq!(log_time(time), text);
    }
    assert_eq!(milliseconds(SystemTime::UNIX_EPOCH - Duration::from_secs(9)), 0);
}
