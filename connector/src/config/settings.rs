//! What the settings of targets have in common, whatever their type.

use std::{collections::BTreeMap, path::PathBuf};

use adapters::{TargetConfig, credentials, http};

/// Its `type`, as written.
pub(crate) fn type_name(target: &TargetConfig) -> &'static str {
    match target {
        TargetConfig::Http(_) => "http",
        TargetConfig::AwsApiGateway(_) => "aws-api-gateway",
        TargetConfig::AwsFunctionUrl(_) => "aws-function-url",
        TargetConfig::AwsOpensearch(_) => "aws-opensearch",
        TargetConfig::AwsAlb(_) => "aws-alb",
        TargetConfig::AwsLambda(_) => "aws-lambda",
        TargetConfig::GcpFunctions(_) => "gcp-functions",
        TargetConfig::Webhook(_) => "webhook",
        TargetConfig::File(_) => "file",
    }
}

/// The settings of plain HTTP, of those that speak it.
pub(crate) fn http_settings(target: &TargetConfig) -> Option<&http::Config> {
    match target {
        TargetConfig::Http(http) => Some(http),
        TargetConfig::AwsApiGateway(aws)
        | TargetConfig::AwsFunctionUrl(aws)
        | TargetConfig::AwsOpensearch(aws) => Some(&aws.http),
        TargetConfig::AwsAlb(alb) => Some(&alb.http),
        TargetConfig::GcpFunctions(gcp) => Some(&gcp.http),
        TargetConfig::Webhook(hook) => Some(&hook.http),
        TargetConfig::AwsLambda(_) | TargetConfig::File(_) => None,
    }
}

/// The same, to change them.
pub(crate) fn http_settings_mut(target: &mut TargetConfig) -> Option<&mut http::Config> {
    match target {
        TargetConfig::Http(http) => Some(http),
        TargetConfig::AwsApiGateway(aws)
        | TargetConfig::AwsFunctionUrl(aws)
        | TargetConfig::AwsOpensearch(aws) => Some(&mut aws.http),
        TargetConfig::AwsAlb(alb) => Some(&mut alb.http),
        TargetConfig::GcpFunctions(gcp) => Some(&mut gcp.http),
        TargetConfig::Webhook(hook) => Some(&mut hook.http),
        TargetConfig::AwsLambda(_) | TargetConfig::File(_) => None,
    }
}

/// The static headers, to change them.
pub(crate) fn headers_mut(target: &mut TargetConfig) -> Option<&mut BTreeMap<String, http::HeaderValue>> {
    match target {
        TargetConfig::AwsLambda(lambda) => Some(&mut lambda.headers),
        other => http_settings_mut(other).map(|http| &mut http.headers),
    }
}

/// The files that header values are read from, once.
pub(crate) fn header_files(target: &TargetConfig) -> Vec<PathBuf> {
    let headers = match target {
        TargetConfig::AwsLambda(lambda) => Some(&lambda.headers),
        other => http_settings(other).map(|http| &http.headers),
    };
    let file = |value: &http::HeaderValue| match value {
        http::HeaderValue::File { file } => Some(file.clone()),
        http::HeaderValue::Plain(_) | http::HeaderValue::Env { .. } | http::HeaderValue::Value { .. } => None,
    };
    headers.into_iter().flat_map(|headers| headers.values().filter_map(file)).collect()
}

/// Whose AWS credentials are used.
pub(crate) fn aws_credentials(target: &TargetConfig) -> Option<&credentials::Config> {
    match target {
        TargetConfig::AwsApiGateway(aws)
        | TargetConfig::AwsFunctionUrl(aws)
        | TargetConfig::AwsOpensearch(aws) => Some(&aws.credentials),
        TargetConfig::AwsAlb(alb) => Some(&alb.credentials),
        TargetConfig::AwsLambda(lambda) => Some(&lambda.credentials),
        TargetConfig::Http(_)
        | TargetConfig::GcpFunctions(_)
        | TargetConfig::Webhook(_)
        | TargetConfig::File(_) => None,
    }
}

/// How long one call may take, milliseconds, to change it.
pub(crate) fn call_timeout_ms_mut(target: &mut TargetConfig) -> Option<&mut u64> {
    match target {
        TargetConfig::AwsLambda(lambda) => Some(&mut lambda.call_timeout),
        other => http_settings_mut(other).map(|http| &mut http.call_timeout),
    }
}

/// Compression of bodies.
pub(crate) fn compression(target: &TargetConfig) -> http::Compression {
    match target {
        TargetConfig::AwsLambda(lambda) => lambda.compression,
        other => http_settings(other).map_or(http::Compression::None, |http| http.compression),
    }
}

/// Whether a Lambda function stands behind it, as far as can be told.
pub(crate) fn behind_is_lambda(target: &TargetConfig) -> bool {
    matches!(
        target,
        TargetConfig::AwsApiGateway(_)
            | TargetConfig::AwsFunctionUrl(_)
            | TargetConfig::AwsAlb(_)
            | TargetConfig::AwsLambda(_)
    )
}
