//! From a message to a change notification.
//!
//! [`layout`] takes the bytes apart; this file says what they mean. The notification borrows from the frame,
//! and its vector of bins is the only allocation.

mod anomaly;
mod error;
pub mod layout;

pub use self::{
    anomaly::Anomalies,
    error::{MessageError, Problem},
};
use self::{
    error::Identity,
    layout::{Field, Header, Op, Walk},
};
use crate::{
    notification::{
        Bin, ChangeNotification, Digest, ExistsAction, Expiry, GenerationPolicy, Operation, Value,
    },
    wire::{CL_EPOCH_UNIX_MS, value},
};

/// What one message tells.
#[derive(Clone, Debug, PartialEq)]
pub struct Decoded<'a> {
    /// The change itself.
    pub notification: ChangeNotification<'a>,
    /// What was accepted although it was not expected.
    pub anomalies: Anomalies,
    /// Milliseconds the source gives the whole transaction, 0 for no limit.
    pub transaction_ttl_ms: u32,
}

/// Decodes the body of a message frame, which is what follows the frame's header.
///
/// `now_unix_ms` is when the frame was complete: relative expiry counts from there.
pub fn decode(body: &[u8], now_unix_ms: u64) -> Result<Decoded<'_>, MessageError> {
    decode_with(body, now_unix_ms, Vec::new())
}

/// The same, with the memory of another notification's bins, which [`emptied`] made of them.
pub fn decode_with<'a>(
    body: &'a [u8],
    now_unix_ms: u64,
    bins: Vec<Bin<'a>>,
) -> Result<Decoded<'a>, MessageError> {
    let mut identity = Identity::default();
    match decode_parts(body, now_unix_ms, bins, &mut identity) {
        Ok(decoded) => Ok(decoded),
        Err(problem) => Err(MessageError::new(problem, &identity)),
    }
}

/// The memory of these bins, for bins that borrow from something else.
pub fn emptied<'b>(mut bins: Vec<Bin<'_>>) -> Vec<Bin<'b>> {
    bins.clear();
    // There is none to turn into another one: the standard library collects such a vector where it is.
    bins.into_iter().map_while(|_| None).collect()
}

fn decode_parts<'a>(
    body: &'a [u8],
    now_unix_ms: u64,
    mut bins: Vec<Bin<'a>>,
    identity: &mut Identity<'a>,
) -> Result<Decoded<'a>, Problem> {
    let (header, mut walk) = Header::parse(body)?;
    let mut fields = Fields::default();
    for _ in 0..header.n_fields {
        let field = walk.field()?;
        fields.take(field, identity)?;
    }
    if !header.is_change() || fields.not_a_record {
        return Err(Problem::NotAChange { info1: header.info1, info2: header.info2 });
    }
    let namespace = identity.namespace.ok_or(Problem::NoNamespace)?;
    let digest = identity.digest.ok_or(Problem::NoDigest)?;
    let user_key = fields.key.map(user_key).transpose()?;

    let mut anomalies = Anomalies::of(&header);
    let operation;
    if header.is_delete() {
        skip_ops(&mut walk, &header, &mut anomalies)?;
        operation = delete(&header);
    } else {
        let emptied;
        (bins, emptied) = take_ops(&mut walk, &header, bins, &mut anomalies)?;
        operation = if emptied { delete(&header) } else { Operation::Write };
    }
    walk.end()?;

    let notification = ChangeNotification {
        operation,
        namespace,
        set: fields.set.filter(|set| !set.is_empty()),
        digest,
        user_key,
        generation: (header.generation != 0).then_some(header.generation),
        lut_unix_ms: fields.lut.and_then(|lut| lut_unix_ms(lut, now_unix_ms, &mut anomalies)),
        expiry: match operation {
            Operation::Write => expiry(header.record_ttl, now_unix_ms, &mut anomalies),
            Operation::Delete | Operation::DurableDelete => Expiry::Unknown,
        },
        exists_action: exists_action(&header),
        generation_policy: generation_policy(&header),
        xdr: header.is_xdr(),
        bins,
    };
    Ok(Decoded { notification, anomalies, transaction_ttl_ms: header.transaction_ttl_ms })
}

/// What the source wants done when the record exists.
pub fn exists_action(header: &Header) -> ExistsAction {
    if header.info3 & 0x10 != 0 {
        ExistsAction::Replace
    } else if header.info3 & 0x20 != 0 {
        ExistsAction::ReplaceOnly
    } else if header.info3 & 0x08 != 0 {
        ExistsAction::UpdateOnly
    } else if header.info2 & 0x20 != 0 {
        ExistsAction::CreateOnly
    } else {
        ExistsAction::Update
    }
}

