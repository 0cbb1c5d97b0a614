//! TLS, rustls with aws-lc-rs, versions 1.2 and 1.3: the client side towards destinations, and what a server side
//! needs as well: files, names of cipher suites, and settings that follow their files.
//!
//! Names and certificates are always checked; there is no switch to turn that off.

use std::{error::Error, sync::Arc};

use rustls::{
    AlertDescription, CertificateError, ClientConfig,
    client::{Resumption, WebPkiServerVerifier, danger::ServerCertVerifier},
};
use rustls_platform_verifier::Verifier;

use self::pem::problem;
use self::sessions::{Clock, Sessions};
#[cfg(fuzzing)]
pub(crate) use self::store::fuzzing as store_fuzzing;
pub use self::{
    offer::{Offer, Version, cipher_names, is_cipher_name, offer},
    pem::{Identity, Names, authorities, certificates, date, date_complaint, private_key},
    reload::{Built, RELOAD_INTERVAL, Reloading},
    source::{KeySource, TrustSource},
    store::{Store, StoreType},
};
use crate::{BuildError, http::Tls};

mod offer;
mod pem;
mod reload;
mod sessions;
mod source;
mod store;

/// The client side for the destination `name`, following its files; see [`client_config`].
pub(crate) fn client(
    name: &str,
    tls: &Tls,
    alpn: &[&[u8]],
) -> Result<Arc<Reloading<ClientConfig>>, BuildError> {
    let (settings, alpn): (_, Vec<Vec<u8>>) = (tls.clone(), alpn.iter().map(|name| name.to_vec()).collect());
    let pem = [&tls.ca_file, &tls.certificate_file, &tls.key_file].into_iter().flatten();
    let stores = [&tls.key_store, &tls.trust_store].into_iter().flatten().flat_map(Store::files);
    let files = pem.chain(stores).cloned();
    let build = move || {
        let (mut config, identity) = client_config(&settings)?;
        config.alpn_protocols.clone_from(&alpn);
        Ok((config, identity))
    };
    Reloading::new(format!("destination {name}"), files.collect(), build).map(Arc::new)
}

/// The client side of TLS as `tls` asks for it; the system's trusted authorities when it names none.
fn client_config(tls: &Tls) -> Result<Built<ClientConfig>, BuildError> {
    let within = |error: BuildError| BuildError { key: format!("tls.{}", error.key), ..error };
    let offer = offer(&tls.protocols, &tls.ciphers).map_err(within)?;
    let unknown = |error: rustls::Error| {
        let words = format!("the system's trusted authorities cannot be used ({error}); name a file");
        problem("tls.ca-file", words)
    };
    let provider = offer.provider;
    let checks: Arc<dyn ServerCertVerifier> = match trust(tls)? {
        Some(source) => {
            let roots = Arc::new(source.load().map_err(within)?);
            let checks = WebPkiServerVerifier::builder_with_provider(roots, Arc::clone(&provider)).build();
            checks.map_err(|error| problem("tls", error))?
        }
        None => Arc::new(Verifier::new(Arc::clone(&provider)).map_err(unknown)?),
    };
    let sessions = Arc::new(Sessions::new(checks));
    // "Dangerous" is what anything may do that checks certificates; this leaves it to the usual ones.
    let builder = ClientConfig::builder_with_details(provider, Arc::new(Clock))
        .with_protocol_versions(&offer.versions)
        .map_err(|error| problem("tls", error))?
        .dangerous()
        .with_custom_certificate_verifier(Arc::clone(&sessions) as _);
    let (mut config, identity) = match identity(tls)? {
        None => (builder.with_no_client_auth(), None),
        Some(source) => {
            let (chain, key) = source.load().map_err(within)?;
            let identity = Identity::of(&chain);
            let config = builder.with_client_auth_cert(chain, key);
            (config.map_err(|error| within(source.unfit(&error)))?, identity)
        }
    };
    config.resumption = Resumption::store(sessions);
    Ok((config, identity))
}

/// Whom `tls` trusts; the system's authorities when `None`.
fn trust(tls: &Tls) -> Result<Option<TrustSource>, BuildError> {
    match (&tls.ca_file, &tls.trust_store) {
        (None, None) => Ok(None),
        (Some(file), None) => Ok(Some(TrustSource::Pem(file.clone()))),
        (None, Some(store)) => Ok(Some(TrustSource::Store(store.clone()))),
        (Some(_), Some(_)) => {
            Err(problem("tls.trust-store", format!("given beside tls.ca-file; {ONE_OF_TWO}")))
        }
    }
}

/// What `tls` shows to a destination that asks for a certificate.
pub(crate) fn identity(tls: &Tls) -> Result<Option<KeySource>, BuildError> {
    match (&tls.certificate_file, &tls.key_file, &tls.key_store) {
        (None, None, None) => Ok(None),
        (Some(certificate_file), Some(key_file), None) => {
            let (certificate_file, key_file) = (certificate_file.clone(), key_file.clone());
            Ok(Some(KeySource::Pem { certificate_file, key_file }))
        }
        (None, None, Some(store)) => Ok(Some(KeySource::Store(store.clone()))),
        (Some(_), None, None) => Err(problem("tls.key-file", "missing, but tls.certificate-file is given")),
        (None, Some(_), None) => Err(problem("tls.certificate-file", "missing, but tls.key-file is given")),
        (_, _, Some(_)) => {
            Err(problem("tls.key-store", format!("given beside a certificate or key as PEM; {ONE_OF_TWO}")))
        }
    }
}

