//! How PKCS12 hides what it holds: the schemes of PKCS5 and those of PKCS12 itself, read only.
//!
//! Making a key of a password takes as many rounds as the file says: [`Rounds`] is how many one file may ask for.

use std::num::NonZeroU32;

use aws_lc_rs::{
    cipher::{
        AES_128, AES_192, AES_256, Algorithm as Aes, DecryptionContext, PaddedBlockDecryptingKey,
        UnboundCipherKey,
    },
    digest, hmac,
    iv::FixedLength,
    pbkdf2,
};
use cbc::cipher::{BlockCipherDecrypt, BlockModeDecrypt, KeyInit, KeyIvInit, block_padding::Pkcs7};
use des::{TdesEde2, TdesEde3};
use rc2::Rc2;

use super::{
    Fault,
    der::{Der, INTEGER, OCTETS, OID, SEQUENCE},
};

/// Rounds that may still be spent. Java stops at the same number.
pub(super) struct Rounds(u64);

impl Rounds {
    pub(super) fn new() -> Self {
        Self(5_000_000)
    }

    fn spend(&mut self, rounds: u64) -> Result<NonZeroU32, Fault> {
        self.0 = self.0.checked_sub(rounds).ok_or(Fault::Costly)?;
        u32::try_from(rounds)
            .ok()
            .and_then(NonZeroU32::new)
            .ok_or(Fault::Damaged("a key is made in no rounds at all"))
    }
}

/// `hidden`, made readable as `scheme` says, which is an algorithm and its parameters.
pub(super) fn open(
    mut scheme: Der<'_>,
    hidden: &[u8],
    password: &str,
    rounds: &mut Rounds,
) -> Result<Vec<u8>, Fault> {
    let name = scheme.take(OID).ok_or(SCHEME)?;
    let mut parameters = scheme.inside(SEQUENCE).ok_or(SCHEME)?;
    if name == PBES2 {
        return pbes2(parameters, hidden, password, rounds);
    }
    let salt = parameters.take(OCTETS).ok_or(SCHEME)?;
    let count = rounds.spend(parameters.number().ok_or(SCHEME)?)?;
    let derive = |purpose, bytes| derive(&SHA1, &utf16(password), salt, count, purpose, bytes);
    let iv = derive(Purpose::Iv, 8);
    let key = |bytes| derive(Purpose::Key, bytes);
    match name.strip_prefix(&PKCS12_PBE) {
        Some([3]) => cbc::<TdesEde3>(&key(24), &iv, hidden),
        Some([4]) => cbc::<TdesEde2>(&key(16), &iv, hidden),
        Some([5]) => cbc::<Rc2>(&key(16), &iv, hidden),
        Some([6]) => cbc::<Rc2>(&key(5), &iv, hidden),
        _ => Err(unknown("a cipher", name)),
    }
}

/// Whether `sum` is the sum over `content` that `algorithm` makes with `password`.
pub(super) fn is_sum(
    sum: &[u8],
    algorithm: &[u8],
    (salt, count): (&[u8], u64),
    content: &[u8],
    password: &str,
    rounds: &mut Rounds,
) -> Result<bool, Fault> {
    let hash =
        HASHES.iter().find(|hash| hash.name == algorithm).ok_or_else(|| unknown("a sum", algorithm))?;
    let count = rounds.spend(count)?;
    let key = derive(hash, &utf16(password), salt, count, Purpose::Sum, hash.digest.output_len());
    Ok(hmac::verify(&hmac::Key::new(hash.hmac, &key), content, sum).is_ok())
}

fn pbes2(
    mut parameters: Der<'_>,
    hidden: &[u8],
    password: &str,
    rounds: &mut Rounds,
) -> Result<Vec<u8>, Fault> {
    let mut derivation = parameters.inside(SEQUENCE).ok_or(SCHEME)?;
    let name = derivation.take(OID).ok_or(SCHEME)?;
    if name != PBKDF2 {
        return Err(unknown("a way from password to key", name));
    }
    let mut derivation = derivation.inside(SEQUENCE).ok_or(SCHEME)?;
    let salt = derivation.take(OCTETS).ok_or(SCHEME)?;
    let count = rounds.spend(derivation.number().ok_or(SCHEME)?)?;
    let _key_bytes = derivation.take(INTEGER);
    let hash = match derivation.inside(SEQUENCE) {
        None => pbkdf2::PBKDF2_HMAC_SHA1,
        Some(mut named) => {
            let name = named.take(OID).ok_or(SCHEME)?;
            match name.strip_prefix(&HMAC) {
                Some([7]) => pbkdf2::PBKDF2_HMAC_SHA1,
                Some([9]) => pbkdf2::PBKDF2_HMAC_SHA256,
                Some([10]) => pbkdf2::PBKDF2_HMAC_SHA384,
                Some([11]) => pbkdf2::PBKDF2_HMAC_SHA512,
                _ => return Err(unknown("a way from password to key", name)),
            }
        }
    };
    let mut cipher = parameters.inside(SEQUENCE).ok_or(SCHEME)?;
    let name = cipher.take(OID).ok_or(SCHEME)?;
    let iv = cipher.take(OCTETS).ok_or(SCHEME)?;
    let key = |bytes| {
        let mut key = vec![0; bytes];
        pbkdf2::derive(hash, count, salt, password.as_bytes(), &mut key);
        key
    };
    match name.strip_prefix(&AES) {
        _ if name == DES_EDE3_CBC => cbc::<TdesEde3>(&key(24), iv, hidden),
        Some([2]) => aes(&AES_128, &key(16), iv, hidden),
        Some([22]) => aes(&AES_192, &key(24), iv, hidden),
        Some([42]) => aes(&AES_256, &key(32), iv, hidden),
        _ => Err(unknown("a cipher", name)),
    }
}

