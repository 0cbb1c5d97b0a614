//! Signature Version 4 of a request that is about to be sent, by the `aws-sigv4` crate. Pure; the clock is an argument.
//!
//! What is handed to the signer is what goes out: path and query as they are written, the host by the name the request
//! uses, the body's real bytes. Only headers that no proxy rewrites are signed.

use std::time::SystemTime;

use ::http::{
    HeaderName, HeaderValue, Request,
    header::{AUTHORIZATION, CONTENT_TYPE, HOST},
};
use aws_credential_types::Credentials;
use aws_sigv4::{
    http_request::{PayloadChecksumKind, SignableBody, SignableRequest, SigningSettings},
    sign::v4,
};
use aws_smithy_runtime_api::client::identity::Identity;

use crate::authorize::Unproven;

/// What a signature is valid for, besides the day.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scope<'a> {
    pub(crate) region: &'a str,
    /// Name of the service in signatures: `execute-api`, `lambda`.
    pub(crate) service: &'a str,
}

/// Signs `request`, which has every other header already.
pub(crate) fn sign(
    request: &mut Request<()>,
    body: &[u8],
    credentials: &Credentials,
    scope: Scope<'_>,
    now: SystemTime,
) -> Result<(), Unproven> {
    let how = How { settings: settings(scope), is_signed };
    sign_like(request, body, credentials, scope, now, how)
}

/// Whether a header that the receiver will see is part of the signature.
fn is_signed(name: &HeaderName) -> bool {
    *name == CONTENT_TYPE || name.as_str().starts_with("x-amz-")
}

/// What differs between services; in tests also between vectors.
struct How {
    settings: SigningSettings,
    is_signed: fn(&HeaderName) -> bool,
}

/// The path normalised and encoded twice, the token signed with the rest: so want all services but S3.
fn settings(scope: Scope<'_>) -> SigningSettings {
    let mut settings = SigningSettings::default();
    if [LATTICE, OPENSEARCH, OPENSEARCH_SERVERLESS].contains(&scope.service) {
        settings.payload_checksum_kind = PayloadChecksumKind::XAmzSha256;
    }
    settings
}

fn sign_like(
    request: &mut Request<()>,
    body: &[u8],
    credentials: &Credentials,
    scope: Scope<'_>,
    now: SystemTime,
    how: How,
) -> Result<(), Unproven> {
    // Left from before, they would be signed and then replaced.
    for name in [AUTHORIZATION, DATE, TOKEN, CONTENT_HASH] {
        request.headers_mut().remove(name);
    }
    let signable = signable(request, body, scope, how.is_signed)?;
    let identity = Identity::from(credentials.clone());
    let params = v4::SigningParams::builder()
        .identity(&identity)
        .region(scope.region)
        .name(scope.service)
        .time(now)
        .settings(how.settings)
        .build()
        .map_err(unsignable)?;
    let signed = aws_sigv4::http_request::sign(signable, &params.into()).map_err(unsignable)?;
    let (headers, _) = signed.into_parts().0.into_parts();
    for header in headers {
        let mut value = HeaderValue::from_str(header.value()).map_err(unsignable)?;
        // Hidden from logs, and kept out of the compression tables of HTTP/2.
        value.set_sensitive(header.sensitive() || header.name() == AUTHORIZATION.as_str());
        request.headers_mut().insert(header.name(), value);
    }
    Ok(())
}

fn signable<'a>(
    request: &'a Request<()>,
    body: &'a [u8],
    scope: Scope<'_>,
    is_signed: fn(&HeaderName) -> bool,
) -> Result<SignableRequest<'a>, Unproven> {
    // HTTP/1.1 names the host in a header, HTTP/2 in the target.
    let host = match request.headers().get(HOST) {
        Some(host) => host.to_str().map_err(unsignable)?,
        None => request.uri().authority().map(|authority| authority.as_str()).unwrap_or_default(),
    };
    if host.is_empty() {
        return Err(Unproven("the request cannot be signed: it names no host".to_owned()));
    }
    let mut headers = vec![(HOST.as_str(), host)];
    for (name, value) in request.headers() {
        if *name != HOST && is_signed(name) {
            headers.push((name.as_str(), std::str::from_utf8(value.as_bytes()).map_err(unsignable)?));
        }
    }
    let body = match scope.service {
        // The service demands it.
        LATTICE => SignableBody::UnsignedPayload,
        _ => SignableBody::Bytes(body),
    };
    let path = request.uri().path_and_query().map_or("/", |path| path.as_str());
    SignableRequest::new(request.method().as_str(), path, headers.into_iter(), body).map_err(unsignable)
}

/// The errors behind it name neither keys nor values.
fn unsignable(error: impl std::fmt::Display) -> Unproven {
    Unproven(format!("the request cannot be signed: {error}"))
}

/// The only service that takes no body hash.
const LATTICE: &str = "vpc-lattice-svcs";
/// Domains of OpenSearch. They take the header that says what the body's hash is, as clients of OpenSearch send it.
pub(crate) const OPENSEARCH: &str = "es";
/// Its serverless collections, which demand that header.
pub(crate) const OPENSEARCH_SERVERLESS: &str = "aoss";
const DATE: HeaderName = HeaderName::from_static("x-amz-date");
const TOKEN: HeaderName = HeaderName::from_static("x-amz-security-token");
const CONTENT_HASH: HeaderName = HeaderName::from_static("x-amz-content-sha256");

#[cfg(test)]
mod tests;
