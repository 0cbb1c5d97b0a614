//! Single steps of a record's way, for a profiler that counts instructions: only what runs inside [`measured`] is meant.
//!
//! ```text
//! valgrind --tool=callgrind --collect-atstart=no --toggle-collect='*measured*' bench-steps flat-json 1000
//! ```
//!
//! `instructions.py` runs all of them and compares with what they took before. Every step is done for as many records as the
//! second argument says. All that is not meant happens as often for no records as for many, so that what is counted by
//! differences, such as allocations, is the step's alone.

use std::{
    env,
    error::Error,
    hint::black_box,
    path::Path,
    process::ExitCode,
    sync::Arc,
    time::{Duration, Instant},
};

use adapters::Outcome;
use bytes::Bytes;
use esp_connector::{
    config::{self, AvroEncoding, DurableMember, Format, JsonRules},
    encode::Encoder,
    replies::{Next, Replies, Ticket},
    route::Router,
    wire::{ack, frame, message},
};

/// A step: takes the records' frames, and how often to take all of them.
type Step = fn(&[Vec<u8>], usize) -> Result<(), Box<dyn Error>>;

const STEPS: [(&str, Step); 8] = [
    ("decode", decode),
    ("route", route),
    ("json", |frames, rounds| encode(frames, rounds, Format::Json(JsonRules::default()))),
    ("flat-json", |frames, rounds| encode(frames, rounds, flat_json())),
    ("message-pack", |frames, rounds| encode(frames, rounds, Format::MessagePack)),
    ("avro", |frames, rounds| encode(frames, rounds, avro())),
    ("batch", batch),
    ("ack", acknowledge),
];

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let chosen = arguments.first().and_then(|name| STEPS.iter().find(|(step, _)| step == name));
    let count = arguments.get(1).and_then(|count| count.parse::<u64>().ok());
    let (Some((_, step)), Some(count)) = (chosen, count) else {
        // What there is, for those that run all.
        STEPS.iter().for_each(|(name, _)| println!("{name}"));
        return if arguments.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE };
    };
    let frames: Vec<Vec<u8>> = (0..DIFFERENT).map(record::frame).collect();
    match step(&frames, (count / DIFFERENT) as usize) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench-steps: {error}");
            ExitCode::FAILURE
        }
    }
}

/// What the profiler looks at.
#[inline(never)]
fn measured<T>(step: impl FnOnce() -> T) -> T {
    black_box(step())
}

/// A frame's bytes → a notification that borrows from them.
fn decode(frames: &[Vec<u8>], rounds: usize) -> Result<(), Box<dyn Error>> {
    for bytes in (0..rounds).flat_map(|_| frames) {
        measured(|| {
            let frame = frame::next(black_box(bytes), FRAME_BYTES_MAX).ok()??;
            message::decode(frame.body(), NOW_UNIX_MS).ok().map(black_box).map(drop)
        })
        .ok_or("a record that cannot be read")?;
    }
    Ok(())
}

/// Namespace and set → where the record goes, among a hundred sets.
fn route(frames: &[Vec<u8>], rounds: usize) -> Result<(), Box<dyn Error>> {
    let sets: String = (0..100).map(|set| format!("set-{set}: {{}}, ")).collect();
    let router = router(&format!("namespaces: {{shop: {{sets: {{{sets}orders: {{}}}}}}}}"))?;
    let routes = router.for_port(0);
    for _ in (0..rounds).flat_map(|_| frames) {
        measured(|| _ = black_box(routes.route(black_box(b"shop"), black_box(Some(b"orders")))));
    }
    Ok(())
}

/// A notification → a piece, in memory of its own, as the connector does it.
fn encode(frames: &[Vec<u8>], rounds: usize, format: Format) -> Result<(), Box<dyn Error>> {
    let encoder = Encoder::new(format)?;
    let decoded = frames.iter().map(|bytes| decoded(bytes)).collect::<Result<Vec<_>, _>>()?;
    for decoded in (0..rounds).flat_map(|_| &decoded) {
        measured(|| {
            let mut piece = Vec::with_capacity(PIECE_BYTES);
            let written = encoder.encode(black_box(&decoded.notification), &mut piece);
            written.map(|_| drop(black_box(Bytes::from(piece))))
        })?;
    }
    Ok(())
}

