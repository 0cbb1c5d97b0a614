//! Where a certificate with its key and where trusted authorities come from: PEM files, or a store of Java.

use std::path::PathBuf;

use rustls::{
    RootCertStore,
    pki_types::{CertificateDer, PrivateKeyDer},
};

use super::{Identity, Store, authorities, certificates, pem::problem, private_key, unfit_key};
use crate::BuildError;

/// Where a certificate and its key come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeySource {
    /// PEM files.
    Pem {
        /// The chain, its own certificate first.
        certificate_file: PathBuf,
        /// The private key.
        key_file: PathBuf,
    },
    /// A store that holds both.
    Store(Store),
}

impl KeySource {
    /// The setting that names the certificate.
    pub fn key(&self) -> &'static str {
        match self {
            Self::Pem { .. } => "certificate-file",
            Self::Store(_) => "key-store",
        }
    }

    /// The files it is read from.
    pub fn files(&self) -> Vec<PathBuf> {
        match self {
            Self::Pem { certificate_file, key_file } => vec![certificate_file.clone(), key_file.clone()],
            Self::Store(store) => store.files().cloned().collect(),
        }
    }

    /// The chain and its key.
    pub fn load(&self) -> Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>), BuildError> {
        match self {
            Self::Pem { certificate_file, key_file } => {
                Ok((certificates("certificate-file", certificate_file)?, private_key(key_file)?))
            }
            Self::Store(store) => store.identity("key-store"),
        }
    }

    /// Whose certificate it is. `None` when it cannot be read.
    pub fn identity(&self) -> Option<Identity> {
        match self {
            Self::Pem { certificate_file, .. } => Identity::read(certificate_file),
            Self::Store(_) => Identity::of(&self.load().ok()?.0),
        }
    }

    /// The error for a key that does not go with its certificate.
    pub fn unfit(&self, error: &rustls::Error) -> BuildError {
        let key = match self {
            Self::Pem { .. } => "key-file",
            Self::Store(_) => "key-store",
        };
        let words = unfit_key(error);
        problem(key, if key == "key-store" { format!("its key {words}") } else { words })
    }
}

/// Where trusted authorities come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TrustSource {
    /// A PEM file.
    Pem(PathBuf),
    /// A store.
    Store(Store),
}

impl TrustSource {
    /// The setting that names it.
    pub fn key(&self) -> &'static str {
        match self {
            Self::Pem(_) => "ca-file",
            Self::Store(_) => "trust-store",
        }
    }

    /// The files it is read from.
    pub fn files(&self) -> Vec<PathBuf> {
        match self {
            Self::Pem(file) => vec![file.clone()],
            Self::Store(store) => store.files().cloned().collect(),
        }
    }

    /// The authorities.
    pub fn load(&self) -> Result<RootCertStore, BuildError> {
        let store = match self {
            Self::Pem(file) => return authorities(file),
            Self::Store(store) => store,
        };
        let mut roots = RootCertStore::empty();
        for certificate in store.trusted("trust-store")? {
            roots.add(certificate).map_err(|error| {
                let file = store.store_file.display();
                problem("trust-store.store-file", format!("{file} holds an unusable certificate: {error}"))
            })?;
        }
        Ok(roots)
    }
}
