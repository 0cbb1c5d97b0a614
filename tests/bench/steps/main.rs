//! Single steps of a record's way, for a profiler that counts instructions: only what runs inside [`measured`] is meant.
//!
//! ```text
//! valgrind --tool=callgrind --collect-atstart=no --toggle-collect='*measured*' bench-steps flat-json 1000
//! ```
//!
//! `instructions.py` runs all of them and compares with what they took before. Every step is done as often as the second
//! argument says, once for each record.

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

/// A step, and how many records it is to be done with.
type Step = fn(&[Vec<u8>]) -> Result<(), Box<dyn Error>>;

const STEPS: [(&str, Step); 8] = [
    ("decode", decode),
    ("route", route),
    ("json", |frames| encode(frames, Format::Json(JsonRules::default()))),
    ("flat-json", |frames| encode(frames, flat_json())),
    ("message-pack", |frames| encode(frames, Format::MessagePack)),
    ("avro", |frames| encode(frames, avro())),
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
    let frames: Vec<Vec<u8>> = (0..count).map(record::frame).collect();
    match step(&frames) {
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
fn decode(frames: &[Vec<u8>]) -> Result<(), Box<dyn Error>> {
    for bytes in frames {
        measured(|| {
            let frame = frame::next(black_box(bytes), FRAME_BYTES_MAX).ok()??;
            message::decode(frame.body(), NOW_UNIX_MS).ok().map(black_box).map(drop)
        })
        .ok_or("a record that cannot be read")?;
    }
    Ok(())
}

/// Namespace and set → where the record goes, among a hundred sets.
fn route(frames: &[Vec<u8>]) -> Result<(), Box<dyn Error>> {
    let sets: String = (0..100).map(|set| format!("set-{set}: {{}}, ")).collect();
    let text = format!(
        "{{service: {{port: 0}}, destinations: {{d: {{urls: ['http://127.0.0.1:1/']}}}}, format: flat-json, \
         routing: {{mode: static-multi-destination, destinations: [d]}}, namespaces: {{shop: {{sets: {{{sets}orders: {{}}}}}}}}}}"
    );
    let loaded = config::parse(&text, Path::new(".")).map_err(|problems| problems.to_string())?;
    let router = Router::new(&loaded.config, Instant::now())?;
    let routes = router.for_port(0);
    for _ in frames {
        measured(|| _ = black_box(routes.route(black_box(b"shop"), black_box(Some(b"orders")))));
    }
    Ok(())
}

/// A notification → a piece, in memory of its own, as the connector does it.
fn encode(frames: &[Vec<u8>], format: Format) -> Result<(), Box<dyn Error>> {
    let encoder = Encoder::new(format)?;
    for bytes in frames {
        let frame = frame::next(bytes, FRAME_BYTES_MAX)?.ok_or("a frame that is not whole")?;
        let decoded = message::decode(frame.body(), NOW_UNIX_MS).map_err(|error| error.to_string())?;
        measured(|| {
            let mut piece = Vec::with_capacity(PIECE_BYTES);
            encoder
                .encode(black_box(&decoded.notification), &mut piece)
                .map(|()| drop(black_box(Bytes::from(piece))))
        })?;
    }
    Ok(())
}

/// A hundred pieces → a request body.
fn batch(frames: &[Vec<u8>]) -> Result<(), Box<dyn Error>> {
    let encoder = Encoder::new(flat_json())?;
    let batching = config::parse(
        "{service: {port: 0}, batching: {max-records: 100}, destinations: {d: {urls: ['http://127.0.0.1:1/']}}, \
         format: flat-json, routing: {mode: static-multi-destination, destinations: [d]}}",
        Path::new("."),
    )
    .map_err(|problems| problems.to_string())?;
    let router = Router::new(&batching.config, Instant::now())?;
    let body =
        &router.batch_policies().iter().max_by_key(|policy| policy.records_max).ok_or("no policy")?.body;
    let mut pieces = Vec::new();
    for bytes in frames {
        let frame = frame::next(bytes, FRAME_BYTES_MAX)?.ok_or("a frame that is not whole")?;
        let decoded = message::decode(frame.body(), NOW_UNIX_MS).map_err(|error| error.to_string())?;
        let mut piece = Vec::new();
        encoder.encode(&decoded.notification, &mut piece)?;
        pieces.push(Bytes::from(piece));
    }
    for pieces in pieces.chunks(100) {
        measured(|| drop(black_box(body.join(black_box(pieces.iter())))));
    }
    Ok(())
}

/// A record's place among the replies of its connection, its ticket, and the bytes of its answer; in the order of arrival, 64
/// of them waiting.
fn acknowledge(frames: &[Vec<u8>]) -> Result<(), Box<dyn Error>> {
    let replies = Arc::new(Replies::default());
    let now = Instant::now();
    let mut tickets: Vec<Ticket> = Vec::with_capacity(64);
    let mut out = Vec::with_capacity(64 * ack::ACK_BYTES);
    for waiting in frames.chunks(64) {
        measured(|| {
            tickets
                .extend(waiting.iter().flat_map(|_| replies.push_record(now, now + ANSWER_WITHIN, 1000, 1)));
            tickets.drain(..).for_each(|ticket| ticket.settle(Outcome::Delivered));
        });
        out.clear();
        let next = measured(|| {
            replies.collect(now, 0.0, 1024, |_| ack::encode(Outcome::Delivered.into(), &mut out))
        });
        if next != Next::Write || out.len() != waiting.len() * ack::ACK_BYTES {
            return Err("answers are missing".into());
        }
    }
    Ok(())
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

const NOW_UNIX_MS: u64 = 1_700_000_000_000;
const FRAME_BYTES_MAX: usize = 1 << 20;
/// What the connector reserves.
const PIECE_BYTES: usize = 512;
const ANSWER_WITHIN: Duration = Duration::from_secs(8);
