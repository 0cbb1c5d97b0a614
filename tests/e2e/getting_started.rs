//! `docs/getting-started.md`, word for word: its configurations and its commands, with ports of this machine's choice.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use e2e::{Process, free_port, repository};
use tempfile::TempDir;

/// The first command of this page and of README.md.
const DEMO: &str = "cargo run --release -- demo";

/// What a reader has at hand while going through the page.
struct Reader {
    folder: TempDir,
    ports: [(&'static str, String); 3],
    /// What was started and runs on, by its first words.
    running: Vec<(String, Process)>,
}

impl Reader {
    fn config(&self) -> PathBuf {
        self.folder.path().join("esp-connector.yml")
    }

    fn with_ports(&self, text: &str) -> String {
        self.ports.iter().fold(text.to_owned(), |text, (port, ours)| text.replace(port, ours))
    }

    /// A whole configuration is a file of its own; part of one takes the place of the section of that name.
    fn write(&self, yaml: &str) {
        let yaml = self.with_ports(yaml);
        let text = if yaml.contains("service:") {
            yaml
        } else {
            let before = fs::read_to_string(self.config()).unwrap();
            let (section, replaced) = before.split_once("destinations:\n").unwrap();
            let after = replaced.split_inclusive('\n').find(|line| !line.starts_with(' ')).unwrap();
            let rest = &replaced[replaced.find(after).unwrap()..];
            format!("{section}{yaml}{rest}")
        };
        fs::write(self.config(), text).unwrap();
    }

    /// Runs a command to its end, or until it listens; what it printed.
    async fn execute(&mut self, line: &str) -> String {
        // The same program, which is built already.
        let line = if line == DEMO { "esp-connector demo".to_owned() } else { self.with_ports(line) };
        let mut words = line.split_whitespace();
        let program = match words.next().unwrap() {
            "esp-connector" => Path::new(env!("CARGO_BIN_EXE_connector-under-test")),
            other => Path::new(other),
        };
        let mut command = Command::new(program);
        command.args(words.clone()).current_dir(self.folder.path());
        let listens = match words.next().unwrap() {
            "run" => "listening for XDR",
            "receive" => "receiving at",
            _ => {
                let output = command.stdin(Stdio::null()).output().unwrap();
                let printed = format!(
                    "{}{}",
                    String::from_utf8_lossy(&output.stdout),
                    String::from_utf8_lossy(&output.stderr)
                );
                assert!(output.status.success(), "{line}\n{printed}");
                return printed;
            }
        };
        // Ctrl-C for the one that runs already.
        if let Some(index) = self.running.iter().position(|(of, _)| *of == line) {
            assert!(self.running.remove(index).1.stop().await.success());
        }
        let mut process = Process::start(&mut command);
        process.line(listens).await;
        self.running.push((line, process));
        String::new()
    }

    fn archived(&self) -> usize {
        let files = fs::read_dir(self.folder.path().join("archive")).unwrap();
        files.map(|file| fs::read_to_string(file.unwrap().path()).unwrap().lines().count()).sum()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_works_word_for_word() {
    let page = fs::read_to_string(repository().join("docs/getting-started.md")).unwrap();
    let ports = ["8901", "8902", "9000"].map(|port| (port, free_port().to_string()));
    let mut reader = Reader { folder: tempfile::tempdir().unwrap(), ports, running: Vec::new() };
    let mut printed = Vec::new();
    for (language, text) in blocks(&page) {
        match language {
            "yaml" => reader.write(text),
            "sh" => {
                for line in text.lines() {
                    printed.push(reader.execute(line).await);
                }
            }
            other => panic!("a block in {other:?}"),
        }
    }
    assert!(printed[0].contains("lost 0"), "{}", printed[0]);
    assert_eq!(reader.archived(), 1000, "each record is one line");
    let accounts = printed.iter().filter(|printed| printed.starts_with("changes"));
    assert_eq!(accounts.filter(|account| account.contains("unfinished   0")).count(), 2);
    let failed =
        |line: &&str| line.starts_with("esp_connector_lane_answers_total") && line.contains("\"503\"");
    let metrics = printed.last().unwrap();
    assert!(metrics.lines().find(failed).is_some_and(|line| !line.ends_with(" 0")), "{metrics}");
}

fn blocks(page: &str) -> impl Iterator<Item = (&str, &str)> {
    page.split("```").skip(1).step_by(2).map(|block| block.split_once('\n').unwrap())
}
