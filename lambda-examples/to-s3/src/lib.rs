//! An archive in S3. The invariant: the name of an object is a function of its content, and an object is never written twice.

use aws_config::SdkConfig;
use aws_sdk_s3::{
    Client,
    error::{DisplayErrorContext, ProvideErrorMetadata},
    primitives::ByteStream,
};
use notification::{Failure, Notification};

mod avro;
mod content;

pub use archive::partitions;

pub use self::content::Format;

/// A bucket, and how objects are written into it.
#[derive(Debug)]
pub struct Archive {
    s3: Client,
    bucket: String,
    prefix: String,
    format: Format,
}

impl Archive {
    /// Objects in `bucket`, below `prefix`.
    pub fn new(config: &SdkConfig, bucket: String, prefix: String, format: Format) -> Self {
        Self { s3: Client::new(config), bucket, prefix, format }
    }

    /// Archives records of one partition as one object. That it is there already is a success: these records were sent before.
    pub async fn put<'n>(&self, records: impl Iterator<Item = &'n Notification>) -> Result<(), Failure> {
        let records: Vec<_> = records.collect();
        let Some(first) = records.first() else { return Ok(()) };
        let lines = archive::lines(&records)?;
        let key = format!("{}{}{}", self.prefix, archive::path(first, &lines), self.format.extension());
        let put = self
            .s3
            .put_object()
            .bucket(&self.bucket)
            .key(key)
            .if_none_match("*")
            .content_type(self.format.content_type())
            .body(ByteStream::from(self.format.content(&records, &lines)?));
        match put.send().await {
            Ok(_) => Ok(()),
            Err(error) if error.code() == Some("PreconditionFailed") => Ok(()),
            Err(error) => Err(Failure::retry(format!("S3: {}", DisplayErrorContext(error)))),
        }
    }
}
