//! The key-value part of Aerospike's REST Gateway, for the records of one set.

use std::time::Duration;

use notification::Failure;
use reqwest::{Client, Method, StatusCode, Url, header::CONTENT_TYPE};
use serde_json::Value;

/// A set behind a gateway.
#[derive(Debug)]
pub(crate) struct Gateway {
    http: Client,
    set: Url,
}

/// What became of a write that depends on what is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Written {
    Done,
    /// Somebody else was faster: read again.
    Outdated,
}

impl Gateway {
    pub(crate) fn new(url: &str, namespace: &str, set: &str) -> Result<Self, String> {
        let mut place = Url::parse(url).map_err(|error| format!("GATEWAY: {error}"))?;
        let path =
            place.path_segments_mut().map_err(|()| "GATEWAY: expected http://… or https://…".to_owned());
        path?.pop_if_empty().extend(["v1", "kvs", namespace, set]);
        let http =
            Client::builder().timeout(Duration::from_secs(5)).build().map_err(|error| error.to_string())?;
        Ok(Self { http, set: place })
    }

    /// Bins and generation of a record.
    pub(crate) async fn read(&self, key: &str) -> Result<Option<(Value, u64)>, Failure> {
        let (status, body) = self.call(Method::GET, self.record(key), None).await?;
        match status {
            StatusCode::NOT_FOUND => Ok(None),
            StatusCode::OK => {
                let mut record: Value = serde_json::from_slice(&body)?;
                let generation = record["generation"].as_u64();
                let generation =
                    generation.ok_or_else(|| Failure::retry("the gateway told no generation"))?;
                Ok(Some((record["bins"].take(), generation)))
            }
            _ => Err(refused(status)),
        }
    }

    /// Makes a record, unless it is there.
    pub(crate) async fn create(&self, key: &str, bins: &Value) -> Result<Written, Failure> {
        let (status, _) = self.call(Method::POST, self.record(key), Some(bins)).await?;
        outcome(status)
    }

    /// Replaces a record, if its generation is still this one.
    pub(crate) async fn replace(&self, key: &str, bins: &Value, generation: u64) -> Result<Written, Failure> {
        let mut url = self.record(key);
        url.query_pairs_mut()
            .append_pair("generation", &generation.to_string())
            .append_pair("generationPolicy", "EXPECT_GEN_EQUAL");
        let (status, _) = self.call(Method::PUT, url, Some(bins)).await?;
        outcome(status)
    }

    fn record(&self, key: &str) -> Url {
        let mut url = self.set.clone();
        // It was one with a path when it was made.
        if let Ok(mut path) = url.path_segments_mut() {
            path.push(key);
        }
        url
    }

    async fn call(
        &self,
        method: Method,
        url: Url,
        bins: Option<&Value>,
    ) -> Result<(StatusCode, Vec<u8>), Failure> {
        let mut request = self.http.request(method, url);
        if let Some(bins) = bins {
            request = request.header(CONTENT_TYPE, "application/json").body(bins.to_string());
        }
        let response = request.send().await.map_err(reqwest::Error::without_url)?;
        Ok((response.status(), response.bytes().await?.into()))
    }
}

fn outcome(status: StatusCode) -> Result<Written, Failure> {
    match status {
        StatusCode::CREATED | StatusCode::NO_CONTENT | StatusCode::OK => Ok(Written::Done),
        // Of the wrong generation, there already, or gone since.
        StatusCode::CONFLICT | StatusCode::NOT_FOUND => Ok(Written::Outdated),
        _ => Err(refused(status)),
    }
}

/// 400 is about the record, everything else may pass.
fn refused(status: StatusCode) -> Failure {
    let failure = if status == StatusCode::BAD_REQUEST { Failure::never } else { Failure::retry };
    failure(format!("the gateway answered {status}"))
}