/// A hundred pieces → a request body.
fn batch(frames: &[Vec<u8>], rounds: usize) -> Result<(), Box<dyn Error>> {
    let encoder = Encoder::new(flat_json())?;
    let router = router(&format!("batching: {{max-records: {DIFFERENT}}}"))?;
    let policies = router.batch_policies();
    let body = &policies.iter().max_by_key(|policy| policy.records_max).ok_or("no policy")?.body;
    let piece = |bytes: &Vec<u8>| -> Result<Bytes, Box<dyn Error>> {
        let mut piece = Vec::new();
        encoder.encode(&decoded(bytes)?.notification, &mut piece)?;
        Ok(piece.into())
    };
    let pieces = frames.iter().map(piece).collect::<Result<Vec<_>, _>>()?;
    for _ in 0..rounds {
        measured(|| drop(black_box(body.join(black_box(pieces.iter())))));
    }
    Ok(())
}

/// A record's place among the replies of its connection, its ticket, and the bytes of its answer; in the order of arrival, a
/// hundred of them waiting.
fn acknowledge(frames: &[Vec<u8>], rounds: usize) -> Result<(), Box<dyn Error>> {
    let replies = Arc::new(Replies::default());
    let now = Instant::now();
    let mut tickets: Vec<Ticket> = Vec::with_capacity(frames.len());
    let mut out = Vec::with_capacity(frames.len() * ack::ACK_BYTES);
    for _ in 0..rounds {
        measured(|| {
            tickets
                .extend(frames.iter().flat_map(|_| replies.push_record(now, now + ANSWER_WITHIN, 1000, 1)));
            tickets.drain(..).for_each(|ticket| ticket.settle(Outcome::Delivered));
        });
        out.clear();
        let next = measured(|| {
            replies.collect(now, 0.0, 1024, |_| ack::encode(Outcome::Delivered.into(), &mut out))
        });
        if next != Next::Write || out.len() != frames.len() * ack::ACK_BYTES {
            return Err("answers are missing".into());
        }
    }
    Ok(())
}

fn decoded(bytes: &[u8]) -> Result<message::Decoded<'_>, Box<dyn Error>> {
    let frame = frame::next(bytes, FRAME_BYTES_MAX)?.ok_or("a frame that is not whole")?;
    Ok(message::decode(frame.body(), NOW_UNIX_MS).map_err(|error| error.to_string())?)
}

/// One destination, with these settings beside it.
fn router(settings: &str) -> Result<Router, Box<dyn Error>> {
    let text = format!(
        "{{service: {{port: 0}}, destinations: {{d: {{urls: ['http://127.0.0.1:1/']}}}}, \
         format: {{mode: flat-json, metadata-key: _meta}}, \
         routing: {{mode: static-multi-destination, destinations: [d]}}, {settings}}}"
    );
    let loaded = config::parse(&text, Path::new(".")).map_err(|problems| problems.to_string())?;
    Ok(Router::new(&loaded.config, Instant::now())?)
}

fn flat_json() -> Format {
    Format::FlatJson {
        metadata_key: "_meta".to_owned(),
        durable: DurableMember::Always,
        rules: JsonRules::default(),
    }
}

fn avro() -> Format {
    Format::Avro {
        schema: record::AVRO_SCHEMA.to_owned(),
        stringify_map_keys: true,
        encoding: AvroEncoding::Raw,
    }
}

/// So many that no branch is learned by heart, and a full batch.
const DIFFERENT: u64 = 100;
const NOW_UNIX_MS: u64 = 1_700_000_000_000;
const FRAME_BYTES_MAX: usize = 1 << 20;
/// What the connector reserves.
const PIECE_BYTES: usize = 512;
const ANSWER_WITHIN: Duration = Duration::from_secs(8);
