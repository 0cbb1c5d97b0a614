//! Bearer tokens: where they come from, and a cache that renews them ahead of expiry.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::Deserialize;

/// Where a bearer token comes from.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Source {
    /// A file that something else keeps up to date.
    File {
        /// Path, relative to the configuration file.
        file: PathBuf,
    },
    /// The AWS security token service (`GetWebIdentityToken`).
    AwsWebIdentity {
        /// What to ask for.
        #[serde(rename = "aws-web-identity")]
        aws_web_identity: AwsWebIdentity,
    },
}

/// A token of the AWS security token service.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct AwsWebIdentity {
    /// Who shall accept the token.
    pub audience: String,
    /// Seconds it shall live, 60 to 3600.
    #[serde(default = "duration_seconds")]
    pub duration_seconds: u32,
}

fn duration_seconds() -> u32 {
    300
}
