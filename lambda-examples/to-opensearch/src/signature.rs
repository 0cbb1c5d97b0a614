//! Signature Version 4 of a request, with the credentials that Lambda gives the function.

use std::time::SystemTime;

use aws_config::SdkConfig;
use aws_credential_types::provider::ProvideCredentials as _;
use aws_sigv4::{
    http_request::{PayloadChecksumKind, SignableBody, SignableRequest, SigningSettings, sign as sign_v4},
    sign::v4,
};
use aws_smithy_runtime_api::client::identity::Identity;
use notification::Failure;
use reqwest::{
    Request,
    header::{CONTENT_TYPE, HeaderName, HeaderValue},
};

/// Adds the headers that prove who sends `request`.
pub(crate) async fn sign(request: &mut Request, config: &SdkConfig, service: &str) -> Result<(), Failure> {
    let provider = config.credentials_provider().ok_or_else(|| Failure::retry("no AWS credentials"))?;
    let region = config.region().ok_or_else(|| Failure::retry("AWS_REGION is not set"))?;
    let identity = Identity::from(provider.provide_credentials().await?);
    let mut settings = SigningSettings::default();
    // Serverless collections ask for it; domains do not mind.
    settings.payload_checksum_kind = PayloadChecksumKind::XAmzSha256;
    let params = v4::SigningParams::builder()
        .identity(&identity)
        .region(region.as_ref())
        .name(service)
        .time(SystemTime::now())
        .settings(settings)
        .build()?;
    let host = request.url().host_str().unwrap_or_default();
    let host = request.url().port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"));
    let content_type = request.headers().get(CONTENT_TYPE).map_or(Ok(""), HeaderValue::to_str)?;
    let headers = [("host", host.as_str()), ("content-type", content_type)];
    let body = request.body().and_then(|body| body.as_bytes()).unwrap_or_default();
    let signable = SignableRequest::new(
        request.method().as_str(),
        request.url().path(),
        headers.into_iter(),
        SignableBody::Bytes(body),
    )?;
    let (headers, _) = sign_v4(signable, &params.into())?.into_parts().0.into_parts();
    for header in headers {
        let mut value = HeaderValue::from_str(header.value())?;
        value.set_sensitive(true);
        request.headers_mut().insert(HeaderName::from_static(header.name()), value);
    }
    Ok(())
}
