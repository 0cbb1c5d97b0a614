//! Exit codes, messages, and the commands that only print.

use std::process::Output;

use crate::harness::{Folder, Process, binary, command};

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

fn succeeded(output: &Output) -> String {
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    assert_eq!(text(&output.stderr), "");
    text(&output.stdout)
}

#[test]
fn a_bad_configuration_ends_with_64_and_every_problem() {
    let folder = Folder::with(
        "destinations:
  receiver: {urls: ['http://127.0.0.1:9000/'], call-timout: 5}
format: json
routing: {mode: static, destination: reciever}
",
    );
    for subcommand in ["run", "check"] {
        let output = command([subcommand.as_ref(), "--config".as_ref(), folder.config().as_os_str()]);
        assert_eq!(output.status.code(), Some(64));
        let stderr = text(&output.stderr);
        for part in ["connector.yml", "call-timout", "call-timeout", "reciever", "receiver"] {
            assert!(stderr.contains(part), "{part:?} is not in {stderr}");
        }
        assert_eq!(text(&output.stdout), "");
    }
}

#[test]
fn a_probe_says_what_is_missing_and_ends_with_69() {
    let folder = Folder::with(
        "destinations:
  letters: {type: file, path: letters}
  receiver: {urls: ['http://127.0.0.1:1/'], dead-letter: letters}
format: json
routing: {mode: static, destination: receiver}
",
    );
    let probe =
        || command(["check".as_ref(), "--probe".as_ref(), "--config".as_ref(), folder.config().as_os_str()]);
    let output = probe();
    assert_eq!(output.status.code(), Some(69), "{}", text(&output.stderr));
    let stdout = text(&output.stdout);
    for part in [
        "The configuration can run.",
        "letters   ok: ",
        "receiver  FAILED, look at the connection: ",
        "1 of 2 ",
    ] {
        assert!(stdout.contains(part), "{part:?} is not in {stdout}");
    }
    std::fs::write(folder.config(), "destinations: {letters: {type: file, path: letters}}").unwrap();
    let stdout = succeeded(&probe());
    assert!(stdout.ends_with("Every destination would take records.\n"), "{stdout}");
}

#[test]
fn an_estimate_is_printed_or_ends_with_64() {
    let folder = Folder::with(
        "destinations: {orders: {type: aws-lambda, function-name: orders, region: us-east-1}}
format: json
routing: {mode: static, destination: orders}
",
    );
    let cost = |more: &[&str]| {
        let mut process = binary();
        process
            .args(["cost", "--rate", "1000", "--size", "1024", "--config"])
            .arg(folder.config())
            .args(more);
        process.output().unwrap()
    };
    let table = succeeded(&cost(&[]));
    assert!(table.contains("$0.268") && table.contains("$705"), "{table}");
    assert!(succeeded(&cost(&["--json"])).starts_with('{'));
    let output = cost(&["--region", "mars-1"]);
    assert_eq!((output.status.code(), text(&output.stdout).as_str()), (Some(64), ""));
    assert!(text(&output.stderr).contains("no prices of mars-1"), "{output:?}");
}

#[test]
fn a_configuration_that_is_not_there_ends_with_64() {
    let output = command(["run", "--config", "/nowhere/connector.yml"]);
    assert_eq!(output.status.code(), Some(64));
    assert!(text(&output.stderr).contains("/nowhere/connector.yml"), "{output:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_port_in_use_ends_with_1() {
    let taken = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let address = taken.local_addr().unwrap();
    let folder = Folder::with(&format!("service: {{port: {}, address: 127.0.0.1}}\n", address.port()));
    let process = Process::start(binary().args(["run", "--config"]).arg(folder.config()));
    let (status, printed) = process.end_and_printed().await;
    assert_eq!(status.code(), Some(1), "{printed}");
    assert!(printed.contains(&address.to_string()), "{printed}");
}

#[test]
fn help_names_every_command_and_how_to_begin() {
    let help = succeeded(&command(["--help"]));
    for part in [
        "run",
        "check",
        "decode",
        "replay",
        "completions",
        "esp-connector demo",
        "esp-connector run --config",
    ] {
        assert!(help.contains(part), "{part:?} is not in {help}");
    }
    let run = succeeded(&command(["run", "--help"]));
    // Wherever the lines break.
    let run = run.split_whitespace().collect::<Vec<_>>().join(" ");
    for part in ["--config", "--record", "in the clear"] {
        assert!(run.contains(part), "{part:?} is not in {run}");
    }
}

#[test]
fn the_version_is_the_packages() {
    assert_eq!(
        succeeded(&command(["--version"])),
        concat!("esp-connector ", env!("CARGO_PKG_VERSION"), "\n")
    );
}

#[test]
fn completions_are_a_script_that_the_shell_accepts() {
    let script = succeeded(&command(["completions", "bash"]));
    assert!(script.contains("esp-connector") && script.contains("--record"), "{script}");
    if let Ok(checked) = std::process::Command::new("bash").args(["-n", "-c", &script]).output() {
        assert!(checked.status.success(), "{}", text(&checked.stderr));
    }
}

#[test]
fn every_command_has_a_manual_page() {
    let folder = tempfile::tempdir().unwrap();
    let pages = folder.path().join("man1");
    assert_eq!(succeeded(&command(["manual".as_ref(), pages.as_os_str()])), "");
    let mut written: Vec<_> = std::fs::read_dir(&pages)
        .unwrap()
        .map(|page| page.unwrap().file_name().into_string().unwrap())
        .collect();
    written.sort();
    let help = succeeded(&command(["--help"]));
    let commands = help.lines().skip_while(|line| *line != "Commands:").skip(1);
    // A name stands two columns in, what it does further right.
    let names = commands.take_while(|line| !line.is_empty()).filter_map(|line| {
        line.strip_prefix("  ").filter(|line| !line.starts_with(' '))?.split_whitespace().next()
    });
    let mut expected = vec!["esp-connector.1".to_owned()];
    expected.extend(names.filter(|name| *name != "help").map(|name| format!("esp-connector-{name}.1")));
    expected.sort();
    assert!(expected.len() > 10, "{expected:?}");
    assert_eq!(written, expected);
    let main = std::fs::read_to_string(pages.join("esp-connector.1")).unwrap();
    for part in [
        ".TH esp-connector 1 \"\" \"esp-connector ",
        "SIGTERM",
        "EXIT STATUS",
        "/etc/esp\\-connector/esp\\-connector.yml",
    ] {
        assert!(main.contains(part), "{part:?} is not in {main}");
    }
    let output = command(["manual", "/proc/nowhere"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("/proc/nowhere"), "{output:?}");
}

#[test]
fn without_arguments_there_is_help_and_a_mistake_is_a_usage_error() {
    let output = binary().output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).contains("Usage:"));
    let output = command(["rnu"]);
    assert_eq!(output.status.code(), Some(2));
    let stderr = text(&output.stderr);
    assert!(stderr.contains("'rnu'") && stderr.contains("--help"), "{stderr}");
}
