//! Stores made by `keytool` and `openssl`: `tests/fixtures/stores/make.sh`.

use std::fs;

use rustls::{ServerConfig, pki_types::pem::PemObject as _};

use super::*;
use crate::tls::{Identity, KeySource, TrustSource};

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/stores").join(name)
}

fn store(file: &str) -> Store {
    Store {
        store_file: fixture(file),
        store_password_file: fixture("storepass"),
        key_password_file: None,
        store_type: None,
    }
}

/// What is said of a store, without the folder.
fn said<T>(result: Result<T, BuildError>) -> String {
    let Err(error) = result else { panic!("it is taken") };
    error.to_string().replace(&fixture("").display().to_string(), "")
}

const SERVER: [&str; 10] = [
    "keytool.p12",
    "keytool-legacy.p12",
    "really-pkcs12.jks",
    "server.jks",
    "openssl.p12",
    "openssl-legacy.p12",
    "openssl-3des.p12",
    "openssl-aes128.p12",
    "openssl-rc2.p12",
    "openssl-plain.p12",
];

#[test]
fn every_kind_of_store_gives_the_same_key_and_chain() {
    let ca = CertificateDer::from_pem_file(fixture("ca.pem")).unwrap();
    let (chain, key) = store("server.jks").identity("key-store").unwrap();
    for file in SERVER {
        let source = KeySource::Store(store(file));
        let loaded = source.load().unwrap_or_else(|error| panic!("{file}: {error}"));
        assert_eq!(loaded, (chain.clone(), key.clone_key()), "{file}");
        assert_eq!(source.identity().unwrap().subject, "CN=server");
        assert_eq!(source.files(), [fixture(file), fixture("storepass")]);
    }
    assert_eq!((chain.len(), &chain[1]), (2, &ca));
    ServerConfig::builder().with_no_client_auth().with_single_cert(chain, key).unwrap();
}

#[test]
fn a_key_with_a_password_of_its_own_wants_that() {
    let mut own = store("own-key.jks");
    assert_eq!(
        said(own.identity("key-store")),
        "key-store.store-file: the key `server` in own-key.jks has a password of its own; name its file in `key-password-file`"
    );
    own.key_password_file = Some(fixture("keypass"));
    assert_eq!(Identity::of(&own.identity("key-store").unwrap().0).unwrap().subject, "CN=server");
    // As a trust store it needs no key.
    store("own-key.jks").trusted("trust-store").unwrap();
    let same = Store { key_password_file: Some(fixture("keypass")), ..store("server.jks") };
    same.identity("key-store").unwrap();
    let wrong = Store { key_password_file: Some(fixture("make.sh")), ..store("own-key.jks") };
    assert_eq!(
        said(wrong.identity("key-store")),
        "key-store.key-password-file: the key `server` in own-key.jks does not open with the password in make.sh"
    );
}

#[test]
fn trusted_are_certificates_by_themselves_and_those_of_keys() {
    let ca = CertificateDer::from_pem_file(fixture("ca.pem")).unwrap();
    for file in ["ca.jks", "ca.p12", "ca-openssl.p12"] {
        assert_eq!(store(file).trusted("trust-store").unwrap(), std::slice::from_ref(&ca), "{file}");
        assert_eq!(TrustSource::Store(store(file)).load().unwrap().len(), 1, "{file}");
    }
    // The authority beside a key is there to be shown to others. Java does not trust it either.
    for file in SERVER {
        let trusted = store(file).trusted("trust-store").unwrap();
        assert_eq!(trusted, [store(file).identity("key-store").unwrap().0[0].clone()], "{file}");
    }
}

