//! Where credentials come from, one source after the other.

use std::{fs, path::PathBuf};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{
    again::{is_other_process, run},
    services::Services,
};

fn function(services: &Services, more: Value) -> Value {
    let mut target = json!({"function-name": "orders", "endpoint-url": services.url, "call-timeout": 20_000});
    target.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    target
}

/// A configuration file of the AWS tools.
fn profiles(text: &str) -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("config");
    fs::write(&file, text).unwrap();
    (folder, file)
}

const KEYS: [(&str, &str); 2] = [("AWS_ACCESS_KEY_ID", "AKIAENV"), ("AWS_SECRET_ACCESS_KEY", "hunter2")];
const NO_INSTANCE: (&str, &str) = ("AWS_EC2_METADATA_DISABLED", "true");

#[test]
fn the_environment() {
    if is_other_process() {
        return;
    }
    let services = Services::start();
    let said = run(
        "sources::the_environment",
        &[KEYS[0], KEYS[1], NO_INSTANCE, ("AWS_REGION", "eu-west-3")],
        3,
        &function(&services, json!({})),
    );
    assert_eq!(said.deliveries(), ["done"; 3]);
    assert_eq!((said.line("fetched: "), said.line("expires: ")), ("1, failed: 0", "false"));
    assert_eq!((services.calls()[0].key(), services.calls()[0].region()), ("AKIAENV", "eu-west-3"));
}

#[test]
fn a_profile_that_is_named_outranks_the_environment() {
    if is_other_process() {
        return;
    }
    let services = Services::start();
    let (_folder, file) = profiles(
        "[profile ops]\naws_access_key_id = AKIAOPS\naws_secret_access_key = hunter2\nregion = eu-central-1\n",
    );
    let environment = [KEYS[0], KEYS[1], NO_INSTANCE, ("AWS_CONFIG_FILE", file.to_str().unwrap())];
    let test = "sources::a_profile_that_is_named_outranks_the_environment";
    let said = run(test, &environment, 1, &function(&services, json!({"profile": "ops"})));
    assert_eq!(said.deliveries(), ["done"]);
    assert_eq!((services.calls()[0].key(), services.calls()[0].region()), ("AKIAOPS", "eu-central-1"));

    let said =
        run(test, &environment, 1, &function(&services, json!({"profile": "nobody", "region": "eu-west-1"})));
    assert_eq!(said.deliveries(), ["credentials"]);
    let probe = said.line("probe: ");
    assert!(probe.starts_with("credentials: ") && probe.contains("nobody"), "{probe}");
}

#[test]
fn a_process() {
    if is_other_process() {
        return;
    }
    let services = Services::start();
    let (folder, file) = profiles("");
    let script = folder.path().join("credentials.sh");
    fs::write(
        &script,
        "echo '{\"Version\": 1, \"AccessKeyId\": \"AKIAPROC\", \"SecretAccessKey\": \"hunter2\"}'\n",
    )
    .unwrap();
    let entry = format!("[default]\nregion = eu-west-1\ncredential_process = sh {}\n", script.display());
    fs::write(&file, entry).unwrap();
    let environment = [NO_INSTANCE, ("AWS_CONFIG_FILE", file.to_str().unwrap())];
    let said = run("sources::a_process", &environment, 2, &function(&services, json!({})));
    assert_eq!(said.deliveries(), ["done"; 2]);
    assert_eq!(services.calls()[0].key(), "AKIAPROC");

    // What a process says on its way out may hold anything.
    fs::write(&script, "echo hunter2 >&2; exit 3\n").unwrap();
    let said = run("sources::a_process", &environment, 1, &function(&services, json!({})));
    let probe = said.line("probe: ");
    assert!(probe.contains("exit status: 3") && !probe.contains("hunter2"), "{probe}");
}

#[test]
fn a_container() {
    if is_other_process() {
        return;
    }
    let services = Services::start();
    let place = format!("{}/container", services.url);
    let environment = [
        NO_INSTANCE,
        ("AWS_CONTAINER_CREDENTIALS_FULL_URI", place.as_str()),
        ("AWS_CONTAINER_AUTHORIZATION_TOKEN", "pod-token"),
        ("AWS_REGION", "eu-west-1"),
    ];
    let said = run("sources::a_container", &environment, 50, &function(&services, json!({})));
    assert_eq!(said.deliveries(), ["done"; 50]);
    let asked = services.seen("/container");
    assert_eq!((asked.len(), asked[0].authorization.as_str()), (1, "pod-token"));
    assert_eq!(said.line("expires: "), "true");
    assert!(services.calls().iter().all(|call| call.key() == "ASIA1"));
}

#[test]
fn an_instance_and_its_region() {
    if is_other_process() {
        return;
    }
    let services = Services::start();
    let environment = [("AWS_EC2_METADATA_SERVICE_ENDPOINT", services.url.as_str())];
    let said = run("sources::an_instance_and_its_region", &environment, 50, &function(&services, json!({})));
    assert_eq!(said.deliveries(), ["done"; 50]);
    assert_eq!(services.seen("/latest/meta-data/iam/security-credentials/role").len(), 1);
    assert_eq!((services.calls()[0].key(), services.calls()[0].region()), ("ASIA1", "eu-north-1"));
}

