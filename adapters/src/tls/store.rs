//! Key stores and trust stores of Java: JKS and PKCS12, told apart by what is in them.
//!
//! A message names file and what to do, never a byte of a store or of a password. A file cannot make this take more
//! memory than it is large, nor more time than [`pbe::Rounds`] allows.

use std::{
    fs::File,
    io::Read as _,
    path::{Path, PathBuf},
};

use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use schemars::JsonSchema;
use serde::Deserialize;

use super::pem::problem;
use crate::BuildError;

mod der;
#[cfg(fuzzing)]
pub(crate) mod fuzzing;
mod jks;
mod pbe;
mod pkcs12;

/// A store of keys and certificates, JKS or PKCS12; which of the two is seen by what is in it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Store {
    /// The store.
    pub store_file: PathBuf,
    /// File with the password of the store. A line end behind the password is no part of it.
    pub store_password_file: PathBuf,
    /// File with the password of the key in it.
    #[serde(default)]
    pub key_password_file: Option<PathBuf>,
    /// What kind of store it is.
    #[serde(default)]
    pub store_type: Option<StoreType>,
}

/// The kinds of stores that can be named. None has an effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
pub enum StoreType {
    /// Java's own.
    #[serde(rename = "JKS")]
    Jks,
    /// Java's own, with better encryption.
    #[serde(rename = "JCEKS")]
    Jceks,
    /// The standard.
    #[serde(rename = "PKCS12")]
    Pkcs12,
}

/// Beyond any store of certificates; a mistaken path may lead to something endless.
const STORE_BYTES_MAX: u64 = 4 << 20;
/// And beyond any password.
const PASSWORD_BYTES_MAX: u64 = 4 << 10;

impl Store {
    /// The files it is read from.
    pub fn files(&self) -> impl Iterator<Item = &PathBuf> {
        [&self.store_file, &self.store_password_file].into_iter().chain(&self.key_password_file)
    }

    /// The same, to change them.
    pub fn files_mut(&mut self) -> impl Iterator<Item = &mut PathBuf> {
        [&mut self.store_file, &mut self.store_password_file].into_iter().chain(&mut self.key_password_file)
    }

    /// The one key in the store and its certificate, those that lead to its authority behind it. `key` is the setting that
    /// names the store.
    pub(super) fn identity(
        &self,
        key: &str,
    ) -> Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>), BuildError> {
        let (entries, password) = self.read(key)?;
        let file = self.store_file.display();
        let fail = |problem_words: String| problem(&format!("{key}.store-file"), problem_words);
        let mut keys = entries.keys;
        let Some(found) = keys.pop() else {
            return Err(fail(format!(
                "{file} holds no private key, only certificates; is it the trust store? `keytool -list -keystore {file}` \
                 shows what is in it"
            )));
        };
        if !keys.is_empty() {
            let mut names: Vec<_> = keys.iter().chain([&found]).map(|key| plain(&key.alias)).collect();
            names.sort_unstable();
            return Err(fail(format!(
                "{file} holds {} private keys ({}), and which one is meant cannot be told: make a store with one, `keytool \
                 -importkeystore -srckeystore {file} -srcalias ALIAS -destkeystore one.p12 -deststoretype PKCS12`",
                names.len(),
                shortened(&names)
            )));
        }
        if found.chain.is_empty() {
            return Err(fail(format!("{file} holds the key {} without a certificate", plain(&found.alias))));
        }
        let own = match &self.key_password_file {
            Some(file) => Some(password_in(&format!("{key}.key-password-file"), file)?),
            None => None,
        };
        let opened = match found.open(own.as_deref().unwrap_or(&password)) {
            // PKCS12 has one password, whatever else is configured.
            Err(Fault::Password) if own.is_some() => found.open(&password),
            opened => opened,
        };
        let opened = opened.map_err(|fault| match (fault, &self.key_password_file) {
            (Fault::Password, Some(with)) => problem(
                &format!("{key}.key-password-file"),
                format!(
                    "the key {} in {file} does not open with the password in {}",
                    plain(&found.alias),
                    with.display()
                ),
            ),
            (Fault::Password, None) => fail(format!(
                "the key {} in {file} has a password of its own; name its file in `key-password-file`",
                plain(&found.alias)
            )),
            (fault, _) => self.blame(key, fault),
        })?;
        Ok((found.chain, PrivatePkcs8KeyDer::from(opened).into()))
    }

    /// The certificates that are trusted, as Java sees it: those marked so, and that of each key.
    pub(super) fn trusted(&self, key: &str) -> Result<Vec<CertificateDer<'static>>, BuildError> {
        let (entries, _) = self.read(key)?;
        let mut trusted = entries.trusted;
        trusted.extend(entries.keys.into_iter().filter_map(|key| key.chain.into_iter().next()));
        if trusted.is_empty() {
            let file = self.store_file.display();
            let message = format!(
                "{file} holds no trusted certificate; `keytool -importcert -noprompt -alias ca -file ca.pem -keystore {file}` \
                 adds one"
            );
            return Err(problem(&format!("{key}.store-file"), message));
        }
        Ok(trusted)
    }

    fn read(&self, key: &str) -> Result<(Entries, String), BuildError> {
        let bytes = bytes_of(&format!("{key}.store-file"), &self.store_file, STORE_BYTES_MAX)?;
        let password = password_in(&format!("{key}.store-password-file"), &self.store_password_file)?;
        let entries = entries(&bytes, &password).map_err(|fault| self.blame(key, fault))?;
        Ok((entries, password))
    }

    fn blame(&self, key: &str, fault: Fault) -> BuildError {
        let file = self.store_file.display();
        let (setting, message) = match fault {
            Fault::Password => (
                "store-password-file",
                format!(
                    "{file} does not open with the password in {}: it is another one, or the store is damaged; `keytool -list \
                     -keystore {file}` asks for it",
                    self.store_password_file.display()
                ),
            ),
            Fault::Damaged(what) => ("store-file", format!("{file} cannot be read: {what}")),
            Fault::Costly => (
                "store-file",
                format!(
                    "{file} asks for more than 5000000 rounds to make keys of a password; Java refuses that too"
                ),
            ),
            Fault::Unsupported(what) => (
                "store-file",
                format!(
                    "{file} has {what}; `keytool -importkeystore -srckeystore {file} -destkeystore new.p12 -deststoretype \
                     PKCS12` writes it anew"
                ),
            ),
            Fault::Jceks => (
                "store-file",
                format!(
                    "{file} is a JCEKS store, which is not read here; `keytool -importkeystore -srckeystore {file} \
                     -srcstoretype JCEKS -destkeystore new.p12 -deststoretype PKCS12` converts it"
                ),
            ),
            Fault::Pem => (
                "store-file",
                format!(
                    "{file} holds PEM and is no store; name it in `ca-file`, or `certificate-file` and `key-file`"
                ),
            ),
        };
        problem(&format!("{key}.{setting}"), message)
    }
}

