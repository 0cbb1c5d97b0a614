//! Google's functions framework, and the CloudEvents SDK in it, take what the connector sends as events.

use std::{
    collections::BTreeSet,
    fs,
    io::{BufRead as _, BufReader},
    process::{Command, Stdio},
};

use e2e::{Ack, ConnectorProcess, XdrClient, delete, repository, version};
use esp_connector::simulator::particle::Particle;
use serde_json::Value;

use crate::{
    issuer::{Running, piped},
    python,
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_sdk_reads_both_modes_and_an_event_keeps_its_id() {
    let Some(python) = python::with_google() else { return };
    let folder = tempfile::tempdir().unwrap();
    let taken = folder.path().join("taken");
    let mut function = Command::new(python.with_file_name("functions-framework"));
    function.args([
        "--target",
        "events",
        "--signature-type",
        "cloudevent",
        "--host",
        "127.0.0.1",
        "--port",
        "0",
        "--source",
    ]);
    function.arg(repository().join("tests/google/events.py"));
    function.env("TAKEN", &taken).env("GUNICORN_LOG_LEVEL", "info").env("WORKERS", "1");
    let mut function = piped(&mut function).stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(function.stderr.take().unwrap()).lines().map(Result::unwrap);
    let address =
        lines.find_map(|line| Some(line.split_once("Listening at: ")?.1.split(' ').next()?.to_owned()));
    let address = address.expect("the functions framework starts");
    std::thread::spawn(move || lines.for_each(drop));
    let _function = Running(function);

    for mode in ["structured", "binary"] {
        let config = format!(
            "destinations: {{f: {{urls: ['{address}/'], protocol: HTTP_1_1, call-timeout: 20000, health-check: {{enabled: false}}}}}}
routing: {{mode: static, destination: f}}
format:
  mode: cloudevents
  content-mode: {mode}
  source: /{mode}/{{{{ namespace }}}}
  subject: 'caf\u{e9} \"{{{{ key }}}}\" 100%'
  data: flat-json
"
        );
        let program = Command::new(env!("CARGO_BIN_EXE_connector-under-test"));
        let connector = ConnectorProcess::start(program, &config, &[]).await;
        let mut source = XdrClient::connect(connector.address()).await.unwrap();
        let bins = [("name", Particle::String("\u{fc}ber".as_bytes()))];
        // The first one is shipped twice, as after an answer that was lost.
        let write = version("orders", 17, 1_767_225_600_123, &bins);
        for message in [&write, &write, &delete("orders", 18)] {
            source.send(message).await.unwrap();
            assert_eq!(source.ack().await.unwrap(), Ack::OK);
        }
        connector.stop().await;
    }

    let taken = fs::read_to_string(&taken).unwrap();
    let events: Vec<Value> = taken.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(events.len(), 6);
    for (mode, events) in ["structured", "binary"].iter().zip(events.chunks(3)) {
        let [first, again, deleted] = events else { unreachable!() };
        assert_eq!(first, again);
        assert_eq!(first["source"], format!("/{mode}/test"));
        assert_eq!(first["type"], "aerospike.record.write");
        assert_eq!(first["specversion"], "1.0");
        assert_eq!(first["data"]["name"], "\u{fc}ber");
        assert_eq!(first["data"]["metadata"]["userKey"], 17);
        assert_eq!(first["time"].as_str().map(|time| &time[..19]), Some("2026-01-01T00:00:00"));
        assert_eq!(deleted["type"], "aerospike.record.delete");
        // The SDK for Python does not decode what the HTTP binding has it decode.
        let subject = first["subject"].as_str().unwrap();
        assert!(["caf\u{e9} \"17\" 100%", "caf%C3%A9%20%2217%22%20100%25"].contains(&subject), "{subject}");
    }
    let ids: BTreeSet<&str> = events.iter().map(|event| event["id"].as_str().unwrap()).collect();
    assert_eq!(ids.len(), 2, "one for each change, whatever the mode: {ids:?}");
}
