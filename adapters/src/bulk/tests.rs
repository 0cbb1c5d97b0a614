use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::{Report, status::Lists};

fn table(lists: Lists<'_>) -> StatusTable {
    StatusTable::new(lists).unwrap().for_items()
}

fn read_with(items: &Value, records: usize, lists: Lists<'_>) -> Answered {
    let body = json!({"took": 30, "errors": true, "items": items}).to_string();
    parse(body.as_bytes(), false, records, &table(lists))
}

fn read(items: &Value) -> Answered {
    read_with(items, items.as_array().map_or(0, Vec::len), Lists::default())
}

fn text(body: &str, records: usize) -> Answered {
    parse(body.as_bytes(), false, records, &table(Lists::default()))
}

fn is_nonsense(answered: &Answered) -> bool {
    matches!(answered, Answered::Nonsense(_))
}

fn done() -> Value {
    json!({"index": {"_index": "orders", "_id": "1", "_version": 1, "result": "created", "status": 201}})
}

fn fault(action: &str, status: u16, kind: &str) -> Value {
    json!({action: {"_id": "1", "status": status, "error": {"type": kind, "reason": "said why", "index": "orders"}}})
}

fn failure(index: usize, retryable: bool, cause: Cause, reason: &str) -> ItemFailure {
    ItemFailure { identifier: index.to_string(), retryable, cause, reason: Some(reason.to_owned()) }
}

/// What one item beside one that is done comes to.
fn beside(item: &Value) -> Option<(bool, Cause)> {
    match read(&json!([done(), item])) {
        Answered::AllDone => None,
        Answered::Except(failures) => {
            assert_eq!((failures.len(), failures[0].identifier.as_str()), (1, "1"));
            Some((failures[0].retryable, failures[0].cause))
        }
        other => panic!("{item}: {other:?}"),
    }
}

#[test]
fn each_item_is_judged_by_its_status_action_and_error() {
    let conflict = "version_conflict_engine_exception";
    for (item, expected) in [
        (json!({"index": {"status": 200}}), None),
        (json!({"create": {"status": 201, "error": null}}), None),
        (json!({"delete": {"status": 200, "result": "deleted"}}), None),
        // It is gone already.
        (json!({"delete": {"status": 404, "result": "not_found"}}), None),
        // But an index that is not there is another thing, and only deletes may miss what they are about.
        (fault("delete", 404, "index_not_found_exception"), Some((true, Cause::Status(404)))),
        (fault("index", 404, "index_not_found_exception"), Some((true, Cause::Status(404)))),
        (fault("update", 404, "document_missing_exception"), Some((true, Cause::Status(404)))),
        (json!({"index": {"status": 404}}), Some((true, Cause::Status(404)))),
        // As new a version is there.
        (fault("index", 409, conflict), None),
        (fault("create", 409, conflict), None),
        (fault("delete", 409, conflict), None),
        (fault("update", 409, conflict), Some((true, Cause::Status(409)))),
        (fault("index", 409, "something_else"), Some((true, Cause::Status(409)))),
        (json!({"index": {"status": 409}}), Some((true, Cause::Status(409)))),
        (fault("index", 429, "es_rejected_execution_exception"), Some((true, Cause::Overloaded))),
        (fault("index", 503, "unavailable_shards_exception"), Some((true, Cause::Overloaded))),
        (fault("index", 500, "internal"), Some((true, Cause::Status(500)))),
        (fault("index", 403, "cluster_block_exception"), Some((true, Cause::Status(403)))),
        (fault("index", 400, "document_parsing_exception"), Some((false, Cause::Status(400)))),
        (fault("index", 413, "too_large"), Some((false, Cause::TooLarge))),
        (fault("index", 302, "nobody knows"), Some((true, Cause::Status(302)))),
        (fault("index", 700, "nobody knows"), Some((true, Cause::Status(700)))),
    ] {
        assert_eq!(beside(&item), expected, "{item}");
    }
}

