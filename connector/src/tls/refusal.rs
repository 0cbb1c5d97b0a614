//! Why a TLS connection was refused, in words an operator can act on.

use std::{error::Error, io};

use adapters::tls::{OF_AN_AUTHORITY, date, find, is_of_an_authority};
use rustls::{AlertDescription, CertificateError, PeerIncompatible};

use super::{Side, peers::WrongName};

/// Kinds of refusal; also a metric label.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The client's certificate has expired.
    Expired,
    /// The client's certificate is not valid yet.
    NotYetValid,
    /// The client's certificate carries none of the allowed names.
    WrongName,
    /// The client's certificate is signed by an authority that is not trusted.
    UnknownCa,
    /// The client showed no certificate.
    NoCertificate,
    /// The client's certificate is bad in another way.
    BadCertificate,
    /// The client knows no version of TLS that is accepted.
    ProtocolVersion,
    /// The client knows no cipher suite, or no other parameter, that is accepted.
    CipherSuite,
    /// The client does not speak TLS.
    ClearText,
    /// The client does not want our certificate, or something else of ours.
    RefusedByPeer,
    /// The client took too long.
    Timeout,
    /// The connection broke.
    Broken,
    /// Something else.
    Other,
}

impl Refusal {
    /// All of them, in the order of their numbers.
    pub const ALL: [Self; 13] = [
        Self::Expired,
        Self::NotYetValid,
        Self::WrongName,
        Self::UnknownCa,
        Self::NoCertificate,
        Self::BadCertificate,
        Self::ProtocolVersion,
        Self::CipherSuite,
        Self::ClearText,
        Self::RefusedByPeer,
        Self::Timeout,
        Self::Broken,
        Self::Other,
    ];

    /// A short stable word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Expired => "expired",
            Self::NotYetValid => "not-yet-valid",
            Self::WrongName => "wrong-name",
            Self::UnknownCa => "unknown-ca",
            Self::NoCertificate => "no-certificate",
            Self::BadCertificate => "bad-certificate",
            Self::ProtocolVersion => "protocol-version",
            Self::CipherSuite => "cipher-suite",
            Self::ClearText => "clear-text",
            Self::RefusedByPeer => "refused-by-peer",
            Self::Timeout => "timeout",
            Self::Broken => "broken",
            Self::Other => "other",
        }
    }
}

/// What is wrong with a connection whose first byte is `first`; `None` when it may be TLS.
pub(super) fn of_clear_text(first: u8, side: Side) -> Option<(Refusal, String)> {
    /// A handshake record.
    const TLS: u8 = 22;
    /// The version of the database's protocol.
    const PROTO: u8 = 2;
    let words = match (first, side) {
        (TLS, _) => return None,
        (PROTO, Side::Xdr) => {
            "it speaks clear text to the TLS port; give the source a tls-name, or the clear-text port"
        }
        (b'A'..=b'Z', Side::Manage | Side::Http1 | Side::Http2) => {
            "it speaks clear-text HTTP to the TLS port; ask with https://"
        }
        (b'A'..=b'Z', Side::Xdr) => "it speaks clear-text HTTP to the TLS port for XDR",
        _ => "it speaks no TLS; is it meant for this port?",
    };
    Some((Refusal::ClearText, words.to_owned()))
}

