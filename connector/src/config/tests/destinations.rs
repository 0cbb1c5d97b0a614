//! Every type of destination: its keys arrive in the adapter's settings.

use adapters::{
    aws_http,
    aws_lambda::{InvocationType, PayloadShape},
    token,
};

use super::*;

macro_rules! sample {
    ($name:literal) => {
        parse(
            include_str!(concat!("../../../../tests/fixtures/config/good/", $name, ".yml")),
            Path::new("/etc/esp"),
        )
        .unwrap()
        .config
    };
}

fn target(config: &Config, name: &str) -> TargetConfig {
    config.destinations[name].target.clone()
}

#[test]
fn a_signed_one() {
    let config = sample!("aws-api-gateway");
    let TargetConfig::AwsApiGateway(aws) = target(&config, "orders") else { panic!() };
    let aws_http::Config { http, service, credentials } = aws;
    assert_eq!(service.as_deref(), Some("execute-api"));
    assert_eq!(credentials.region.as_deref(), Some("eu-central-1"));
    assert_eq!(credentials.profile.as_deref(), Some("connector"));
    assert_eq!(credentials.role_arn.as_deref(), Some("arn:aws:iam::123456789012:role/orders"));
    assert_eq!(credentials.external_id.as_deref(), Some("esp-connector"));
    assert_eq!((http.call_timeout, http.connect_timeout), (5000, 1000));
    assert_eq!(http.max_connections_per_endpoint.get(), 32);
    assert_eq!(http.max_request_bytes.map(NonZeroUsize::get), Some(1_000_000));
    assert!(!http.partial_response);
    assert!(http.health_check.enabled && http.health_check.path.as_deref() == Some("/prod/alive"));
    let orders = &config.destinations["orders"];
    assert_eq!(orders.workers.map(NonZeroUsize::get), Some(64));
    assert_eq!(orders.dead_letter, Some(DeadLetter::To("letters".to_owned())));

    let TargetConfig::AwsApiGateway(aws) = target(&config, "plain") else { panic!() };
    assert_eq!((aws.http.call_timeout, aws.http.connect_timeout), (7000, 3000));
    assert!(aws.http.partial_response && !aws.http.health_check.enabled);
    assert!(aws.service.is_none() && aws.credentials.region.is_none());
    assert!(matches!(target(&sample!("aws-function-url"), "orders"), TargetConfig::AwsFunctionUrl(_)));
}

#[test]
fn a_load_balancer() {
    let config = sample!("aws-alb");
    let TargetConfig::AwsAlb(alb) = target(&config, "by-file") else { panic!() };
    assert!(
        matches!(alb.token, Some(token::Source::File { file }) if file == Path::new("/etc/esp/secrets/token.jwt"))
    );
    let TargetConfig::AwsAlb(alb) = target(&config, "by-sts") else { panic!() };
    let Some(token::Source::AwsWebIdentity { aws_web_identity: sts }) = alb.token else { panic!() };
    assert_eq!((sts.audience.as_str(), sts.duration_seconds), ("records.example.net", 900));
    assert_eq!(alb.credentials.region.as_deref(), Some("eu-west-1"));
    let TargetConfig::AwsAlb(alb) = target(&config, "by-certificate") else { panic!() };
    assert_eq!(alb.http.tls.unwrap().key_file.as_deref(), Some(Path::new("/etc/esp/tls/client.key")));
}

