//! CPU time from the bytes of a frame to a request body, for every format: ours against the way an ordinary program
//! would take.
//!
//! ```text
//! cargo bench -p e2e --bench formats
//! ```
//!
//! Both sides decode the frame with our decoder. Ours then writes straight from the frame; the other side
//! ([`ordinary`]) copies the record into types of its own and hands them to `serde_json`, `rmp-serde` or `apache-avro`.
//! Both must write the same bytes (Avro: the same values, for `apache-avro` keeps
//! maps in no order), which is checked for every record before anything is measured. Rounds of all
//! contestants alternate, so that whatever disturbs the machine disturbs all alike; what counts is the time of this
//! thread, and the median round.
//!
//! Run without `--bench`, as a test runner does, it only makes that check.

mod ordinary;

use std::{env, hint::black_box, process::ExitCode, rc::Rc};

use esp_connector::{
    config::{AvroEncoding, DurableMember, Format, JsonRules},
    encode::Encoder,
    notification::ChangeNotification,
    wire::{
        frame::{self, Frame},
        message,
    },
};
use rustix::time::{ClockId, clock_gettime};

const ROUNDS: usize = 31;
/// Different ones, so that no branch is learned by heart.
const RECORDS: u64 = 1_000;
const NOW_UNIX_MS: u64 = 1_700_000_000_000;
const FRAME_BYTES_MAX: usize = 1 << 20;

/// One way to make a body: from a frame, into a buffer that is empty.
type Make = Box<dyn Fn(&[u8], &mut Vec<u8>)>;

/// One row of the table.
struct Row {
    format: &'static str,
    ours: Make,
    /// What the other side uses.
    library: &'static str,
    theirs: Make,
    /// Whether two bodies say the same.
    same: Same,
}

type Same = Box<dyn Fn(&[u8], &[u8]) -> bool>;

fn main() -> ExitCode {
    let frames: Vec<Vec<u8>> = (0..RECORDS).map(record::frame).collect();
    let rows = rows();
    let mut different = false;
    for row in &rows {
        different |= !row.agrees(&frames);
    }
    if different {
        return ExitCode::FAILURE;
    }
    println!("{} formats: both sides say the same of {RECORDS} records", rows.len());
    if env::args().any(|argument| argument == "--bench") {
        measure(&rows, &frames);
    }
    ExitCode::SUCCESS
}

fn rows() -> Vec<Row> {
    let flat_json = Format::FlatJson {
        metadata_key: "_meta".to_owned(),
        durable: DurableMember::Always,
        rules: JsonRules::default(),
    };
    let schema = record::AVRO_SCHEMA.to_owned();
    let avro = Rc::new(ordinary::Avro::new(&schema));
    let reader = Rc::clone(&avro);
    let avro_format = Format::Avro { schema, stringify_map_keys: true, encoding: AvroEncoding::Raw };
    vec![
        row("json", Format::Json(JsonRules::default()), "serde_json", ordinary::json),
        row("flat-json", flat_json, "serde_json", ordinary::flat_json),
        row("message-pack", Format::MessagePack, "rmp-serde", ordinary::message_pack),
        Row {
            same: Box::new(move |one, other| reader.read(one) == reader.read(other)),
            ..row("avro", avro_format, "apache-avro", move |notification, out| avro.write(notification, out))
        },
    ]
}

fn row(
    format: &'static str,
    configured: Format,
    library: &'static str,
    theirs: impl Fn(&ChangeNotification<'_>, &mut Vec<u8>) + 'static,
) -> Row {
    let encoder = Encoder::new(configured).expect("a sound format");
    let ours = move |frame: &[u8], out: &mut Vec<u8>| {
        decode(frame, |notification| drop(encoder.encode(notification, out).expect("it fits")));
    };
    let theirs = move |frame: &[u8], out: &mut Vec<u8>| {
        decode(frame, |notification| theirs(notification, out));
    };
    Row {
        format,
        ours: Box::new(ours),
        library,
        theirs: Box::new(theirs),
        same: Box::new(|one, other| one == other),
    }
}

fn decode(bytes: &[u8], then: impl FnOnce(&ChangeNotification<'_>)) {
    let frame: Frame<'_> = frame::next(bytes, FRAME_BYTES_MAX).expect("sound").expect("whole");
    let decoded = message::decode(frame.body(), NOW_UNIX_MS).expect("sound");
    then(&decoded.notification);
}

impl Row {
    /// Whether both sides write the same; says where they do not.
    fn agrees(&self, frames: &[Vec<u8>]) -> bool {
        let (mut ours, mut theirs) = (Vec::new(), Vec::new());
        for frame in frames {
            ours.clear();
            theirs.clear();
            (self.ours)(frame, &mut ours);
            (self.theirs)(frame, &mut theirs);
            if ours.is_empty() || !(self.same)(&ours, &theirs) {
                println!("{}: ours and {} differ", self.format, self.library);
                println!("  {}\n  {}", String::from_utf8_lossy(&ours), String::from_utf8_lossy(&theirs));
                return false;
            }
        }
        true
    }
}

/// Rounds of every contestant in turn; the table.
fn measure(rows: &[Row], frames: &[Vec<u8>]) {
    let decode_only: Make = Box::new(|frame, _| decode(frame, |notification| _ = black_box(notification)));
    let contestants: Vec<&Make> =
        rows.iter().flat_map(|row| [&row.ours, &row.theirs]).chain([&decode_only]).collect();
    let mut rounds_ns = vec![Vec::with_capacity(ROUNDS); contestants.len()];
    let mut body = Vec::new();
    // The first round warms caches and buffers up and does not count.
    for round in 0..=ROUNDS {
        for (make, rounds_ns) in contestants.iter().zip(&mut rounds_ns) {
            let before_ns = thread_cpu_ns();
            for frame in frames {
                body.clear();
                make(black_box(frame), &mut body);
                black_box(&body);
            }
            let spent_ns = (thread_cpu_ns() - before_ns) as f64 / frames.len() as f64;
            if round > 0 {
                rounds_ns.push(spent_ns);
            }
        }
    }
    let medians_ns: Vec<f64> = rounds_ns.iter_mut().map(|rounds_ns| median(rounds_ns)).collect();
    let wire_bytes = frames.iter().map(Vec::len).sum::<usize>() / frames.len();
    println!(
        "a record of {wire_bytes} bytes on the wire, 8 bins; thread CPU time, median of {ROUNDS} rounds of {RECORDS}"
    );
    println!("decoding alone: {:.0} ns, in every figure below", medians_ns[contestants.len() - 1]);
    println!(
        "{:14} {:>10} {:>10}   {:12} {:>10} {:>7}",
        "format", "body bytes", "ours, ns", "against", "ns", "ratio"
    );
    for (row, medians_ns) in rows.iter().zip(medians_ns.chunks(2)) {
        let (ours_ns, theirs_ns) = (medians_ns[0], medians_ns[1]);
        println!(
            "{:14} {:>10} {ours_ns:>10.0}   {:12} {theirs_ns:>10.0} {:>6.1}x",
            row.format,
            row.body_bytes(frames),
            row.library,
            theirs_ns / ours_ns,
        );
    }
}

impl Row {
    /// Size of a body, on average.
    fn body_bytes(&self, frames: &[Vec<u8>]) -> usize {
        let mut bodies = Vec::new();
        frames.iter().for_each(|frame| (self.ours)(frame, &mut bodies));
        bodies.len() / frames.len()
    }
}

/// CPU time of this thread.
fn thread_cpu_ns() -> i64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    time.tv_sec * 1_000_000_000 + time.tv_nsec
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
