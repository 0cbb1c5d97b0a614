//! POST to an application load balancer, which takes bearer tokens or client certificates and no signatures.

use schemars::JsonSchema;
use serde::Deserialize;

use crate::{credentials, http, token};

/// Settings of a destination behind an application load balancer.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub struct Config {
    /// All of plain HTTP.
    #[serde(flatten)]
    pub http: http::Config,
    /// Token sent as `Authorization: Bearer`; none when absent.
    #[serde(default)]
    pub token: Option<token::Source>,
    /// Whose credentials ask for an AWS web identity token.
    #[serde(flatten)]
    pub credentials: credentials::Config,
}
