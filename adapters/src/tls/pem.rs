//! PEM files: certificates, keys, authorities, and what a certificate says of its owner.
//!
//! A message names the file and what was expected, never a byte of what is in it.

use std::{
    fmt,
    fs::File,
    io::Read,
    path::Path,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use rustls::{
    RootCertStore,
    pki_types::{
        CertificateDer, PrivateKeyDer,
        pem::{self, PemObject},
    },
};
use x509_parser::{
    certificate::X509Certificate, error::X509Error, extensions::GeneralName, prelude::FromDer, x509::X509Name,
};

use crate::BuildError;

/// All certificates in `file`, in order; each can be parsed. `key` is the setting that names it.
pub fn certificates(key: &str, file: &Path) -> Result<Vec<CertificateDer<'static>>, BuildError> {
    let found: Vec<_> = CertificateDer::pem_file_iter(file)
        .and_then(Iterator::collect)
        .map_err(|error| unreadable(key, file, &error, "certificate"))?;
    if found.is_empty() {
        return Err(unreadable(key, file, &pem::Error::NoItemsFound, "certificate"));
    }
    for (index, certificate) in found.iter().enumerate() {
        parsed(certificate).map_err(|error| {
            problem(key, format!("certificate {} in {} cannot be parsed: {error}", index + 1, file.display()))
        })?;
    }
    Ok(found)
}

/// The private key in `file`.
pub fn private_key(file: &Path) -> Result<PrivateKeyDer<'static>, BuildError> {
    PrivateKeyDer::from_pem_file(file)
        .map_err(|error| unreadable("key-file", file, &error, "private key (one without a password)"))
}

/// The authorities in `file`.
pub fn authorities(file: &Path) -> Result<RootCertStore, BuildError> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates("ca-file", file)? {
        roots.add(certificate).map_err(|error| {
            problem("ca-file", format!("{} holds an unusable certificate: {error}", file.display()))
        })?;
    }
    Ok(roots)
}

/// Whose a certificate is, and for how long.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// Its distinguished name, such as `C=DE, CN=a.example`.
    pub subject: String,
    /// Before this it is not valid, in seconds since the Unix epoch.
    pub not_before_unix_s: i64,
    /// After this it is no longer valid, in seconds since the Unix epoch.
    pub not_after_unix_s: i64,
}

impl Identity {
    /// That of the first certificate of a chain. `None` when it cannot be parsed, or there is none.
    pub fn of(chain: &[CertificateDer<'_>]) -> Option<Self> {
        let certificate = parsed(chain.first()?).ok()?;
        let validity = certificate.validity();
        Some(Self {
            subject: distinguished_name(certificate.subject()),
            not_before_unix_s: validity.not_before.timestamp(),
            not_after_unix_s: validity.not_after.timestamp(),
        })
    }

    /// That of the certificate chain in `file`.
    pub fn read(file: &Path) -> Option<Self> {
        Self::of(&certificates("certificate-file", file).ok()?)
    }

    /// What is wrong with its dates at `now`, in words.
    pub fn complaint(&self, now: SystemTime) -> Option<String> {
        let now = now.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs()).cast_signed();
        if now > self.not_after_unix_s {
            Some(format!("the certificate of {} expired on {}", self.subject, date(self.not_after_unix_s)))
        } else if now < self.not_before_unix_s {
            Some(format!(
                "the certificate of {} is not valid before {}; check the clock",
                self.subject,
                date(self.not_before_unix_s)
            ))
        } else {
            None
        }
    }
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, valid until {}", self.subject, date(self.not_after_unix_s))
    }
}

/// What is wrong with the dates of a certificate now, in words.
pub fn date_complaint(identity: &Identity) -> Option<String> {
    identity.complaint(SystemTime::now())
}

/// The names that a certificate can be known by.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Names {
    /// DNS names among its alternative names.
    pub dns: Vec<String>,
    /// The common name of its subject.
    pub common_name: Option<String>,
}

impl Names {
    /// Those of `certificate`; none when it cannot be parsed.
    pub fn of(certificate: &CertificateDer<'_>) -> Self {
        let Ok(certificate) = parsed(certificate) else { return Self::default() };
        let alternative = certificate.subject_alternative_name().ok().flatten();
        let dns = alternative.iter().flat_map(|names| &names.value.general_names).filter_map(|name| {
            let GeneralName::DNSName(name) = name else { return None };
            Some((*name).to_owned())
        });
        let common_name =
            certificate.subject().iter_common_name().find_map(|name| name.as_str().ok()).map(str::to_owned);
        Self { dns: dns.collect(), common_name }
    }
}

