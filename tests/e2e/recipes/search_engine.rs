//! An index of Elasticsearch or OpenSearch, as far as documents are written to it: `_bulk` and `_doc`, by the API
//! specification of Elasticsearch, with external versions, deletes that are remembered, and failures of single documents.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::Mutex,
};

use e2e::pretend::{Answer, Asked};
use hyper::Method;
use serde_json::{Value, json};

use super::{lock, query, unpacked};

/// The index `orders`, whose mapping says that `n` is an integer.
#[derive(Debug, Default)]
pub(super) struct SearchEngine {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Version and source of each document, or no source where it was deleted.
    documents: HashMap<String, (i64, Option<Value>)>,
    requests: usize,
    /// Writes that were turned away once.
    turned_away: HashSet<(String, i64)>,
    /// What came of single operations, for the test to see that all of it happened.
    seen: BTreeMap<&'static str, usize>,
    /// Requests that no real server would have understood.
    complaints: Vec<String>,
}

/// One operation.
struct Operation {
    action: &'static str,
    id: String,
    version: i64,
    source: Option<Value>,
}

impl SearchEngine {
    /// The documents that are there, by id.
    pub(super) fn documents(&self) -> BTreeMap<String, Value> {
        let state = lock(&self.state);
        let documents = state.documents.iter();
        documents.filter_map(|(id, (_, source))| Some((id.clone(), source.clone()?))).collect()
    }

    /// How often each kind of result was given.
    pub(super) fn seen(&self) -> BTreeMap<&'static str, usize> {
        lock(&self.state).seen.clone()
    }

    /// What was wrong with requests.
    pub(super) fn complaints(&self) -> Vec<String> {
        lock(&self.state).complaints.clone()
    }

    /// Answers a request whose sender is known already.
    pub(super) fn answer(&self, asked: &Asked) -> Answer {
        if asked.method == Method::GET && asked.uri.path() == "/" {
            return (200, json!({"tagline": "You Know, for Search"}));
        }
        let mut state = lock(&self.state);
        state.requests += 1;
        // The thread pool for writes is full.
        if state.requests % 9 == 3 {
            *state.seen.entry("busy").or_default() += 1;
            return (429, error("es_rejected_execution_exception", 429));
        }
        let path: Vec<&str> = asked.uri.path().split('/').skip(1).collect();
        let result = match (&asked.method, path.as_slice()) {
            (&Method::POST, ["_bulk"]) => state.bulk(asked),
            (&Method::PUT | &Method::DELETE, ["orders", "_doc", id]) => state.document(asked, id),
            _ => Err(format!("no handler found for uri [{}] and method [{}]", asked.uri, asked.method)),
        };
        result.unwrap_or_else(|complaint| {
            state.complaints.push(complaint);
            (400, error("illegal_argument_exception", 400))
        })
    }
}

fn error(kind: &str, status: u16) -> Value {
    json!({"error": {"type": kind, "reason": "the reason", "root_cause": []}, "status": status})
}

impl State {
    fn bulk(&mut self, asked: &Asked) -> Result<Answer, String> {
        let content_type = asked.header("content-type");
        if !["application/x-ndjson", "application/json"].contains(&content_type) {
            return Err(format!("Content-Type header [{content_type}] is not supported"));
        }
        let body = unpacked(asked)?;
        let text = String::from_utf8(body).map_err(|error| error.to_string())?;
        let Some(text) = text.strip_suffix('\n') else {
            return Err("The bulk request must be terminated by a newline [\\n]".to_owned());
        };
        let mut lines = text.split('\n');
        let mut items = Vec::new();
        let mut errors = false;
        while let Some(line) = lines.next() {
            let operation = read(line, &mut lines)?;
            let action = operation.action;
            let item = self.apply(operation);
            errors |= item.get("error").is_some();
            items.push(json!({action: item}));
        }
        Ok((200, filtered(json!({"took": 3, "errors": errors, "items": items}), asked)))
    }

    fn document(&mut self, asked: &Asked, id: &str) -> Result<Answer, String> {
        let action = if asked.method == Method::PUT { "index" } else { "delete" };
        let body = unpacked(asked)?;
        let source = match (action, body.as_slice()) {
            ("index", body) if asked.header("content-type") == "application/json" => {
                Some(serde_json::from_slice(body).map_err(|error| error.to_string())?)
            }
            ("delete", []) => None,
            _ => return Err("a body, or its type, that does not belong to the method".to_owned()),
        };
        let parameters = query(asked);
        let version = match parameters.as_slice() {
            [(one, version), (other, kind)]
                if one == "version" && other == "version_type" && kind == "external_gte" =>
            {
                version.parse().map_err(|_| format!("version {version}"))?
            }
            other => return Err(format!("parameters {other:?}")),
        };
        let item = self.apply(Operation { action, id: id.to_owned(), version, source });
        Ok((item["status"].as_u64().unwrap() as u16, item))
    }

