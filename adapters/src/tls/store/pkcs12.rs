//! PKCS12: nested containers, some of them encrypted, with keys and certificates and what they are called.
//!
//! What Java's `keytool` and `openssl` write, old and new: DER, one password for all.

use rustls::pki_types::CertificateDer;
use x509_parser::{certificate::X509Certificate, prelude::FromDer};

use super::{
    Entries, Fault, Key, Sealed,
    der::{BMP_STRING, Der, EXPLICIT_0, IMPLICIT_0, OCTETS, OID, SEQUENCE, SET},
    pbe::{self, Rounds},
};

/// Reads the store.
pub(super) fn read(bytes: &[u8], password: &str) -> Result<Entries, Fault> {
    let mut rounds = Rounds::new();
    let mut file = Der(bytes).inside(SEQUENCE).ok_or(NOT_ONE)?;
    if file.number() != Some(3) {
        return Err(NOT_ONE);
    }
    let mut outer = file.inside(SEQUENCE).ok_or(NOT_ONE)?;
    if outer.take(OID) != Some(&DATA) {
        return Err(Fault::Unsupported("a store that is signed with a key instead of a password".to_owned()));
    }
    let content = outer.inside(EXPLICIT_0).and_then(|mut inner| inner.take(OCTETS)).ok_or(CUT_OFF)?;
    // Before anything in it is believed. Stores without a password have none.
    if let Some(sum) = file.inside(SEQUENCE) {
        verify(sum, content, password, &mut rounds)?;
    }
    let mut bags = Bags::default();
    let mut containers = Der(content).inside(SEQUENCE).ok_or(CUT_OFF)?;
    while !containers.is_empty() {
        let mut container = containers.inside(SEQUENCE).ok_or(CUT_OFF)?;
        let kind = container.take(OID).ok_or(CUT_OFF)?;
        let mut value = container.inside(EXPLICIT_0).ok_or(CUT_OFF)?;
        if kind == DATA {
            bags.read(value.take(OCTETS).ok_or(CUT_OFF)?)?;
        } else if kind == ENCRYPTED_DATA {
            let mut encrypted = value.inside(SEQUENCE).ok_or(CUT_OFF)?;
            encrypted.number().ok_or(CUT_OFF)?;
            let mut info = encrypted.inside(SEQUENCE).ok_or(CUT_OFF)?;
            info.take(OID).ok_or(CUT_OFF)?;
            let scheme = info.inside(SEQUENCE).ok_or(CUT_OFF)?;
            let hidden = info.take(IMPLICIT_0).ok_or(CUT_OFF)?;
            bags.read(&pbe::open(scheme, hidden, password, &mut rounds)?)?;
        } else {
            return Err(Fault::Unsupported(
                "a container that is no data and not encrypted by a password".to_owned(),
            ));
        }
    }
    Ok(bags.entries())
}

/// The key in a bag that hides it, as PKCS8.
pub(super) fn open(bag: &[u8], password: &str) -> Result<Vec<u8>, Fault> {
    let mut info = Der(bag).inside(SEQUENCE).ok_or(CUT_OFF)?;
    let scheme = info.inside(SEQUENCE).ok_or(CUT_OFF)?;
    let hidden = info.take(OCTETS).ok_or(CUT_OFF)?;
    pbe::open(scheme, hidden, password, &mut Rounds::new())
}

fn verify(mut sum: Der<'_>, content: &[u8], password: &str, rounds: &mut Rounds) -> Result<(), Fault> {
    let mut digest = sum.inside(SEQUENCE).ok_or(CUT_OFF)?;
    let algorithm = digest.inside(SEQUENCE).and_then(|mut named| named.take(OID)).ok_or(CUT_OFF)?;
    let expected = digest.take(OCTETS).ok_or(CUT_OFF)?;
    let salt = sum.take(OCTETS).ok_or(CUT_OFF)?;
    let count = if sum.is_empty() { 1 } else { sum.number().ok_or(CUT_OFF)? };
    match pbe::is_sum(expected, algorithm, (salt, count), content, password, rounds)? {
        true => Ok(()),
        false => Err(Fault::Password),
    }
}

