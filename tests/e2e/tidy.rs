//! House rules that no compiler checks: what is pure stays pure, and who may know of what.
//!
//! The rules look at text. Where one gets in the way of something good, change the rule and say why.

use std::{fs, path::PathBuf};

use e2e::repository;

/// No sockets, no clock, no randomness, no runtime: these are tested by tables and properties alone.
const PURE: [&str; 73] = [
    "adapters/src/aws_http/address.rs",
    "adapters/src/aws_http/refusal.rs",
    "adapters/src/bulk.rs",
    "adapters/src/client/http2/fields.rs",
    "adapters/src/client/http2/frame.rs",
    "adapters/src/client/http2/hpack",
    "adapters/src/client/http2/hpack.rs",
    "adapters/src/client/http2/session",
    "adapters/src/client/http2/session.rs",
    "adapters/src/file/lines.rs",
    "adapters/src/file/names.rs",
    "adapters/src/gcp_functions/audience.rs",
    "adapters/src/http1",
    "adapters/src/http1.rs",
    "adapters/src/partial.rs",
    "adapters/src/renewed/schedule.rs",
    "adapters/src/request.rs",
    "adapters/src/retry_after.rs",
    "adapters/src/sigv4.rs",
    "adapters/src/status.rs",
    "adapters/src/tls/store/der.rs",
    "adapters/src/tls/store/jks.rs",
    "adapters/src/tls/store/pbe.rs",
    "adapters/src/tls/store/pkcs12.rs",
    "adapters/src/token/jwt.rs",
    "adapters/src/url.rs",
    "adapters/src/webhook/signature.rs",
    "connector/src/admission.rs",
    "connector/src/breaker.rs",
    "connector/src/concurrency.rs",
    "connector/src/config",
    "connector/src/config.rs",
    "connector/src/connection/http/answer.rs",
    "connector/src/connection/http/body.rs",
    "connector/src/connection/intake/pieces.rs",
    "connector/src/dead_letter/entry.rs",
    "connector/src/delivered/table.rs",
    "connector/src/encode",
    "connector/src/encode.rs",
    "connector/src/lane/fates.rs",
    "connector/src/lane/gate.rs",
    "connector/src/lane/group/places.rs",
    "connector/src/lane/items.rs",
    "connector/src/lane/queue.rs",
    "connector/src/lane/state.rs",
    "connector/src/lane/suspects.rs",
    "connector/src/lane/turns.rs",
    "connector/src/notification.rs",
    "connector/src/recording.rs",
    "connector/src/reload/changes.rs",
    "connector/src/retry.rs",
    "connector/src/route.rs",
    "connector/src/simulator/encode",
    "connector/src/simulator/encode.rs",
    "connector/src/simulator/particle.rs",
    "connector/src/template",
    "connector/src/template.rs",
    "connector/src/transform",
    "connector/src/transform.rs",
    "connector/src/wire",
    "connector/src/wire.rs",
    "lambda-examples/archive/src",
    "lambda-examples/notification/src/avro",
    "lambda-examples/notification/src/avro.rs",
    "lambda-examples/notification/src/body.rs",
    "lambda-examples/notification/src/decoder.rs",
    "lambda-examples/notification/src/invocation.rs",
    "lambda-examples/notification/src/json.rs",
    "lambda-examples/notification/src/message_pack.rs",
    "lambda-examples/notification/src/record.rs",
    "lambda-examples/notification/src/report.rs",
    "lambda-examples/notification/src/value.rs",
    "lambda-examples/notification/src/write.rs",
];

const IMPURE: [&str; 9] = [
    "tokio",
    "std::net",
    "net::Tcp",
    "SystemTime::now",
    "UNIX_EPOCH",
    "Instant::now",
    "fastrand",
    "rand::",
    "thread::",
];

const LINES_MAX: usize = 600;

