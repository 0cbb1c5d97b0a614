//! Doors for the fuzz targets, to what is nobody else's business. Compiled by cargo-fuzz only.

use std::{
    path::Path,
    sync::{Arc, LazyLock},
};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};

pub use crate::connection::http_fuzzing::body as incoming_body;
use crate::{
    admin::{self, View},
    config::{self, Loaded, Problems},
};

/// The management endpoint of a connector that is at work.
#[derive(Debug)]
pub struct Management(Arc<View>);

impl Default for Management {
    fn default() -> Self {
        Self(Arc::new(admin::sample_view("fuzz")))
    }
}

impl Management {
    /// Its answer to one request: status and body.
    ///
    /// # Panics
    /// When the body does not come at once.
    pub async fn answer(&self, request: http::Request<Full<Bytes>>) -> (u16, Bytes) {
        let answer = admin::answer(request, &self.0).await;
        let status = answer.status().as_u16();
        let body = answer.into_body().collect().await.expect("it is in memory");
        (status, body.to_bytes())
    }
}

static SCHEMA: LazyLock<serde_json::Value> = LazyLock::new(config::schema);

/// The configuration that `text` makes, without making the schema again for each.
pub fn configuration(text: &str, folder: &Path) -> Result<Loaded, Problems> {
    config::parse_by(&SCHEMA, text, folder)
}
