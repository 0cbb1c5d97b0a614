//! The JKS format of Java: certificates in the clear, each key under a protection of Java's own, and a digest over all
//! that takes the password.
//!
//! Its protection is weak by the measure of today (SHA-1, no iterations): the rights of the file are what keeps a key.

use aws_lc_rs::{constant_time::verify_slices_are_equal, digest};

use super::{
    Entries, Fault, Key, Sealed,
    der::{Der, OCTETS, OID, SEQUENCE},
};

/// How such a file begins.
pub(super) const MAGIC: [u8; 4] = [0xfe, 0xed, 0xfe, 0xed];

/// Reads the store; `bytes` begin with [`MAGIC`].
pub(super) fn read(bytes: &[u8], password: &str) -> Result<Entries, Fault> {
    let (content, sum) = bytes.split_last_chunk::<SHA1_BYTES>().ok_or(Fault::Damaged("it is cut off"))?;
    let expected = sha1(&[&utf16(password), b"Mighty Aphrodite", content]);
    verify_slices_are_equal(&expected, sum).map_err(|_| Fault::Password)?;
    parse(&content[MAGIC.len()..])
}

pub(super) fn parse(bytes: &[u8]) -> Result<Entries, Fault> {
    let mut rest = Rest(bytes);
    let version = rest.number()?;
    if !(1..=2).contains(&version) {
        return Err(Fault::Unsupported(format!("version {version} of JKS")));
    }
    let count = rest.number()?;
    let mut entries = Entries::default();
    for _ in 0..count {
        let kind = rest.number()?;
        let alias = String::from_utf8_lossy(rest.text()?).into_owned();
        let _created = rest.take(8)?;
        match kind {
            1 => {
                let sealed = Sealed::Jks(rest.block()?.to_vec());
                let mut chain = Vec::new();
                for _ in 0..rest.number()? {
                    chain.push(rest.certificate(version)?.to_vec().into());
                }
                entries.keys.push(Key { alias, sealed, chain });
            }
            2 => entries.trusted.push(rest.certificate(version)?.to_vec().into()),
            _ => return Err(Fault::Damaged("an entry is neither a key nor a certificate")),
        }
    }
    Ok(entries)
}

/// The key under Java's protection, as PKCS8. `None` when it is not opened by `password`.
pub(super) fn open(protected: &[u8], password: &str) -> Option<Vec<u8>> {
    /// Java's own algorithm, 1.3.6.1.4.1.42.2.17.1.1.
    const PROTECTOR: [u8; 10] = [0x2b, 0x06, 0x01, 0x04, 0x01, 0x2a, 0x02, 0x11, 0x01, 0x01];
    let mut info = Der(protected).inside(SEQUENCE)?;
    if info.inside(SEQUENCE)?.take(OID)? != PROTECTOR {
        return None;
    }
    let (salt, rest) = info.take(OCTETS)?.split_first_chunk::<SHA1_BYTES>()?;
    let (hidden, sum) = rest.split_last_chunk::<SHA1_BYTES>()?;
    let password = utf16(password);
    let mut stream = *salt;
    let mut key = Vec::with_capacity(hidden.len());
    for block in hidden.chunks(SHA1_BYTES) {
        stream = sha1(&[&password, &stream]);
        key.extend(block.iter().zip(stream).map(|(hidden, mask)| hidden ^ mask));
    }
    verify_slices_are_equal(&sha1(&[&password, &key]), sum).ok()?;
    Some(key)
}

const SHA1_BYTES: usize = 20;

fn sha1(parts: &[&[u8]]) -> [u8; SHA1_BYTES] {
    let mut context = digest::Context::new(&digest::SHA1_FOR_LEGACY_USE_ONLY);
    for part in parts {
        context.update(part);
    }
    let mut sum = [0; SHA1_BYTES];
    sum.copy_from_slice(context.finish().as_ref());
    sum
}

/// How Java hashes a password.
fn utf16(password: &str) -> Vec<u8> {
    password.encode_utf16().flat_map(u16::to_be_bytes).collect()
}

/// What is not read yet.
struct Rest<'a>(&'a [u8]);

impl<'a> Rest<'a> {
    fn take(&mut self, count: usize) -> Result<&'a [u8], Fault> {
        let (taken, rest) = self.0.split_at_checked(count).ok_or(Fault::Damaged("an entry is cut off"))?;
        self.0 = rest;
        Ok(taken)
    }

    fn number(&mut self) -> Result<u32, Fault> {
        Ok(self.take(4)?.iter().fold(0, |number, byte| number << 8 | u32::from(*byte)))
    }

    fn text(&mut self) -> Result<&'a [u8], Fault> {
        let length = self.take(2)?.iter().fold(0, |length, byte| length << 8 | usize::from(*byte));
        self.take(length)
    }

    fn block(&mut self) -> Result<&'a [u8], Fault> {
        let length = usize::try_from(self.number()?).unwrap_or(usize::MAX);
        self.take(length)
    }

    fn certificate(&mut self, version: u32) -> Result<&'a [u8], Fault> {
        if version > 1 && self.text()? != b"X.509" {
            return Err(Fault::Unsupported("a certificate that is not X.509".to_owned()));
        }
        self.block()
    }
}