#[test]
fn pure_modules_touch_neither_sockets_nor_clocks_nor_chance() {
    let mut found = Vec::new();
    for place in PURE {
        for file in sources(place) {
            // An address may be a fact that is passed on.
            let line = |line: &str| line.replace("std::net::SocketAddr", "").replace("net::SocketAddr", "");
            found.extend(file.code().filter(|(_, text)| has_any(&line(text), &IMPURE)).map(|at| file.at(at)));
        }
    }
    none(&found);
}

#[test]
fn adapters_know_nothing_of_aerospike() {
    let words = ["aerospike", "xdr", "digest", "esp_connector"];
    // Stores of Java are sealed with digests of another kind.
    let words = |file: &Source| {
        if file.path.starts_with("adapters/src/tls/store") { &words[..2] } else { &words[..] }
    };
    none(&sources("adapters").iter().flat_map(|file| file.mentions(words(file))).collect::<Vec<_>>());
    let manifest = fs::read_to_string(repository().join("adapters/Cargo.toml")).unwrap();
    assert!(!manifest.contains("esp-connector"), "adapters depend on nothing of ours");
}

#[test]
fn the_wire_knows_nothing_of_clouds() {
    // That a peer speaks HTTP by mistake is the wire's to notice; how to speak it is not.
    let clouds =
        ["aws", "amazon", "lambda", "gcp", "google", "azure", "http::", "hyper", "http://", "https://"];
    let wire = ["connector/src/wire.rs", "connector/src/wire"].into_iter().flat_map(sources);
    none(&wire.flat_map(|file| file.mentions(&clouds)).collect::<Vec<_>>());
}

#[test]
fn only_one_file_knows_result_codes() {
    // Defining one, turning one into its number, and the bytes of an answer. The simulator plays the other side and
    // must not ask the connector what is right; `decode` shows what others sent.
    let marks = ["enum ResultCode", "ResultCode as", "code as u8", "[2, 3, 0, 0"];
    let mut found = Vec::new();
    for file in sources("connector/src") {
        let may = ["connector/src/simulator", "connector/src/decode", "connector/src/wire/ack.rs"];
        if !may.iter().any(|place| file.path.starts_with(place)) {
            found.extend(file.code().filter(|(_, text)| has_any(text, &marks)).map(|at| file.at(at)));
        }
    }
    none(&found);
    let ack = sources("connector/src/wire/ack.rs");
    assert!(ack[0].text.contains(marks[0]) && ack[0].text.contains(marks[3]), "the marks are out of date");
}

#[test]
fn only_the_client_and_the_simulator_connect_to_anyone_else() {
    let connects = ["TcpStream::connect", "TcpSocket::new", "world::connect"];
    let mut found = Vec::new();
    for file in ["adapters/src", "connector/src"].into_iter().flat_map(sources) {
        // `health` asks the connector itself.
        let may = [
            "adapters/src/client",
            "adapters/src/world.rs",
            "connector/src/simulator",
            "connector/src/health.rs",
        ];
        if !may.iter().any(|place| file.path.starts_with(place)) {
            found.extend(file.code().filter(|(_, text)| has_any(text, &connects)).map(|at| file.at(at)));
        }
    }
    none(&found);
}

#[test]
fn nothing_that_is_simulated_throws_dice_that_no_seed_reaches() {
    // Programs of their own, and what runs beside the connector.
    let others = ["main.rs", "health.rs", "demo", "simulator", "receiver", "replay"];
    let mut found = Vec::new();
    for file in ["adapters/src", "connector/src"].into_iter().flat_map(sources) {
        if others.iter().any(|other| file.path.starts_with(format!("connector/src/{other}")))
            || others[2..].iter().any(|other| file.path.ends_with(format!("connector/src/{other}.rs")))
        {
            continue;
        }
        let code: Vec<_> = file.code().collect();
        for pair in code.windows(2) {
            if pair[0].1.contains("select! {") && pair[1].1.trim() != "biased;" {
                found.push(file.at(pair[0]));
            }
        }
        found.extend(code.into_iter().filter(|(_, text)| text.contains("sync::watch")).map(|at| file.at(at)));
    }
    none(&found);
}