/// The source's generation check.
pub fn generation_policy(header: &Header) -> GenerationPolicy {
    match header.info2 & 0x0c {
        0 => GenerationPolicy::None,
        0x08 => GenerationPolicy::Greater,
        _ => GenerationPolicy::Equal,
    }
}

/// The raw fields that matter, first of each type.
#[derive(Default)]
struct Fields<'a> {
    set: Option<&'a [u8]>,
    key: Option<&'a [u8]>,
    lut: Option<&'a [u8]>,
    /// A field of a batch, a query or a function call is there.
    not_a_record: bool,
}

impl<'a> Fields<'a> {
    fn take(&mut self, field: Field<'a>, identity: &mut Identity<'a>) -> Result<(), Problem> {
        let Field { type_, data, at } = field;
        match type_ {
            layout::NAMESPACE if identity.namespace.is_none() => match data.len() {
                1..=31 => identity.namespace = Some(data),
                found => return Err(Problem::Namespace { found, at }),
            },
            layout::SET if self.set.is_none() => match data.len() {
                0..=63 => self.set = Some(data),
                found => return Err(Problem::Set { found, at }),
            },
            layout::DIGEST if identity.digest.is_none() => match <[u8; 20]>::try_from(data) {
                Ok(digest) => identity.digest = Some(Digest(digest)),
                Err(_) => return Err(Problem::Digest { found: data.len(), at }),
            },
            layout::KEY => _ = self.key.get_or_insert(data),
            layout::LUT => _ = self.lut.get_or_insert(data),
            // Query, function call, batch: no change of one record, whatever the header says.
            11 | 21 | 22 | 30..=33 | 41 | 42 => self.not_a_record = true,
            _ => {}
        }
        Ok(())
    }
}

fn user_key(data: &[u8]) -> Result<Value<'_>, Problem> {
    let (&type_, bytes) = data.split_first().ok_or(Problem::KeyEmpty)?;
    match type_ {
        1..=3 => value::particle(type_, bytes).map_err(|source| Problem::Key { source }),
        _ => Ok(Value::Blob(type_, bytes)),
    }
}

fn delete(header: &Header) -> Operation {
    if header.is_durable() { Operation::DurableDelete } else { Operation::Delete }
}

/// The bins of a write, and whether all that it did was to take every bin away.
fn take_ops<'a>(
    walk: &mut Walk<'a>,
    header: &Header,
    room: Vec<Bin<'a>>,
    anomalies: &mut Anomalies,
) -> Result<(Vec<Bin<'a>>, bool), Problem> {
    let mut bins = Bins::within(room, walk.ops_possible(header.n_ops));
    let mut emptied = false;
    for _ in 0..header.n_ops {
        let op = walk.op()?;
        match op.op {
            layout::WRITE if op.name.is_empty() => anomalies.insert(Anomalies::UNNAMED_BIN),
            layout::WRITE => bins.set(bin(&op, anomalies)?, anomalies),
            layout::TOUCH => {}
            layout::DELETE_ALL => {
                anomalies.insert(Anomalies::DELETE_ALL);
                bins.clear();
                emptied = true;
            }
            found => return Err(Problem::Op { found, at: op.at }),
        }
    }
    let bins = bins.finish(anomalies);
    let emptied = emptied && bins.is_empty();
    Ok((bins, emptied))
}

/// Deletes carry no bins. Ops that come all the same must be whole, and are otherwise ignored.
fn skip_ops(walk: &mut Walk<'_>, header: &Header, anomalies: &mut Anomalies) -> Result<(), Problem> {
    for _ in 0..header.n_ops {
        walk.op()?;
        anomalies.insert(Anomalies::OPS_ON_DELETE);
    }
    Ok(())
}

fn bin<'a>(op: &Op<'a>, anomalies: &mut Anomalies) -> Result<Bin<'a>, Problem> {
    if op.name.len() > layout::BIN_NAME_BYTES_MAX {
        return Err(Problem::BinName { found: op.name.len(), at: op.at });
    }
    if op.lut.is_some() {
        anomalies.insert(Anomalies::BIN_LUTS);
    }
    if !value::is_known(op.particle) {
        anomalies.insert(Anomalies::UNKNOWN_PARTICLE);
    }
    match value::particle(op.particle, op.value) {
        Ok(value) => Ok(Bin { name: op.name, value }),
        Err(source) => Err(Problem::Value { source, at: op.at }),
    }
}