#[test]
fn what_cannot_be_used_says_why_and_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let written = |bytes: &[u8]| {
        let file = folder.path().join("store");
        fs::write(&file, bytes).unwrap();
        let text = Store { store_file: file, ..store("") }.identity("key-store");
        said(text).replace(&folder.path().display().to_string(), "").replace("/store", "STORE")
    };
    let not_one = "key-store.store-file: STORE cannot be read: it is neither a JKS nor a PKCS12 store";
    for (bytes, words) in [
        (&b"hello"[..], not_one),
        (b"", not_one),
        (&[0x30, 0x82, 1], not_one),
        (&[0xfe, 0xed, 0xfe, 0xed], "key-store.store-file: STORE cannot be read: it is cut off"),
        (
            b"-----BEGIN CERTIFICATE-----",
            "key-store.store-file: STORE holds PEM and is no store; name it in `ca-file`, or `certificate-file` and `key-file`",
        ),
    ] {
        assert_eq!(written(bytes), words);
    }
    for (file, words) in [
        (
            "absent.p12",
            "key-store.store-file: cannot read absent.p12: No such file or directory (os error 2)",
        ),
        (
            "ca.jks",
            "key-store.store-file: ca.jks holds no private key, only certificates; is it the trust store?",
        ),
        (
            "ca.p12",
            "key-store.store-file: ca.p12 holds no private key, only certificates; is it the trust store?",
        ),
        (
            "two-keys.jks",
            "key-store.store-file: two-keys.jks holds 2 private keys (`client`, `server`), and which one",
        ),
        (
            "two-keys.p12",
            "key-store.store-file: two-keys.p12 holds 2 private keys (`client`, `server`), and which one",
        ),
        (
            "server.jceks",
            "key-store.store-file: server.jceks is a JCEKS store, which is not read here; `keytool -importkeystore",
        ),
        ("openssl-rounds.p12", "key-store.store-file: openssl-rounds.p12 asks for more than 5000000 rounds"),
    ] {
        let said = said(store(file).identity("key-store"));
        assert!(said.starts_with(words), "{said}");
    }
    for file in SERVER.into_iter().filter(|file| *file != "openssl-plain.p12") {
        let wrong = Store { store_password_file: fixture("keypass"), ..store(file) };
        let said = said(wrong.identity("key-store"));
        let words =
            format!("key-store.store-password-file: {file} does not open with the password in keypass: ");
        assert!(said.starts_with(&words) && !said.contains("other-one"), "{said}");
    }
    let large = Store { store_password_file: fixture("make.sh"), ..store("server.jks") };
    assert!(said(large.identity("key-store")).contains("does not open"), "3 KB can be a password");
    let absent = Store { store_password_file: fixture("nobody"), ..store("server.jks") };
    assert!(
        said(absent.identity("key-store")).starts_with("key-store.store-password-file: cannot read nobody: ")
    );
    let endless = Store { store_file: "/dev/zero".into(), ..store("") };
    assert_eq!(
        said(endless.identity("key-store")),
        "key-store.store-file: /dev/zero is larger than 4194304 bytes"
    );
    let binary = Store { store_password_file: fixture("server.jks"), ..store("server.jks") };
    let text = said(binary.identity("key-store"));
    assert!(text.ends_with("server.jks holds no password: it is not UTF-8 text"), "{text}");
}

#[test]
fn a_key_of_another_certificate_is_told() {
    let (_, key) = store("client.jks").identity("key-store").unwrap();
    let (chain, _) = store("server.jks").identity("key-store").unwrap();
    let error = ServerConfig::builder().with_no_client_auth().with_single_cert(chain, key).unwrap_err();
    let told = KeySource::Store(store("server.jks")).unfit(&error);
    assert_eq!(told.key, "key-store");
    assert!(told.problem.starts_with("its key does not go with the certificate"), "{}", told.problem);
}

/// Wherever a byte is another one, or the rest is missing: an answer, not a panic, and soon.
#[test]
fn damage_is_an_error_wherever_it_is() {
    let attempt = |bytes: &[u8]| {
        if let Ok(entries) = entries(bytes, "changeit") {
            for key in &entries.keys {
                let _ = key.open("changeit");
            }
        }
        // Behind the sum that would have found it.
        if let Some(behind) = bytes.strip_prefix(&jks::MAGIC) {
            let _ = jks::parse(behind)
                .map(|entries| entries.keys.iter().for_each(|key| drop(key.open("changeit"))));
        }
    };
    for file in ["server.jks", "two-keys.jks", "ca.jks", "openssl-plain.p12", "openssl-aes128.p12"] {
        let whole = fs::read(fixture(file)).unwrap();
        for at in 0..whole.len() {
            attempt(&whole[..at]);
            for value in [0, 1, 0x30, 0x7f, 0x80, 0x84, 0xff, whole[at] ^ 1] {
                let mut damaged = whole.clone();
                damaged[at] = value;
                attempt(&damaged);
            }
        }
    }
}
