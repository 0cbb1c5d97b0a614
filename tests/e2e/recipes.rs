//! The configurations of `docs/recipes`, as they stand there, against what they are for: the real server, or one that keeps
//! to the documented API and has a state that can be compared with the source.

mod aerospike_rest_gateway;
mod elasticsearch;
mod search_engine;
mod splunk;
mod victoria_metrics;
mod webhook;

use std::{
    collections::BTreeSet,
    fs,
    io::Read as _,
    process::Command,
    sync::{Mutex, MutexGuard, PoisonError},
};

use e2e::{
    ConnectorProcess,
    changes::{Bin, Change},
    pretend::Asked,
};
use flate2::read::GzDecoder;
use serde_json::Value;

/// When the first of the changes was made.
const BEGIN_UNIX_MS: u64 = 1_700_000_000_123;

fn connector() -> Command {
    Command::new(env!("CARGO_BIN_EXE_connector-under-test"))
}

/// `count` changes of `records` records, each written several times with other bins and deleted now and then.
fn changes(records: i64, count: i64) -> Vec<Change> {
    let change = |number: i64| {
        // Every record comes as often as any other, in no order that anyone could rely on.
        let (key, generation) = (number * 7919 % records, number / records + 1);
        let bins = vec![
            ("n", Bin::Integer(number)),
            ("total", Bin::Double(number as f64 / 4.0)),
            ("name", Bin::Text(format!("{key}: \"quotes\" \\ and\nlines, é, {{{{ braces }}}}"))),
            ("paid", Bin::Boolean(number % 2 == 0)),
        ];
        Change {
            set: "orders",
            key,
            lut_unix_ms: BEGIN_UNIX_MS + number as u64,
            generation: generation as u32,
            bins: ((key + generation) % 5 != 0).then_some(bins),
        }
    };
    (0..count).map(change).collect()
}

/// The digests of the dead letters, and what was said of them.
fn letters(connector: &ConnectorProcess) -> (BTreeSet<String>, Vec<Value>) {
    let texts: Vec<_> =
        connector.files("dead-letters").iter().map(|file| fs::read_to_string(file).unwrap()).collect();
    let letters: Vec<Value> =
        texts.iter().flat_map(|text| text.lines()).map(|line| serde_json::from_str(line).unwrap()).collect();
    let digests = letters.iter().map(|letter| letter["digest"].as_str().unwrap().to_owned());
    (digests.collect(), letters)
}

/// The body as it was before compression.
fn unpacked(asked: &Asked) -> Result<Vec<u8>, String> {
    let mut body = Vec::new();
    match asked.header("content-encoding") {
        "" => body.extend_from_slice(&asked.body),
        "gzip" => {
            GzDecoder::new(&*asked.body).read_to_end(&mut body).map_err(|error| error.to_string())?;
        }
        other => return Err(format!("a body that is compressed by {other}")),
    }
    Ok(body)
}

/// The parameters of a query, decoded.
fn query(asked: &Asked) -> Vec<(String, String)> {
    let text = asked.uri.query().unwrap_or_default();
    let pairs = text.split('&').filter(|pair| !pair.is_empty());
    let pair = |pair: &str| {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        (decoded(name), decoded(value))
    };
    pairs.map(pair).collect()
}

fn decoded(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'%' => {
                let mut digit = || char::from(rest.next().unwrap()).to_digit(16).unwrap() as u8;
                digit() << 4 | digit()
            }
            other => other,
        });
    }
    String::from_utf8(bytes).unwrap()
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