/// Bins in wire order, each name once.
struct Bins<'a> {
    bins: Vec<Bin<'a>>,
    /// One bit for each hash of a name so far. A clear bit says "new" and saves the search.
    seen: u64,
}

impl<'a> Bins<'a> {
    /// Up to here a repeated name is searched for at once; beyond, all names are sorted at the end, so that
    /// a message of many bins takes no quadratic time.
    const SEARCHED_MAX: usize = 64;

    /// For so many bins, in this memory as far as it goes.
    fn within(mut room: Vec<Bin<'a>>, bins: usize) -> Self {
        room.reserve(bins);
        Self { bins: room, seen: 0 }
    }

    fn set(&mut self, bin: Bin<'a>, anomalies: &mut Anomalies) {
        let bit = 1 << (name_hash(bin.name) & 63);
        if self.seen & bit != 0
            && self.bins.len() <= Self::SEARCHED_MAX
            && let Some(earlier) = self.bins.iter_mut().find(|earlier| earlier.name == bin.name)
        {
            earlier.value = bin.value;
            anomalies.insert(Anomalies::REPEATED_BIN);
            return;
        }
        self.seen |= bit;
        self.bins.push(bin);
    }

    fn clear(&mut self) {
        self.bins.clear();
        self.seen = 0;
    }

    fn finish(mut self, anomalies: &mut Anomalies) -> Vec<Bin<'a>> {
        if self.bins.len() > Self::SEARCHED_MAX {
            let before = self.bins.len();
            self.merge_sorted();
            if self.bins.len() < before {
                anomalies.insert(Anomalies::REPEATED_BIN);
            }
        }
        self.bins
    }

    /// Moves the last value of each name to its first place and drops the others.
    fn merge_sorted(&mut self) {
        let names: Vec<&[u8]> = self.bins.iter().map(|bin| bin.name).collect();
        let mut order: Vec<usize> = (0..names.len()).collect();
        order.sort_unstable_by_key(|&index| (names[index], index));
        let mut first_of = vec![true; names.len()];
        for same in order.chunk_by(|&a, &b| names[a] == names[b]) {
            if let [first, .., last] = *same {
                self.bins[first].value = self.bins[last].value;
                same[1..].iter().for_each(|&index| first_of[index] = false);
            }
        }
        let mut first_of = first_of.into_iter();
        self.bins.retain(|_| first_of.next().unwrap_or(true));
    }
}

/// Tells apart what differs in length, first or last byte, as most names of one record do.
fn name_hash(name: &[u8]) -> u32 {
    let [first, last] = [name.first(), name.last()].map(|byte| byte.copied().unwrap_or(0).into());
    (name.len() as u32).wrapping_mul(11) ^ u32::wrapping_mul(first, 29) ^ last
}

fn lut_unix_ms(data: &[u8], now_unix_ms: u64, anomalies: &mut Anomalies) -> Option<u64> {
    const DAY_MS: u64 = 86_400_000;
    let Ok(lut) = <[u8; 8]>::try_from(data).map(u64::from_be_bytes) else {
        anomalies.insert(Anomalies::ODD_LUT);
        return None;
    };
    if lut < 1 << 40 {
        return Some(lut + CL_EPOCH_UNIX_MS);
    }
    // Too large for the server's own clock: either its upper bits hold something else, or it counts from the
    // Unix epoch. The later reading that is not in the future is the likelier one.
    anomalies.insert(Anomalies::ODD_LUT);
    [(lut & ((1 << 40) - 1)) + CL_EPOCH_UNIX_MS, lut]
        .into_iter()
        .filter(|&unix_ms| unix_ms <= now_unix_ms.saturating_add(DAY_MS))
        .max()
}

fn expiry(record_ttl: u32, now_unix_ms: u64, anomalies: &mut Anomalies) -> Expiry {
    match record_ttl {
        // The namespace's default, or left as it was.
        0 | 0xffff_fffe => Expiry::Unknown,
        0xffff_ffff => Expiry::Never,
        1..=315_360_000 => Expiry::At(now_unix_ms / 1000 + u64::from(record_ttl)),
        absolute => {
            anomalies.insert(Anomalies::ABSOLUTE_TTL);
            Expiry::At(u64::from(absolute) + CL_EPOCH_UNIX_MS / 1000)
        }
    }
}

#[cfg(test)]
mod tests;
