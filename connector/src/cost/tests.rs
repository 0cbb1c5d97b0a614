//! Whole estimates, from the file to the table.

use std::{fs, path::Path};

use clap::Parser;
use serde_json::Value;

use super::*;

#[derive(Parser)]
struct Command {
    #[command(flatten)]
    arguments: CostArgs,
}

/// What the command prints for a file with this text, with the options after it.
fn told(text: &str, options: &[&str]) -> Result<String, String> {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("config.yml");
    fs::write(&file, text).unwrap();
    let mut words = vec!["cost", "--config", file.to_str().unwrap()];
    words.extend(options);
    let arguments = Command::try_parse_from(words).map_err(|e| e.to_string())?.arguments;
    let mut out = Vec::new();
    let plain = |text: String| text.replace(&format!("{}/", folder.path().display()), "");
    run(&arguments, &mut out).map_err(|e| plain(e.to_string()))?;
    Ok(plain(String::from_utf8(out).unwrap()))
}

fn json(text: &str, options: &[&str]) -> Value {
    let options: Vec<&str> = options.iter().copied().chain(["--json"]).collect();
    serde_json::from_str(&told(text, &options).unwrap()).unwrap()
}

const USUAL: [&str; 4] = ["--rate", "1000", "--size", "1024"];

/// A route to one destination whose settings are `settings`.
fn one(settings: &str, batching: &str) -> String {
    format!(
        "destinations: {{d: {{{settings}}}}}\nformat: json\nrouting: {{mode: static, destination: d}}\n{batching}"
    )
}

const API: &str = "type: aws-api-gateway, urls: ['https://a.execute-api.us-east-1.amazonaws.com/x']";
const ALB: &str = "type: aws-alb, urls: ['https://records.example.net/']";
const LAMBDA: &str = "type: aws-lambda, function-name: orders";
const GOOGLE: &str = "type: gcp-functions, urls: ['https://orders-ab-ew.a.run.app/']";

/// By number of records: dollars for a million of them and a month, each way.
fn rows(estimate: &Value) -> Vec<(u64, Vec<(f64, f64)>)> {
    let dollars =
        |cost: &Value| (cost["per_million_records"].as_f64().unwrap(), cost["per_month"].as_f64().unwrap());
    let rows = estimate["routes"][0]["destinations"][0]["rows"].as_array().unwrap();
    rows.iter()
        .map(|row| {
            let costs = row["costs"].as_array().unwrap().iter().map(dollars).collect();
            (row["records_per_call"].as_u64().unwrap(), costs)
        })
        .collect()
}

#[test]
fn the_reference_comes_out_of_the_whole_command() {
    let batching = "batching: {max-records: 100}";
    let months = |settings: &str, records: u64| {
        let rows = rows(&json(&one(settings, batching), &USUAL));
        let (_, costs) = rows.into_iter().find(|(count, _)| *count == records).unwrap();
        costs.into_iter().map(|(_, month)| month.round()).collect::<Vec<_>>()
    };
    assert_eq!((months(API, 1), months(API, 100)), (vec![3333.0, 9903.0], vec![38.0, 103.0]));
    assert_eq!((months(ALB, 1), months(ALB, 100)), (vec![830.0], vec![62.0]));
    assert_eq!((months(LAMBDA, 1), months(LAMBDA, 100)), (vec![705.0], vec![11.0]));
    let url = API.replace("aws-api-gateway", "aws-function-url").replace("execute-api", "lambda-url");
    assert_eq!(months(&url, 100), [11.0]);
}

#[test]
fn a_table_for_a_terminal() {
    let out = told(&one(API, "batching: {max-records: 100}"), &USUAL).unwrap();
    let expected = "\
config.yml: 1000 records/s of 1024 bytes, 2,628 million a month of 730 hours
list prices in US dollars, first tier: AWS of 2026-11-21, Google of 2025
the function: 20 ms a call and 0.5 ms a record, 256 MB, arm64 (1 vCPU on Cloud Run); a guess until you measure yours

every record
  d (aws-api-gateway, prices of us-east-1)
                                                        HTTP API + Lambda             REST API + Lambda
    records a call  calls/s  at once  quota    a million records  a month    a million records  a month
                 1    1,000       21    100                $1.27   $3,333                $3.77   $9,903
                10      100        3     10               $0.128     $337               $0.378     $994
                40       25        1      3               $0.033   $87.60               $0.096     $252  <- at this rate: so \
         many gather while a call runs
               100       10        1      1               $0.014   $37.67               $0.039     $103  <- configured, and \
         not reached at this rate
               500     2.00        1      1               $0.004   $11.04               $0.009   $24.18

Not in these numbers:
";
    assert!(out.starts_with(expected), "{out}\nnot\n{expected}");
    assert!(out.contains("NAT gateways") && out.contains("Prices from:\n  API Gateway: https://"), "{out}");
}