/// A time since the Unix epoch as a date, in UTC.
pub fn date(unix_s: i64) -> String {
    // The last second that a certificate can name; the formatter knows no later year.
    const LAST: u64 = 253_402_300_799;
    let since = u64::try_from(unix_s).unwrap_or(0).min(LAST);
    httpdate::fmt_http_date(UNIX_EPOCH + Duration::from_secs(since))
}

fn parsed<'a>(certificate: &'a CertificateDer<'_>) -> Result<X509Certificate<'a>, String> {
    match X509Certificate::from_der(certificate) {
        Ok((_, certificate)) => Ok(certificate),
        Err(x509_parser::nom::Err::Error(error) | x509_parser::nom::Err::Failure(error)) => {
            Err(error.to_string())
        }
        Err(x509_parser::nom::Err::Incomplete(_)) => Err(X509Error::InvalidCertificate.to_string()),
    }
}

/// Names may hold anything: line ends must not make log lines.
fn distinguished_name(name: &X509Name<'_>) -> String {
    name.to_string().escape_debug().to_string()
}

/// The parser's own messages show the line that they stumbled over, and that can be a key.
fn unreadable(key: &str, path: &Path, error: &pem::Error, expected: &str) -> BuildError {
    let file = path.display();
    problem(
        key,
        match error {
            pem::Error::NoItemsFound => format!("{file} holds no PEM {expected}{}", instead(path)),
            pem::Error::Io(error) => format!("cannot read {file}: {error}"),
            _ => format!("{file} is no sound PEM file; expected a PEM {expected}"),
        },
    )
}

/// What a file is that is no PEM, when that shows.
fn instead(file: &Path) -> &'static str {
    let mut start = [0; 4];
    let read = File::open(file).and_then(|mut file| file.read_exact(&mut start));
    match (read, start) {
        (Ok(()), [0xfe, 0xed, 0xfe, 0xed]) => {
            ": it is a Java key store; name it in `key-store` or `trust-store`"
        }
        // A sequence of a length that takes two bytes.
        (Ok(()), [0x30, 0x82, ..]) => {
            ": it is binary: a PKCS12 store goes into `key-store` or `trust-store`, and `openssl x509 -inform der` turns DER into PEM"
        }
        _ => "",
    }
}

pub(crate) fn problem(key: &str, problem: impl ToString) -> BuildError {
    BuildError { key: key.to_owned(), problem: problem.to_string() }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    fn file(text: &str) -> tempfile::NamedTempFile {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(text.as_bytes()).unwrap();
        file
    }

    #[test]
    fn what_is_no_certificate_is_told_without_its_content() {
        let text = |file: &Path| certificates("certificate-file", file).unwrap_err().to_string();
        assert!(
            text(Path::new("/nowhere/a.pem")).starts_with("certificate-file: cannot read /nowhere/a.pem:")
        );
        assert!(text(file("hello").path()).ends_with("holds no PEM certificate"));
        let store = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(store.path(), [0xfe, 0xed, 0xfe, 0xed, 0, 0, 0, 2]).unwrap();
        assert!(text(store.path()).contains("holds no PEM certificate: it is a Java key store"));
        std::fs::write(store.path(), [0x30, 0x82, 3, 1]).unwrap();
        assert!(text(store.path()).contains("PKCS12"));
        let broken = file("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
        assert!(text(broken.path()).contains("certificate 1 in "), "{}", text(broken.path()));

        // The whole key on the line of its header: the parser's message would show it.
        let squeezed = file("-----BEGIN PRIVATE KEY----- hunter2 -----END PRIVATE KEY-----");
        let said = private_key(squeezed.path()).unwrap_err().to_string();
        assert!(
            said.starts_with("key-file: ") && !said.contains("hunter2") && !said.contains("104, 117"),
            "{said}"
        );
        let encrypted =
            file("-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n");
        let said = private_key(encrypted.path()).unwrap_err().to_string();
        assert!(said.ends_with("holds no PEM private key (one without a password)"), "{said}");
    }

    #[test]
    fn dates_outside_of_all_bounds_are_still_dates() {
        assert_eq!(date(0), "Thu, 01 Jan 1970 00:00:00 GMT");
        assert_eq!(date(-5), date(0));
        assert_eq!(date(i64::MAX), "Fri, 31 Dec 9999 23:59:59 GMT");
    }

    #[test]
    fn an_identity_complains_outside_of_its_dates() {
        let identity =
            Identity { subject: "CN=a".to_owned(), not_before_unix_s: 1_000, not_after_unix_s: 2_000 };
        let at = |s| identity.complaint(UNIX_EPOCH + Duration::from_secs(s));
        assert!(at(999).unwrap().contains("not valid before"));
        assert_eq!(at(1_500), None);
        assert_eq!(at(2_001).unwrap(), "the certificate of CN=a expired on Thu, 01 Jan 1970 00:33:20 GMT");
    }
}
