//! One call of Invoke: the SDK's client, and how its errors read.

use std::{
    error::Error,
    io,
    sync::Arc,
    time::{Duration, SystemTime},
};

use ::http::{HeaderMap, HeaderValue, header::RETRY_AFTER};
use aws_sdk_lambda::{
    Client,
    config::{
        Builder,
        endpoint::{DefaultResolver, Params, ResolveEndpoint as _},
    },
    error::{ProvideErrorMetadata, SdkError},
    operation::invoke::{InvokeError, InvokeOutput},
    primitives::Blob,
    types::InvocationType,
};
use aws_smithy_runtime_api::http::Response;

use super::{
    clock::{Clock, Watch},
    function::Function,
    judge::Refusal,
};
use crate::{
    authorize::Unproven,
    credentials::{self, Credentials},
    retry_after, tls,
};

/// A client of the Lambda API.
#[derive(Debug)]
pub(super) struct Api {
    client: Client,
    /// Where requests go: `host` or `host:port`.
    pub(super) host: String,
    pub(super) region: String,
}

/// Why there is no answer of the function.
#[derive(Debug)]
pub(super) enum Failed {
    /// The API said no.
    Refused(Refusal),
    Timeout,
    /// No connection, or it broke; why, in words.
    Unreachable(String),
    /// What came, or would have been sent, makes no sense.
    Malformed(String),
}

impl Api {
    /// Once there are credentials: only then the region is known for sure.
    pub(super) async fn new(
        credentials: &Credentials,
        endpoint_url: Option<&str>,
        timeouts: (Duration, Duration),
        clock: &Arc<Clock>,
    ) -> Result<Self, Unproven> {
        let (call, connect) = timeouts;
        let Some(sdk) = credentials.sdk_config(call, connect) else {
            return Err(Unproven("there are no AWS credentials".to_owned()));
        };
        let Some(region) = sdk.region().map(|region| region.as_ref().to_owned()) else {
            return Err(Unproven("no region; set `region` or AWS_REGION".to_owned()));
        };
        let mut builder = Builder::from(&sdk).interceptor(Watch(Arc::clone(clock)));
        if let Some(url) = endpoint_url {
            builder = builder.endpoint_url(url);
        }
        let params = Params::builder()
            .region(&region)
            .set_endpoint(endpoint_url.or_else(|| sdk.endpoint_url()).map(str::to_owned))
            .set_use_fips(sdk.use_fips())
            .set_use_dual_stack(sdk.use_dual_stack())
            .build()
            .map_err(|error| Unproven(credentials::words(&error)))?;
        let endpoint = DefaultResolver::new().resolve_endpoint(&params).await;
        let endpoint = endpoint.map_err(|error| Unproven(format!("region {region}: {error}")))?;
        let uri: ::http::Uri =
            endpoint.url().parse().map_err(|_| Unproven(format!("region {region} has no endpoint")))?;
        let host = uri.authority().map(ToString::to_string).unwrap_or_default();
        Ok(Self { client: Client::from_conf(builder.build()), host, region })
    }

    pub(super) async fn invoke(
        &self,
        function: &Function,
        kind: InvocationType,
        payload: Option<Vec<u8>>,
    ) -> Result<InvokeOutput, Failed> {
        let call = self
            .client
            .invoke()
            .function_name(&function.id)
            .set_qualifier(function.qualifier.clone())
            .invocation_type(kind)
            .set_payload(payload.map(Blob::new))
            .send();
        Box::pin(call).await.map_err(|error| failed(&error, SystemTime::now()))
    }
}

fn failed(error: &SdkError<InvokeError, Response>, now: SystemTime) -> Failed {
    match error {
        SdkError::ServiceError(context) => {
            let refusal = Refusal {
                code: context.err().code().map(str::to_owned),
                message: context.err().message().map(str::to_owned),
                ..refusal(context.raw(), now)
            };
            Failed::Refused(refusal)
        }
        // Whatever the status: the part missing may have said something else.
        SdkError::ResponseError(_) => {
            Failed::Unreachable("the connection broke inside the answer".to_owned())
        }
        SdkError::TimeoutError(_) => Failed::Timeout,
        SdkError::DispatchFailure(failure) if failure.is_timeout() => Failed::Timeout,
        SdkError::DispatchFailure(failure) => match failure.as_connector_error() {
            Some(error) if !failure.is_user() => Failed::Unreachable(connection(error)),
            _ => Failed::Malformed("the request cannot be sent".to_owned()),
        },
        other => Failed::Malformed(credentials::words(other)),
    }
}

fn refusal(raw: &Response, now: SystemTime) -> Refusal {
    let retry_after = raw
        .headers()
        .get(RETRY_AFTER.as_str())
        .and_then(|value| HeaderValue::from_str(value).ok())
        .and_then(|value| retry_after::parse(&HeaderMap::from_iter([(RETRY_AFTER, value)]), now));
    Refusal { status: raw.status().as_u16(), retry_after, ..Refusal::default() }
}

/// Why there is no connection.
fn connection(error: &(dyn Error + 'static)) -> String {
    if let Some(explained) = tls::explain(error) {
        return explained;
    }
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(error) = error.downcast_ref::<io::Error>() {
            return error.to_string();
        }
        next = error.source();
    }
    // The outermost one says only of which kind it is.
    credentials::words(error.source().unwrap_or(error))
}
