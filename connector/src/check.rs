//! `esp-connector check`: what a configuration would run, in words, or everything that is wrong with it.
//!
//! Builds the targets, so that missing files and variables show; opens no connection, unless it is asked to probe. Prints
//! no header value, and of URLs no query, which may hold a key.

use std::{
    collections::BTreeMap,
    io::{self, Write},
    path::Path,
    time::Duration,
};

use adapters::{SharedTarget, tls::Version};

use crate::{
    config::{self, Config, Incoming, Problem, Problems, ServerTls},
    logging,
};

mod destinations;
mod probe;
mod routes;

pub use probe::PROBE_TIMEOUT;

/// Why there is no plan to print.
#[derive(Debug, thiserror::Error)]
pub enum CheckError {
    /// The configuration cannot run.
    #[error(transparent)]
    Problems(#[from] Problems),
    /// The plan cannot be written.
    #[error("cannot write: {0}")]
    Write(#[from] io::Error),
}

/// Checks the file at `path` and prints what it would run to `out`.
pub fn run(path: &Path, out: &mut dyn Write) -> Result<(), CheckError> {
    plan(path, out).map(drop)
}

/// The same, and then one harmless call to each destination: true when all would take deliveries. Inside a runtime.
pub async fn run_and_probe(path: &Path, out: &mut dyn Write) -> Result<bool, CheckError> {
    let targets = plan(path, out)?;
    Ok(probe::run(&targets, out).await?)
}

fn plan(path: &Path, out: &mut dyn Write) -> Result<Targets, CheckError> {
    let mut examined = config::examine_file(path)?;
    let targets = examined.targets();
    if let Some(file) = &examined.config.logging.file
        && let Err(error) = logging::check_file(file)
    {
        examined.problem("logging.file", error.to_string());
    }
    let notes = examined.findings.notes();
    let warnings = examined.findings.finish()?;
    print(path, &examined.config, &targets, [&warnings, &notes], out)?;
    Ok(targets)
}

type Targets = BTreeMap<String, SharedTarget>;

fn print(
    path: &Path,
    config: &Config,
    targets: &Targets,
    [warnings, notes]: [&[Problem]; 2],
    out: &mut dyn Write,
) -> io::Result<()> {
    writeln!(out, "{}", path.display())?;
    service(config, out)?;
    destinations::print(config, targets, out)?;
    routes::print(config, out)?;
    for (heading, remarks) in [("warnings", warnings), ("notes", notes)] {
        if !remarks.is_empty() {
            writeln!(out, "\n{heading}")?;
        }
        for remark in remarks {
            writeln!(out, "  {remark}")?;
        }
    }
    match warnings.len() {
        0 => writeln!(out, "\nThe configuration can run."),
        n => writeln!(out, "\nThe configuration can run, with {}.", plural(n, "warning")),
    }
}

fn service(config: &Config, out: &mut dyn Write) -> io::Result<()> {
    let service = &config.service;
    let writes = match (service.protocol, service.accept_client_writes) {
        (Incoming::Tcp, true) => "XDR and ordinary clients",
        (Incoming::Tcp, false) => "XDR only",
        (Incoming::Http1, _) => "other connectors by HTTP/1.1",
        (Incoming::Http2, _) => "other connectors by HTTP/2 or HTTP/1.1",
    };
    let mut row = |name: &str, words: String| writeln!(out, "  {name:<12}{words}");
    let mut name = "listens on";
    if !service.ports.is_empty() {
        row(name, format!("{} (clear text; {writes})", sockets(&service.addresses, &service.ports)))?;
        name = "";
    }
    if let Some(tls) = &service.tls {
        row(name, format!("{} ({}; {writes})", sockets(&tls.addresses, &tls.ports), tls_words(tls)))?;
    }
    let mut name = "management";
    if let Some(manage) = service.manage.as_ref().filter(|manage| !manage.ports.is_empty()) {
        row(name, sockets(&manage.addresses, &manage.ports))?;
        name = "";
    }
    if let Some(tls) = service.manage.as_ref().and_then(|manage| manage.tls.as_ref()) {
        row(name, format!("{} ({})", sockets(&tls.addresses, &tls.ports), tls_words(tls)))?;
    } else if service.manage.is_none() {
        row(name, if service.protocol == Incoming::Tcp { "off" } else { "on the same ports" }.to_owned())?;
    }
    row(
        "limits",
        format!(
            "{} records and {} in process, {} a message",
            service.max_concurrent_records,
            bytes(service.max_concurrent_bytes.get()),
            bytes(service.max_frame_bytes)
        ),
    )?;
    row("shutdown", format!("waits {} for the records in process", duration(service.shutdown_grace)))?;
    row("threads", service.worker_threads.map_or_else(|| "one per processor".to_owned(), |n| n.to_string()))?;
    let logging = &config.logging;
    let form = if logging.json { "JSON" } else { "text" };
    let ticker = match logging.ticker_interval {
        Duration::ZERO => "no statistics lines".to_owned(),
        every => format!("statistics every {}", duration(every)),
    };
    let levels: Vec<String> =
        logging.levels.iter().map(|(logger, level)| format!("{logger} {level}")).collect();
    let levels = if levels.is_empty() { "default levels".to_owned() } else { levels.join(", ") };
    let file = logging
        .file
        .as_ref()
        .map(|file| format!("{} (keeps {})", file.display(), plural(logging.max_history, "rotated file")));
    let console = logging.console.then(|| "standard error".to_owned());
    let to = file.into_iter().chain(console).collect::<Vec<_>>().join(" and ");
    row("logs", format!("{form} to {to}, {ticker}, {levels}"))
}

/// Which TLS it is, whose certificate is shown, and who may connect.
fn tls_words(tls: &ServerTls) -> String {
    let versions = match tls.protocols.as_slice() {
        [Version::Tls12] => "TLS 1.2",
        [Version::Tls13] => "TLS 1.3",
        _ => "TLS 1.2 and 1.3",
    };
    let certificate = tls.identity.identity().map_or_else(String::new, |it| format!(" as {it}"));
    let clients = match &tls.clients {
        None => "any client".to_owned(),
        Some(clients) if clients.allowed_names.is_empty() => "clients with a certificate".to_owned(),
        Some(clients) => format!("clients called {}", clients.allowed_names.join(" or ")),
    };
    format!("{versions}{certificate}; {clients}")
}

fn sockets(addresses: &[String], ports: &[u16]) -> String {
    let sockets = addresses.iter().flat_map(|address| ports.iter().map(move |port| (address, port)));
    let text = sockets.map(|(address, port)| match (address.contains(':'), port) {
        (_, 0) => format!("{address}, a port the system chooses"),
        (true, port) => format!("[{address}]:{port}"),
        (false, port) => format!("{address}:{port}"),
    });
    text.collect::<Vec<_>>().join(", ")
}

/// A URL without what may be secret in it.
fn public(url: &str) -> String {
    match url.split_once('?') {
        Some((front, _)) => format!("{front}?…"),
        None => url.to_owned(),
    }
}

fn plural(count: usize, noun: &str) -> String {
    if count == 1 { format!("1 {noun}") } else { format!("{count} {noun}s") }
}

fn bytes(count: usize) -> String {
    match count {
        _ if count >= 1 << 20 && count.is_multiple_of(1 << 20) => format!("{} MiB", count >> 20),
        _ if count >= 1 << 10 && count.is_multiple_of(1 << 10) => format!("{} KiB", count >> 10),
        _ => format!("{count} bytes"),
    }
}

fn duration(time: Duration) -> String {
    if time.subsec_millis() == 0 {
        format!("{} s", time.as_secs())
    } else {
        format!("{} ms", time.as_millis())
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn check(text: &str) -> (String, Result<(), String>) {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("config.yml");
        fs::write(&file, text).unwrap();
        let mut out = Vec::new();
        let result = run(&file, &mut out).map_err(|e| e.to_string());
        let plain = |text: String| text.replace(&format!("{}/", folder.path().display()), "");
        (plain(String::from_utf8(out).unwrap()), result.map_err(plain))
    }

    #[test]
    fn a_sound_configuration_is_told_in_words() {
        let (out, result) = check(
            r#"service:
  port: [8901, 9901]
  io-threads: 4
  manage: {port: 8902, address: "::1"}
destinations:
  orders:
    urls: ["http://127.0.0.1:9000/orders?code=hunter2"]
    protocol: HTTP_1_1
    max-connections-per-endpoint: 32
    workers: 8
    headers: {Authorization: Bearer hunter2}
    partial-response: true
    compression: gzip
    compression-threshold: 2048
    dead-letter: archive
  archive:
    urls: ["http://127.0.0.1:9001/"]
    protocol: HTTP_1_1
    max-attempts: 1
format: json
routing: {mode: static, destination: archive}
namespaces:
  shop:
    routing: {mode: static-multi-destination, destinations: [orders, archive]}
    sets:
      carts: {routing: {mode: skip}}
      orders: {format: {mode: flat-json, metadata-key: _meta}}
port-based-config:
  9901:
    routing: {mode: static, destination: orders}
"#,
        );
        assert_eq!(result, Ok(()));
        assert_eq!(
            out,
            "\
config.yml
  listens on  0.0.0.0:8901, 0.0.0.0:9901 (clear text; XDR and ordinary clients)
  management  [::1]:8902
  limits      32768 records and 64 MiB in process, 16 MiB a message
  shutdown    waits 10 s for the records in process
  threads     one per processor
  logs        text to standard error, statistics every 10 s, default levels

destinations
  archive
    POST by HTTP/1.1, 1000 ms a call, to
      http://127.0.0.1:9001/
    records that it never takes are held: refused for now, until somebody acts
    at most 1 request at once, 1 attempt per record, 32768 records may wait for an endpoint
    takes the dead letters of orders
  orders
    POST by HTTP/1.1, 1000 ms a call, to
      http://127.0.0.1:9000/orders?…
    bodies over 2 KiB compressed by gzip
    its answer may name single records that failed (`batchItemFailures`)
    records that it never takes go to archive
    at most 8 requests at once, 5 attempts per record, 32768 records may wait for an endpoint

routes (the first line that fits a record counts)
  port  namespace  set     goes to                       how
  9901  shop       carts   nowhere (skip): acknowledged
  9901  shop       orders  orders, archive               flat-json, metadata in `_meta`
  9901  shop       any     orders, archive               json
  9901  any        any     orders                        json
  any   shop       carts   nowhere (skip): acknowledged
  any   shop       orders  orders, archive               flat-json, metadata in `_meta`
  any   shop       any     orders, archive               json
  any   any        any     archive                       json

notes
  config.yml:3: service.io-threads: has no effect: one pool of `worker-threads` does all the work

The configuration can run.
"
        );
    }

    #[test]
    fn problems_of_shape_meaning_and_targets_come_together() {
        let (out, result) = check(
            "service: {prot: 1}
destinations:
  a:
    urls: [\"ftp://x/\"]
    headers: {Authorization: {env: ESP_CONNECTOR_TEST_NO_SUCH_VARIABLE}}
format: json
routing: {mode: static, destination: b}
",
        );
        assert_eq!(out, "");
        assert_eq!(
            result.unwrap_err(),
            "\
config.yml:1: service.prot: unknown key; did you mean `port`?
config.yml:4: destinations.a.urls[0]: expected a URL that starts with http:// or https://
config.yml:5: destinations.a.headers.Authorization.env: environment variable \
             ESP_CONNECTOR_TEST_NO_SUCH_VARIABLE is not set
config.yml:7: routing.destination: no destination is called `b`; known: a"
        );
    }

    #[test]
    fn a_missing_file_is_one_plain_problem() {
        let error = run(Path::new("/no/such/file.yml"), &mut Vec::new()).unwrap_err();
        assert_eq!(
            error.to_string(),
            "/no/such/file.yml: cannot be read: No such file or directory (os error 2)"
        );
    }
}
