//! AWS credentials: where they come from, and a cache that renews them ahead of expiry.

use schemars::JsonSchema;
use serde::Deserialize;

/// Whose credentials are used. Without any of these: the environment, the profile, the container, the instance, in the order of
/// the AWS tools.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub struct Config {
    /// Region of the service; that of the environment or the profile when absent.
    #[serde(default)]
    pub region: Option<String>,
    /// Profile of the AWS configuration files.
    #[serde(default)]
    pub profile: Option<String>,
    /// ARN of a role to assume with those credentials.
    #[serde(default)]
    pub role_arn: Option<String>,
    /// External id that the role's trust policy asks for.
    #[serde(default)]
    pub external_id: Option<String>,
}
