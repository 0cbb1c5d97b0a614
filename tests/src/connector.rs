//! A connector in this process, as `esp-connector run` would start it.

use std::net::SocketAddr;

use esp_connector::{Options, RunError, config, run};
use tokio::{sync::oneshot, task::JoinHandle, time::timeout};

use crate::{WITHIN, repository};

/// A running connector. Dropping it ends it without grace, as a crash would.
#[derive(Debug)]
pub struct Connector {
    address: SocketAddr,
    tls_address: Option<SocketAddr>,
    stop: oneshot::Sender<()>,
    running: JoinHandle<Result<(), RunError>>,
}

impl Connector {
    /// Starts with the configuration `yaml`, behind a `service` section with a port of the system's choice.
    pub async fn start(yaml: &str) -> Self {
        Self::serving("", yaml).await
    }

    /// The same with more settings in the section `service`, in the form `, key: value`.
    pub async fn serving(service: &str, yaml: &str) -> Self {
        let text = format!("service: {{port: 0, address: 127.0.0.1{service}}}\n{yaml}");
        let loaded = config::parse(&text, &repository()).unwrap_or_else(|problems| panic!("{problems}"));
        assert!(loaded.warnings.is_empty(), "{:?}", loaded.warnings);
        let listeners = run::bind(&loaded.config.service).await.unwrap();
        let address = listeners.xdr[0].local_addr().unwrap();
        let tls_address = listeners.xdr.get(1).map(|listener| listener.local_addr().unwrap());
        let (stop, stopped) = oneshot::channel::<()>();
        let targets = loaded.targets().expect("targets that can be built");
        let running = tokio::spawn(run::run(loaded.config, targets, listeners, Options::default(), async {
            // A dropped sender is not an order to stop: the task is ended by then.
            if stopped.await.is_err() {
                std::future::pending::<()>().await;
            }
        }));
        Self { address, tls_address, stop, running }
    }

    /// Where it listens for XDR.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where it listens for TLS.
    pub fn tls_address(&self) -> SocketAddr {
        self.tls_address.expect("a service with TLS")
    }

    /// Stops it as SIGTERM would, and waits for the end.
    pub async fn stop(self) -> Result<(), RunError> {
        let _ = self.stop.send(());
        timeout(WITHIN, self.running).await.expect("it ends").expect("it does not panic")
    }
}
