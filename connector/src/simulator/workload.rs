//! What the simulated database holds: which record each change touches, and what a version of it looks like.
//!
//! Pure, and a function of the settings alone. Nothing is stored of a record's content: the same number and
//! version always encode to the same bytes, however often they are shipped.

use super::{
    encode::{self, Change, Head, Message, UserKey},
    particle::{MapOrder, Particle},
    random::{mix, share},
};

/// Settings of a workload.
#[derive(Clone, Debug)]
pub struct Workload {
    /// Changes made in all.
    pub records: u32,
    /// Distinct records they are made to; 0 gives every change its own.
    pub keys: u32,
    /// Share of the changes that fall on the hot records: one in a hundred, at least one.
    pub hot_share: f64,
    /// Share of the records whose last change is a delete. Half of the deletes are durable.
    pub delete_share: f64,
    /// Share of the versions after which the one before is shipped again.
    pub stale_share: f64,
    /// Share of the messages offered to compression.
    pub compress_share: f64,
    /// Namespace of all records.
    pub namespace: String,
    /// Sets the records are spread over; an empty name is no set.
    pub sets: Vec<String>,
    /// Types of the user keys the records are spread over.
    pub key_types: Vec<KeyType>,
    /// Bins besides `id` and `v`.
    pub bins: u16,
    /// Types of those bins, in turn.
    pub types: Vec<BinType>,
    /// Length of text and blobs.
    pub value_bytes: usize,
    /// Same seed, same records.
    pub seed: u64,
    /// Last-update time of version 0; every version is a millisecond younger.
    pub lut_unix_ms: u64,
}

/// Type of a user key. What is no integer holds the record's number in decimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
#[allow(missing_docs, reason = "the names say it")]
pub enum KeyType {
    Integer,
    String,
    Blob,
}

/// Type of a generated bin.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
#[allow(missing_docs, reason = "the names say it")]
pub enum BinType {
    Integer,
    Double,
    String,
    Blob,
    /// A serialized Java object.
    JavaBlob,
    Boolean,
    List,
    OrderedList,
    Map,
    OrderedMap,
    KeyValueMap,
    Geojson,
    Hll,
    /// The bin was deleted (changed-bins shipping).
    Deleted,
}

/// A workload ready to encode.
#[derive(Debug)]
pub struct Generator {
    workload: Workload,
    /// Versions each record will have had in the end; empty when that is one.
    last_versions: Vec<u32>,
    /// Text to cut values from: copying is cheaper than making.
    pool: Vec<u8>,
    bin_names: Vec<String>,
}

impl Generator {
    /// Prepares `workload`.
    pub fn new(workload: Workload) -> Self {
        let letters = b"abcdefghijklmnopqrstuvwxyz0123456789";
        let pool = (0..POOL_BYTES + workload.value_bytes as u64)
            .map(|at| letters[(mix(workload.seed ^ at) % letters.len() as u64) as usize])
            .collect();
        let bin_names = (0..workload.bins).map(|bin| format!("b{bin}")).collect();
        let mut generator = Self { workload, last_versions: Vec::new(), pool, bin_names };
        if generator.workload.keys > 0 {
            let mut last_versions = vec![0; generator.workload.keys as usize];
            for change in 0..generator.workload.records {
                last_versions[generator.record_of(change) as usize] += 1;
            }
            generator.last_versions = last_versions;
        }
        generator
    }

    /// Changes made in all.
    pub fn changes(&self) -> u32 {
        self.workload.records
    }

    /// Distinct records, numbered from 0.
    pub fn records(&self) -> u32 {
        if self.workload.keys == 0 { self.workload.records } else { self.workload.keys }
    }

    /// The record that change number `change` is made to.
    pub fn record_of(&self, change: u32) -> u32 {
        let Workload { keys, hot_share, seed, .. } = self.workload;
        if keys == 0 {
            return change;
        }
        let hot_keys = (keys / 100).max(1);
        let range = if share(seed, HOT, change.into()) < hot_share { hot_keys } else { keys };
        (mix(seed ^ mix(change.into())) % u64::from(range)) as u32
    }

    /// The settings.
    pub(super) fn workload(&self) -> &Workload {
        &self.workload
    }

    /// The identity of record `id`.
    pub fn digest(&self, id: u32) -> [u8; 20] {
        encode::digest(self.set(id), self.user_key(id, &mut itoa::Buffer::new()))
    }

    /// Whether this version of the record is its delete.
    pub fn is_delete(&self, id: u32, version: u32) -> bool {
        let last = self.last_versions.get(id as usize).copied().unwrap_or(1);
        version == last && share(self.workload.seed, DELETE, id.into()) < self.workload.delete_share
    }