#[test]
fn records_are_named_by_their_place_and_keep_the_words() {
    let items = json!([
        done(),
        fault("index", 400, "mapper_parsing_exception"),
        done(),
        {"index": {"status": 429, "error": "RemoteTransportException[node]"}},
        {"index": {"status": 500, "error": {"caused_by": {"type": "x", "reason": "y"}, "type": "t", "reason": null}}},
    ]);
    let refused = failure(1, false, Cause::Status(400), "mapper_parsing_exception: said why");
    let busy = failure(3, true, Cause::Overloaded, "RemoteTransportException[node]");
    let failed = failure(4, true, Cause::Status(500), "t");
    let answered = read(&items);
    assert_eq!(answered, Answered::Except(vec![refused.clone(), busy.clone(), failed.clone()]));
    assert_eq!(answered.into_report(Some(200)), Report::partial(Some(200), vec![refused, busy, failed]));
}

#[test]
fn what_all_failed_of_alike_is_about_the_peer() {
    let busy = fault("index", 429, "es_rejected_execution_exception");
    for (item, class, cause) in [
        (busy.clone(), Class::Throttled, Cause::Overloaded),
        (fault("delete", 404, "index_not_found_exception"), Class::Hold, Cause::Status(404)),
        (fault("index", 403, "security_exception"), Class::Hold, Cause::Status(403)),
        (fault("index", 401, "security_exception"), Class::Credentials, Cause::Unauthorized),
        (fault("index", 503, "unavailable_shards_exception"), Class::Transient, Cause::Overloaded),
        // In halves, until each is alone with what it is refused for.
        (fault("index", 400, "strict_dynamic_mapping_exception"), Class::Record, Cause::Status(400)),
    ] {
        assert_eq!(read(&json!([item, item])), Answered::Alike(class, cause), "{item}");
    }
    assert_eq!(read(&json!([busy])), Answered::Alike(Class::Throttled, Cause::Overloaded));
    let refused = fault("index", 400, "document_parsing_exception");
    let alone = failure(0, false, Cause::Status(400), "document_parsing_exception: said why");
    assert_eq!(read(&json!([refused])), Answered::Except(vec![alone]));
    let Answered::Except(mixed) = read(&json!([refused, busy])) else { panic!() };
    assert_eq!(mixed.len(), 2);
}

#[test]
fn lists_of_the_operator_are_about_items_too_but_what_is_a_success() {
    let items = |status, kind| json!([done(), fault("index", status, kind)]);
    let first = |answered| match answered {
        Answered::Except(failures) => failures[0].retryable,
        other => panic!("{other:?}"),
    };
    let conflict = items(409, "version_conflict_engine_exception");
    assert!(first(read_with(&conflict, 2, Lists { retry_on: &[409], ..Lists::default() })));
    assert!(!first(read_with(&conflict, 2, Lists { reject_on: &[409], ..Lists::default() })));
    assert!(first(read_with(&items(400, "x"), 2, Lists { retry_on: &[400], ..Lists::default() })));
    assert!(!first(read_with(&items(404, "x"), 2, Lists { permanent: &[404], ..Lists::default() })));
    // Meant for requests: an index that is not there has not taken the record.
    let lists = Lists { success: &[200, 404], ..Lists::default() };
    assert!(first(read_with(&items(404, "index_not_found_exception"), 2, lists)));
}

