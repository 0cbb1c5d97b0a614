//! `allowed-peer-names`: which of the clients with a good certificate may connect.

use std::{fmt, sync::Arc};

use adapters::tls::Names;
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, OtherError, SignatureScheme,
    client::danger::HandshakeSignatureValid,
    pki_types::{CertificateDer, UnixTime},
    server::danger::{ClientCertVerified, ClientCertVerifier},
};

/// Lets pass whose chain is good, and who carries one of the names.
#[derive(Debug)]
pub(super) struct AllowedPeers {
    chain: Arc<dyn ClientCertVerifier>,
    names: Arc<[String]>,
}

impl AllowedPeers {
    /// `chain` judges everything but the name.
    pub(super) fn new(chain: Arc<dyn ClientCertVerifier>, names: &[String]) -> Self {
        Self { chain, names: names.into() }
    }
}

impl ClientCertVerifier for AllowedPeers {
    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let verified = self.chain.verify_client_cert(end_entity, intermediates, now)?;
        let carried = carried(Names::of(end_entity));
        if carried.iter().any(|name| is_allowed(name, &self.names)) {
            return Ok(verified);
        }
        let wrong = WrongName { carried, allowed: Arc::clone(&self.names) };
        Err(CertificateError::Other(OtherError(Arc::new(wrong))).into())
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.chain.root_hint_subjects()
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.chain.verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.chain.verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.chain.supported_verify_schemes()
    }
}

/// A common name counts only where no DNS name does: certificates of the last decade have those.
fn carried(names: Names) -> Vec<String> {
    if names.dns.is_empty() { names.common_name.into_iter().collect() } else { names.dns }
}

/// As a whole: a wildcard in a certificate would let a whole zone pass where one name was allowed.
fn is_allowed(name: &str, allowed: &[String]) -> bool {
    let name = name.trim_end_matches('.');
    allowed.iter().any(|allowed| allowed.trim_end_matches('.').eq_ignore_ascii_case(name))
}

/// A client whose certificate is good, but not for one of the names.
#[derive(Debug)]
pub(super) struct WrongName {
    carried: Vec<String>,
    allowed: Arc<[String]>,
}

impl fmt::Display for WrongName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let carried = if self.carried.is_empty() { "no name".to_owned() } else { listed(&self.carried) };
        write!(f, "its certificate is for {carried}, and allowed-peer-names has {}", listed(&self.allowed))
    }
}

impl std::error::Error for WrongName {}

/// A certificate may carry hundreds of names, and anything in them.
fn listed(names: &[String]) -> String {
    const NAMES_MAX: usize = 10;
    let shown: Vec<String> =
        names.iter().take(NAMES_MAX).map(|name| name.escape_debug().to_string()).collect();
    let more = names.len().saturating_sub(NAMES_MAX);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    format!("{}{more}", shown.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_compared_as_a_whole() {
        let allowed = ["db.example.net".to_owned(), "*.zone.example".to_owned()];
        for (name, passes) in [
            ("db.example.net", true),
            ("DB.Example.NET", true),
            ("db.example.net.", true),
            ("a.db.example.net", false),
            ("*.example.net", false),
            ("a.zone.example", false),
            ("*.zone.example", true),
            ("", false),
        ] {
            assert_eq!(is_allowed(name, &allowed), passes, "{name}");
        }
    }

    #[test]
    fn the_common_name_counts_only_without_dns_names() {
        let names = |dns: &[&str]| Names {
            dns: dns.iter().map(|name| (*name).to_owned()).collect(),
            common_name: Some("old".to_owned()),
        };
        assert_eq!(carried(names(&[])), ["old"]);
        assert_eq!(carried(names(&["new"])), ["new"]);
    }

    #[test]
    fn the_line_says_both_sides_and_stays_one_line() {
        let carried = (0..12).map(|n| format!("n{n}\n")).collect();
        let wrong = WrongName { carried, allowed: ["a".to_owned(), "b".to_owned()].into() };
        let text = wrong.to_string();
        assert!(text.starts_with("its certificate is for n0\\n, n1\\n, "), "{text}");
        assert!(text.ends_with("n9\\n and 2 more, and allowed-peer-names has a, b"), "{text}");
    }
}
