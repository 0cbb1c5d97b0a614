//! The bulk API: a line or two for each record, and what became of each. Pure.

use notification::{Entry, Failure};
use serde_json::{Value, json};

pub(crate) const CONTENT_TYPE: &str = "application/x-ndjson";

/// The body of a request. Documents are named by digest; versions are last-update times.
pub(crate) fn request(entries: &[&Entry], index: &str) -> Result<Vec<u8>, serde_json::Error> {
    let mut body = Vec::new();
    for Entry { notification, .. } in entries {
        let mut about = json!({"_index": index, "_id": notification.key.digest.to_string()});
        if let Some(lut) = notification.lut_unix_ms {
            about["version"] = json!(lut);
            // Two updates within a millisecond have one last-update time: the same version may come again.
            about["version_type"] = json!("external_gte");
        }
        let action =
            if notification.is_delete() { json!({"delete": about}) } else { json!({"index": about}) };
        serde_json::to_writer(&mut body, &action)?;
        body.push(b'\n');
        if !notification.is_delete() {
            serde_json::to_writer(&mut body, &notification.flat_json("aerospike"))?;
            body.push(b'\n');
        }
    }
    Ok(body)
}

/// The records that OpenSearch did not take: its items stand in the order of the request.
pub(crate) fn failures(entries: &[&Entry], answer: &Value) -> Result<Vec<(usize, Failure)>, Failure> {
    let items = answer["items"].as_array().filter(|items| items.len() == entries.len());
    let items =
        items.ok_or_else(|| Failure::retry("OpenSearch answered about other records than were sent"))?;
    let failures = entries.iter().zip(items).filter_map(|(entry, item)| {
        let (action, outcome) = item.as_object()?.iter().next()?;
        let status = outcome["status"].as_u64().unwrap_or_default();
        let reason =
            format!("OpenSearch: {status} {}", outcome["error"]["type"].as_str().unwrap_or_default());
        match (status, action.as_str()) {
            (200..=299, _) => None,
            // It is gone already; or a newer version is there.
            (404, "delete") if outcome["error"].is_null() => None,
            (409, _) => None,
            // Does not fit the mapping, and will not when it is sent again.
            (400, _) => Some((entry.position, Failure::never(reason))),
            _ => Some((entry.position, Failure::retry(reason))),
        }
    });
    Ok(failures.collect())
}

#[cfg(test)]
mod tests {
    use notification::{Decoder, Invocation};

    use super::*;

    #[test]
    fn items_are_judged_one_by_one() {
        let record = |digest: u8, msg: &str| {
            let digest = notification::Digest([digest; 20]).to_base64();
            json!({"_meta": {"namespace": "shop", "digest": digest, "msg": msg, "lut": 5}, "n": 1})
        };
        let records: Vec<_> = (0..7).map(|at| record(at, if at < 2 { "delete" } else { "write" })).collect();
        let body = serde_json::to_vec(&records).unwrap();
        let batch = Decoder::new().decode(Invocation::from_http([], body)).unwrap();
        let entries: Vec<_> = batch.entries().iter().collect();
        let written = String::from_utf8(request(&entries, "orders").unwrap()).unwrap();
        let lines: Vec<Value> = written.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(lines.len(), 2 + 2 * 5);
        let about =
            json!({"_index": "orders", "_id": "00".repeat(20), "version": 5, "version_type": "external_gte"});
        assert_eq!(lines[0], json!({"delete": about}));
        assert_eq!((&lines[3]["n"], &lines[3]["aerospike"]["msg"]), (&json!(1), &json!("write")));
        let answer = json!({"errors": true, "items": [
            {"delete": {"status": 404, "result": "not_found"}},
            {"delete": {"status": 404, "error": {"type": "index_not_found_exception"}}},
            {"index": {"status": 201}},
            {"index": {"status": 409, "error": {"type": "version_conflict_engine_exception"}}},
            {"index": {"status": 400, "error": {"type": "mapper_parsing_exception", "reason": "hunter2"}}},
            {"index": {"status": 429, "error": {"type": "rejected_execution_exception"}}},
            {"index": {}},
        ]});
        assert_eq!(
            failures(&entries, &answer).unwrap(),
            [
                (1, Failure::retry("OpenSearch: 404 index_not_found_exception")),
                (4, Failure::never("OpenSearch: 400 mapper_parsing_exception")),
                (5, Failure::retry("OpenSearch: 429 rejected_execution_exception")),
                (6, Failure::retry("OpenSearch: 0 ")),
            ]
        );
        assert!(failures(&entries, &json!({"items": []})).is_err());
    }
}
