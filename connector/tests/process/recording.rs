//! `run --record`, and what `decode` makes of it.

use std::{fs, os::unix::fs::PermissionsExt};

use esp_connector::simulator::particle::Particle;
use serde_json::Value;

use crate::{
    harness::{Folder, Process, binary, command, service},
    receiver::Receiver,
    xdr_client::{Ack, XdrClient, info_request, write},
};

#[tokio::test(flavor = "multi_thread")]
async fn a_recording_shows_both_directions_and_only_to_its_owner() {
    let receiver = Receiver::start().await;
    let config = format!(
        "{}destinations: {{receiver: {{urls: ['{}'], protocol: HTTP_1_1}}}}
format: json
routing: {{mode: static, destination: receiver}}
",
        service(""),
        receiver.url("/")
    );
    let folder = Folder::with(&config);
    let recordings = folder.path().join("recordings");
    let mut run = binary();
    run.args(["run", "--config"]).arg(folder.config()).arg("--record").arg(&recordings);
    let mut process = Process::start(&mut run);
    let address = process.address("listening for XDR").await;
    let mut source = XdrClient::connect(address).await.unwrap();
    source.send(&info_request("build")).await.unwrap();
    let answer = source.answer().await.unwrap();
    assert!(answer.starts_with(b"build\t"));
    source.send(&write("demo", 7, &[("s", Particle::String(b"kept"))])).await.unwrap();
    assert_eq!(source.ack().await.unwrap(), Ack::OK);
    drop(source);
    process.terminate();
    let (status, printed) = process.end_and_printed().await;
    assert_eq!(status.code(), Some(0), "{printed}");

    let files: Vec<_> = fs::read_dir(&recordings).unwrap().map(|entry| entry.unwrap().path()).collect();
    let [file] = &*files else { panic!("one file, not {files:?}") };
    assert_eq!(fs::metadata(file).unwrap().permissions().mode() & 0o777, 0o600);
    let decoded = command(["decode".as_ref(), file.as_os_str()]);
    assert_eq!(decoded.status.code(), Some(0), "{decoded:?}");
    let lines = str::from_utf8(&decoded.stdout).unwrap().lines();
    let frames: Vec<Value> = lines.map(|line| serde_json::from_str(line).unwrap()).collect();
    let find = |direction: &str, kind: &str| {
        let is = |frame: &&Value| frame["direction"] == direction && frame["kind"] == kind;
        frames.iter().find(is).unwrap_or_else(|| panic!("no {direction} {kind} in {frames:#?}"))
    };
    assert_eq!(find("from-peer", "info_request")["lines"][0], "build");
    assert_eq!(find("to-peer", "info_response")["lines"][0][0], "build");
    let record = find("from-peer", "as_msg");
    assert_eq!(record["record"]["user_key"]["value"], 7);
    assert_eq!(record["ops"][0]["value"]["value"], "kept");
    assert_eq!(find("to-peer", "as_msg")["result"], "ok");
}
