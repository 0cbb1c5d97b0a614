//! `esp-connector check`: what a configuration would run, in words, or everything that is wrong with it.
//!
//! Builds the targets, so that missing files and variables show; opens no connection. Prints no header
//! value, and of URLs no query, which may hold a key.

use std::{
    io::{self, Write},
    path::Path,
    time::Duration,
};

use adapters::{SharedTarget, TargetConfig};

use crate::config::{self, Config, Destination, Format, Problem, Problems, Routing, Scope, join};

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
    let mut examined = config::examine_file(path)?;
    let mut built = Vec::new();
    for (name, destination) in &examined.config.destinations {
        match destination.target.clone().build(name) {
            Ok(target) => built.push((name.as_str(), destination, target)),
            Err(e) => {
                let at = join("destinations", name);
                let at = if e.key.is_empty() { at } else { format!("{at}.{}", e.key) };
                examined.findings.problem(examined.tree.line_of(&at), &at, e.problem);
            }
        }
    }
    let warnings = examined.findings.finish()?;
    print(path, &examined.config, &built, &warnings, out)?;
    Ok(())
}

type Built<'a> = (&'a str, &'a Destination, SharedTarget);

fn print(
    path: &Path,
    config: &Config,
    built: &[Built<'_>],
    warnings: &[Problem],
    out: &mut dyn Write,
) -> io::Result<()> {
    writeln!(out, "{}", path.display())?;
    service(config, out)?;
    destinations(built, out)?;
    routes(config, out)?;
    if !warnings.is_empty() {
        writeln!(out, "\nwarnings")?;
        for warning in warnings {
            writeln!(out, "  {warning}")?;
        }
    }
    match warnings.len() {
        0 => writeln!(out, "\nThe configuration can run."),
        n => writeln!(out, "\nThe configuration can run, with {}.", plural(n, "warning")),
    }
}

fn service(config: &Config, out: &mut dyn Write) -> io::Result<()> {
    let service = &config.service;
    let writes = if service.accept_client_writes { "XDR and ordinary clients" } else { "XDR only" };
    let mut row = |name: &str, words: String| writeln!(out, "  {name:<12}{words}");
    row("listens on", format!("{}, clear text, {writes}", sockets(&service.addresses, &service.ports)))?;
    row(
        "management",
        service.manage.as_ref().map_or_else(|| "off".to_owned(), |m| sockets(&m.addresses, &m.ports)),
    )?;
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
    let levels = if levels.is_empty() { "usual levels".to_owned() } else { levels.join(", ") };
    row("logs", format!("{form} to standard error, {ticker}, {levels}"))
}

fn destinations(built: &[Built<'_>], out: &mut dyn Write) -> io::Result<()> {
    writeln!(out, "\ndestinations")?;
    if built.is_empty() {
        writeln!(out, "  none")?;
    }
    for (name, destination, target) in built {
        let concurrency = target.concurrency();
        let at_once = destination.workers.map_or(concurrency, |workers| workers.min(concurrency));
        writeln!(out, "  {name}")?;
        match &destination.target {
            TargetConfig::Http(http) => {
                let protocol = match http.protocol {
                    adapters::http::Protocol::Http1 => "HTTP/1.1",
                    adapters::http::Protocol::Http2 => "HTTP/2",
                };
                writeln!(out, "    POST by {protocol}, {} ms a call, to", http.call_timeout)?;
                for url in &http.urls {
                    writeln!(out, "      {}", public(url))?;
                }
            }
        }
        let requests = plural(at_once.get(), "request");
        let attempts = plural(destination.max_attempts as usize, "attempt");
        let queued = plural(destination.max_queued, "record");
        writeln!(
            out,
            "    at most {requests} at once, {attempts} per record, {queued} may wait for an endpoint"
        )?;
    }
    Ok(())
}

/// More lines than this help nobody.
const MAX_ROUTES: usize = 500;

fn routes(config: &Config, out: &mut dyn Write) -> io::Result<()> {
    writeln!(out, "\nroutes (the first line that fits a record counts)")?;
    let header = ["port", "namespace", "set", "goes to", "format"].map(str::to_owned);
    let mut rows = vec![header];
    rows.extend(config.scopes().take(MAX_ROUTES).map(|scope| route(config, scope)));
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..4).map(width).collect();
    for [port, namespace, set, to, format] in &rows {
        let line = format!(
            "  {port:<0$}  {namespace:<1$}  {set:<2$}  {to:<3$}  {format}",
            widths[0], widths[1], widths[2], widths[3]
        );
        writeln!(out, "{}", line.trim_end())?;
    }
    if config.scopes().nth(MAX_ROUTES).is_some() {
        writeln!(out, "  and more, not shown")?;
    }
    Ok(())
}

fn route(config: &Config, scope: Scope<'_>) -> [String; 5] {
    let (format, routing) = config.effective(scope);
    let any = |name: Option<&str>| name.map_or_else(|| "any".to_owned(), str::to_owned);
    let (to, format) = match routing {
        None => ("nowhere (no routing): acknowledged".to_owned(), String::new()),
        Some(Routing::Skip) => ("nowhere (skip): acknowledged".to_owned(), String::new()),
        Some(Routing::To(names)) => (
            names.join(", "),
            match format {
                None => String::new(),
                Some(Format::Json { .. }) => "json".to_owned(),
                Some(Format::FlatJson { metadata_key, .. }) => {
                    format!("flat-json, metadata in `{metadata_key}`")
                }
            },
        ),
    };
    [
        scope.port.map_or_else(|| "any".to_owned(), |port| port.to_string()),
        any(scope.namespace),
        any(scope.set),
        to,
        format,
    ]
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
