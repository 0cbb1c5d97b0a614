//! POST to a Google Cloud function or a Cloud Run service, with an identity token.

use schemars::JsonSchema;
use serde::Deserialize;

use crate::http;

/// Settings of a destination that asks for a Google identity token.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub struct Config {
    /// All of plain HTTP.
    #[serde(flatten)]
    pub http: http::Config,
    /// Audience of the token; scheme and host of the first of `urls`, and for functions their path, when absent.
    #[serde(default)]
    pub audience: Option<String>,
    /// Service account to impersonate: its e-mail address.
    #[serde(default)]
    pub impersonate: Option<String>,
}
