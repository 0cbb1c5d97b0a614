//! The connector in a simulation, as its command runs it: from its configuration file to its end.

use std::{fs, path::PathBuf, time::Duration};

use esp_connector::{
    config,
    reload::{Refusal, Reloads},
    run::{self, Options, RunError},
};
use tokio::{sync::oneshot, task::JoinHandle, time::timeout};

use crate::{
    events::Events,
    network::{CONNECTOR, Crash, Network},
};

/// One run of the connector.
pub struct Process {
    task: JoinHandle<Result<(), RunError>>,
    shutdown: Option<oneshot::Sender<()>>,
    reloads: Reloads,
    events: Events,
    network: Network,
    path: PathBuf,
}

impl Process {
    /// Starts it with the file at `path`.
    pub fn start(path: PathBuf, events: Events, network: Network) -> Self {
        network.start(CONNECTOR);
        events.note(&"the connector starts");
        let loaded = config::load(&path).unwrap_or_else(|problems| panic!("{problems}"));
        let targets = loaded.targets().unwrap_or_else(|problems| panic!("{problems}"));
        let (reloads, source) = Reloads::of_file(path.clone(), &loaded);
        let options = Options { reloads: reloads.clone(), source: Some(source), ..Options::default() };
        let (shutdown, stopped) = oneshot::channel();
        let task = tokio::spawn(async move {
            let listeners = run::bind(&loaded.config.service).await?;
            let stopped = async { _ = stopped.await };
            run::run(loaded.config, targets, listeners, options, stopped).await
        });
        Self { task, shutdown: Some(shutdown), reloads, events, network, path }
    }

    /// Ends it where it stands.
    pub async fn kill(self, how: Crash) {
        self.network.crash_no_more();
        self.network.crash(CONNECTOR, how);
        self.bury().await;
    }

    /// The rest of what has ended in a call of the network.
    pub async fn bury(self) {
        self.task.abort();
        match self.task.await {
            Err(error) if error.is_panic() => self.events.violated(&"the connector panicked"),
            Err(_) => {}
            Ok(ended) => self.events.violated(&format_args!("the connector ended by itself: {ended:?}")),
        }
    }

    /// Asks it to end, and waits until it has, within the grace period and a bit.
    pub async fn stop(mut self, grace: Duration) {
        self.events.note(&"the connector is told to stop");
        if let Some(shutdown) = self.shutdown.take() {
            _ = shutdown.send(());
        }
        match timeout(grace + Duration::from_secs(2), &mut self.task).await {
            Ok(Ok(Ok(()))) => self.events.note(&"the connector has stopped"),
            Ok(other) => self.events.violated(&format_args!("the connector stopped badly: {other:?}")),
            Err(_) => self.events.violated(&format_args!("the connector does not stop")),
        }
        self.network.crash(CONNECTOR, Crash::Killed);
    }

    /// Has it read `text` as its configuration.
    pub fn reload(&self, text: &str, is_good: bool) {
        fs::write(&self.path, text).unwrap_or_else(|error| panic!("{error}"));
        let (reloads, events) = (self.reloads.clone(), self.events.clone());
        tokio::spawn(async move {
            match reloads.reload().await {
                Ok(_) if is_good => events.note(&"a reload is done"),
                Err(Refusal::Wrong(_)) if !is_good => events.note(&"a reload is refused"),
                Err(Refusal::Stopping) => events.note(&"a reload comes too late"),
                other => events.violated(&format_args!("a reload came to {other:?}")),
            }
        });
    }

    /// Whether it has ended by itself.
    pub fn has_ended(&self) -> bool {
        self.task.is_finished()
    }
}
