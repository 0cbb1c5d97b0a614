//! Where identity tokens come from: Google's application default credentials, maybe by way of a service account.
//!
//! `google-cloud-auth` does the talking. Its own memory is not used: it takes a token that came expired for a living one,
//! gives up for good after one permanent error, and cannot be told that a receiver refused a token.

use std::{env, ffi::OsString, path::PathBuf};

use futures_util::future::BoxFuture;
use google_cloud_auth::{
    build_errors,
    credentials::{
        Builder,
        idtoken::{IDTokenCredentials, impersonated, mds, service_account},
    },
};
use serde_json::{Value, json};

use crate::{credentials::words, renewed::Source, token::Token};

/// Tokens for one audience.
#[derive(Debug)]
pub(super) struct IdentityToken {
    audience: String,
    impersonate: Option<String>,
}

impl IdentityToken {
    pub(super) fn new(audience: String, impersonate: Option<String>) -> Self {
        Self { audience, impersonate }
    }

    async fn ask(&self) -> Result<Token, String> {
        let place = Place::new(env::var_os(KEY_FILE), env::var_os("HOME"));
        let adc = match place.file() {
            None => None,
            // A few kilobytes, once in an hour.
            Some(path) => match (tokio::fs::read(path).await, &place) {
                (Ok(bytes), _) => Some(parsed(path, &bytes)?),
                // Nobody has logged in on this machine.
                (Err(error), Place::WellKnown(_)) if error.kind() == std::io::ErrorKind::NotFound => None,
                (Err(error), _) => return Err(format!("cannot read {}: {error}", path.display())),
            },
        };
        let plan = plan(adc, self.impersonate.as_deref())?;
        let credentials = self.credentials(plan).map_err(|error| {
            // What it could not parse, it may repeat.
            let shown = if error.is_parsing() {
                "they are not what their type says; download them again".to_owned()
            } else {
                words(&error)
            };
            format!("the application default credentials cannot be used: {shown}")
        })?;
        let token = Box::pin(credentials.id_token()).await.map_err(|error| words(&error))?;
        Token::new(&token, None)
    }

    fn credentials(&self, plan: Plan) -> Result<IDTokenCredentials, build_errors::Error> {
        let audience = &self.audience;
        match plan {
            Plan::Metadata => mds::Builder::new(audience).build(),
            Plan::Key(adc) => service_account::Builder::new(audience, adc).build(),
            Plan::Impersonated(adc) => impersonated::Builder::new(audience, adc).with_include_email().build(),
            Plan::Impersonate(account) => {
                let source = Builder::default().with_scopes([SCOPE]).build()?;
                impersonated::Builder::from_source_credentials(audience, account, source)
                    .with_include_email()
                    .build()
            }
        }
    }
}

impl Source for IdentityToken {
    type Item = Token;

    fn what(&self) -> &'static str {
        "identity token"
    }

    fn name(&self) -> String {
        let place = match Place::new(env::var_os(KEY_FILE), env::var_os("HOME")) {
            Place::Named(path) => format!("file {}", path.display()),
            Place::WellKnown(path) if path.is_file() => format!("file {}", path.display()),
            Place::WellKnown(_) | Place::None => "the metadata server".to_owned(),
        };
        match &self.impersonate {
            Some(account) => format!("{account} by {place}"),
            None => place,
        }
    }

    fn fetch(&self) -> BoxFuture<'_, Result<Token, String>> {
        Box::pin(self.ask())
    }
}

/// Where application default credentials would be.
enum Place {
    Named(PathBuf),
    WellKnown(PathBuf),
    None,
}

impl Place {
    fn new(named: Option<OsString>, home: Option<OsString>) -> Self {
        match (named, home) {
            (Some(path), _) => Self::Named(path.into()),
            (None, Some(home)) => Self::WellKnown(PathBuf::from(home).join(WELL_KNOWN)),
            (None, None) => Self::None,
        }
    }

    fn file(&self) -> Option<&PathBuf> {
        match self {
            Self::Named(path) | Self::WellKnown(path) => Some(path),
            Self::None => None,
        }
    }
}

/// How to come by a token.
#[derive(Debug, PartialEq)]
enum Plan {
    /// From the metadata server, for the machine's own account.
    Metadata,
    /// With a key of a service account.
    Key(Value),
    /// As such a file says.
    Impersonated(Value),
    /// For this account, asked for with whatever the application default credentials are.
    Impersonate(String),
}

fn parsed(path: &std::path::Path, bytes: &[u8]) -> Result<Value, String> {
    serde_json::from_slice(bytes).map_err(|error| {
        // Without the error's own words: they may repeat what is there.
        format!("{} is not JSON, line {} column {}", path.display(), error.line(), error.column())
    })
}

