//! A bucket of Cloud Storage, which is not to be had here: uploads by the JSON API, as media or as multipart, on the condition
//! of a generation or without one.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, Condvar, Mutex},
};

use e2e::{
    pretend::{Answer, Asked, Pretend},
    records::archived,
};
use reqwest::Url;
use serde_json::{Value, json};
use tokio::sync::Notify;

/// The bucket `archive`. Ends when dropped.
pub(crate) struct Bucket {
    inside: Arc<Mutex<Inside>>,
    service: Pretend,
}

#[derive(Default)]
struct Inside {
    objects: BTreeMap<String, Object>,
    uploads: u64,
    faults: VecDeque<Fault>,
    /// What `Authorization` has to be, where it has to be something.
    authorization: Option<String>,
    held: Option<Arc<Held>>,
}

/// Uploads that wait.
#[derive(Default)]
pub(crate) struct Held {
    asked: Notify,
    released: Mutex<bool>,
    changed: Condvar,
}

impl Held {
    /// Once there is one.
    pub(crate) async fn asked(&self) {
        self.asked.notified().await;
    }

    /// Lets all go on.
    pub(crate) fn release(&self) {
        *self.released.lock().unwrap() = true;
        self.changed.notify_all();
    }

    fn wait(&self) {
        self.asked.notify_one();
        let released = self.released.lock().unwrap();
        tokio::task::block_in_place(|| drop(self.changed.wait_while(released, |released| !*released)));
    }
}

struct Object {
    generation: u64,
    content: Vec<u8>,
}

/// What becomes of an upload that nothing is wrong with.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Fault {
    /// It is answered with this status, and nothing is there.
    Refused(u16),
    /// The object is there, but the answer has this status: as when it is lost on the way.
    Unheard(u16),
}

impl Bucket {
    pub(crate) async fn start() -> Self {
        let inside = Arc::<Mutex<Inside>>::default();
        let of_service = Arc::clone(&inside);
        let service = Pretend::answering(move |asked| {
            let held = of_service.lock().unwrap().held.clone();
            if let Some(held) = held {
                held.wait();
            }
            of_service.lock().unwrap().answer(asked)
        });
        let service = service.await;
        Self { inside, service }
    }

    /// `http://HOST:PORT`.
    pub(crate) fn url(&self) -> String {
        self.service.url()
    }

    /// What becomes of the next uploads, one after the other.
    pub(crate) fn fail(&self, faults: impl IntoIterator<Item = Fault>) {
        self.inside.lock().unwrap().faults.extend(faults);
    }

    /// From now on only those are heard who send this in `Authorization`.
    pub(crate) fn hears_only(&self, authorization: &str) {
        self.inside.lock().unwrap().authorization = Some(authorization.to_owned());
    }

    /// From now on uploads wait for an answer.
    pub(crate) fn hold(&self) -> Arc<Held> {
        let held = Arc::<Held>::default();
        self.inside.lock().unwrap().held = Some(Arc::clone(&held));
        held
    }

    /// How many uploads were asked for.
    pub(crate) fn uploads(&self) -> u64 {
        self.inside.lock().unwrap().uploads
    }

    /// The records in each object.
    pub(crate) fn records(&self) -> BTreeMap<String, Vec<Value>> {
        let inside = self.inside.lock().unwrap();
        inside.objects.iter().map(|(name, object)| (name.clone(), archived(&object.content))).collect()
    }
}

impl Inside {
    fn answer(&mut self, asked: &Asked) -> Answer {
        // As for `roles/storage.objectCreator`, which may upload and nothing else: Google's own client for Python also asks what
        // bucket it is.
        if (asked.method.as_str(), asked.uri.path()) != ("POST", "/upload/storage/v1/b/archive/o") {
            return error(403, "no");
        }
        self.uploads += 1;
        if self.authorization.as_ref().is_some_and(|wanted| asked.header("authorization") != wanted) {
            return error(401, "Invalid Credentials");
        }
        let fault = self.faults.pop_front();
        if let Some(Fault::Refused(status)) = fault {
            return error(status, "no");
        }
        let url = Url::parse(&format!("http://storage{}", asked.uri)).unwrap();
        let query: BTreeMap<String, String> = url.query_pairs().into_owned().collect();
        let (name, content) = match query["uploadType"].as_str() {
            "media" => (query["name"].clone(), asked.body.to_vec()),
            "multipart" => multipart(asked),
            other => panic!("uploadType={other}"),
        };
        let generation = self.objects.get(&name).map_or(0, |object| object.generation);
        let wanted = query.get("ifGenerationMatch").map(|wanted| wanted.parse::<u64>().unwrap());
        if wanted.is_some_and(|wanted| wanted != generation) {
            return error(412, "conditionNotMet");
        }
        // To write over an object is to delete it, which that role may not.
        if generation > 0 {
            return error(403, "storage.objects.delete");
        }
        let generation = generation + 1;
        self.objects.insert(name.clone(), Object { generation, content });
        match fault {
            Some(Fault::Unheard(status)) => error(status, "no"),
            _ => {
                let about = json!({"kind": "storage#object", "name": name, "bucket": "archive", "generation": generation.to_string()});
                (200, about)
            }
        }
    }
}

fn error(status: u16, message: &str) -> Answer {
    (status, json!({"error": {"code": status, "message": message}}))
}

/// Name and content: metadata and media in one body.
fn multipart(asked: &Asked) -> (String, Vec<u8>) {
    let boundary = asked.header("content-type").split("boundary=").nth(1).unwrap().trim_matches(['"', '\'']);
    let parts = split(&asked.body, format!("--{boundary}").as_bytes());
    let content = |part: &[u8]| {
        let start = part.windows(4).position(|window| window == b"\r\n\r\n").unwrap() + 4;
        part[start..part.len() - 2].to_vec()
    };
    let about: Value = serde_json::from_slice(&content(parts[1])).unwrap();
    (about["name"].as_str().unwrap().to_owned(), content(parts[2]))
}

fn split<'a>(body: &'a [u8], by: &[u8]) -> Vec<&'a [u8]> {
    let mut parts = Vec::new();
    let mut rest = body;
    while let Some(at) = rest.windows(by.len()).position(|window| window == by) {
        parts.push(&rest[..at]);
        rest = &rest[at + by.len()..];
    }
    parts.push(rest);
    parts
}
