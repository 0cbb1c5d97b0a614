//! What `infra/terraform/README.md` says of costs is what `esp-connector cost` says.

use std::{fs, process::Command};

use e2e::repository;
use serde_json::Value;

/// The columns of the table: type of a destination, its settings, and which of the services that it may stand for.
const COLUMNS: [(&str, &str, usize); 5] = [
    ("aws-lambda", "function-name: orders", 0),
    ("aws-api-gateway", "urls: ['https://a.execute-api.us-east-1.amazonaws.com/orders']", 0),
    ("aws-api-gateway", "urls: ['https://a.execute-api.us-east-1.amazonaws.com/orders']", 1),
    ("aws-alb", "urls: ['https://records.example.net/orders']", 0),
    ("gcp-functions", "urls: ['https://orders-abcdefghij-ew.a.run.app/']", 0),
];

#[test]
fn the_costs_in_the_readme_are_those_that_the_connector_tells() {
    let readme = fs::read_to_string(repository().join("infra/terraform/README.md")).unwrap();
    let table = readme.split("<!-- cost -->\n").nth(1).unwrap().split("<!-- end -->").next().unwrap();
    let rows = table
        .lines()
        .skip(2)
        .map(|line| line.trim_matches('|').split('|').map(str::trim).collect::<Vec<_>>());
    let folder = tempfile::tempdir().unwrap();
    let told = COLUMNS.map(|(kind, settings, service)| {
        let config = folder.path().join("config.yml");
        let region = if kind.starts_with("aws") { ", region: us-east-1" } else { "" };
        let yaml = format!(
            "service: {{port: 8901}}\ndestinations: {{records: {{type: {kind}, {settings}{region}}}}}
format: json\nrouting: {{mode: static, destination: records}}\n"
        );
        fs::write(&config, yaml).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_connector-under-test"));
        let output =
            command.args(["cost", "--rate", "1000", "--size", "1024", "--json", "--config"]).arg(config);
        let output = output.output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        (serde_json::from_slice::<Value>(&output.stdout).unwrap(), service)
    });
    let mut compared = 0;
    for row in rows {
        for (written, (told, service)) in row[1..].iter().zip(&told) {
            let of_size = |told: &&Value| told["records_per_call"].as_u64() == row[0].parse().ok();
            let rows = told["routes"][0]["destinations"][0]["rows"].as_array().unwrap();
            let cost = &rows.iter().find(of_size).unwrap()["costs"][*service];
            let million = cost["per_million_records"].as_f64().unwrap();
            assert_eq!(*written, dollars(million), "{} records a call, {cost}", row[0]);
            compared += 1;
        }
    }
    assert_eq!(compared, 20, "four sizes, five services");
}

/// As `cost` prints them.
fn dollars(amount: f64) -> String {
    if amount < 1.0 { format!("${amount:.3}") } else { format!("${amount:.2}") }
}
