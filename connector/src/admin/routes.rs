//! From a request to its answer.

use std::{collections::BTreeMap, time::Duration};

use bytes::Bytes;
use http::{
    HeaderMap, HeaderValue, Method, Request, Response, StatusCode,
    header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, HOST, HeaderName, ORIGIN},
};
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::body::Body;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::time::{Instant, timeout};

use super::{
    json, prometheus,
    view::{Readiness, View},
};
use crate::{config::Problems, logging::LogHandle, reload::Refusal};

type Answer = Response<Full<Bytes>>;

/// Answers one request. Every path there is stands in [`PATHS`].
pub(crate) async fn answer<B>(request: Request<B>, view: &View) -> Answer
where
    B: Body<Data: Send, Error: Into<Box<dyn std::error::Error + Send + Sync>>>,
{
    let path = request.uri().path();
    let Some((_, known)) = PATHS.iter().find(|(known, _)| *known == path) else {
        return json(StatusCode::NOT_FOUND, &json!({ "error": "no such path", "paths": paths() }));
    };
    let changes = matches!(*request.method(), Method::PUT | Method::POST);
    match (known, changes) {
        (Known::Logging, true) => set_levels(request.into_body(), &view.logs).await,
        (Known::Reload, true) if *request.method() == Method::POST => reload(request.headers(), view).await,
        (Known::Reload, _) => wrong_method(known),
        _ if !matches!(*request.method(), Method::GET | Method::HEAD) => wrong_method(known),
        (Known::About, _) => json(StatusCode::OK, &about(view)),
        (Known::Metrics, _) => json(StatusCode::OK, &json::render(view, Instant::now().into_std())),
        (Known::Prometheus, _) => {
            text(prometheus::CONTENT_TYPE, prometheus::render(view, Instant::now().into_std()))
        }
        (Known::Logging, _) => json(StatusCode::OK, &json!({ "levels": view.logs.levels() })),
        (Known::Alive, _) => json(StatusCode::OK, &json!({ "alive": true })),
        (Known::Ready, _) => match view.readiness() {
            Readiness::Ready => json(StatusCode::OK, &json!({ "ready": true })),
            Readiness::NotReady(reason) => {
                json(StatusCode::SERVICE_UNAVAILABLE, &json!({ "ready": false, "reason": reason }))
            }
        },
    }
}

/// Whether there is such a path.
pub(crate) fn has(path: &str) -> bool {
    PATHS.iter().any(|(known, _)| *known == path)
}

/// Whether `path` is for those who only want to know whether the connector is well.
pub(crate) fn tells_health(path: &str) -> bool {
    PATHS.iter().any(|(known, what)| *known == path && matches!(what, Known::Alive | Known::Ready))
}

#[derive(Clone, Copy, Debug)]
enum Known {
    About,
    Metrics,
    Prometheus,
    Logging,
    Reload,
    Alive,
    Ready,
}

const PATHS: [(&str, Known); 8] = [
    ("/manage/rest/v1", Known::About),
    ("/manage/rest/v1/metrics", Known::Metrics),
    ("/manage/rest/v1/prometheus", Known::Prometheus),
    ("/manage/rest/v1/logging", Known::Logging),
    ("/manage/rest/v1/reload", Known::Reload),
    ("/metrics", Known::Prometheus),
    ("/healthz", Known::Alive),
    ("/readyz", Known::Ready),
];

fn paths() -> Vec<&'static str> {
    PATHS.iter().map(|(path, _)| *path).collect()
}

fn about(view: &View) -> Value {
    json!({
        "name": "esp-connector",
        "version": env!("CARGO_PKG_VERSION"),
        "cluster-name": view.cluster_name,
        "paths": paths(),
    })
}

/// Has the configuration read again and tells what came of it.
async fn reload(headers: &HeaderMap, view: &View) -> Answer {
    // A page of another site can have a browser send this, and the browser says so.
    let of = |name: HeaderName| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let origin = of(ORIGIN);
    if !origin.is_empty() && origin.split_once("://").map(|(_, site)| site) != Some(of(HOST)) {
        let error = json!({ "reloaded": false, "error": "not for pages of other sites" });
        return json(StatusCode::FORBIDDEN, &error);
    }
    let (status, problems) = match view.reloads.reload().await {
        Ok(changes) => return json(StatusCode::OK, &json!({ "reloaded": true, "changes": changes })),
        Err(Refusal::Wrong(Problems(problems))) => {
            (StatusCode::BAD_REQUEST, problems.iter().map(ToString::to_string).collect())
        }
        Err(refusal @ Refusal::NoFile) => (StatusCode::CONFLICT, vec![refusal.to_string()]),
        Err(refusal @ Refusal::Stopping) => (StatusCode::SERVICE_UNAVAILABLE, vec![refusal.to_string()]),
    };
    json(status, &json!({ "reloaded": false, "problems": problems }))
}

/// The body of a change of levels.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, expecting = "an object with the member levels")]
struct Change {
    levels: BTreeMap<String, String>,
}

async fn set_levels<B>(body: B, logs: &LogHandle) -> Answer
where
    B: Body<Data: Send, Error: Into<Box<dyn std::error::Error + Send + Sync>>>,
{
    let body = match timeout(BODY_TIME_MAX, Limited::new(body, BODY_BYTES_MAX).collect()).await {
        Ok(Ok(body)) => body.to_bytes(),
        Ok(Err(error)) if error.is::<LengthLimitError>() => {
            return refuse(StatusCode::PAYLOAD_TOO_LARGE, &format!("more than {BODY_BYTES_MAX} bytes"));
        }
        Ok(Err(error)) => return refuse(StatusCode::BAD_REQUEST, &format!("the body broke off: {error}")),
        Err(_) => return refuse(StatusCode::REQUEST_TIMEOUT, "the body did not arrive in time"),
    };
    let change = match serde_json::from_slice::<Change>(&body) {
        Ok(change) => change,
        Err(error) => return refuse(StatusCode::BAD_REQUEST, &error.to_string()),
    };
    match logs.set_levels(&change.levels) {
        Ok(()) => {
            tracing::info!(changes = ?change.levels, "log levels changed");
            json(StatusCode::OK, &json!({ "levels": logs.levels() }))
        }
        Err(error) => refuse(StatusCode::BAD_REQUEST, &error.to_string()),
    }
}

fn refuse(status: StatusCode, error: &str) -> Answer {
    json(status, &json!({ "error": error, "expected": { "levels": { "root": "debug" } } }))
}

fn wrong_method(known: &Known) -> Answer {
    let allowed = match known {
        Known::Logging => "GET, HEAD, PUT, POST",
        Known::Reload => "POST",
        _ => "GET, HEAD",
    };
    let error = json!({ "error": "method not allowed", "allowed": allowed });
    let mut answer = json(StatusCode::METHOD_NOT_ALLOWED, &error);
    answer.headers_mut().insert(ALLOW, HeaderValue::from_static(allowed));
    answer
}

fn json(status: StatusCode, value: &Value) -> Answer {
    let mut answer = text("application/json", format!("{value}\n"));
    *answer.status_mut() = status;
    answer
}

fn text(content_type: &'static str, body: String) -> Answer {
    let mut answer = Response::new(Full::new(Bytes::from(body)));
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    answer.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    answer
}

const BODY_BYTES_MAX: usize = 64 * 1024;
const BODY_TIME_MAX: Duration = Duration::from_secs(10);