/// What to do with `adc`, the application default credentials. Pure.
fn plan(adc: Option<Value>, impersonate: Option<&str>) -> Result<Plan, String> {
    let Some(mut adc) = adc else {
        return Ok(impersonate.map_or(Plan::Metadata, |account| Plan::Impersonate(account.to_owned())));
    };
    let kind = adc.get("type").and_then(Value::as_str).unwrap_or_default().to_owned();
    if kind == "external_account"
        && let Some(url) = adc.get(IMPERSONATION_URL).and_then(Value::as_str).map(str::to_owned)
        && impersonate.is_none_or(|account| url.ends_with(&format!("/{account}:generateAccessToken")))
    {
        // Federation gives no identity token, but the account that the file names does.
        if let Some(object) = adc.as_object_mut() {
            object.remove(IMPERSONATION_URL);
        }
        return Ok(Plan::Impersonated(json!({
            "type": "impersonated_service_account",
            IMPERSONATION_URL: url,
            "source_credentials": adc,
        })));
    }
    match (kind.as_str(), impersonate) {
        (_, Some(account)) => Ok(Plan::Impersonate(account.to_owned())),
        ("service_account", None) => Ok(Plan::Key(adc)),
        ("impersonated_service_account", None) => Ok(Plan::Impersonated(adc)),
        ("external_account", None) => Err("workload identity federation alone gives no identity tokens; set \
             `impersonate` to a service account that may be impersonated (roles/iam.serviceAccountOpenIdTokenCreator), or create \
             the credential file with --service-account"
            .to_owned()),
        ("authorized_user", None) => Err("credentials of a user (gcloud auth application-default login) give no identity \
             tokens for a service; set `impersonate` to a service account"
            .to_owned()),
        (_, None) => Err("application default credentials of this type give no identity tokens; expected \
             service_account, impersonated_service_account or external_account"
            .to_owned()),
    }
}

/// Names the file of the credentials, for all of Google's tools.
const KEY_FILE: &str = "GOOGLE_APPLICATION_CREDENTIALS";
/// Where those tools put it, below the home of whoever logged in.
const WELL_KNOWN: &str = ".config/gcloud/application_default_credentials.json";
const IMPERSONATION_URL: &str = "service_account_impersonation_url";
const SCOPE: &str = "https://www.googleapis.com/auth/cloud-platform";

#[cfg(test)]
mod tests {
    use super::*;

    const ACCOUNT: &str = "connector@p.iam.gserviceaccount.com";

    fn federated(account: Option<&str>) -> Value {
        let mut adc = json!({"type": "external_account", "audience": "//iam.googleapis.com/pool"});
        if let Some(account) = account {
            let url = format!(
                "https://iamcredentials.googleapis.com/v1/projects/-/serviceAccounts/{account}:generateAccessToken"
            );
            adc[IMPERSONATION_URL] = url.into();
        }
        adc
    }

    #[test]
    fn what_each_kind_of_credentials_leads_to() {
        assert_eq!(plan(None, None), Ok(Plan::Metadata));
        let impersonate = Ok(Plan::Impersonate(ACCOUNT.to_owned()));
        assert_eq!(plan(None, Some(ACCOUNT)), impersonate);
        let key = json!({"type": "service_account", "private_key": "hunter2"});
        assert_eq!(plan(Some(key.clone()), None), Ok(Plan::Key(key.clone())));
        for adc in [key, json!({"type": "authorized_user"}), federated(None), federated(Some("other@p.d"))] {
            assert_eq!(plan(Some(adc), Some(ACCOUNT)), impersonate);
        }
        let impersonated = json!({"type": "impersonated_service_account"});
        assert_eq!(plan(Some(impersonated.clone()), None), Ok(Plan::Impersonated(impersonated)));
    }

    #[test]
    fn federation_goes_by_the_account_that_the_file_names() {
        for impersonate in [None, Some(ACCOUNT)] {
            let Ok(Plan::Impersonated(made)) = plan(Some(federated(Some(ACCOUNT))), impersonate) else {
                panic!("{impersonate:?}")
            };
            assert_eq!(made["source_credentials"], federated(None));
            assert!(made[IMPERSONATION_URL].as_str().unwrap().contains(ACCOUNT));
        }
    }

    #[test]
    fn what_gives_no_identity_tokens_says_what_does() {
        for (adc, word) in [
            (federated(None), "`impersonate`"),
            (json!({"type": "authorized_user"}), "`impersonate`"),
            (json!({"type": "hunter2"}), "expected service_account"),
            (json!([1]), "expected service_account"),
        ] {
            let error = plan(Some(adc), None).unwrap_err();
            assert!(error.contains(word) && !error.contains("hunter2"), "{error}");
        }
        let error = parsed("/a/key.json".as_ref(), b"{\"private_key\": hunter2}").unwrap_err();
        assert_eq!(error, "/a/key.json is not JSON, line 1 column 17");
    }

    #[test]
    fn the_place_of_the_credentials_is_that_of_googles_tools() {
        let file = |named: Option<&str>, home: Option<&str>| {
            Place::new(named.map(Into::into), home.map(Into::into)).file().cloned()
        };
        assert_eq!(file(Some("/k.json"), Some("/home/a")).unwrap(), PathBuf::from("/k.json"));
        assert_eq!(file(None, Some("/home/a")).unwrap(), PathBuf::from("/home/a").join(WELL_KNOWN));
        assert_eq!(file(None, None), None);
    }
}