/// Tells the kind of a store by how it begins, and reads it.
fn entries(bytes: &[u8], password: &str) -> Result<Entries, Fault> {
    match bytes {
        _ if bytes.starts_with(&jks::MAGIC) => jks::read(bytes, password),
        [0xce, 0xce, 0xce, 0xce, ..] => Err(Fault::Jceks),
        _ if bytes.trim_ascii_start().starts_with(b"-----BEGIN") => Err(Fault::Pem),
        _ => pkcs12::read(bytes, password),
    }
}

/// What a store holds.
#[derive(Default)]
struct Entries {
    keys: Vec<Key>,
    trusted: Vec<CertificateDer<'static>>,
}

/// A key that is not opened yet, as its password may be another one.
struct Key {
    alias: String,
    sealed: Sealed,
    chain: Vec<CertificateDer<'static>>,
}

enum Sealed {
    Jks(Vec<u8>),
    Pkcs12(Vec<u8>),
    Plain(Vec<u8>),
}

impl Key {
    fn open(&self, password: &str) -> Result<Vec<u8>, Fault> {
        match &self.sealed {
            Sealed::Jks(bytes) => jks::open(bytes, password).ok_or(Fault::Password),
            Sealed::Pkcs12(bytes) => pkcs12::open(bytes, password),
            Sealed::Plain(bytes) => Ok(bytes.clone()),
        }
    }
}

/// Why a store, or a key in it, cannot be read.
#[derive(Debug)]
enum Fault {
    Password,
    Damaged(&'static str),
    Unsupported(String),
    Costly,
    Jceks,
    Pem,
}

fn password_in(key: &str, file: &Path) -> Result<String, BuildError> {
    let bytes = bytes_of(key, file, PASSWORD_BYTES_MAX)?;
    let text = String::from_utf8(bytes)
        .map_err(|_| problem(key, format!("{} holds no password: it is not UTF-8 text", file.display())))?;
    let line = text.strip_suffix('\n').unwrap_or(&text);
    Ok(line.strip_suffix('\r').unwrap_or(line).to_owned())
}

fn bytes_of(key: &str, file: &Path, max: u64) -> Result<Vec<u8>, BuildError> {
    let mut bytes = Vec::new();
    File::open(file)
        .and_then(|file| file.take(max + 1).read_to_end(&mut bytes))
        .map_err(|error| problem(key, format!("cannot read {}: {error}", file.display())))?;
    if bytes.len() as u64 > max {
        return Err(problem(key, format!("{} is larger than {max} bytes", file.display())));
    }
    Ok(bytes)
}

/// A name out of a file, which may hold anything, for a message.
fn plain(alias: &str) -> String {
    let short: String = alias.chars().take(64).collect();
    format!("`{}`", short.escape_debug())
}

fn shortened(names: &[String]) -> String {
    let shown = names.iter().take(8).cloned().collect::<Vec<_>>().join(", ");
    if names.len() > 8 { format!("{shown}, …") } else { shown }
}

#[cfg(test)]
mod tests;
