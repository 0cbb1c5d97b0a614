//! Envoy as a load balancer between connectors, set up as the documentation says.

use std::{fs, net::SocketAddr, path::Path, process::Command};

use tempfile::TempDir;

use crate::{Process, free_port, get, repository};

/// A running Envoy; ends when dropped.
#[derive(Debug)]
pub struct EnvoyBalancer {
    address: SocketAddr,
    folder: TempDir,
    _process: Process,
}

impl EnvoyBalancer {
    /// Starts it from the environment of `python`, in front of `backs`.
    pub async fn start(python: &Path, backs: &[SocketAddr]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let address = SocketAddr::from(([127, 0, 0, 1], free_port()));
        let config = folder.path().join("envoy.yaml");
        let text = example(0)
            .replace("0.0.0.0", "127.0.0.1")
            .replace("port_value: 8901", &format!("port_value: {}", address.port()))
            .replace("port_value: 9901", &format!("port_value: {}", free_port()))
            .replace("/etc/envoy/backs.yaml", folder.path().join("backs.yaml").to_str().unwrap());
        fs::write(&config, text).unwrap();
        write_backs(folder.path(), backs);
        let mut command = Command::new(python.with_file_name("envoy"));
        command.arg("-c").arg(&config).args(["--concurrency", "1", "-l", "warn", "--disable-hot-restart"]);
        let mut process = Process::start(&mut command);
        let ready = process.until(async || get(address, "/").await.ok().filter(|(status, _)| *status == 200));
        ready.await.unwrap_or_else(|printed| panic!("Envoy does not balance:\n{printed}"));
        Self { address, folder, _process: process }
    }

    /// `http://127.0.0.1:PORT/`.
    pub fn url(&self) -> String {
        format!("http://{}/", self.address)
    }

    /// Puts others in the place of the backs, under load.
    pub fn replace(&self, backs: &[SocketAddr]) {
        write_backs(self.folder.path(), backs);
    }
}

/// The example of this number on the page.
fn example(number: usize) -> String {
    let page = fs::read_to_string(repository().join("docs/chains.md")).unwrap();
    let example = page.split("```yml\n").nth(number + 1).and_then(|rest| rest.split("```").next());
    example.expect("docs/chains.md has two files of Envoy").to_owned()
}

fn write_backs(folder: &Path, backs: &[SocketAddr]) {
    let example = example(1);
    let (endpoints, around): (Vec<_>, Vec<_>) = example.lines().partition(|line| line.contains("10.0.5."));
    let mut lines = around;
    let endpoints: Vec<_> = backs
        .iter()
        .map(|back| endpoints[0].replace("10.0.5.11", "127.0.0.1").replace("8901", &back.port().to_string()))
        .collect();
    lines.extend(endpoints.iter().map(String::as_str));
    let new = folder.join("new.yaml");
    fs::write(&new, lines.join("\n")).unwrap();
    fs::rename(new, folder.join("backs.yaml")).unwrap();
}
