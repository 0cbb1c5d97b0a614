//! Python for the tests that need it, with packages in virtual environments under `target/`.
//!
//! Without Python or PyPI these tests say so and pass, except where `CI` is set: there they fail.

use std::{
    env, fs,
    io::{self, Write as _},
    path::{Path, PathBuf},
    process::Command,
    sync::{Mutex, PoisonError},
};

use e2e::repository;

/// A Python 3.
pub(crate) fn plain() -> Option<PathBuf> {
    let python = PathBuf::from("python3");
    match run(Command::new(&python).arg("--version")) {
        Ok(()) => Some(python),
        Err(reason) => skip(&reason),
    }
}

/// A Python that can import `aerospike`, the official client, in the pinned version.
pub(crate) fn with_client() -> Option<PathBuf> {
    with("client", "aerospike")
}

/// A Python that can read what the connector writes.
pub(crate) fn with_readers() -> Option<PathBuf> {
    with("roundtrip", "fastavro, msgpack")
}

/// The Python beside which `ministack` is installed, and that can set it up.
pub(crate) fn with_ministack() -> Option<PathBuf> {
    with("aws", "ministack, boto3")
}

/// The Python beside which `envoy` is installed.
pub(crate) fn with_envoy() -> Option<PathBuf> {
    with("envoy", "envoy")
}

/// A Python that can sign as AWS does, and receive HTTP/1.1 and HTTP/2.
pub(crate) fn with_signer() -> Option<PathBuf> {
    with("sigv4", "botocore, hypercorn, h2")
}

/// A Python that can check webhooks with the reference library.
pub(crate) fn with_webhooks() -> Option<PathBuf> {
    with("webhook", "standardwebhooks")
}

/// A Python with Google's functions framework, and what judges identity tokens.
pub(crate) fn with_google() -> Option<PathBuf> {
    with("google", "functions_framework, google.auth, jwt, requests, cryptography")
}

/// A Python that can hold YAML against a JSON Schema.
pub(crate) fn with_validator() -> Option<PathBuf> {
    with("schema", "jsonschema, yaml")
}

/// A Python with Google's functions framework and its client for Cloud Storage.
pub(crate) fn with_storage() -> Option<PathBuf> {
    with("gcs", "functions_framework, google.cloud.storage")
}

/// A Python that can import `modules`, which `requirements.txt` in `folder` of the tests installs.
fn with(folder: &str, modules: &str) -> Option<PathBuf> {
    // Tests that want the same one run at the same time.
    let _one_by_one = INSTALLING.lock().unwrap_or_else(PoisonError::into_inner);
    let system = plain()?;
    let requirements = repository().join("tests").join(folder).join("requirements.txt");
    let venv = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap().join(format!("{folder}-venv"));
    let python = venv.join("bin/python");
    // Written last, so an interrupted installation is begun anew, as is one of another version.
    let installed = venv.join("installed-requirements.txt");
    let pinned = fs::read(&requirements).unwrap();
    if fs::read(&installed).is_ok_and(|installed| installed == pinned)
        && run(Command::new(&python).arg("-c").arg(format!("import {modules}"))).is_ok()
    {
        return Some(python);
    }
    let pip = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--requirement"];
    let result = run(Command::new(system).args(["-m", "venv", "--clear"]).arg(&venv))
        .and_then(|()| run(Command::new(&python).args(pip).arg(&requirements)));
    match result {
        Ok(()) => fs::write(installed, pinned).unwrap(),
        Err(reason) => return skip(&reason),
    }
    Some(python)
}

static INSTALLING: Mutex<()> = Mutex::new(());

fn run(command: &mut Command) -> Result<(), String> {
    match command.output() {
        Ok(output) if output.status.success() => Ok(()),
        Ok(output) => Err(format!("{command:?}: {}", String::from_utf8_lossy(&output.stderr))),
        Err(error) => Err(format!("{command:?}: {error}")),
    }
}

fn skip(reason: &str) -> Option<PathBuf> {
    assert!(env::var_os("CI").is_none(), "{reason}");
    // Not `eprintln!`, which the test harness hides when a test passes.
    let _ = writeln!(io::stderr(), "SKIPPED, a test that needs Python and PyPI: {reason}");
    None
}
