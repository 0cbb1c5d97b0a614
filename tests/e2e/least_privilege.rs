//! Each example of `infra/terraform` with the very policies of its plan: records pass, and no longer do when any one action
//! is taken away from a role.
//!
//! What the clouds themselves do with the roles (ECS reads the configuration, Lambda writes a log) the test does in their
//! place. `tests/aws/least_privilege.py` says what cannot be shown here, and what `MiniStack` reads differently.

use std::time::Duration;

use esp_connector::simulator::{Settings, Simulation, workload::Workload};

use crate::topology::Topology;

const RECORDS: u32 = 40;
/// Long enough when everything is allowed, as is seen before and after each series.
const WITHIN: Duration = Duration::from_secs(10);

#[tokio::test(flavor = "multi_thread")]
async fn of_direct_invoke_sqs() {
    each_action_is_needed("direct-invoke-sqs", 9, 2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_http_api_s3() {
    each_action_is_needed("http-api-s3", 9, 3).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_alb_sqs() {
    each_action_is_needed("alb-sqs", 9, 3).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_function_url_s3() {
    each_action_is_needed("function-url-s3", 8, 8).await;
}

/// `shown` actions are needed, of `unproven` ones that cannot be seen here.
async fn each_action_is_needed(example: &'static str, shown: usize, unproven: usize) {
    let Some(topology) = Topology::new(example, None).await else { return };
    assert_eq!((topology.steps.len(), topology.unproven), (shown, unproven), "{:?}", topology.steps);
    topology.python(&["without"]);
    // The first call starts the function.
    let _ = run(&topology).await;
    assert_eq!(run(&topology).await, Ok(()), "with everything that it may");
    assert_eq!(arrived(&topology), RECORDS);
    for [role, statement, action] in &topology.steps {
        topology.python(&["without", role, statement, action]);
        let ended = run(&topology).await;
        println!("{example}: {role} without {action} of {statement}: {ended:?}");
        assert!(ended.is_err(), "{role} does not need {action} of {statement}");
    }
    topology.python(&["without"]);
    assert_eq!(run(&topology).await, Ok(()), "with everything that it may, again");
}

/// How many different records arrived since the beginning.
fn arrived(topology: &Topology) -> u32 {
    String::from_utf8(topology.python(&["arrived"]).stdout).unwrap().trim().parse().unwrap()
}

/// What the clouds do to start it, then records through a connector of its own; or what did not work.
async fn run(topology: &Topology) -> Result<(), String> {
    topology.starts()?;
    let connector = topology.connector().await;
    let workload = Workload { records: RECORDS, ..Workload::default() };
    let mut settings = Settings::new(connector.address().to_string(), workload);
    settings.deadline = WITHIN;
    let summary = Simulation::new(settings, None).run().await;
    if summary.is_complete() {
        return Ok(());
    }
    let delivered = connector.metric("esp_connector_lane_delivered_records_total", "records").await;
    let mut ends = String::new();
    for class in ["transient", "credentials", "hold", "throttled"] {
        let label = format!(r#""records",class="{class}""#);
        let count = connector.metric("esp_connector_lane_ended_requests_total", &label).await;
        if count > 0.0 {
            ends += &format!(", {class} {count}");
        }
    }
    Err(format!("{delivered} of {RECORDS} delivered{ends}"))
}
