//! What became of the records of a simulated source: who shipped them, where each of them is now, and which of them could
//! never be processed.

use std::{
    collections::{BTreeMap, BTreeSet, HashSet},
    fs,
    time::Duration,
};

use esp_connector::simulator::{
    Settings, Simulation, Summary,
    workload::{Generator, Workload},
};
use serde_json::Value;

use crate::{ConnectorProcess, poison::is_poison};

/// What became of what was shipped.
#[derive(Debug)]
pub struct Shipped {
    records: u32,
    summary: Summary,
    /// How often each record is at the end.
    arrived: BTreeMap<u32, u32>,
    poison: BTreeSet<u32>,
    dead: BTreeSet<u32>,
    letters: usize,
}

impl Shipped {
    /// Ships `records` records until all of them are acknowledged.
    pub async fn ship(connector: &ConnectorProcess, records: u32) -> Summary {
        let workload = Workload { records, ..Workload::default() };
        let mut settings = Settings::new(connector.address().to_string(), workload);
        settings.deadline = Duration::from_secs(150);
        Simulation::new(settings, None).run().await
    }

    /// What became of them: `arrived` are the records at the end, in `flat-json`, as often as they are there; dead letters
    /// are in the connector's folder `letters`; `poison_per_mille` of a thousand could not be processed.
    pub fn new(
        connector: &ConnectorProcess,
        records: u32,
        poison_per_mille: u32,
        summary: Summary,
        arrived: impl IntoIterator<Item = Value>,
    ) -> Self {
        let generator = Generator::new(Workload { records, ..Workload::default() });
        let letters = dead_letters(connector);
        let mut times = BTreeMap::new();
        for record in arrived {
            *times.entry(record["id"].as_u64().unwrap() as u32).or_default() += 1;
        }
        let all = || 0..records;
        Self {
            records,
            summary,
            arrived: times,
            poison: all().filter(|&id| is_poison(&generator.digest(id), poison_per_mille)).collect(),
            dead: all().filter(|&id| letters.contains(&hex(&generator.digest(id)))).collect(),
            letters: letters.len(),
        }
    }

    /// Every record was acknowledged, and is at the end; or, when it is poison, among the dead letters.
    pub fn lost_nothing(&self) {
        assert!(self.summary.is_complete(), "{}", self.summary);
        assert_eq!(self.dead, self.poison, "the dead letters are those that cannot be processed");
        let arrived: HashSet<u32> = self.arrived.keys().copied().collect();
        let wanted = (0..self.records).filter(|id| !self.poison.contains(id));
        let lost: Vec<_> = wanted.filter(|id| !arrived.contains(id)).collect();
        assert!(lost.is_empty(), "acknowledged and not at the end: {lost:?}");
        assert_eq!(arrived.len() + self.poison.len(), self.records as usize, "nothing else is at the end");
    }

    /// How long it took.
    pub fn elapsed(&self) -> Duration {
        self.summary.elapsed
    }

    /// Arrivals that tell nothing new.
    pub fn duplicates(&self) -> u32 {
        self.arrived.values().map(|times| times - 1).sum()
    }

    /// One line of the account, for those who run it with `--nocapture`.
    pub fn tell(&self, name: &str, more: &str) {
        println!(
            "{name}: {} shipped, {} at the end, {} poison, {} dead letters, {} duplicates, {:.1} s, retries {:?}{more}",
            self.records,
            self.arrived.len(),
            self.poison.len(),
            self.letters,
            self.duplicates(),
            self.summary.elapsed.as_secs_f64(),
            self.summary.retried,
        );
    }
}

/// The digests of the dead letters, as often as they are there.
fn dead_letters(connector: &ConnectorProcess) -> Vec<String> {
    let files = connector.files("letters");
    let texts: Vec<_> = files.iter().map(|file| fs::read_to_string(file).unwrap()).collect();
    let lines = texts.iter().flat_map(|text| text.lines());
    let letters = lines.map(|line| serde_json::from_str::<Value>(line).unwrap());
    letters.map(|letter| letter["digest"].as_str().unwrap().to_owned()).collect()
}

fn hex(digest: &[u8]) -> String {
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}
