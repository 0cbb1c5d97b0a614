//! Signed POST to API Gateway and to function URLs.

use schemars::JsonSchema;
use serde::Deserialize;

use crate::{credentials, http};

/// Settings of a destination whose requests are signed with Signature Version 4.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
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