    /// Appends the frame for this version of the record.
    pub fn encode(&self, id: u32, version: u32, digest: [u8; 20], out: &mut Vec<u8>) {
        let Workload { compress_share, seed, lut_unix_ms, ref namespace, ref types, .. } = self.workload;
        let noise = mix(seed ^ (u64::from(id) << 32 | u64::from(version)));
        let delete = self.is_delete(id, version);
        let mut digits = itoa::Buffer::new();
        let head = Head {
            change: match (delete, noise & 1) {
                (false, _) => Change::Replace,
                (true, 0) => Change::Delete,
                (true, _) => Change::DurableDelete,
            },
            namespace: namespace.as_bytes(),
            set: self.set(id),
            digest,
            user_key: Some(self.user_key(id, &mut digits)),
            generation: version,
            ttl_seconds: 0,
            lut_unix_ms: Some(lut_unix_ms + u64::from(version)),
        };
        let mut message = Message::begin(out, &head);
        if !delete {
            message.bin(b"id", &Particle::Integer(id.into()));
            message.bin(b"v", &Particle::Integer(version.into()));
            for (bin, name) in self.bin_names.iter().enumerate() {
                let kind = types[bin % types.len()];
                self.bin(&mut message, name, kind, mix(noise ^ bin as u64));
            }
        }
        if compress_share > 0.0 && share(seed, COMPRESS, noise) < compress_share {
            message.finish_compressed();
        } else {
            message.finish();
        }
    }

    fn bin(&self, message: &mut Message<'_>, name: &str, kind: BinType, noise: u64) {
        let name = name.as_bytes();
        let at = (noise % POOL_BYTES) as usize;
        let text = &self.pool[at..at + self.workload.value_bytes];
        let word = &self.pool[at..at + 8.min(self.workload.value_bytes)];
        let number = noise as i64 >> (noise % 64);
        let pairs = [
            (Particle::String(b"count"), Particle::Integer(number)),
            (Particle::String(b"word"), Particle::String(word)),
        ];
        let items =
            [Particle::Integer(number), Particle::String(word), Particle::Boolean(true), Particle::Null];
        match kind {
            BinType::Integer => message.bin(name, &Particle::Integer(number)),
            BinType::Double => message.bin(name, &Particle::Double(number as f64 / 1024.0)),
            BinType::String => message.bin(name, &Particle::String(text)),
            BinType::Blob => message.bin(name, &Particle::Blob(text)),
            BinType::JavaBlob => message.bin(name, &Particle::LanguageBlob(JAVA, text)),
            BinType::Boolean => message.bin(name, &Particle::Boolean(noise & 1 == 1)),
            BinType::List => {
                let nested = Particle::Map { order: MapOrder::None, entries: &pairs };
                let items = [items[0], items[1], items[2], items[3], nested];
                message.bin(name, &Particle::List { ordered: false, items: &items });
            }
            BinType::OrderedList => {
                // As a server sorts them: by type, then by value.
                let hll = Particle::Hll(&[0, 4, 0]);
                let java = Particle::LanguageBlob(JAVA, word);
                let sorted = [Particle::Null, items[2], items[0], items[1], Particle::Blob(word), java, hll];
                let nested = Particle::List { ordered: true, items: &sorted };
                message.bin(name, &Particle::List { ordered: true, items: &[nested] });
            }
            BinType::Map => {
                message.bin(name, &Particle::Map { order: MapOrder::None, entries: &pairs });
            }
            BinType::OrderedMap | BinType::KeyValueMap => {
                let by_key = kind == BinType::OrderedMap;
                let order = if by_key { MapOrder::Key } else { MapOrder::KeyValue };
                let list = Particle::List { ordered: false, items: &items };
                let entries = [pairs[0], (Particle::String(b"list"), list), pairs[1]];
                message.bin(name, &Particle::Map { order, entries: &entries });
            }
            BinType::Geojson => {
                let text = br#"{"type":"Point","coordinates":[4.9,52.4]}"#;
                message.bin(name, &Particle::GeoJson { cells: &[], text });
            }
            BinType::Hll => {
                let hll = [&[0, 4, 0][..], &noise.to_be_bytes(), &[0; 12]].concat();
                message.bin(name, &Particle::Hll(&hll));
            }
            BinType::Deleted => message.bin(name, &Particle::Null),
        }
    }

