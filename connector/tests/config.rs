//! Every sample configuration loads with exactly the warnings and notes, or fails with exactly the problems, that the
//! file beside it lists. `UPDATE_SAMPLES=1` writes those files: read the difference as an operator would.

use std::{
    env, fs,
    path::{Path, PathBuf},
};

use esp_connector::config;

fn samples(kind: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/config").join(kind);
    let files =
        fs::read_dir(&folder).expect("the folder is in the repository").flatten().map(|entry| entry.path());
    let mut files: Vec<PathBuf> = files.filter(|file| file.extension().is_some_and(|e| e == "yml")).collect();
    files.sort();
    assert!(!files.is_empty(), "no samples in {}", folder.display());
    files
}

/// What loading says, with the file named as if it lay in the current folder.
fn said(file: &Path) -> (bool, String) {
    let (loads, lines) = match config::load(file) {
        Ok(loaded) => {
            let warnings = loaded.warnings.iter().map(ToString::to_string);
            let notes = loaded.notes.iter().map(|note| format!("note: {note}"));
            let lines: Vec<String> = warnings.chain(notes).collect();
            (true, lines.join("\n"))
        }
        Err(problems) => (false, problems.to_string()),
    };
    let folder = format!("{}/", file.parent().unwrap_or(file).display());
    (loads, lines.replace(&folder, ""))
}

fn compare(kind: &str, should_load: bool) {
    let mut differences = Vec::new();
    for file in samples(kind) {
        let (loads, said) = said(&file);
        let beside = file.with_extension("txt");
        if env::var_os("UPDATE_SAMPLES").is_some() {
            fs::write(&beside, if said.is_empty() { String::new() } else { format!("{said}\n") })
                .expect("the folder can be written");
        }
        let expected = fs::read_to_string(&beside).unwrap_or_else(|e| format!("{}: {e}", beside.display()));
        if loads != should_load || said != expected.trim_end() {
            differences
                .push(format!("{}: loads: {loads}, and says\n{said}\nnot\n{expected}", file.display()));
        }
    }
    assert!(differences.is_empty(), "{}", differences.join("\n"));
}

#[test]
fn good_samples_load_with_their_warnings() {
    compare("good", true);
}

#[test]
fn bad_samples_are_refused_with_their_problems() {
    compare("bad", false);
}

#[test]
fn the_readme_shows_the_sample_that_is_tested() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let readme = fs::read_to_string(root.join("README.md")).expect("README.md");
    let sample = fs::read_to_string(root.join("tests/fixtures/config/good/readme.yml")).expect("the sample");
    assert!(readme.contains(&format!("```yaml\n{sample}```")), "README.md and good/readme.yml differ");
}