fn aes(algorithm: &'static Aes, key: &[u8], iv: &[u8], hidden: &[u8]) -> Result<Vec<u8>, Fault> {
    let iv: [u8; 16] = iv.try_into().map_err(|_| SCHEME)?;
    let mut content = hidden.to_vec();
    let key = UnboundCipherKey::new(algorithm, key).and_then(PaddedBlockDecryptingKey::cbc_pkcs7);
    let context = DecryptionContext::Iv128(FixedLength::from(iv));
    // The padding does not fit where the key is another one.
    let length = key.and_then(|key| key.decrypt(&mut content, context).map(|content| content.len()));
    content.truncate(length.map_err(|_| Fault::Password)?);
    Ok(content)
}

fn cbc<C: KeyInit + BlockCipherDecrypt>(key: &[u8], iv: &[u8], hidden: &[u8]) -> Result<Vec<u8>, Fault> {
    let cipher = cbc::Decryptor::<C>::new_from_slices(key, iv).map_err(|_| SCHEME)?;
    cipher.decrypt_padded_vec::<Pkcs7>(hidden).map_err(|_| Fault::Password)
}

/// What a derived key is for; the number is that of the standard.
#[derive(Clone, Copy)]
enum Purpose {
    Key = 1,
    Iv = 2,
    Sum = 3,
}

/// Bytes made of a password as PKCS12 has it (RFC 7292, appendix B.2); the letters are those of the standard.
fn derive(
    hash: &Hash,
    password: &[u8],
    salt: &[u8],
    rounds: NonZeroU32,
    purpose: Purpose,
    bytes: usize,
) -> Vec<u8> {
    let v = hash.digest.block_len();
    let filled = |source: &[u8]| -> Vec<u8> {
        source.iter().copied().cycle().take(source.len().div_ceil(v) * v).collect()
    };
    let mut i = [filled(salt), filled(password)].concat();
    let diversifier = vec![purpose as u8; v];
    let mut derived = Vec::with_capacity(bytes + v);
    loop {
        let mut context = digest::Context::new(hash.digest);
        context.update(&diversifier);
        context.update(&i);
        let mut a = context.finish();
        for _ in 1..rounds.get() {
            a = digest::digest(hash.digest, a.as_ref());
        }
        derived.extend_from_slice(a.as_ref());
        if derived.len() >= bytes {
            derived.truncate(bytes);
            return derived;
        }
        // Each block of I becomes itself + B + 1, the carry out of it dropped.
        for block in i.chunks_mut(v) {
            let mut carry = 1;
            for (byte, b) in block.iter_mut().zip(a.as_ref().iter().cycle().take(v).collect::<Vec<_>>()).rev()
            {
                carry += u16::from(*byte) + u16::from(*b);
                [_, *byte] = carry.to_be_bytes();
                carry >>= 8;
            }
        }
    }
}

/// How PKCS12 hashes a password: with a zero behind it.
fn utf16(password: &str) -> Vec<u8> {
    password.encode_utf16().chain([0]).flat_map(u16::to_be_bytes).collect()
}

struct Hash {
    name: &'static [u8],
    digest: &'static digest::Algorithm,
    hmac: hmac::Algorithm,
}

const SHA1: Hash = Hash {
    name: &[0x2b, 0x0e, 0x03, 0x02, 0x1a],
    digest: &digest::SHA1_FOR_LEGACY_USE_ONLY,
    hmac: hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY,
};

const HASHES: [Hash; 4] = [
    SHA1,
    Hash {
        name: &[0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x01],
        digest: &digest::SHA256,
        hmac: hmac::HMAC_SHA256,
    },
    Hash {
        name: &[0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x02],
        digest: &digest::SHA384,
        hmac: hmac::HMAC_SHA384,
    },
    Hash {
        name: &[0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x03],
        digest: &digest::SHA512,
        hmac: hmac::HMAC_SHA512,
    },
];

const PBES2: [u8; 9] = [0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x05, 0x0d];
const PBKDF2: [u8; 9] = [0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x05, 0x0c];
/// What the schemes of PKCS12 itself begin with.
const PKCS12_PBE: [u8; 9] = [0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x0c, 0x01];
const HMAC: [u8; 7] = [0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x02];
const AES: [u8; 8] = [0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x01];
const DES_EDE3_CBC: [u8; 8] = [0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x03, 0x07];

const SCHEME: Fault = Fault::Damaged("what it says of its encryption cannot be read");

fn unknown(what: &str, oid: &[u8]) -> Fault {
    let digits: String = oid.iter().take(32).map(|byte| format!("{byte:02x}")).collect();
    Fault::Unsupported(format!("{what} that is not known here (object identifier {digits})"))
}
