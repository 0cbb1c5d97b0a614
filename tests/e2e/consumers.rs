//! The example functions of `lambda-examples`: the library that they read with, and each of them as a real `bootstrap`.

pub(crate) mod archive_to_gcs;
mod encrypt_kms;
mod formats;
mod fronts;
mod persist_state;
mod stage;
pub(crate) mod to_gcs;
mod to_opensearch;
mod to_s3;
mod to_sagemaker;
mod to_sqs;
