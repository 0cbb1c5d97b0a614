//! Samples of VictoriaMetrics, the real one.

use std::{
    collections::{BTreeMap, BTreeSet},
    env,
    io::Write as _,
    net::SocketAddr,
    process::Command,
};

use e2e::{
    Process, Recipe, WITHIN,
    changes::{Bin, Change, last, ship},
    free_port, get,
};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::time::{Instant, sleep};

use super::{connector, letters};

/// Recent enough to be kept.
const BEGIN_AGO_MS: u64 = 3_600_000;

struct Server {
    address: SocketAddr,
    _process: Process,
    _folder: TempDir,
}

/// `None` where it is not installed.
async fn start() -> Option<Server> {
    if Command::new("victoria-metrics").arg("-version").output().is_err() {
        assert!(env::var_os("CI").is_none(), "victoria-metrics is not installed");
        // Not `eprintln!`, which the test harness hides when a test passes.
        let _ = writeln!(std::io::stderr(), "SKIPPED, a test that needs victoria-metrics");
        return None;
    }
    let folder = tempfile::tempdir().unwrap();
    let address = SocketAddr::from(([127, 0, 0, 1], free_port()));
    let mut program = Command::new("victoria-metrics");
    program.arg(format!("-httpListenAddr={address}"));
    program.arg("-storageDataPath").arg(folder.path().join("data"));
    program.arg("-dedup.minScrapeInterval=1ms");
    let mut process = Process::start(&mut program);
    let ready =
        process.until(async || get(address, "/health").await.ok().filter(|(status, _)| *status == 200));
    ready.await.unwrap_or_else(|printed| panic!("{printed}"));
    Some(Server { address, _process: process, _folder: folder })
}

impl Server {
    /// What it holds: by sensor and site, time and value of each sample.
    async fn samples(&self) -> Samples {
        let path = "/api/v1/export?match[]=sensor_temperature_celsius&start=0&reduce_mem_usage=1";
        let (status, body) = get(self.address, path).await.unwrap();
        assert_eq!(status, 200);
        let mut samples = Samples::new();
        for line in String::from_utf8(body.to_vec()).unwrap().lines() {
            let series: Value = serde_json::from_str(line).unwrap();
            let label = |name: &str| series["metric"][name].as_str().unwrap().to_owned();
            let times = series["timestamps"].as_array().unwrap().iter().map(|time| time.as_u64().unwrap());
            let values =
                series["values"].as_array().unwrap().iter().map(|value| value.as_f64().unwrap().to_string());
            samples.entry((label("sensor"), label("site"))).or_default().extend(times.zip(values));
        }
        samples
    }
}

type Samples = BTreeMap<(String, String), BTreeSet<(u64, String)>>;

/// Whether there are samples of these sensors at these times.
fn has_all(samples: &Samples, newest: &[(String, u64)]) -> bool {
    newest.iter().all(|(sensor, time)| {
        let of_it = samples.iter().filter(|((found, _), _)| found == sensor);
        of_it.flat_map(|(_, samples)| samples).any(|(at, _)| at == time)
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn every_write_is_a_sample() {
    let Some(server) = start().await else { return };
    let recipe = Recipe::of("victoriametrics", "")
        .with("http://victoriametrics.example.net:8428", &format!("http://{}", server.address));
    let connector = recipe.start(connector(), &[]).await;
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_millis() as u64;
    let change = |number: i64| Change {
        set: "sensors",
        key: number % 50,
        lut_unix_ms: now - BEGIN_AGO_MS + number as u64,
        generation: (number / 50 + 1) as u32,
        bins: (number % 41 != 17).then(|| {
            let celsius = match number {
                // What is no number has no sample, and spoils nobody else's.
                777 => Bin::Text("hunter2".to_owned()),
                number if number % 3 == 0 => Bin::Integer(number),
                number => Bin::Double(20.0 + number as f64 / 64.0),
            };
            vec![("celsius", celsius), ("site", Bin::Text(format!("hall \"{}\"", number % 50 % 3)))]
        }),
    };
    let changes: Vec<Change> = (0..3_000).map(change).collect();
    let again = ship(connector.address(), &changes).await;
    let mut wanted = Samples::new();
    for change in &changes {
        let bins = change.json();
        if let Some(celsius) = bins["celsius"].as_f64() {
            let series = (change.key.to_string(), bins["site"].as_str().unwrap().to_owned());
            wanted.entry(series).or_default().insert((change.lut_unix_ms, celsius.to_string()));
        }
    }
    let newest = last(&changes).into_values().filter(|change| change.json()["celsius"].is_number());
    let newest: Vec<_> = newest.map(|change| (change.key.to_string(), change.lut_unix_ms)).collect();
    let (dead, said) = letters(&connector);
    assert_eq!(dead, BTreeSet::from([changes[777].digest_hex()]), "{said:#?}");
    assert_eq!(said[0]["cause"], json!("malformed"));
    // What it has taken shows a moment later.
    let started = Instant::now();
    let found = loop {
        let found = server.samples().await;
        if found == wanted || again > 0 && has_all(&found, &newest) || started.elapsed() > WITHIN {
            break found;
        }
        sleep(std::time::Duration::from_millis(50)).await;
    };
    let count = |samples: &Samples| samples.values().map(BTreeSet::len).sum::<usize>();
    println!("{} of {} samples in {:?}", count(&found), count(&wanted), started.elapsed());
    // A change that is refused for now may be overtaken by the next: what XDR ships again is the newest state of a record.
    assert!(count(&found) + again >= count(&wanted), "{again} were refused for now");
    assert!(has_all(&found, &newest), "{found:?}");
    for (series, samples) in &found {
        assert!(samples.is_subset(&wanted[series]), "{series:?}: {samples:?}");
    }
    let (status, metrics) = get(server.address, "/metrics").await.unwrap();
    assert_eq!(status, 200);
    let metrics = String::from_utf8(metrics.to_vec()).unwrap();
    let invalid: Vec<_> = metrics.lines().filter(|line| line.starts_with("vm_rows_invalid_total")).collect();
    assert!(invalid.iter().all(|line| line.ends_with(" 0")), "{invalid:?}");
}