#[test]
fn a_batch_is_split_where_it_does_not_fit() {
    let many = "batching: {max-records: 500, max-bytes: 100000000}";
    let twenty_kb = ["--rate", "1000", "--size", "20000"];
    // 500 records of 20 KB are 10 MB, and a call takes 4 MiB.
    let out = told(&one(LAMBDA, many), &twenty_kb).unwrap();
    let counts: Vec<u64> =
        rows(&json(&one(LAMBDA, many), &twenty_kb)).into_iter().map(|(count, _)| count).collect();
    assert_eq!(counts, [1, 10, 40, 100, 209], "{out}");
    assert!(out.contains("(more does not fit: the limit is 4194304 bytes"), "{out}");
    // What becomes base64 has three quarters of the room.
    let packed = one(LAMBDA, many).replace("format: json", "format: message-pack");
    assert_eq!(rows(&json(&packed, &twenty_kb)).last().unwrap().0, 157);
    let queued = one(&format!("{LAMBDA}, invocation-type: Event"), many);
    assert_eq!(rows(&json(&queued, &twenty_kb)).last().unwrap().0, 45);
    // And `batching.max-bytes` is a limit too, 1000000 by default.
    assert_eq!(rows(&json(&one(API, ""), &twenty_kb)).last().unwrap().0, 50);
    let own = one(&format!("{LAMBDA}, max-request-bytes: 300000"), many);
    assert_eq!(rows(&json(&own, &twenty_kb)).last().unwrap().0, 15);
}

#[test]
fn a_record_that_fits_nowhere_is_told() {
    let out = told(&one(LAMBDA, ""), &["--rate", "1", "--size", "5000000"]).unwrap();
    assert!(
        out.contains(
            "a record of 5000000 bytes is more than it takes, 4194304 bytes: such records are dead letters"
        ),
        "{out}"
    );
}

#[test]
fn what_stands_in_the_file_is_marked() {
    let unbatched = told(&one(LAMBDA, ""), &USUAL).unwrap();
    assert!(unbatched.contains("$705  <- configured, and reached at this rate\n"), "{unbatched}");
    let off = told(&one(LAMBDA, "batching: {enabled: false}"), &USUAL).unwrap();
    assert_eq!(unbatched, off);
    let busy =
        told(&one(LAMBDA, "batching: {max-records: 100}"), &["--rate", "50000", "--size", "1024"]).unwrap();
    assert!(busy.contains("<- configured, and reached at this rate\n"), "{busy}");
}

#[test]
fn a_load_balancer_costs_while_it_stands() {
    let out = told(&one(ALB, ""), &USUAL).unwrap();
    assert!(
        out.contains("    and $16.43 a month for the load balancer, whatever goes through it\n"),
        "{out}"
    );
}

#[test]
fn google_has_prices_and_plain_http_and_files_have_none() {
    let google = told(&one(GOOGLE, ""), &["--rate", "1000", "--size", "1024"]).unwrap();
    assert!(google.contains("d (gcp-functions, prices of tier 1)"), "{google}");
    // 0.4 + 20.5 ms of a processor and a quarter GiB.
    assert!(google.contains("$0.905"), "{google}");
    assert!(!google.contains("quota"), "{google}");
    for settings in ["urls: ['http://127.0.0.1:1/']", "type: file, path: /tmp/x"] {
        let out = told(&one(settings, ""), &USUAL).unwrap();
        assert!(out.contains("no price is known") && !out.contains("calls/s"), "{out}");
    }
}

