//! Those who hand out tokens, and those who judge them: the Python programs of `tests/google`.

use std::{
    collections::BTreeMap,
    fs,
    io::{BufRead as _, BufReader, Lines, Write as _},
    path::Path,
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
};

use e2e::repository;
use serde_json::{Value, json};

/// A program that is ended with this.
pub(crate) struct Running(pub(crate) Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// `issuer.py`.
pub(crate) struct Issuer {
    pub(crate) port: u16,
    orders: ChildStdin,
    answers: Lines<BufReader<ChildStdout>>,
    _running: Running,
}

impl Issuer {
    /// Writes its authority and the key of an account into `folder`.
    pub(crate) fn start(python: &Path, folder: &Path) -> Self {
        let script = repository().join("tests/google/issuer.py");
        let mut child =
            piped(Command::new(python).arg(script).arg(folder)).stdin(Stdio::piped()).spawn().unwrap();
        let orders = child.stdin.take().unwrap();
        let mut answers = BufReader::new(child.stdout.take().unwrap()).lines();
        let port = answers.next().unwrap().unwrap().parse().unwrap();
        Self { port, orders, answers, _running: Running(child) }
    }

    /// Changes how tokens are handed out; how many were, by what was asked for.
    pub(crate) fn order(&mut self, order: &Value) -> BTreeMap<String, u64> {
        writeln!(self.orders, "{order}").unwrap();
        serde_json::from_str(&self.answers.next().unwrap().unwrap()).unwrap()
    }

    /// A token, for whoever writes it into a file.
    pub(crate) fn token(&mut self, issuer: &str, audience: &str) -> String {
        writeln!(self.orders, "{}", json!({"issuer": issuer, "audience": audience})).unwrap();
        serde_json::from_str(&self.answers.next().unwrap().unwrap()).unwrap()
    }

    /// How often `what` was asked for.
    pub(crate) fn count(&mut self, what: &str) -> u64 {
        self.order(&json!({})).get(what).copied().unwrap_or_default()
    }

    /// Address of the public keys.
    pub(crate) fn keys(&self) -> String {
        format!("http://127.0.0.1:{}/jwks", self.port)
    }
}

/// Its output is read, and not mixed with that of the tests.
pub(crate) fn piped(command: &mut Command) -> &mut Command {
    command.stdout(Stdio::piped())
}

/// The numbers of the records in `file`, as often as they were taken.
pub(crate) fn taken(file: &Path) -> Vec<u64> {
    let text = fs::read_to_string(file).unwrap_or_default();
    let number = |line: &str| serde_json::from_str::<Value>(line).unwrap()["number"].as_u64().unwrap();
    let mut numbers: Vec<u64> = text.lines().map(number).collect();
    numbers.sort_unstable();
    numbers
}
