//! Every command that a page shows: run here, run by a test that is named, or marked with what it needs.
//!
//! Above a block of commands may stand `<!-- run by: FILE -->`, which has these commands or reads the page, or `<!-- needs: WHAT -->`.
//! One command may end in `# needs WHAT`. All others are run here, by a shell, beside a connector at work.

use std::{
    fs,
    os::unix::fs::symlink,
    process::{Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use e2e::{Ack, ConnectorProcess, Receiver, XdrClient, repository, write};
use esp_connector::simulator::particle::Particle;
use hyper::StatusCode;
use regex::Regex;

use crate::documents::pages;

const CONNECTOR: &str = env!("CARGO_BIN_EXE_connector-under-test");

/// A fenced block of commands.
struct Block {
    /// Page, from the top of the repository.
    page: String,
    line: usize,
    mark: Mark,
    commands: Vec<String>,
}

/// Who sees to it that the commands of a block work.
#[derive(Debug, PartialEq)]
enum Mark {
    /// This file, but for commands that say what they need.
    None,
    RunBy(String),
    Needs(String),
}

impl Block {
    fn place(&self) -> String {
        format!("{}:{}", self.page, self.line)
    }

    /// What is to be run here.
    fn unmarked(&self) -> impl Iterator<Item = &str> {
        let none = self.mark == Mark::None;
        self.commands.iter().map(String::as_str).filter(move |command| none && !command.contains("# needs "))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn commands_work_or_say_what_they_need() {
    let refuses = Arc::new(AtomicBool::new(true));
    let (receiver, connector) = scene(Arc::clone(&refuses)).await;
    let mut ran = 0;
    for block in blocks() {
        for command in block.unmarked() {
            let printed = run(command, &block, &connector);
            assert!(!printed.is_empty(), "{}: {command}\nsays nothing", block.place());
            ran += 1;
        }
    }
    assert!(ran >= 6, "only {ran} were run");
    // The one that the receiver refused at first, by `replay`.
    assert_eq!(
        receiver.confirmed().iter().filter(|request| request.json()["_meta"]["userKey"] == 1).count(),
        1
    );
    assert!(connector.stop().await.0.success());
}

#[test]
fn who_is_said_to_run_commands_does() {
    let mut read = 0;
    for block in blocks() {
        let Mark::RunBy(file) = &block.mark else { continue };
        let text = fs::read_to_string(repository().join(file))
            .unwrap_or_else(|error| panic!("{}: {file}: {error}", block.place()));
        // A script that is called in parts stands there by its path.
        let script = |command: &str| command.split(' ').find(|word| word.ends_with(".py")).map(str::to_owned);
        for command in &block.commands {
            let has = text.contains(&block.page)
                || text.contains(command)
                || script(command).is_some_and(|script| text.contains(&script));
            assert!(has, "{}: {file} has neither the page nor\n{command}", block.place());
        }
        read += 1;
    }
    assert!(read >= 6, "only {read} were found");
}

#[test]
fn commands_that_need_something_name_what_is_there() {
    let path = Regex::new(r"(?:^|[ =@])((?:infra|lambda-examples|tests)/[\w./-]+)").unwrap();
    let manifest = fs::read_to_string(repository().join("Cargo.toml")).unwrap();
    let mut seen = 0;
    for block in blocks() {
        for command in &block.commands {
            let place = block.place();
            for named in path.captures_iter(command).map(|found| found.extract::<1>().1[0]) {
                assert!(repository().join(named).exists(), "{place}: {named} is not there");
            }
            if command.starts_with("cargo lambda") || command.contains("&& cargo lambda") {
                check_lambda(command, &manifest, &place);
                seen += 1;
            }
            if let Some(given) = command.strip_prefix("terraform apply") {
                check_variables(given, &block);
                seen += 1;
            }
        }
    }
    assert!(seen > 20, "only {seen} were found");
}

/// Packages, profiles and variables that exist, in the form that cargo-lambda takes.
fn check_lambda(command: &str, manifest: &str, place: &str) {
    let words: Vec<_> = command.split_whitespace().collect();
    let after = |option: &str| words.iter().position(|word| *word == option).map(|at| words[at + 1]);
    if let Some(package) = after("-p") {
        assert!(manifest.contains(&format!("\"lambda-examples/{package}\"")), "{place}: no {package}");
    }
    if let Some(profile) = after("--profile") {
        assert!(manifest.contains(&format!("[profile.{profile}]")), "{place}: no profile {profile}");
    }
    if words.get(2) == Some(&"invoke") {
        assert!(words.contains(&"--remote"), "{place}: without --remote it calls a function on this machine");
    }
    if words.get(2) == Some(&"deploy") {
        let source = repository().join("lambda-examples").join(words[3]).join("src/main.rs");
        let source =
            fs::read_to_string(source).unwrap_or_else(|error| panic!("{place}: {}: {error}", words[3]));
        for pair in
            words.iter().zip(&words[1..]).filter(|(option, _)| **option == "--env-var").map(|(_, pair)| pair)
        {
            let (name, value) = pair.split_once('=').unwrap_or_else(|| panic!("{place}: {pair}"));
            assert!(source.contains(name), "{place}: {} does not read {name}", words[3]);
            // It takes a comma for the start of the next variable, and then sets none at all.
            assert!(!value.contains(','), "{place}: {pair} has a comma");
        }
    }
}

/// Variables of the example that exist, and all without which it does not begin.
fn check_variables(given: &str, block: &Block) {
    let name = Regex::new(r"-var '?(\w+)=").unwrap();
    let given: Vec<_> = name.captures_iter(given).map(|found| found.extract::<1>().1[0].to_owned()).collect();
    let folder =
        block.commands.iter().find_map(|command| command.strip_prefix("cd ").map(|to| repository().join(to)));
    let folder = folder.unwrap_or_else(|| repository().join(&block.page).parent().unwrap().to_owned());
    let variables = format!("\n{}", fs::read_to_string(folder.join("variables.tf")).unwrap());
    let declared = variables.split("\nvariable \"").skip(1).map(|text| text.split_once('"').unwrap());
    let declared: Vec<_> = declared.collect();
    for name in &given {
        assert!(declared.iter().any(|(of, _)| of == name), "{}: no variable {name}", block.place());
    }
    for (name, text) in declared {
        let required = !text.contains("\n  default ");
        assert!(!required || given.iter().any(|of| of == name), "{}: {name} is required", block.place());
    }
}

/// A connector that delivers, with one record among its dead letters and room for it at the destination.
async fn scene(refuses: Arc<AtomicBool>) -> (Receiver, ConnectorProcess) {
    let refused = Arc::clone(&refuses);
    let receiver = Receiver::answering(move |request, _| {
        let is_one = refused.load(Ordering::SeqCst) && request.json()["_meta"]["userKey"] == 1;
        if is_one { StatusCode::UNPROCESSABLE_ENTITY } else { StatusCode::OK }
    })
    .await;
    let yaml = format!(
        "destinations:
  orders: {{urls: ['{}'], protocol: HTTP_1_1, dead-letter: letters}}
  letters: {{type: file, path: letters}}
format: {{mode: flat-json, metadata-key: _meta}}
routing: {{mode: static, destination: orders}}
",
        receiver.url("/")
    );
    let connector = ConnectorProcess::start(Command::new(CONNECTOR), &yaml, &[]).await;
    let mut source = XdrClient::connect(connector.address()).await.unwrap();
    // One that is refused alone, beside others that are not.
    for key in [2, 3, 1] {
        source.send(&write("demo", key, &[("n", Particle::Integer(key))])).await.unwrap();
        assert_eq!(source.ack().await.unwrap(), Ack::OK);
    }
    refuses.store(false, Ordering::SeqCst);
    let programs = connector.folder().join("bin");
    fs::create_dir(&programs).unwrap();
    symlink(CONNECTOR, programs.join("esp-connector")).unwrap();
    (receiver, connector)
}

/// What a command prints that has to end well. Files and ports are those of the scene.
fn run(command: &str, block: &Block, connector: &ConnectorProcess) -> String {
    let folder = connector.folder();
    let fixture =
        |name: &str| repository().join("tests/fixtures/config/good").join(name).display().to_string();
    let config = match block.page.as_str() {
        // What costs something.
        "docs/tuning.md" => fixture("aws-lambda.yml"),
        _ => folder.join("connector.yml").display().to_string(),
    };
    let ours = command
        .replace("/etc/aerospike-esp-outbound/aerospike-esp-outbound.yml", &fixture("vendor-namespaces.yml"))
        .replace("--config /etc/esp-connector/esp-connector.yml", &format!("--config {config}"))
        .replace("--config esp-connector.yml", &format!("--config {config}"))
        .replace("localhost:8901", &connector.address().to_string())
        .replace("localhost:8902", &connector.manage().to_string());
    let search = std::env::join_paths(
        [folder.join("bin")].into_iter().chain(std::env::split_paths(&std::env::var_os("PATH").unwrap())),
    );
    let output = Command::new("sh")
        .args(["-euc", &ours])
        .current_dir(folder)
        .env("PATH", search.unwrap())
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let printed =
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(
        output.status.success(),
        "{}: {command}\nneither works here nor says who runs it or what it needs; it was\n{ours}\n{printed}",
        block.place()
    );
    printed
}

/// All blocks of commands, of all pages.
fn blocks() -> Vec<Block> {
    let mut blocks = Vec::new();
    for path in pages() {
        let page = path.strip_prefix(repository()).unwrap().display().to_string();
        let text = fs::read_to_string(&path).unwrap();
        let lines: Vec<_> = text.lines().map(str::trim).collect();
        let mut at = 0;
        while at < lines.len() {
            let language = lines[at].strip_prefix("```");
            let from = at + 1;
            at += 1;
            let Some(language) = language else { continue };
            let inside = lines[from..].iter().position(|line| *line == "```");
            let end = from + inside.unwrap_or_else(|| panic!("{page}:{from}: a block has no end"));
            at = end + 1;
            if ["sh", "bash", "shell", "console"].contains(&language) {
                let mark = mark(lines[..from - 1].last().copied().unwrap_or_default());
                blocks.push(Block {
                    page: page.clone(),
                    line: from,
                    mark,
                    commands: commands(&lines[from..end]),
                });
            }
        }
    }
    assert!(blocks.len() > 30, "only {} were found", blocks.len());
    blocks
}

fn mark(line: &str) -> Mark {
    let Some(comment) = line.strip_prefix("<!-- ").and_then(|line| line.strip_suffix(" -->")) else {
        return Mark::None;
    };
    let said = |prefix: &str| comment.strip_prefix(prefix).map(str::to_owned);
    said("run by: ").map(Mark::RunBy).or_else(|| said("needs: ").map(Mark::Needs)).unwrap_or(Mark::None)
}

/// The commands of a block, each in one line.
fn commands(lines: &[&str]) -> Vec<String> {
    let mut commands = Vec::new();
    let mut continued = String::new();
    for line in lines.iter().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        match line.strip_suffix('\\') {
            Some(part) => continued.push_str(part),
            None => commands.push(std::mem::take(&mut continued) + line),
        }
    }
    assert!(continued.is_empty(), "{continued} goes on, and does not");
    commands
}

#[test]
fn a_block_is_read_as_a_shell_reads_it() {
    assert_eq!(commands(&["a \\", "b", "", "# said", "c # needs d"]), ["a b", "c # needs d"]);
    assert_eq!(mark("<!-- needs: an account -->"), Mark::Needs("an account".to_owned()));
    assert_eq!(mark("<!-- run by: .ci/run -->"), Mark::RunBy(".ci/run".to_owned()));
    assert_eq!(mark("<!-- test command -->"), Mark::None);
}
