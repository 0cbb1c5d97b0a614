//! A bucket of Cloud Storage, by its JSON API. The invariant: an object is never written twice.

use std::{error::Error, time::Duration};

use archive::{GZIP, gzip, lines, path};
use google_cloud_auth::credentials::{AccessTokenCredentials, Builder};
use notification::{Failure, Notification};
use reqwest::{Client, StatusCode, Url, header::CONTENT_TYPE};

/// A bucket, and where objects go in it.
pub(crate) struct Bucket {
    http: Client,
    credentials: AccessTokenCredentials,
    upload: Url,
    prefix: String,
}

impl Bucket {
    /// The bucket `name`, at an endpoint such as `https://storage.googleapis.com`.
    pub(crate) fn new(endpoint: &str, name: &str, prefix: String) -> Result<Self, Box<dyn Error>> {
        let mut upload = Url::parse(endpoint).map_err(|error| format!("STORAGE_ENDPOINT: {error}"))?;
        let path =
            upload.path_segments_mut().map_err(|()| "STORAGE_ENDPOINT: expected https://… or http://…")?;
        { path }.pop_if_empty().extend(["upload", "storage", "v1", "b", name, "o"]);
        // On Cloud Run those of the service's own account; cached, and renewed ahead of their end.
        let scope = "https://www.googleapis.com/auth/devstorage.read_write";
        let credentials = Builder::default().with_scopes([scope]).build_access_token_credentials()?;
        let http = Client::builder().timeout(Duration::from_secs(5)).build()?;
        Ok(Self { http, credentials, upload, prefix })
    }

    /// Archives records of one partition as one object. That it is there already is a success: these records were sent before.
    pub(crate) async fn put<'n>(
        &self,
        records: impl Iterator<Item = &'n Notification>,
    ) -> Result<(), Failure> {
        let records: Vec<_> = records.collect();
        let Some(first) = records.first() else { return Ok(()) };
        let lines = lines(&records)?;
        let mut url = self.upload.clone();
        url.query_pairs_mut()
            .append_pair("uploadType", "media")
            // Generation 0 is no object at all.
            .append_pair("ifGenerationMatch", "0")
            .append_pair("name", &format!("{}{}.ndjson.gz", self.prefix, path(first, &lines)));
        let token = self.credentials.access_token().await?.token;
        let put = self.http.post(url).bearer_auth(token).header(CONTENT_TYPE, GZIP).body(gzip(&lines)?);
        let response = put.send().await.map_err(reqwest::Error::without_url)?;
        match response.status() {
            StatusCode::OK | StatusCode::PRECONDITION_FAILED => Ok(()),
            status => Err(Failure::retry(format!("Cloud Storage answered {status}"))),
        }
    }
}