#[test]
fn a_function() {
    let config = sample!("aws-lambda");
    let TargetConfig::AwsLambda(lambda) = target(&config, "orders") else { panic!() };
    assert_eq!(lambda.function_name, "arn:aws:lambda:eu-central-1:123456789012:function:orders");
    assert_eq!(lambda.qualifier.as_deref(), Some("live"));
    assert_eq!(
        (lambda.invocation_type, lambda.payload),
        (InvocationType::RequestResponse, PayloadShape::Raw)
    );
    assert!(lambda.endpoint_url.unwrap().starts_with("https://vpce-"));
    assert_eq!(lambda.credentials.external_id.as_deref(), Some("esp-connector"));
    assert_eq!((lambda.call_timeout, lambda.connect_timeout), (5000, 1000));
    assert!(!lambda.partial_response);
    assert_eq!((lambda.retry_on.as_slice(), lambda.reject_on.as_slice()), (&[404][..], &[409][..]));
    assert_eq!(lambda.http_success_status_codes, [200]);
    assert_eq!(lambda.http_permanent_status_codes, [410]);
    assert_eq!(lambda.max_request_bytes.map(NonZeroUsize::get), Some(1_000_000));
    let TargetConfig::AwsLambda(lambda) = target(&config, "queued") else { panic!() };
    assert_eq!((lambda.invocation_type, lambda.payload), (InvocationType::Event, PayloadShape::Event));
    assert_eq!((lambda.compression, lambda.compression_threshold), (Compression::Gzip, 4096));
    let TargetConfig::AwsLambda(lambda) = target(&config, "plain") else { panic!() };
    assert!(matches!(&lambda.headers["X-Source"], HeaderValue::Plain(text) if text == "aerospike"));
    // The schema is told these two by hand: the reference must not drift from the adapter.
    assert_eq!(
        (lambda.invocation_type, lambda.payload),
        (InvocationType::default(), PayloadShape::default())
    );
}

#[test]
fn a_function_of_google() {
    let config = sample!("gcp-functions");
    let TargetConfig::GcpFunctions(gcp) = target(&config, "orders") else { panic!() };
    assert_eq!(gcp.audience.as_deref(), Some("https://orders.example.net"));
    assert_eq!(gcp.impersonate.as_deref(), Some("connector@my-project.iam.gserviceaccount.com"));
    assert_eq!(gcp.http.compression, Compression::Gzip);
}

#[test]
fn a_folder() {
    let config = sample!("file");
    let TargetConfig::File(file) = target(&config, "archive") else { panic!() };
    assert_eq!(file.path, Path::new("/var/lib/esp-connector/archive"));
    assert_eq!((file.max_file_bytes.get(), file.max_file_seconds.get()), (1 << 20, 60));
    assert_eq!(file.max_files.map(std::num::NonZeroU64::get), Some(100));
    let TargetConfig::File(file) = target(&config, "here") else { panic!() };
    assert_eq!(file.path, Path::new("/etc/esp/archive"));
}

#[test]
fn places_for_dead_letters() {
    let config = sample!("dead-letters");
    let place = |name: &str| config.destinations[name].dead_letter.clone();
    assert_eq!(place("orders"), Some(DeadLetter::To("letters".to_owned())));
    assert_eq!(place("given-up"), Some(DeadLetter::Drop));
    assert_eq!(place("letters"), None);
    assert_eq!(config.service.remember_partial_success, 0);
}

/// A destination is moved to another service by its type and its address, and nothing else.
#[test]
fn the_same_keys_do_for_all_that_speak_http() {
    for kind in ["http", "aws-api-gateway", "aws-function-url", "aws-alb", "gcp-functions"] {
        let text = EVERY_KEY.replace("    type: http\n", &format!("    type: {kind}\n"));
        let config = parse(&text, Path::new("/etc/esp")).unwrap_or_else(|e| panic!("{kind}: {e}")).config;
        let target = target(&config, "all");
        assert_eq!(type_name(&target), kind);
        let found = http_settings(&target).unwrap();
        assert_eq!(
            format!("{found:?}"),
            format!("{:?}", http(&parse(EVERY_KEY, Path::new("/etc/esp")).unwrap().config, "all")),
            "{kind}"
        );
    }
}

/// A call that outlasts its records would keep a worker, and later versions, for an answer that nobody hears.
#[test]
fn no_call_is_longer_than_its_records_wait() {
    for kind in
        ["type: http, urls: ['http://127.0.0.1/']", "type: aws-lambda, function-name: f, region: eu-west-1"]
    {
        let ms = |call_timeout: &str| {
            let text = format!("destinations: {{a: {{{kind}, call-timeout: {call_timeout}}}}}");
            let loaded = parse(&text, Path::new("")).unwrap();
            let ms = match target(&loaded.config, "a") {
                TargetConfig::AwsLambda(lambda) => lambda.call_timeout,
                other => http_settings(&other).unwrap().call_timeout,
            };
            let told = loaded.warnings.iter().any(|warning| warning.path == "destinations.a.call-timeout");
            (ms, told)
        };
        assert_eq!(ms("8000"), (8000, false));
        assert_eq!(ms("60000"), (8000, true), "{kind}");
    }
}
