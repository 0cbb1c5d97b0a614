//! Records of another cluster, behind the REST Gateway: by its OpenAPI description and its source, version 1.8 and later.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

use base64::prelude::{BASE64_URL_SAFE_NO_PAD, Engine as _};
use e2e::{
    Recipe,
    changes::{Bin, Change, last, ship},
    pretend::{Answer, Asked, Pretend},
};
use hyper::Method;
use serde_json::{Value, json};

use super::{changes, connector, letters, lock, query, unpacked};

/// A gateway and the cluster behind it.
#[derive(Debug, Default)]
struct Gateway {
    /// By digest: set and bins.
    records: BTreeMap<String, (String, Value)>,
    requests: usize,
    seen: BTreeMap<u16, usize>,
    complaints: Vec<String>,
}

impl Gateway {
    fn answer(&mut self, asked: &Asked) -> Answer {
        if asked.method == Method::GET {
            return (404, json!({"message": "Record not found", "inDoubt": false}));
        }
        let answer = if asked.header("authorization") == "Basic dTpw" {
            self.requests += 1;
            match self.requests % 23 {
                // The cluster is busy, or a node has just left.
                5 => (
                    500,
                    json!({"message": "Error -8: server is not available", "inDoubt": false, "internalErrorCode": -8}),
                ),
                _ => self.act(asked).unwrap_or_else(|complaint| {
                    self.complaints.push(complaint.clone());
                    (400, json!({"message": complaint, "inDoubt": false}))
                }),
            }
        } else {
            (401, json!({"message": "Invalid user"}))
        };
        *self.seen.entry(answer.0).or_default() += 1;
        answer
    }

    fn act(&mut self, asked: &Asked) -> Result<Answer, String> {
        let path: Vec<&str> = asked.uri.path().split('/').skip(1).collect();
        let ["v1", "kvs", "test", set, key] = path.as_slice() else {
            return Err(format!("no such path: {}", asked.uri));
        };
        let digest =
            BASE64_URL_SAFE_NO_PAD.decode(key).map_err(|_| format!("Unable to decode bytes: {key}"))?;
        if digest.len() != 20 {
            return Err(format!("Digest must be 20 bytes long: {key}"));
        }
        let digest: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
        let parameters: BTreeMap<String, String> = query(asked).into_iter().collect();
        if parameters.get("keytype").map(String::as_str) != Some("DIGEST") {
            return Err("Invalid keytype".to_owned());
        }
        if parameters.keys().any(|name| !["keytype", "recordExistsAction"].contains(&name.as_str())) {
            return Err(format!("parameters {parameters:?}"));
        }
        let not_found = (404, json!({"message": "Record not found", "inDoubt": false}));
        match asked.method {
            Method::PUT => {
                if asked.header("content-type") != "application/json" {
                    return Ok((415, Value::Null));
                }
                let replaces_only =
                    parameters.get("recordExistsAction").map(String::as_str) != Some("REPLACE");
                if replaces_only && !self.records.contains_key(&digest) {
                    return Ok(not_found);
                }
                let bins: Value =
                    serde_json::from_slice(&unpacked(asked)?).map_err(|error| error.to_string())?;
                let names = bins.as_object().ok_or("not a map of bins")?.keys();
                if names.clone().any(|name| name.len() > 15) {
                    return Ok((
                        400,
                        json!({"message": "Error 21: Bin name too long", "internalErrorCode": 21}),
                    ));
                }
                self.records.insert(digest, ((*set).to_owned(), bins));
                Ok((204, Value::Null))
            }
            Method::DELETE if asked.body.is_empty() => match self.records.remove(&digest) {
                Some(_) => Ok((204, Value::Null)),
                None => Ok(not_found),
            },
            _ => Err(format!("{} with {} bytes", asked.method, asked.body.len())),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn records_of_another_cluster() {
    let gateway = Arc::new(Mutex::new(Gateway::default()));
    let shared = Arc::clone(&gateway);
    let server = Pretend::answering(move |asked| lock(&shared).answer(asked)).await;
    let recipe = Recipe::of("aerospike-rest-gateway", "")
        .with("https://gateway.example.net:8080", &server.url())
        .with_file("gateway-authorization", "Basic dTpw\n");
    let connector = recipe.start(connector(), &[]).await;
    let mut changes = changes(250, 1_200);
    changes.extend((0..3).map(|key| Change {
        set: "orders",
        key: 1_000 + key,
        lut_unix_ms: 1_700_000_100_000,
        generation: 1,
        bins: Some(vec![("d", Bin::Double(0.1)), ("t", Bin::Text("\u{1f980}".to_owned()))]),
    }));
    let again = ship(connector.address(), &changes).await;
    let gateway = lock(&gateway);
    println!("{again} shipped again, {:?}", gateway.seen);
    assert_eq!(gateway.complaints, [""; 0]);
    let newest = last(&changes).into_values().filter(|change| change.bins.is_some());
    let wanted = newest.map(|change| (change.digest_hex(), ("orders".to_owned(), change.json())));
    assert_eq!(gateway.records, wanted.collect());
    assert_eq!(gateway.seen.keys().collect::<Vec<_>>(), [&204, &404, &500]);
    assert!(letters(&connector).1.is_empty());
}