/// Why a handshake failed.
pub(super) fn explain(error: &io::Error) -> (Refusal, String) {
    use rustls::Error as Tls;

    let said = |refusal, words: &str| (refusal, words.to_owned());
    match find(error) {
        None => (Refusal::Broken, format!("the connection broke during the handshake: {error}")),
        Some(Tls::InvalidCertificate(fault)) => certificate(fault),
        Some(Tls::NoCertificatesPresented) => {
            said(Refusal::NoCertificate, "it shows no certificate, and mutual TLS asks for one")
        }
        Some(Tls::PeerIncompatible(why)) => match why {
            PeerIncompatible::Tls12NotOffered
            | PeerIncompatible::Tls12NotOfferedOrEnabled
            | PeerIncompatible::SupportedVersionsExtensionRequired
            // Looked at before the version, and clients of TLS 1.1 do not send it.
            | PeerIncompatible::SignatureAlgorithmsExtensionRequired
            | PeerIncompatible::ServerTlsVersionIsDisabledByOurConfig => said(
                Refusal::ProtocolVersion,
                "it offers no version of TLS that is accepted here (see protocols; never below TLSv1.2)",
            ),
            PeerIncompatible::NoCipherSuitesInCommon => said(
                Refusal::CipherSuite,
                "it offers no cipher suite that is accepted here and fits our certificate (see ciphers)",
            ),
            other => (Refusal::CipherSuite, format!("it offers nothing that is accepted here: {other:?}")),
        },
        Some(Tls::AlertReceived(alert)) => match alert {
            AlertDescription::UnknownCA => {
                said(Refusal::RefusedByPeer, "it does not trust the authority of our certificate")
            }
            AlertDescription::CertificateExpired => {
                said(Refusal::RefusedByPeer, "it says that our certificate has expired")
            }
            AlertDescription::BadCertificate | AlertDescription::CertificateUnknown => (
                Refusal::RefusedByPeer,
                format!("it does not accept our certificate ({alert:?}); is it for the name it expects?"),
            ),
            AlertDescription::ProtocolVersion => said(
                Refusal::ProtocolVersion,
                "it knows no version of TLS that is accepted here (see protocols; never below TLSv1.2)",
            ),
            other => (Refusal::RefusedByPeer, format!("it gave up the handshake ({other:?})")),
        },
        Some(Tls::InvalidMessage(_)) => said(Refusal::ClearText, "what it sends is not TLS"),
        Some(Tls::NoApplicationProtocol) => said(Refusal::Other, "it does not offer HTTP/1.1"),
        Some(other) => (Refusal::Other, format!("TLS: {other}")),
    }
}

fn certificate(fault: &CertificateError) -> (Refusal, String) {
    let said = |refusal, words: &str| (refusal, words.to_owned());
    match fault {
        CertificateError::ExpiredContext { not_after, .. } => {
            let date = date(not_after.as_secs().cast_signed());
            (Refusal::Expired, format!("its certificate, or one above it, expired on {date}"))
        }
        CertificateError::Expired => said(Refusal::Expired, "its certificate has expired"),
        CertificateError::NotValidYetContext { not_before, .. } => {
            let date = date(not_before.as_secs().cast_signed());
            (Refusal::NotYetValid, format!("its certificate is not valid before {date}; check the clocks"))
        }
        CertificateError::NotValidYet => {
            said(Refusal::NotYetValid, "its certificate is not valid yet; check the clocks")
        }
        CertificateError::UnknownIssuer => {
            said(Refusal::UnknownCa, "its certificate is not signed by an authority in ca-file")
        }
        CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => said(
            Refusal::BadCertificate,
            "its certificate is not for clients (extended key usage clientAuth)",
        ),
        fault if is_of_an_authority(fault) => {
            (Refusal::BadCertificate, format!("its certificate {OF_AN_AUTHORITY}"))
        }
        CertificateError::Other(other) => match wrong_name(other) {
            Some(wrong) => (Refusal::WrongName, wrong.to_string()),
            None => (Refusal::BadCertificate, format!("its certificate is refused: {other}")),
        },
        other => (Refusal::BadCertificate, format!("its certificate is refused: {other}")),
    }
}

fn wrong_name(error: &rustls::OtherError) -> Option<&WrongName> {
    let error: &(dyn Error + Send + Sync) = &*error.0;
    error.downcast_ref()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_numbers_are_the_order() {
        for (index, refusal) in Refusal::ALL.into_iter().enumerate() {
            assert_eq!(refusal as usize, index, "{refusal:?}");
        }
    }

    #[test]
    fn clear_text_is_told_by_its_first_byte() {
        assert_eq!(of_clear_text(22, Side::Xdr), None);
        for (first, side, words) in [
            (2, Side::Xdr, "tls-name"),
            (b'G', Side::Manage, "https://"),
            (b'P', Side::Xdr, "clear-text HTTP"),
            (0, Side::Xdr, "no TLS"),
        ] {
            let (refusal, said) = of_clear_text(first, side).unwrap();
            assert!(refusal == Refusal::ClearText && said.contains(words), "{said}");
        }
    }
}
