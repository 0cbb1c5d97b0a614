use adapters::Cause;

use super::*;

#[test]
fn lanes_of_one_destination_add_up_and_its_target_counts_once() {
    let readings = sample_view("blue").destination_readings();
    let names: Vec<_> = readings.iter().map(|reading| reading.name.as_str()).collect();
    assert_eq!(names, ["audit", "orders"]);
    let orders = &readings[1];
    assert_eq!((orders.queued, orders.capacity), (3, 50));
    let endpoints: Vec<_> =
        orders.endpoints.iter().map(|e| (e.endpoint.as_str(), e.success, e.error, e.healthy)).collect();
    assert_eq!(endpoints, [("a:1", 30, 2, false), ("b:2", 5, 1, true)]);
    assert_eq!(readings[0].failures["timeout"], 3);
}

#[test]
fn a_destination_that_waits_for_an_operator_makes_the_connector_not_ready() {
    let view = sample_view("blue");
    assert_eq!(view.readiness(), Readiness::Ready, "a breaker that is open for other reasons passes");
    view.destinations[1].lane.holding.set(Some((Class::Hold, Cause::Status(403))));
    view.destinations[2].lane.holding.set(Some((Class::Credentials, Cause::Unauthorized)));
    let Readiness::NotReady(reason) = view.readiness() else { panic!("ready") };
    assert!(reason.starts_with("destination audit (hold, status 403): the destination forbids"), "{reason}");
    assert!(reason.contains("; destination orders (credentials): "), "{reason}");
    view.destinations.iter().for_each(|destination| destination.lane.holding.set(None));
    assert_eq!(view.readiness(), Readiness::Ready);
    let stopping = Arc::new(|| Readiness::NotReady("stopping".to_owned()));
    assert_ne!(View { ready: stopping, ..view }.readiness(), Readiness::Ready);
}
