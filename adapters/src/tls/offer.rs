//! Which versions of TLS and which cipher suites are offered, by the names that Java and IANA give them.

use std::sync::Arc;

use rustls::{
    CipherSuite, SupportedProtocolVersion,
    crypto::{CryptoProvider, aws_lc_rs},
    version::{TLS12, TLS13},
};
use schemars::JsonSchema;
use serde::Deserialize;

use super::pem::problem;
use crate::BuildError;

/// A version of TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
pub enum Version {
    /// TLS 1.2.
    #[serde(rename = "TLSv1.2")]
    Tls12,
    /// TLS 1.3.
    #[serde(rename = "TLSv1.3")]
    Tls13,
}

impl Version {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Tls12, Self::Tls13];

    fn of(self) -> &'static SupportedProtocolVersion {
        match self {
            Self::Tls12 => &TLS12,
            Self::Tls13 => &TLS13,
        }
    }
}

/// What is offered to the other side.
pub struct Offer {
    /// The cipher suites, and all else that is cryptographic.
    pub provider: Arc<CryptoProvider>,
    /// The versions.
    pub versions: Vec<&'static SupportedProtocolVersion>,
}

/// `protocols` and `ciphers` as an offer: all where a list is empty, in the order of the list where not.
///
/// Names of suites that do not exist here are passed over. It is an error when nothing is left.
pub fn offer(protocols: &[Version], ciphers: &[String]) -> Result<Offer, BuildError> {
    let mut provider = aws_lc_rs::default_provider();
    let protocols = if protocols.is_empty() { &Version::ALL } else { protocols };
    let mut versions: Vec<_> = protocols.iter().map(|version| version.of()).collect();
    versions.dedup();
    if !ciphers.is_empty() {
        let all = std::mem::take(&mut provider.cipher_suites);
        let suite = |wanted: &String| all.iter().find(|suite| is_called(suite.suite(), wanted)).copied();
        provider.cipher_suites = ciphers.iter().filter_map(suite).collect();
    }
    let usable = |version| provider.cipher_suites.iter().any(|suite| suite.version() == version);
    if !versions.iter().any(|version| usable(*version)) {
        let message = format!(
            "none of these cipher suites can be used with the versions of TLS in `protocols`; known: {}",
            cipher_names().join(", ")
        );
        return Err(problem("ciphers", message));
    }
    Ok(Offer { provider: Arc::new(provider), versions })
}

/// The names of all cipher suites there are, the preferred ones first.
pub fn cipher_names() -> Vec<String> {
    aws_lc_rs::DEFAULT_CIPHER_SUITES.iter().filter_map(|suite| name(suite.suite())).collect()
}

/// Whether there is a cipher suite called `name`.
pub fn is_cipher_name(name: &str) -> bool {
    aws_lc_rs::DEFAULT_CIPHER_SUITES.iter().any(|suite| is_called(suite.suite(), name))
}

fn is_called(suite: CipherSuite, wanted: &str) -> bool {
    name(suite).is_some_and(|name| name.eq_ignore_ascii_case(wanted))
}

/// IANA's name, which Java uses too. rustls names those of TLS 1.3 in its own way.
fn name(suite: CipherSuite) -> Option<String> {
    let name = suite.as_str()?;
    Some(name.strip_prefix("TLS13_").map_or_else(|| name.to_owned(), |rest| format!("TLS_{rest}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn suites(protocols: &[Version], ciphers: &[&str]) -> Result<Vec<String>, String> {
        let ciphers: Vec<String> = ciphers.iter().map(|name| (*name).to_owned()).collect();
        let offer = offer(protocols, &ciphers).map_err(|error| error.to_string())?;
        Ok(offer.provider.cipher_suites.iter().filter_map(|suite| name(suite.suite())).collect())
    }

    #[test]
    fn the_names_are_those_of_iana() {
        let names = cipher_names();
        for name in [
            "TLS_AES_128_GCM_SHA256",
            "TLS_AES_256_GCM_SHA384",
            "TLS_CHACHA20_POLY1305_SHA256",
            "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384",
            "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256",
        ] {
            assert!(names.iter().any(|known| known == name), "{name} in {names:?}");
        }
        assert!(is_cipher_name("tls_aes_128_gcm_sha256") && !is_cipher_name("TLS_RSA_WITH_AES_128_CBC_SHA"));
    }

    #[test]
    fn no_list_is_everything_and_a_list_is_in_its_order() {
        assert_eq!(suites(&[], &[]).unwrap(), cipher_names());
        let wanted = ["TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256", "TLS_AES_128_GCM_SHA256"];
        assert_eq!(suites(&[], &[wanted[0], "TLS_RSA_WITH_AES_128_CBC_SHA", wanted[1]]).unwrap(), wanted);
    }

    #[test]
    fn nothing_left_is_an_error_that_lists_what_is_known() {
        for (protocols, ciphers) in [
            (&[][..], "TLS_RSA_WITH_AES_128_CBC_SHA"),
            (&[Version::Tls13][..], "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256"),
        ] {
            let said = suites(protocols, &[ciphers]).unwrap_err();
            assert!(said.starts_with("ciphers: ") && said.contains("TLS_AES_128_GCM_SHA256"), "{said}");
        }
    }
}
