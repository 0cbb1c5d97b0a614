//! Records as `flat-json`, for comparing what a source shipped with what is at the end.

use std::{collections::BTreeMap, io::Read as _};

use esp_connector::{
    config::{DurableMember, Format, JsonRules},
    encode::Encoder,
    simulator::workload::{Generator, Workload},
    wire::message,
};
use notification::{Decoder, Invocation};
use serde_json::Value;

use crate::fixtures;

/// What a simulated source with `workload` ships, as the library of the example functions writes it, by digest: made from its
/// frames, whatever became of them. For workloads that change each record once.
pub fn shipped(workload: Workload) -> BTreeMap<String, Value> {
    let metadata_key = "_meta".to_owned();
    let format =
        Format::FlatJson { metadata_key, durable: DurableMember::WhenTrue, rules: JsonRules::default() };
    let (encoder, decoder) = (Encoder::new(format).unwrap(), Decoder::new());
    let generator = Generator::new(workload);
    let mut shipped = BTreeMap::new();
    for id in 0..generator.records() {
        let (mut frame, mut piece) = (Vec::new(), Vec::new());
        generator.encode(id, 1, generator.digest(id), &mut frame);
        for body in fixtures::bodies(&frame) {
            let decoded = message::decode(&body, 0).unwrap();
            encoder.encode(&decoded.notification, &mut piece).unwrap();
        }
        let request = Invocation::from_http([("content-type", "application/json")], piece);
        for entry in decoder.decode(request).unwrap().entries() {
            let record = serde_json::to_value(entry.notification.flat_json("_meta")).unwrap();
            shipped.insert(digest(&record), record);
        }
    }
    shipped
}

/// The records in an object of an archive: gzip over a line for each of them.
pub fn archived(object: &[u8]) -> Vec<Value> {
    let mut text = String::new();
    flate2::read::GzDecoder::new(object).read_to_string(&mut text).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// The digest of a record.
pub fn digest(record: &Value) -> String {
    record["_meta"]["digest"].as_str().unwrap_or_else(|| panic!("no digest in {record}")).to_owned()
}
