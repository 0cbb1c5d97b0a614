//! Signed requests to API Gateway, to function URLs and to OpenSearch.
//!
//! All are plain HTTP with a signature on top, and differ in little: the service that is signed for, how large a body may
//! be, and the permission that a refusal asks for.

use std::{sync::Arc, time::SystemTime};

use ::http::{HeaderName, Uri, header};
use schemars::JsonSchema;
use serde::Deserialize;

use self::signer::Signer;
use crate::{
    BuildError, credentials, headers,
    http::{self, Http, Traits},
    sigv4, url,
};

mod address;
mod clock;
#[cfg(fuzzing)]
pub(crate) mod fuzzing;
mod refusal;
mod signer;

/// Settings of a destination whose requests are signed with Signature Version 4.
///
/// `check --probe` sends one signed POST with an empty body, which holds no records, and the header `esp-connector-probe: 1`:
/// only that shows whether signature, region, clock and permission are right for deliveries. It may run the function once.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub struct Config {
    /// All of plain HTTP.
    #[serde(flatten)]
    pub http: http::Config,
    /// Name of the service that requests are signed for; that of the type when absent.
    #[serde(default)]
    pub service: Option<String>,
    /// Whose credentials sign.
    #[serde(flatten)]
    pub credentials: credentials::Config,
}

/// What is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// An HTTP or REST API behind IAM authorization.
    ApiGateway,
    /// The URL of a function behind IAM authorization.
    FunctionUrl,
    /// A domain of OpenSearch Service, or a serverless collection.
    OpenSearch,
}

impl Kind {
    /// The name in signatures.
    fn service(self) -> &'static str {
        match self {
            Self::ApiGateway => "execute-api",
            Self::FunctionUrl => "lambda",
            Self::OpenSearch => sigv4::OPENSEARCH,
        }
    }

    fn traits(self) -> Traits {
        match self {
            Self::ApiGateway | Self::FunctionUrl => Traits::function(TEXT_BYTES_MAX),
            Self::OpenSearch => Traits {
                text_bytes_max: BULK_BYTES_MAX,
                binary_bytes_max: BULK_BYTES_MAX,
                ..Traits::function(0)
            },
        }
    }

    /// What helps when who signs may not call.
    fn permission(self) -> &'static str {
        match self {
            Self::ApiGateway => {
                "allow `execute-api:Invoke` on this API, stage, method and path to whoever signs, and check `region` \
                 and the path of the URL"
            }
            Self::FunctionUrl => {
                "allow both `lambda:InvokeFunctionUrl` and `lambda:InvokeFunction` on the function to whoever signs, \
                 and check `region`"
            }
            Self::OpenSearch => {
                "allow `es:ESHttpPost`, `es:ESHttpPut` and `es:ESHttpDelete` on the domain to whoever signs, and map it to a \
                 role that may write where access is fine-grained; for a serverless collection allow `aoss:APIAccessAll` \
                 and name who signs in its data access policy"
            }
        }
    }
}

/// Builds the target. Asks nobody for credentials yet.
pub(crate) fn build(name: &str, kind: Kind, config: Config) -> Result<Http, BuildError> {
    let Config { http, service, credentials: whose } = config;
    let urls = url::check_all(&http.urls)?;
    let statics = headers::read(&http.headers)?;
    for (index, url) in urls.iter().enumerate() {
        address::check(index, url)?;
        if !http.headers.keys().any(|name| name.eq_ignore_ascii_case("host")) {
            check_region(url, whose.region.as_deref())?;
        }
    }
    for (name, value) in &statics {
        let refuse =
            |problem: &str| Err(BuildError { key: format!("headers.{name}"), problem: problem.to_owned() });
        if OWNED.contains(name) {
            return refuse("set by the signature; leave it out");
        }
        let signed = *name == header::CONTENT_TYPE || name.as_str().starts_with("x-amz-");
        if signed && value.to_str().is_err() {
            return refuse("holds a character beyond ASCII, which cannot be signed");
        }
    }
    if service.as_ref().is_some_and(|service| service.is_empty() || service.contains(char::is_whitespace)) {
        let problem = "no name of a service; expected one like execute-api, or nothing".to_owned();
        return Err(BuildError { key: "service".to_owned(), problem });
    }
    let by_host = || {
        let mut hosts = urls.iter().filter_map(Uri::host).filter(|_| kind == Kind::OpenSearch);
        hosts.find_map(address::opensearch_service).map(str::to_owned)
    };
    let service = service.or_else(by_host);
    let keys = credentials::Credentials::new(name, &regional(&whose, &urls));
    let signer = Signer::new(name, kind, service, whose.region, keys, SystemTime::now);
    http::authorized(name, http, Arc::new(signer), kind.traits())
}

/// The region in a signature and that of the receiver must be the same.
fn check_region(url: &Uri, region: Option<&str>) -> Result<(), BuildError> {
    let refuse = |problem: String| Err(BuildError { key: "region".to_owned(), problem });
    match (region, address::region_of(url.host().unwrap_or_default())) {
        (Some(region), _) if !address::is_region(region) => {
            refuse("not the name of a region; expected one like eu-west-1".to_owned())
        }
        (Some(region), Some(host)) if region != host => refuse(format!(
            "{region} is not that of the URL, whose host is in {host}; leave it out, or change one"
        )),
        _ => Ok(()),
    }
}

/// Where a role is assumed, when the settings do not say: where its requests go.
fn regional(whose: &credentials::Config, urls: &[Uri]) -> credentials::Config {
    let mut hosts = urls.iter().filter_map(Uri::host);
    let region = whose.region.clone().or_else(|| hosts.find_map(address::region_of).map(str::to_owned));
    credentials::Config { region, ..whose.clone() }
}

/// Well under the 6 MB of the event that a function gets, which the limits of both kinds come down to.
const TEXT_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Half of what the smallest nodes and serverless collections take, and as much as is advised to begin with.
const BULK_BYTES_MAX: usize = 5 * 1024 * 1024;

const OWNED: [HeaderName; 4] = [
    header::AUTHORIZATION,
    HeaderName::from_static("x-amz-date"),
    HeaderName::from_static("x-amz-security-token"),
    HeaderName::from_static("x-amz-content-sha256"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_role_is_assumed_in_the_region_of_the_settings_or_of_the_url() {
        let region = |set: Option<&str>, url: &str| {
            let whose = credentials::Config { region: set.map(str::to_owned), ..Default::default() };
            regional(&whose, &[url.parse().unwrap()]).region
        };
        let aws = "https://a1.execute-api.eu-central-1.amazonaws.com/prod";
        assert_eq!(region(None, aws).as_deref(), Some("eu-central-1"));
        assert_eq!(region(Some("eu-west-1"), "https://api.example.net/").as_deref(), Some("eu-west-1"));
        assert_eq!(region(None, "https://api.example.net/"), None, "that of the environment");
    }
}