    fn user_key<'d>(&self, id: u32, digits: &'d mut itoa::Buffer) -> UserKey<'d> {
        let types = &self.workload.key_types;
        let type_ = match types.len() {
            0 => KeyType::Integer,
            count => types[(mix(self.workload.seed ^ KEY ^ u64::from(id)) % count as u64) as usize],
        };
        match type_ {
            KeyType::Integer => UserKey::Integer(id.into()),
            KeyType::String => UserKey::String(digits.format(id).as_bytes()),
            KeyType::Blob => UserKey::Blob(digits.format(id).as_bytes()),
        }
    }

    fn set(&self, id: u32) -> Option<&[u8]> {
        let sets = &self.workload.sets;
        let set = match sets.len() {
            0 => return None,
            1 => &sets[0],
            count => &sets[(mix(self.workload.seed ^ SET ^ u64::from(id)) % count as u64) as usize],
        };
        (!set.is_empty()).then_some(set.as_bytes())
    }
}

const POOL_BYTES: u64 = 64 * 1024;
// Each decision draws its own numbers.
const HOT: u64 = 1;
const DELETE: u64 = 2;
const COMPRESS: u64 = 3;
const SET: u64 = 4 << 56;
const KEY: u64 = 5 << 56;
/// Particle type of a Java object.
const JAVA: u8 = 7;

impl Default for Workload {
    fn default() -> Self {
        Self {
            records: 1000,
            keys: 0,
            hot_share: 0.0,
            delete_share: 0.0,
            stale_share: 0.0,
            compress_share: 0.0,
            namespace: "test".to_owned(),
            sets: vec!["demo".to_owned()],
            key_types: vec![KeyType::Integer],
            bins: 2,
            types: vec![BinType::String, BinType::Integer],
            value_bytes: 64,
            seed: 1,
            lut_unix_ms: 1_767_225_600_000,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(generator: &Generator, id: u32, version: u32) -> Vec<u8> {
        let mut out = Vec::new();
        generator.encode(id, version, generator.digest(id), &mut out);
        out
    }

    #[test]
    fn the_same_seed_gives_the_same_bytes_and_another_seed_others() {
        let workload = Workload { compress_share: 0.5, ..Workload::default() };
        let one = Generator::new(workload.clone());
        let two = Generator::new(workload.clone());
        let other = Generator::new(Workload { seed: 2, ..workload });
        for id in 0..50 {
            assert_eq!(frame(&one, id, 1), frame(&two, id, 1));
            assert_ne!(frame(&one, id, 1), frame(&one, id, 2));
        }
        assert_ne!(frame(&one, 1, 1), frame(&other, 1, 1));
    }

    #[test]
    fn hot_keys_take_their_share() {
        let workload = Workload { records: 20_000, keys: 1000, hot_share: 0.5, ..Workload::default() };
        let generator = Generator::new(workload);
        let hot = (0..20_000).filter(|change| generator.record_of(*change) < 10).count();
        assert!((9_500..10_700).contains(&hot), "{hot}");
        let versions: u32 = generator.last_versions.iter().sum();
        assert_eq!(versions, 20_000);
    }

    #[test]
    fn only_the_last_version_of_a_record_is_a_delete() {
        let workload = Workload { records: 1000, keys: 100, delete_share: 0.5, ..Workload::default() };
        let generator = Generator::new(workload);
        let mut deletes = 0;
        for id in 0..100 {
            let last = generator.last_versions[id as usize];
            assert!((1..last).all(|version| !generator.is_delete(id, version)));
            deletes += usize::from(last > 0 && generator.is_delete(id, last));
        }
        assert!((30..70).contains(&deletes), "{deletes}");
        let id = (0..100).find(|id| generator.is_delete(*id, generator.last_versions[*id as usize])).unwrap();
        let bytes = frame(&generator, id, generator.last_versions[id as usize]);
        assert_eq!(bytes[10] & 0x03, 0x03);
        assert_eq!(bytes[28..30], [0, 0], "a delete ships no bins");
    }

    #[test]
    fn every_type_encodes_and_values_have_their_length() {
        use clap::ValueEnum as _;
        for kind in BinType::value_variants() {
            let workload = Workload { bins: 1, types: vec![*kind], value_bytes: 300, ..Workload::default() };
            let bytes = frame(&Generator::new(workload), 3, 1);
            assert_eq!(bytes[28..30], [0, 3], "{kind:?}");
            if matches!(kind, BinType::String | BinType::Blob) {
                assert_eq!(bytes.len(), 8 + 22 + 9 + 9 + 25 + 14 + 13 + (18 + 17) + 10 + 300);
            }
        }
    }

    #[test]
    fn sets_are_spread_and_may_be_absent() {
        let sets = vec!["a".to_owned(), "b".to_owned(), String::new()];
        let generator = Generator::new(Workload { sets, ..Workload::default() });
        for set in [Some(&b"a"[..]), Some(b"b"), None] {
            assert!((0..100).filter(|id| generator.set(*id) == set).count() > 15);
        }
    }
}