const ONE_OF_TWO: &str = "name one of the two";

/// Why a certificate and a key cannot be used together.
pub fn unfit_key(error: &rustls::Error) -> String {
    match error {
        rustls::Error::InconsistentKeys(_) => {
            "does not go with the certificate: it is the key of another one".to_owned()
        }
        other => format!("does not go with the certificate: {other}"),
    }
}

/// What a failure of TLS means, in words an operator can act on; `None` when it was no failure of TLS.
pub(crate) fn explain(error: &(dyn Error + 'static)) -> Option<String> {
    Some(match find(error)? {
        rustls::Error::InvalidCertificate(fault) => match fault {
            CertificateError::UnknownIssuer => {
                "its certificate is signed by an authority that is not trusted (see tls.ca-file)".to_owned()
            }
            CertificateError::ExpiredContext { not_after, .. } => {
                format!("its certificate expired on {}", date(not_after.as_secs().cast_signed()))
            }
            CertificateError::Expired => "its certificate has expired".to_owned(),
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
                "its certificate is not valid yet; check the clocks".to_owned()
            }
            CertificateError::NotValidForName => "its certificate is for another name".to_owned(),
            CertificateError::NotValidForNameContext { expected, presented } => {
                let names: Vec<_> = presented.iter().map(|name| plain(name)).collect();
                format!("its certificate is for {}, not for {}", names.join(", "), expected.to_str())
            }
            other if is_of_an_authority(other) => format!("its certificate {OF_AN_AUTHORITY}"),
            other => format!("its certificate is refused: {other}"),
        },
        rustls::Error::AlertReceived(AlertDescription::CertificateRequired) => {
            "it asks for a client certificate (see tls.certificate-file)".to_owned()
        }
        rustls::Error::AlertReceived(
            alert @ (AlertDescription::UnknownCA
            | AlertDescription::BadCertificate
            | AlertDescription::CertificateUnknown
            | AlertDescription::AccessDenied),
        ) => format!("it refuses our client certificate ({alert:?})"),
        rustls::Error::NoApplicationProtocol
        | rustls::Error::AlertReceived(AlertDescription::NoApplicationProtocol) => {
            "it does not speak the configured HTTP version (see protocol)".to_owned()
        }
        rustls::Error::InvalidMessage(_) => {
            "it does not answer with TLS; is the URL meant to be http?".to_owned()
        }
        other => format!("TLS: {other}"),
    })
}

/// Whether a peer shows the certificate of an authority as its own. That is always refused here; Java takes it, so such
/// certificates are in use.
pub fn is_of_an_authority(fault: &CertificateError) -> bool {
    // The type behind it belongs to a library that is not ours to name.
    fault.to_string().contains("CaUsedAsEndEntity")
}

/// What to say then, after whose certificate it is.
pub const OF_AN_AUTHORITY: &str = "is that of an authority (CA:TRUE, as `openssl req -x509` makes it); make one with \
     `-addext basicConstraints=critical,CA:FALSE`, or have the authority sign one";

/// The name in `DnsName("name")`.
fn plain(name: &str) -> &str {
    name.split_once('"').and_then(|(_, rest)| rest.rsplit_once('"')).map_or(name, |(name, _)| name)
}

/// The error of rustls inside `error`: it arrives wrapped in an I/O error, and that again in the error of a library.
pub fn find<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a rustls::Error> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref() {
            return Some(found);
        }
        next = match error.downcast_ref::<std::io::Error>() {
            Some(io) => io.get_ref().map(|inner| inner as &(dyn Error + 'static)),
            None => error.source(),
        };
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(tls: &Tls) -> String {
        client_config(tls).map(|_| ()).unwrap_err().to_string()
    }

    #[test]
    fn missing_and_empty_files_are_named() {
        let missing = Tls { ca_file: Some("/nowhere/ca.pem".into()), ..Tls::default() };
        let text = refused(&missing);
        assert!(text.starts_with("tls.ca-file: ") && text.contains("/nowhere/ca.pem"), "{text}");

        let empty = tempfile::NamedTempFile::new().unwrap();
        let text = refused(&Tls { ca_file: Some(empty.path().into()), ..Tls::default() });
        assert!(text.starts_with("tls.ca-file: ") && text.contains("no PEM certificate"), "{text}");
    }

    #[test]
    fn wrapped_failures_are_found() {
        let inner = rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer);
        let wrapped = std::io::Error::other(std::io::Error::other(inner));
        assert!(explain(&wrapped).unwrap().contains("not trusted"));
        assert_eq!(explain(&std::io::Error::other("reset")), None);
    }
}
