use adapters::Cause;

use super::*;

#[test]
fn what_goes_on_after_a_reload_counts_on_and_nothing_twice() {
    let mut view = sample_view("blue");
    // The other two of the sample are one destination: now with one set of numbers.
    let [first, audit, mut second] = <[_; 3]>::try_from(view.destinations).unwrap();
    second.lane = Arc::clone(&first.lane);
    let before = Arc::new(Counted::default().and(&second.target).and(&second.target));
    let orders =
        [&first, &second].map(|view| DestinationView { before: Arc::clone(&before), ..view.clone() });
    view.destinations = [audit].into_iter().chain(orders).collect();
    let orders = &view.destination_readings()[1];
    assert_eq!((orders.queued, orders.capacity), (1, 20));
    let endpoints: Vec<_> =
        orders.endpoints.iter().map(|e| (e.endpoint.as_str(), e.success, e.queued, e.healthy)).collect();
    assert_eq!(endpoints, [("a:1", 90, 4, false), ("b:2", 15, 2, true)], "queued is now");
    let access = orders.access.unwrap();
    assert_eq!((access.fetched, access.fetch_failures), (9, 3));
    // Where the new target has none of them, there is nothing to show.
    view.destinations[1].target = Arc::clone(&view.destinations[0].target);
    view.destinations.truncate(2);
    assert_eq!(view.destination_readings()[1].endpoints, []);
}

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