/// Keys and certificates before it is known what belongs together.
#[derive(Default)]
struct Bags {
    keys: Vec<(Sealed, Names)>,
    certificates: Vec<(CertificateDer<'static>, Names)>,
}

/// What a bag says of itself.
#[derive(Default)]
struct Names {
    friendly: Option<String>,
    local_key: Option<Vec<u8>>,
    /// Java's mark on certificates that are trusted.
    trusted: bool,
}

impl Bags {
    fn read(&mut self, content: &[u8]) -> Result<(), Fault> {
        let mut bags = Der(content).inside(SEQUENCE).ok_or(CUT_OFF)?;
        while !bags.is_empty() {
            let mut bag = bags.inside(SEQUENCE).ok_or(CUT_OFF)?;
            let kind = bag.take(OID).ok_or(CUT_OFF)?;
            let value = bag.take(EXPLICIT_0).ok_or(CUT_OFF)?;
            let names = Names::read(bag)?;
            match kind.strip_prefix(&BAG) {
                Some([1]) => self.keys.push((Sealed::Plain(value.to_vec()), names)),
                Some([2]) => self.keys.push((Sealed::Pkcs12(value.to_vec()), names)),
                Some([3]) => {
                    let mut certificate = Der(value).inside(SEQUENCE).ok_or(CUT_OFF)?;
                    if certificate.take(OID).ok_or(CUT_OFF)? == X509 {
                        let der = certificate
                            .inside(EXPLICIT_0)
                            .and_then(|mut inner| inner.take(OCTETS))
                            .ok_or(CUT_OFF)?;
                        self.certificates.push((der.to_vec().into(), names));
                    }
                }
                // Secrets of other kinds, which are of no use to TLS.
                _ => {}
            }
        }
        Ok(())
    }

    fn entries(self) -> Entries {
        let Self { keys, certificates } = self;
        let keyless = keys.is_empty();
        let trusted = certificates.iter().filter(|(_, names)| names.trusted || keyless);
        let trusted = trusted.map(|(certificate, _)| certificate.clone()).collect();
        let alone = keys.len() == 1;
        let keys = keys.into_iter().map(|(sealed, names)| {
            let mine = |(_, other): &&(CertificateDer<'_>, Names)| {
                names.local_key.is_some() && other.local_key == names.local_key
            };
            let first = certificates.iter().find(mine).or_else(|| certificates.first().filter(|_| alone));
            let chain = first.map_or_else(Vec::new, |(first, _)| chain(first, &certificates));
            Key { alias: names.friendly.unwrap_or_else(|| "without a name".to_owned()), sealed, chain }
        });
        Entries { keys: keys.collect(), trusted }
    }
}

impl Names {
    fn read(mut bag: Der<'_>) -> Result<Self, Fault> {
        let mut names = Self::default();
        let Some(mut attributes) = bag.inside(SET) else { return Ok(names) };
        while !attributes.is_empty() {
            let mut attribute = attributes.inside(SEQUENCE).ok_or(CUT_OFF)?;
            let kind = attribute.take(OID).ok_or(CUT_OFF)?;
            let mut values = attribute.inside(SET).ok_or(CUT_OFF)?;
            if kind == FRIENDLY_NAME {
                names.friendly = values.take(BMP_STRING).map(|text| {
                    let units = text.chunks_exact(2).map(|unit| u16::from(unit[0]) << 8 | u16::from(unit[1]));
                    char::decode_utf16(units).map(|c| c.unwrap_or(char::REPLACEMENT_CHARACTER)).collect()
                });
            } else if kind == LOCAL_KEY {
                names.local_key = values.take(OCTETS).map(<[u8]>::to_vec);
            } else if kind == JAVA_TRUSTED {
                names.trusted = true;
            }
        }
        Ok(names)
    }
}

/// `first` and those that lead from it to an authority, in the order of TLS. A store has them in any order.
fn chain(
    first: &CertificateDer<'static>,
    all: &[(CertificateDer<'static>, Names)],
) -> Vec<CertificateDer<'static>> {
    let mut chain = vec![first.clone()];
    while chain.len() < CHAIN_MAX {
        let next = chain.last().and_then(|last| {
            let (_, last) = X509Certificate::from_der(last).ok()?;
            all.iter().map(|(certificate, _)| certificate).find(|other| {
                !chain.contains(other)
                    && X509Certificate::from_der(other)
                        .is_ok_and(|(_, other)| other.subject().as_raw() == last.issuer().as_raw())
            })
        });
        let Some(next) = next.cloned() else { break };
        chain.push(next);
    }
    chain
}

/// Nobody follows longer ones; OpenSSL's own limit is 100, Java's 10.
const CHAIN_MAX: usize = 10;

const DATA: [u8; 9] = [0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x07, 0x01];
const ENCRYPTED_DATA: [u8; 9] = [0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x07, 0x06];
/// What the kinds of bags begin with.
const BAG: [u8; 10] = [0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x0c, 0x0a, 0x01];
const X509: [u8; 10] = [0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x09, 0x16, 0x01];
const FRIENDLY_NAME: [u8; 9] = [0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x09, 0x14];
const LOCAL_KEY: [u8; 9] = [0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x09, 0x15];
/// 2.16.840.1.113894.746875.1.1
const JAVA_TRUSTED: [u8; 12] = [0x60, 0x86, 0x48, 0x01, 0x86, 0xf9, 0x66, 0xad, 0xca, 0x7b, 0x01, 0x01];

const NOT_ONE: Fault = Fault::Damaged("it is neither a JKS nor a PKCS12 store");
const CUT_OFF: Fault = Fault::Damaged("a part of it cannot be read");
