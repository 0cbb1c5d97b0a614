//! The connector as a process of its own: its environment, its clock and its logs are its own too.

use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Command, ExitStatus},
};

use tempfile::TempDir;

use crate::{Process, get};

/// A running `esp-connector run`; killed when dropped.
#[derive(Debug)]
pub struct ConnectorProcess {
    process: Process,
    address: SocketAddr,
    manage: SocketAddr,
    folder: TempDir,
}

impl ConnectorProcess {
    /// Starts `program`, which is a connector or ends in becoming one, with the configuration `yaml` behind a `service`
    /// section, and none of the variables that clouds' tools read but `variables`.
    pub async fn start(program: Command, yaml: &str, variables: &[(&'static str, String)]) -> Self {
        Self::start_with(program, yaml, &[], variables).await
    }

    /// The same with `files`, by name, in the folder of the configuration.
    pub async fn start_with(
        mut program: Command,
        yaml: &str,
        files: &[(&str, &str)],
        variables: &[(&'static str, String)],
    ) -> Self {
        let folder = tempfile::tempdir().unwrap();
        for (name, content) in files {
            fs::write(folder.path().join(name), content).unwrap();
        }
        let config = folder.path().join("connector.yml");
        let manage = "{port: 0, address: 127.0.0.1}";
        let yaml = format!("service: {{port: 0, address: 127.0.0.1, manage: {manage}}}\n{yaml}");
        fs::write(&config, yaml).unwrap();
        for (name, _) in std::env::vars_os() {
            if ["AWS_", "GOOGLE_", "GCE_"].iter().any(|of| name.to_string_lossy().starts_with(of)) {
                program.env_remove(name);
            }
        }
        program.envs(variables.iter().map(|(name, value)| (name, value)));
        // Nobody's own files.
        program.env("HOME", folder.path());
        program.args(["run", "--config"]).arg(config);
        let mut process = Process::start(&mut program);
        let address = listening_at(&process.line("listening for XDR").await);
        let manage = listening_at(&process.line("listening for management").await);
        Self { process, address, manage, folder }
    }

    /// Where it listens for XDR.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where it is managed.
    pub fn manage(&self) -> SocketAddr {
        self.manage
    }

    /// The folder of its configuration.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The files in `path` below that folder, oldest name first.
    pub fn files(&self, path: &str) -> Vec<PathBuf> {
        let Ok(entries) = fs::read_dir(self.folder.path().join(path)) else { return Vec::new() };
        let mut files: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
        files.sort();
        files
    }

    /// The metric `name`, as Prometheus reads it: the sum over those of its samples whose labels contain `label`.
    pub async fn metric(&self, name: &str, label: &str) -> f64 {
        let (status, body) = get(self.manage, "/metrics").await.unwrap();
        assert_eq!(status, 200);
        let page = String::from_utf8(body.to_vec()).unwrap();
        let samples = page.lines().filter(|line| line.split(['{', ' ']).next() == Some(name));
        let mut samples = samples.filter(|line| line.contains(label)).peekable();
        assert!(samples.peek().is_some(), "no {name} with {label} in\n{page}");
        samples.map(|line| line.rsplit(' ').next().unwrap().parse::<f64>().unwrap()).sum()
    }

    /// All it printed so far.
    pub fn printed(&self) -> String {
        self.process.printed()
    }

    /// Stops it as an operator does; how it ended, and all it printed.
    pub async fn stop(mut self) -> (ExitStatus, String) {
        let status = self.process.stop().await;
        (status, self.process.printed())
    }
}

fn listening_at(line: &str) -> SocketAddr {
    let address = line.split_whitespace().find_map(|word| word.strip_prefix("address="));
    address.and_then(|address| address.parse().ok()).unwrap_or_else(|| panic!("no address in {line:?}"))
}
