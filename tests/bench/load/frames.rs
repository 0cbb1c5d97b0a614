//! The records that are shipped: encoded once, then copied, each with a digest of its own.
//!
//! Copying is all a record costs the source, so that the source does not share the time of what is measured.

use std::io::{self, Write as _};

use clap::Args;
use esp_connector::{
    config::{DurableMember, Format, JsonRules},
    encode::Encoder,
    simulator::{
        encode::{Change, Head, Message},
        particle::Particle,
        random::mix,
    },
    wire::{frame, message},
};
use memchr::memmem;

use crate::Failure;

/// The records of a measurement.
#[derive(Args, Clone, Debug)]
pub(crate) struct RecordArgs {
    /// Ship records of one text and about so many bytes on the wire instead of orders.
    #[arg(long, value_name = "BYTES", value_parser = clap::value_parser!(u32).range(BARE_BYTES as i64..))]
    record_bytes: Option<u32>,
    /// Sets they are in: `set-0` and so on; without it, `orders`.
    #[arg(long, value_name = "N")]
    sets: Option<u64>,
}

/// Writes what a connector makes of one record, flat JSON, to standard output.
#[derive(Args, Clone, Debug)]
pub(crate) struct BodyArgs {
    #[command(flatten)]
    records: RecordArgs,
}

/// Encoded records, all different, that can be shipped again and again as new ones.
#[derive(Debug)]
pub(crate) struct Frames {
    frames: Vec<Encoded>,
}

#[derive(Debug)]
struct Encoded {
    bytes: Vec<u8>,
    digest_at: usize,
}

impl Frames {
    /// Encodes enough records that no branch is learned by heart.
    pub(crate) fn new(args: &RecordArgs) -> Result<Self, Failure> {
        let bytes = args.record_bytes.map_or(TYPICAL_BYTES, |bytes| bytes as usize);
        let different = (POOL_BYTES / bytes).clamp(8, DIFFERENT) as u64;
        let count = different.max(args.sets.unwrap_or(0));
        let frames = (0..count).map(|id| encode(args, id)).collect::<Result<_, _>>()?;
        Ok(Self { frames })
    }

    /// Appends record number `number`.
    pub(crate) fn append(&self, number: u64, out: &mut Vec<u8>) {
        let Encoded { bytes, digest_at } = &self.frames[(number % self.frames.len() as u64) as usize];
        let start = out.len();
        out.extend_from_slice(bytes);
        let digest = &mut out[start + digest_at..][..DIGEST_BYTES];
        digest[..8].copy_from_slice(&mix(number).to_be_bytes());
        digest[8..16].copy_from_slice(&number.to_be_bytes());
    }

    /// The same as JSON lines, for programs that read those.
    pub(crate) fn into_lines(self) -> Result<Self, Failure> {
        let line = |frame: Encoded| {
            let mut bytes = body(&frame.bytes)?;
            bytes.push(b'\n');
            Ok(Encoded { bytes, digest_at: 0 })
        };
        Ok(Self { frames: self.frames.into_iter().map(line).collect::<Result<_, Failure>>()? })
    }

    /// Appends line number `number`.
    pub(crate) fn append_line(&self, number: u64, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.frames[(number % self.frames.len() as u64) as usize].bytes);
    }

    /// Bytes of a record, on average.
    pub(crate) fn mean_bytes(&self) -> usize {
        self.frames.iter().map(|frame| frame.bytes.len()).sum::<usize>() / self.frames.len()
    }
}

fn encode(args: &RecordArgs, id: u64) -> Result<Encoded, Failure> {
    let set = args.sets.map(|sets| format!("set-{}", id % sets));
    let bytes = match args.record_bytes {
        Some(bytes) => sized(id, set.as_deref().unwrap_or("orders"), bytes as usize),
        None => match &set {
            None => record::frame(id),
            Some(set) => record::frame_in(set, id),
        },
    };
    let decoded = frame::next(&bytes, usize::MAX)?.ok_or("a frame that is not whole")?;
    let decoded = message::decode(decoded.body(), 0).map_err(|error| format!("{error:?}"))?;
    let digest_at =
        memmem::find(&bytes, &decoded.notification.digest.0).ok_or("a digest that is not in the frame")?;
    Ok(Encoded { digest_at, bytes })
}

/// A record of one text.
fn sized(id: u64, set: &str, bytes: usize) -> Vec<u8> {
    let head = Head {
        change: Change::Replace,
        namespace: b"shop",
        set: Some(set.as_bytes()),
        digest: [0xA5; DIGEST_BYTES],
        user_key: None,
        generation: 1,
        ttl_seconds: 0,
        lut_unix_ms: Some(1_700_000_000_000 + id),
    };
    let text: String = (0..).map(|at| char::from(b'a' + (mix(id + at) % 26) as u8)).take(bytes).collect();
    let with = |text: &str| {
        let mut frame = Vec::new();
        let mut message = Message::begin(&mut frame, &head);
        message.bin(b"t", &Particle::String(text.as_bytes()));
        message.finish();
        frame
    };
    let bare = with("").len();
    with(&text[..bytes.saturating_sub(bare)])
}

/// What a connector makes of a frame.
fn body(frame_bytes: &[u8]) -> Result<Vec<u8>, Failure> {
    let format = Format::FlatJson {
        metadata_key: "_meta".to_owned(),
        durable: DurableMember::Always,
        rules: JsonRules::default(),
    };
    let decoded = frame::next(frame_bytes, usize::MAX)?.ok_or("a frame that is not whole")?;
    let decoded = message::decode(decoded.body(), 0).map_err(|error| format!("{error:?}"))?;
    let mut body = Vec::new();
    Encoder::new(format)?.encode(&decoded.notification, &mut body)?;
    Ok(body)
}

/// The body of one request, as the connector sends it.
pub(crate) fn one_body(args: &RecordArgs) -> Result<Vec<u8>, Failure> {
    body(&encode(args, 0)?.bytes)
}

/// `body`.
pub(crate) fn print_body(args: &BodyArgs) -> Result<(), Failure> {
    Ok(io::stdout().lock().write_all(&one_body(&args.records)?)?)
}

const DIGEST_BYTES: usize = 20;
const DIFFERENT: usize = 1000;
const TYPICAL_BYTES: usize = 480;
/// A record with nothing but what every record has.
const BARE_BYTES: usize = 100;
/// Memory for large records.
const POOL_BYTES: usize = 16 << 20;