    /// What becomes of one document, and the item that tells it.
    fn apply(&mut self, operation: Operation) -> Value {
        let Operation { action, id, version, source } = operation;
        let mut told = |what, status: u16, more: Value| {
            *self.seen.entry(what).or_default() += 1;
            let mut item = json!({"_index": "orders", "_id": id, "status": status});
            item.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            item
        };
        let fault = |kind: &str, reason: String| json!({"error": {"type": kind, "reason": reason, "index": "orders"}});
        // A shard that is busy for a moment.
        if version % 17 == 4 && self.turned_away.insert((id.clone(), version)) {
            return told(
                "turned away",
                429,
                fault("es_rejected_execution_exception", "rejected execution".to_owned()),
            );
        }
        if let Some(n) = source.as_ref().map(|source| &source["n"]).filter(|n| !n.is_i64()) {
            let reason = format!("[1:7] failed to parse field [n] of type [long], preview of value: {n}");
            return told("refused", 400, fault("document_parsing_exception", reason));
        }
        let current = self.documents.get(&id).map(|(current, _)| *current);
        if current.is_some_and(|current| version < current) {
            let reason = format!(
                "[{id}]: version conflict, current version is higher than the one provided [{version}]"
            );
            return told("conflict", 409, fault("version_conflict_engine_exception", reason));
        }
        let was_there = self.documents.get(&id).is_some_and(|(_, source)| source.is_some());
        self.documents.insert(id.clone(), (version, source));
        match (action, was_there) {
            ("delete", false) => told("not found", 404, json!({"result": "not_found", "_version": version})),
            ("delete", true) => told("deleted", 200, json!({"result": "deleted", "_version": version})),
            (_, true) => told("updated", 200, json!({"result": "updated", "_version": version})),
            (_, false) => told("created", 201, json!({"result": "created", "_version": version})),
        }
    }
}

/// An operation of `_bulk`: a line, and one more for what is indexed.
fn read<'a>(line: &str, lines: &mut impl Iterator<Item = &'a str>) -> Result<Operation, String> {
    let malformed = || format!("Malformed action/metadata line [{line}]");
    let object =
        |line: &str| serde_json::from_str::<serde_json::Map<String, Value>>(line).map_err(|_| malformed());
    let about = object(line)?;
    let (action, about) = about.iter().next().filter(|_| about.len() == 1).ok_or_else(malformed)?;
    let (action, source) = match action.as_str() {
        "index" => ("index", Some(Value::Object(object(lines.next().ok_or_else(malformed)?)?))),
        "delete" => ("delete", None),
        _ => return Err(malformed()),
    };
    if about["_index"] != "orders" || about["version_type"] != "external_gte" {
        return Err(malformed());
    }
    let id = about["_id"].as_str().filter(|id| (1..=512).contains(&id.len())).ok_or_else(malformed)?;
    let version = about["version"].as_i64().filter(|version| *version > 0).ok_or_else(malformed)?;
    Ok(Operation { action, id: id.to_owned(), version, source })
}

/// Only what `filter_path` asks for.
fn filtered(mut answer: Value, asked: &Asked) -> Value {
    let parameters = query(asked);
    let Some((_, wanted)) = parameters.iter().find(|(name, _)| name == "filter_path") else { return answer };
    let wanted: Vec<&str> = wanted.split(',').collect();
    let has =
        |path: &str| wanted.iter().any(|wanted| *wanted == path || path.starts_with(&format!("{wanted}.")));
    let top = answer.as_object_mut().unwrap();
    top.retain(|name, _| name == "items" || has(name));
    for item in top["items"].as_array_mut().unwrap() {
        let said = item.as_object_mut().unwrap().values_mut().next().unwrap().as_object_mut().unwrap();
        said.retain(|name, _| name == "error" || has(&format!("items.*.{name}")));
        if let Some(error) = said.get_mut("error") {
            error.as_object_mut().unwrap().retain(|name, _| has(&format!("items.*.error.{name}")));
        }
    }
    answer
}
