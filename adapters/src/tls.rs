//! TLS towards a destination: rustls with aws-lc-rs, TLS 1.2 and 1.3.
//!
//! Names and certificates are always checked; there is no switch to turn that off.

use std::{error::Error, path::Path, sync::Arc};

use rustls::{
    AlertDescription, CertificateError, ClientConfig, RootCertStore,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};
use rustls_platform_verifier::BuilderVerifierExt;

use crate::{BuildError, http::Tls};

/// The client side of TLS as `tls` asks for it; the system's trusted authorities when it names none.
pub(crate) fn client_config(tls: &Tls) -> Result<ClientConfig, BuildError> {
    let builder = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| problem("tls", error))?;
    let builder = match &tls.ca_file {
        Some(file) => builder.with_root_certificates(authorities(file)?),
        None => builder.with_platform_verifier().map_err(|error| {
            problem(
                "tls.ca-file",
                format!("the system's trusted authorities cannot be used ({error}); name a file"),
            )
        })?,
    };
    match (&tls.certificate_file, &tls.key_file) {
        (None, None) => Ok(builder.with_no_client_auth()),
        (Some(certificate), Some(key)) => builder
            .with_client_auth_cert(certificates("tls.certificate-file", certificate)?, private_key(key)?)
            .map_err(|error| problem("tls.key-file", format!("does not go with the certificate: {error}"))),
        (Some(_), None) => Err(problem("tls.key-file", "missing, but tls.certificate-file is given")),
        (None, Some(_)) => Err(problem("tls.certificate-file", "missing, but tls.key-file is given")),
    }
}

/// What a failure of TLS means, in words an operator can act on; `None` when it was no failure of TLS.
pub(crate) fn explain(error: &(dyn Error + 'static)) -> Option<String> {
    Some(match find(error)? {
        rustls::Error::InvalidCertificate(fault) => match fault {
            CertificateError::UnknownIssuer => {
                "its certificate is signed by an authority that is not trusted (see tls.ca-file)".to_owned()
            }
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
                "its certificate has expired".to_owned()
            }
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
                "its certificate is not valid yet; check the clocks".to_owned()
            }
            CertificateError::NotValidForName => "its certificate is for another name".to_owned(),
            CertificateError::NotValidForNameContext { expected, presented } => {
                format!("its certificate is for {}, not for {}", presented.join(", "), expected.to_str())
            }
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

/// rustls errors arrive wrapped in an I/O error, and that again in the error of a library.
fn find<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a rustls::Error> {
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

fn authorities(file: &Path) -> Result<RootCertStore, BuildError> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates("tls.ca-file", file)? {
        roots.add(certificate).map_err(|error| {
            problem("tls.ca-file", format!("{} holds an unusable certificate: {error}", file.display()))
        })?;
    }
    Ok(roots)
}

fn certificates(key: &str, file: &Path) -> Result<Vec<CertificateDer<'static>>, BuildError> {
    let found: Vec<_> = CertificateDer::pem_file_iter(file)
        .and_then(Iterator::collect)
        .map_err(|error| problem(key, format!("cannot read {}: {error}", file.display())))?;
    if found.is_empty() {
        return Err(problem(key, format!("{} holds no PEM certificate", file.display())));
    }
    Ok(found)
}

fn private_key(file: &Path) -> Result<PrivateKeyDer<'static>, BuildError> {
    PrivateKeyDer::from_pem_file(file).map_err(|error| {
        problem("tls.key-file", format!("cannot read a PEM key from {}: {error}", file.display()))
    })
}

fn problem(key: &str, problem: impl ToString) -> BuildError {
    BuildError { key: key.to_owned(), problem: problem.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(tls: &Tls) -> String {
        client_config(tls).unwrap_err().to_string()
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