#[test]
fn a_record_that_goes_to_several_costs_the_sum() {
    let text = format!(
        "destinations: {{a: {{{API}}}, b: {{{LAMBDA}}}, c: {{urls: ['http://127.0.0.1:1/']}}}}\nformat: json\n\
         routing: {{mode: static-multi-destination, destinations: [a, b, c]}}\n\
         namespaces: {{shop: {{sets: {{s: {{routing: {{mode: skip}}}}, t: {{}}, u: {{routing: {{mode: set, destinations: {{x: a}}, \
         default: b}}}}}}}}}}"
    );
    let out = told(&text, &USUAL).unwrap();
    assert!(
        out.contains(
            "to all of them, with what gathers, by an HTTP API: $1.54 a million records, $4,038 a month"
        ),
        "{out}"
    );
    // Two ways, and three kinds of record that go the first of them.
    assert!(
        out.contains("\nset shop.t, and 2 more kinds of record\n") && out.contains("\nset shop.u\n"),
        "{out}"
    );
    assert_eq!(out.matches("to all of them").count(), 1, "{out}");
}

#[test]
fn more_routes_than_anyone_reads_are_counted() {
    let sets: Vec<String> = (1..=30).map(|n| format!("s{n}: {{batching: {{max-records: {n}}}}}")).collect();
    let text = one(LAMBDA, &format!("namespaces: {{shop: {{sets: {{{}}}}}}}", sets.join(", ")));
    let out = told(&text, &USUAL).unwrap();
    assert!(out.contains("each route as if all records went that way\n"), "{out}");
    assert!(out.contains("\nand 12 more kinds of record that go other ways, not shown\n"), "{out}");
}

#[test]
fn regions_without_prices_are_told() {
    let german = one(&format!("{LAMBDA}, region: eu-central-1"), "");
    let out = told(&german, &USUAL).unwrap();
    assert!(out.contains("no prices of eu-central-1 are known; those of us-east-1 stand in"), "{out}");
    let asked: Vec<&str> = USUAL.into_iter().chain(["--region", "us-east-1"]).collect();
    assert!(!told(&german, &asked).unwrap().contains("stand in"));
    let wrong: Vec<&str> = USUAL.into_iter().chain(["--region", "mars-1"]).collect();
    assert_eq!(told(&german, &wrong).unwrap_err(), "no prices of mars-1 are known; known: us-east-1");
}

#[test]
fn the_guess_about_the_function_can_be_replaced() {
    let slow: Vec<&str> = USUAL
        .into_iter()
        .chain(["--ms-per-call", "200", "--ms-per-record", "0", "--memory-mb", "512"])
        .collect();
    let estimate = json(&one(LAMBDA, ""), &slow);
    let (per_million, _) = rows(&estimate)[0].1[0];
    assert!((per_million - (0.2 + 0.5 * 0.2 * 13.3334)).abs() < 1e-6, "{per_million}");
    assert_eq!(estimate["routes"][0]["destinations"][0]["rows"][0]["at_once"], 200.0);
    let intel: Vec<&str> = USUAL.into_iter().chain(["--architecture", "x86_64"]).collect();
    assert_eq!(json(&one(LAMBDA, ""), &intel)["function"]["architecture"], "x86_64");
}

#[test]
fn nonsense_is_refused() {
    for options in [
        ["--rate", "0", "--size", "1"],
        ["--rate", "-1", "--size", "1"],
        ["--rate", "NaN", "--size", "1"],
        ["--rate", "inf", "--size", "1"],
        ["--rate", "1", "--size", "0"],
        ["--rate", "1", "--size", "1e3"],
    ] {
        assert!(told(&one(LAMBDA, ""), &options).is_err(), "{options:?}");
    }
    assert!(told("destinations: {d: {}}", &USUAL).unwrap_err().contains("urls: required key is missing"));
    let nowhere = told("format: json", &USUAL).unwrap();
    assert!(nowhere.contains("No record goes anywhere."), "{nowhere}");
    // Numbers beyond reason stay numbers.
    told(&one(LAMBDA, "batching: {}"), &["--rate", "1e300", "--size", "1"]).unwrap();
    told(&one(LAMBDA, "batching: {}"), &["--rate", "1e-300", "--size", "134217728"]).unwrap();
}

#[test]
fn the_price_of_no_batches() {
    let of = |settings: &str| {
        let text = one(settings, "");
        let config = config::parse(&text, Path::new("")).unwrap().config;
        alone_and_by_hundred(&config.destinations["d"].target)
    };
    assert_eq!(of(API), Some(("$1.27".to_owned(), "$0.014".to_owned())));
    assert_eq!(of(LAMBDA), Some(("$0.268".to_owned(), "$0.004".to_owned())));
    assert_eq!(of("type: file, path: x"), None);
}
