//! `tls` of a listener as it stands in the file, and what destinations share with it.

use std::path::PathBuf;

use adapters::tls::{Store, Version};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::OneOrMany;

/// A TLS listener.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) struct ServerTls {
    /// Port or ports for TLS; 0 lets the system choose.
    #[schemars(extend("x-default" = "required"))]
    pub(crate) port: Option<OneOrMany<u16>>,
    /// Interface address or addresses to bind.
    #[schemars(extend("x-default" = "that of the section around it"))]
    pub(crate) address: Option<OneOrMany<String>>,
    /// Certificate of the connector and those that lead to its authority, PEM, the connector's own first. This and the
    /// other files are read again when they change; open connections stay as they are.
    #[schemars(extend("x-ours" = true, "x-default" = "required, unless there is `key-store`"))]
    pub(crate) certificate_file: Option<PathBuf>,
    /// Private key of that certificate, PEM, without a password.
    #[schemars(extend("x-ours" = true, "x-default" = "required, unless there is `key-store`"))]
    pub(crate) key_file: Option<PathBuf>,
    /// Authorities that sign the certificates of clients, PEM. Only used for mutual TLS.
    #[schemars(extend("x-ours" = true, "x-default" = "none"))]
    pub(crate) ca_file: Option<PathBuf>,
    /// Mutual TLS: clients must show a certificate that an authority of `ca-file` signed and that carries one of these
    /// names, as a DNS name among its alternative names or, when it has none of those, as its common name. Names are
    /// compared as a whole, whatever their case: a wildcard in a certificate stands for itself only.
    #[schemars(extend("x-default" = "none"))]
    pub(crate) allowed_peer_names: Option<OneOrMany<String>>,
    /// Mutual TLS with any name: clients must show a certificate that an authority of `ca-file` signed.
    #[schemars(extend("x-ours" = true, "x-default" = "true with `allowed-peer-names`, else false"))]
    pub(crate) mutual_auth: Option<bool>,
    /// Versions of TLS that are accepted.
    #[schemars(extend("x-default" = "all"))]
    pub(crate) protocols: Option<OneOrMany<Protocol>>,
    /// Cipher suites that are accepted, by the names of Java or IANA; those that do not exist here are passed over with
    /// a warning.
    #[schemars(extend("x-default" = "all"))]
    pub(crate) ciphers: Option<OneOrMany<String>>,
    /// Certificate and key of the connector, in place of `certificate-file` and `key-file`. Read again when it changes.
    #[schemars(extend("x-default" = "required, unless there are those"))]
    pub(crate) key_store: Option<Store>,
    /// Authorities that sign the certificates of clients, in place of `ca-file`.
    #[schemars(extend("x-default" = "none"))]
    pub(crate) trust_store: Option<Store>,
}

/// A version of TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[schemars(rename = "TlsVersion")]
pub(crate) enum Protocol {
    /// TLS 1.2.
    #[serde(rename = "TLSv1.2")]
    Tls12,
    /// TLS 1.3.
    #[serde(rename = "TLSv1.3")]
    Tls13,
    /// TLS 1.1.
    #[serde(rename = "TLSv1.1")]
    #[schemars(extend("x-refused" = TOO_OLD))]
    Tls11,
    /// TLS 1.0.
    #[serde(rename = "TLSv1")]
    #[schemars(extend("x-refused" = TOO_OLD))]
    Tls10,
    /// SSL 3.
    #[serde(rename = "SSLv3")]
    #[schemars(extend("x-refused" = TOO_OLD))]
    Ssl3,
    /// SSL 2.
    #[serde(rename = "SSLv2Hello")]
    #[schemars(extend("x-refused" = TOO_OLD))]
    Ssl2,
}

const TOO_OLD: &str =
    "versions before TLS 1.2 are not secure, and not supported; write `TLSv1.2` or `TLSv1.3`";

impl Protocol {
    /// `None` for those that the shape refused.
    pub(crate) fn version(self) -> Option<Version> {
        match self {
            Self::Tls12 => Some(Version::Tls12),
            Self::Tls13 => Some(Version::Tls13),
            Self::Tls11 | Self::Tls10 | Self::Ssl3 | Self::Ssl2 => None,
        }
    }
}

/// Kinds of stores. What is in the file counts.
#[derive(Clone, Copy, Debug, Deserialize, Serialize, JsonSchema)]
pub(crate) enum StoreType {
    /// JKS of Java. Many a file of that name holds PKCS12, and loads as well.
    #[serde(rename = "JKS")]
    Jks,
    /// PKCS12, as `openssl` and Java since version 9 write it.
    #[serde(rename = "PKCS12")]
    Pkcs12,
    /// JCEKS of Java. A store that has this format is refused with the command that converts it.
    #[serde(rename = "JCEKS")]
    Jceks,
    /// BKS of Bouncy Castle.
    #[serde(rename = "BKS")]
    #[schemars(extend("x-refused" = "only Bouncy Castle reads this kind; convert it: `keytool -importkeystore -srcstoretype BKS \
                                     -providerclass org.bouncycastle.jce.provider.BouncyCastleProvider -providerpath bcprov.jar \
                                     -srckeystore STORE -destkeystore new.p12 -deststoretype PKCS12`"))]
    Bks,
    /// Keys in a security module.
    #[serde(rename = "PKCS11")]
    #[schemars(extend("x-refused" = "keys in security modules cannot be used; name a PKCS12 or JKS store, or PEM files"))]
    Pkcs11,
    /// Several stores as one.
    #[serde(rename = "DKS")]
    #[schemars(extend("x-refused" = "a list of stores; put them into one: `keytool -importkeystore -srckeystore STORE -destkeystore \
                                     new.p12 -deststoretype PKCS12`, once for each"))]
    Dks,
    /// The store of Windows.
    #[serde(rename = "Windows_MY")]
    #[schemars(extend("x-refused" = "the store of Windows does not exist here; export a PKCS12 (.pfx) file from it"))]
    WindowsMy,
}
