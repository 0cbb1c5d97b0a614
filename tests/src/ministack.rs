//! AWS in one process: `MiniStack` from PyPI, which checks signatures and permissions, runs a real `bootstrap` behind
//! every front, and holds the queues.
//!
//! What it builds is said in `tests/aws/setup.py`, where also stands what it does differently from AWS.

use std::{
    collections::BTreeMap,
    ffi::OsStr,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::Command,
};

use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_credential_types::Credentials;
use serde_json::Value;

use crate::{Process, free_port, get, repository};

/// A running `MiniStack`; ends, with the functions it runs, when dropped.
#[derive(Debug)]
pub struct MiniStack {
    process: Process,
    address: SocketAddr,
    python: PathBuf,
}

/// What stands in it for one test.
#[derive(Debug)]
pub struct Cloud {
    /// ARN of the function's alias.
    pub function: String,
    /// Path of the front, where it has one.
    pub path: Option<String>,
    /// ARN of the role that may call it, and nothing else.
    pub role: String,
    /// What that role needs.
    pub policy: Value,
    /// The queue that the function fills.
    pub queue: String,
    /// Queues that Lambda reads for the function, each with the one for what it failed to process.
    pub sources: Vec<[String; 2]>,
}

impl MiniStack {
    /// Starts it from the environment of `python`; no more than `concurrency` functions run at once, the rest is
    /// throttled.
    pub async fn start(python: &Path, concurrency: usize) -> Self {
        let mut printed = String::new();
        // Somebody else may have taken the port in between.
        for _ in 0..3 {
            let address = SocketAddr::from(([127, 0, 0, 1], free_port()));
            let mut process = Process::start(
                // Functions inherit the environment.
                Command::new(python.with_file_name("ministack"))
                    .env_clear()
                    .env("PATH", std::env::var_os("PATH").unwrap_or_default())
                    .env("AUTH", "true")
                    .env("BIND_HOST", "127.0.0.1")
                    .env("GATEWAY_PORT", address.port().to_string())
                    .env("AWS_ENDPOINT_URL", format!("http://{address}"))
                    .env("IOT_MTLS_ENABLED", "0")
                    .env("LAMBDA_ACCOUNT_CONCURRENCY", concurrency.to_string())
                    .env("LOG_LEVEL", "WARNING"),
            );
            let ready =
                async || get(address, "/_ministack/health").await.ok().filter(|(status, _)| *status == 200);
            match process.until(ready).await {
                Ok(_) => return Self { process, address, python: python.to_owned() },
                Err(why) => printed = why,
            }
        }
        panic!("MiniStack does not start:\n{printed}");
    }

    /// `http://127.0.0.1:PORT`.
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What it printed so far.
    pub fn printed(&self) -> String {
        self.process.printed()
    }

    /// Builds what `settings` ask for; its function is `bootstrap`.
    pub async fn set_up(&self, bootstrap: &Path, settings: &Value) -> Cloud {
        let made: Value =
            serde_json::from_slice(&self.run([bootstrap.as_os_str(), settings.to_string().as_ref()]).await)
                .unwrap();
        let text = |name: &str| made[name].as_str().map(str::to_owned);
        Cloud {
            function: text("function").unwrap(),
            path: text("path"),
            role: text("role").unwrap(),
            policy: made["policy"].clone(),
            queue: text("queue").unwrap(),
            sources: serde_json::from_value(made["sources"].clone()).unwrap(),
        }
    }

    /// Allows the connector's role what it needs.
    pub async fn grant(&self, cloud: &Cloud) {
        self.run(["grant".as_ref(), cloud.policy.to_string().as_ref()]).await;
    }

    async fn run(&self, arguments: [&OsStr; 2]) -> Vec<u8> {
        let mut command = Command::new(&self.python);
        command.arg(repository().join("tests/aws/setup.py")).arg(self.endpoint()).args(arguments);
        let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
        assert!(output.status.success(), "{}\n{}", String::from_utf8_lossy(&output.stderr), self.printed());
        output.stdout
    }

    /// For its operator's own clients.
    pub async fn config(&self) -> SdkConfig {
        aws_config::defaults(BehaviorVersion::latest())
            .endpoint_url(self.endpoint())
            .region(Region::new("us-east-1"))
            .credentials_provider(Credentials::new("test", "test", None, None, "test"))
            .load()
            .await
    }

    /// The objects in a bucket.
    pub async fn objects(&self, bucket: &str) -> BTreeMap<String, Vec<u8>> {
        let config = aws_sdk_s3::config::Builder::from(&self.config().await).force_path_style(true).build();
        let s3 = aws_sdk_s3::Client::from_conf(config);
        let mut objects = BTreeMap::new();
        let mut pages = s3.list_objects_v2().bucket(bucket).into_paginator().send();
        while let Some(page) = pages.next().await {
            for object in page.unwrap().contents.unwrap_or_default() {
                let key = object.key.unwrap();
                let content = s3.get_object().bucket(bucket).key(&key).send().await.unwrap();
                objects.insert(key, content.body.collect().await.unwrap().to_vec());
            }
        }
        objects
    }

    /// The bodies of all messages in a queue, visible or not, which stay there.
    pub async fn messages(&self, queue: &str) -> Vec<String> {
        let (status, body) =
            get(self.address, &format!("/_ministack/sqs/messages?QueueUrl={queue}")).await.unwrap();
        assert_eq!(status, 200, "{}", String::from_utf8_lossy(&body));
        let answer: Value = serde_json::from_slice(&body).unwrap();
        // By account, region and queue.
        let mut messages = Vec::new();
        for region in answer["messages"].as_object().unwrap().values() {
            for queues in region.as_object().unwrap().values() {
                for queue in queues.as_object().unwrap().values() {
                    messages.extend(queue.as_array().unwrap().iter().map(body_of));
                }
            }
        }
        messages
    }
}

fn body_of(message: &Value) -> String {
    message["Body"].as_str().unwrap().to_owned()
}