#[test]
fn an_answer_about_other_records_tells_of_none() {
    for items in [json!([]), json!([done()]), json!([done(), done(), done()]), json!(null), json!({})] {
        let answered = read_with(&items, 2, Lists::default());
        assert!(is_nonsense(&answered), "{items}: {answered:?}");
    }
    for body in [
        "",
        "ok",
        "{}",
        "[]",
        "null",
        r#"{"errors":false}"#,
        r#"{"took":1,"errors":false,"items":7}"#,
        r#"{"items":[{"index":{"status":200}}],"items":[{"index":{"status":200}}]}"#,
        r#"{"items":[{"index":{"status":200}}]}x"#,
        r#"{"items":[{}]}"#,
        r#"{"items":[{"index":{}}]}"#,
        r#"{"items":[{"index":{"status":null}}]}"#,
        r#"{"items":[{"index":{"status":"200"}}]}"#,
        r#"{"items":[{"index":{"status":-1}}]}"#,
        r#"{"items":[{"index":{"status":70000}}]}"#,
        r#"{"items":[{"index":{"status":200,"status":200}}]}"#,
        r#"{"items":[{"index":{"status":200,"error":{"type":"x"}}}]}"#,
        r#"{"items":[{"index":{"status":200,"error":7}}]}"#,
        r#"{"items":[{"noop":{"status":200}}]}"#,
        r#"{"items":[{"index":{"status":200},"delete":{"status":200}}]}"#,
        r#"{"items":[200]}"#,
        r#"{"error":{"type":"x"},"status":400}"#,
    ] {
        assert!(is_nonsense(&text(body, 1)), "{body}: {:?}", text(body, 1));
    }
    assert_eq!(text(r#"{"items":[{"index":{"status":200}}]}"#, 1), Answered::AllDone);
}

#[test]
fn an_answer_that_was_cut_short_is_never_a_success() {
    let items = json!([done(), {"delete": {"status": 404}}, fault("index", 400, "é")]);
    let body = json!({"items": items, "took": 3}).to_string();
    assert!(matches!(text(&body, 3), Answered::Except(_)));
    for end in 0..body.len() {
        let cut = &body.as_bytes()[..end];
        assert!(is_nonsense(&parse(cut, false, 3, &table(Lists::default()))), "{end}");
    }
    assert!(is_nonsense(&parse(body.as_bytes(), true, 3, &table(Lists::default()))));
}

#[test]
fn what_is_kept_is_bounded() {
    let million = vec![r#"{"index":{"status":500}}"#; 1_000_000].join(",");
    assert!(is_nonsense(&text(&format!("{{\"items\":[{million}]}}"), 1000)));
    let long = format!(
        r#"{{"items":[{{"index":{{"status":400,"error":{{"type":"t","reason":"{}"}}}}}}]}}"#,
        "é".repeat(5000)
    );
    let Answered::Except(failures) = text(&long, 1) else { panic!() };
    assert_eq!(failures[0].reason.as_ref().unwrap().len(), 1023, "cut between characters");
    for open in ["[", r#"{"a":"#, r#"{"items":"#, r#"{"items":[{"index":{"error":{"type":"#] {
        assert!(is_nonsense(&text(&format!("{{\"items\":{}", open.repeat(200_000)), 1)));
    }
    assert_eq!(answer_bytes_max(1), 64 * 1024);
    assert_eq!(answer_bytes_max(1000), 2_048_000);
    assert_eq!(answer_bytes_max(usize::MAX), 8 * 1024 * 1024);
}

fn any_item() -> impl Strategy<Value = Value> {
    let action = prop::sample::select(vec!["index", "create", "update", "delete", "noop"]);
    let status =
        prop_oneof![prop::sample::select(vec![200_u32, 201, 400, 404, 409, 429, 500, 503]), any::<u32>(),];
    let error = prop_oneof![
        Just(None),
        Just(Some(Value::Null)),
        any::<u8>().prop_map(|n| Some(n.into())),
        ".{0,20}".prop_map(|text| Some(text.into())),
        ".{0,20}".prop_map(|text| Some(json!({"type": text, "reason": [text]}))),
        Just(Some(json!({"type": "version_conflict_engine_exception"}))),
    ];
    (action, status, error).prop_map(|(action, status, error)| {
        let mut said = json!({"status": status});
        if let Some(error) = error {
            said["error"] = error;
        }
        json!({action: said})
    })
}

proptest! {
    #[test]
    fn whatever_comes_is_read_or_doubted_and_never_panics(body in prop::collection::vec(any::<u8>(), 0..300)) {
        let answered = parse(&body, false, 3, &table(Lists::default()));
        prop_assert!(is_nonsense(&answered), "{answered:?}");
    }

    /// A record that is not named is one that the answer says is done.
    #[test]
    fn only_what_is_said_to_be_done_is_done(items in prop::collection::vec(any_item(), 1..6)) {
        let failed = match read(&json!(items)) {
            Answered::AllDone => vec![],
            Answered::Except(failures) => failures.into_iter().map(|failure| failure.identifier).collect(),
            Answered::Alike(..) | Answered::Nonsense(_) => return Ok(()),
        };
        for (index, item) in items.iter().enumerate() {
            let (action, said) = item.as_object().unwrap().iter().next().unwrap();
            let status = said["status"].as_u64().unwrap();
            let done = (200..300).contains(&status)
                || status == 404 && action == "delete"
                || status == 409 && said["error"]["type"] == "version_conflict_engine_exception";
            prop_assert!(done || failed.contains(&index.to_string()), "{item}");
        }
    }
}