#[test]
fn an_instance_that_fails_later_takes_nothing_away() {
    if is_other_process() {
        return;
    }
    let services = Services::start();
    services.break_after(1);
    services.refuse_the_second_call();
    let environment =
        [("AWS_EC2_METADATA_SERVICE_ENDPOINT", services.url.as_str()), ("AWS_REGION", "eu-west-1")];
    let test = "sources::an_instance_that_fails_later_takes_nothing_away";
    let said = run(test, &environment, 20, &function(&services, json!({})));
    // The refusal makes it ask once; there is nothing new, and the old ones serve on.
    let mut expected = ["done"; 20];
    expected[1] = "credentials";
    assert_eq!(said.deliveries(), expected);
    assert_eq!(said.line("fetched: "), "1, failed: 1");
    assert!(services.calls().iter().all(|call| call.key() == "ASIA1"));
    // The provider's own tries within one fetch.
    let asked = services.seen("/latest/meta-data/iam/security-credentials/role").len();
    assert!((2..=6).contains(&asked), "{asked}");
}

#[test]
fn an_instance_that_has_newer_ones_gives_them_when_the_old_are_refused() {
    if is_other_process() {
        return;
    }
    let services = Services::start();
    services.refuse_the_second_call();
    let environment =
        [("AWS_EC2_METADATA_SERVICE_ENDPOINT", services.url.as_str()), ("AWS_REGION", "eu-west-1")];
    let test = "sources::an_instance_that_has_newer_ones_gives_them_when_the_old_are_refused";
    let said = run(test, &environment, 3, &function(&services, json!({})));
    assert_eq!(said.deliveries(), ["done"; 3]);
    let calls = services.calls();
    let keys: Vec<_> = calls.iter().map(|call| call.key()).collect();
    // The last is the probe.
    assert_eq!(keys, ["ASIA1", "ASIA1", "ASIA2", "ASIA2", "ASIA2"]);
}

#[test]
fn a_web_identity() {
    if is_other_process() {
        return;
    }
    let services = Services::start();
    let folder = tempfile::tempdir().unwrap();
    let token = folder.path().join("token");
    fs::write(&token, "a-jwt").unwrap();
    let environment = [
        NO_INSTANCE,
        ("AWS_WEB_IDENTITY_TOKEN_FILE", token.to_str().unwrap()),
        ("AWS_ROLE_ARN", "arn:aws:iam::123456789012:role/pod"),
        ("AWS_ENDPOINT_URL_STS", services.url.as_str()),
        ("AWS_REGION", "eu-west-1"),
    ];
    let said = run("sources::a_web_identity", &environment, 2, &function(&services, json!({})));
    assert_eq!(said.deliveries(), ["done"; 2]);
    let asked: Vec<_> = services.seen("/").into_iter().filter(|seen| seen.path == "/").collect();
    assert_eq!(asked.len(), 1);
    assert!(asked[0].body.contains("WebIdentityToken=a-jwt"), "{}", asked[0].body);
    assert_eq!(services.calls()[0].key(), "STS1");
}

#[test]
fn a_role_assumed_by_what_the_environment_has() {
    if is_other_process() {
        return;
    }
    let services = Services::start();
    let environment = [KEYS[0], KEYS[1], NO_INSTANCE, ("AWS_ENDPOINT_URL_STS", services.url.as_str())];
    let role = "arn:aws:iam::210987654321:role/orders-writer";
    let target = function(
        &services,
        json!({"role-arn": role, "external-id": "an external id", "region": "eu-west-2"}),
    );
    let test = "sources::a_role_assumed_by_what_the_environment_has";
    let said = run(test, &environment, 10, &target);
    assert_eq!(said.deliveries(), ["done"; 10]);
    let asked: Vec<_> = services.seen("/").into_iter().filter(|seen| seen.path == "/").collect();
    assert_eq!(asked.len(), 1);
    assert_eq!((asked[0].key(), asked[0].region()), ("AKIAENV", "eu-west-2"));
    for part in ["RoleSessionName=esp-connector", "ExternalId=an%20external%20id", "orders-writer"] {
        assert!(asked[0].body.contains(part), "{part}: {}", asked[0].body);
    }
    assert_eq!(services.calls()[0].key(), "STS1");

    let said = run(test, &environment, 1, &function(&services, json!({"role-arn": role})));
    assert!(said.line("probe: ").contains("no region"), "{}", said.line("probe: "));
}

#[test]
fn nothing_at_all() {
    if is_other_process() {
        return;
    }
    let services = Services::start();
    let environment = [NO_INSTANCE, ("AWS_REGION", "eu-west-1")];
    let said = run("sources::nothing_at_all", &environment, 2, &function(&services, json!({})));
    assert_eq!(said.deliveries(), ["credentials"; 2]);
    let probe = said.line("probe: ");
    assert!(
        probe.contains("no AWS credentials from environment, profile") && probe.contains("AWS_ACCESS_KEY_ID"),
        "{probe}"
    );
    assert!(services.calls().is_empty());
}