#[test]
fn files_are_short_documented_and_named_after_what_they_are_about() {
    let vague = ["utils", "util", "common", "helpers", "helper", "manager", "misc"];
    let mut found = Vec::new();
    for file in every_source() {
        let lines = file.text.lines().count();
        if lines > LINES_MAX {
            found.push(format!("{}: {lines} lines, at most {LINES_MAX}", file.path.display()));
        }
        if !file.is_test() && !file.text.starts_with("//!") && !file.text.starts_with("#![no_main]") {
            found.push(format!("{}: no module documentation", file.path.display()));
        }
        if vague.iter().any(|name| file.path.file_stem().is_some_and(|stem| stem == *name)) {
            found.push(format!("{}: a name that says nothing", file.path.display()));
        }
    }
    none(&found);
}

#[test]
fn nothing_is_left_undone() {
    // In parts, so that this file does not find itself.
    let undone = [
        concat!("to", "do!"),
        concat!("unimplem", "ented!"),
        concat!("d", "bg!("),
        concat!("#[ign", "ore"),
        concat!("FIX", "ME"),
    ];
    let found = |file: Source| {
        let hits: Vec<_> =
            file.lines().filter(|(_, text)| has_any(text, &undone)).map(|at| file.at(at)).collect();
        hits
    };
    none(&every_source().into_iter().flat_map(found).collect::<Vec<_>>());
}

/// A source file, named from the top of the repository.
struct Source {
    path: PathBuf,
    text: String,
}

impl Source {
    fn is_test(&self) -> bool {
        let within = self.path.iter().any(|part| part == "tests" || part == "e2e");
        within || self.path.file_stem().is_some_and(|stem| stem == "tests")
    }

    fn lines(&self) -> impl Iterator<Item = (usize, &str)> {
        self.text.lines().enumerate()
    }

    /// Lines that are neither comments nor tests.
    fn code(&self) -> impl Iterator<Item = (usize, &str)> {
        let tests = if self.is_test() { Some(0) } else { self.text.find("#[cfg(test)]\nmod ") };
        let end = self.text[..tests.unwrap_or(self.text.len())].lines().count();
        self.lines().take(end).filter(|(_, line)| !line.trim_start().starts_with("//"))
    }

    /// Lines with one of `words`, in whatever case, comments and tests included.
    fn mentions(&self, words: &[&str]) -> Vec<String> {
        self.lines().filter(|(_, text)| has_any(&text.to_lowercase(), words)).map(|at| self.at(at)).collect()
    }

    fn at(&self, (index, line): (usize, &str)) -> String {
        format!("{}:{}: {}", self.path.display(), index + 1, line.trim())
    }
}

fn has_any(text: &str, words: &[&str]) -> bool {
    words.iter().any(|word| text.contains(word))
}

fn none(found: &[String]) {
    assert!(found.is_empty(), "\n{}", found.join("\n"));
}

fn every_source() -> Vec<Source> {
    let all: Vec<_> =
        ["adapters", "connector", "lambda-examples", "tests"].into_iter().flat_map(sources).collect();
    assert!(all.len() > 100, "only {} files were found", all.len());
    all
}

/// The Rust files at or below a place, which must exist: a rule about nothing would never fail.
fn sources(place: &str) -> Vec<Source> {
    let top = repository();
    let mut sources = Vec::new();
    let mut places = vec![top.join(place)];
    while let Some(path) = places.pop() {
        if path.is_dir() {
            let inner = fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path());
            places.extend(inner.filter(|path| !path.ends_with("target")));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = fs::read_to_string(&path).unwrap();
            sources.push(Source { path: path.strip_prefix(&top).unwrap().to_owned(), text });
        }
    }
    assert!(!sources.is_empty(), "there is nothing at {place}");
    sources
}
