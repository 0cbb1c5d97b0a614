use std::sync::Arc;

use super::*;
use crate::notification::Digest;

mod model;

const A: &[u8] = b"the header, 22 bytes..the first version";
/// No destination.
const NOBODY: [usize; 0] = [];

const B: &[u8] = b"the header, 22 bytes..the other version";

fn record(n: u8) -> RecordId {
    RecordId::new(b"test", Digest([n; 20]))
}

fn at(positions: &[usize]) -> Destinations<'_> {
    Destinations { positions, of: 1 }
}

/// A shipment of record `n` to three destinations.
fn ship(memory: &Arc<Delivered>, n: u8, body: &[u8]) -> Arc<Shipment> {
    memory.ship(record(n), Some(memory.version(body, 1)), at(&[0, 1, 2]))
}

/// Lets a shipment end: those destinations have it, the others have not.
fn end(shipment: Arc<Shipment>, delivered: &[usize]) {
    for destination in 0..3 {
        Share::new(&shipment, destination).ended(delivered.contains(&destination));
    }
}

fn has(shipment: &Shipment) -> Vec<usize> {
    (0..3).filter(|destination| shipment.is_at(*destination)).collect()
}

/// One shipment that reaches only `delivered`, out of three.
fn partly(memory: &Arc<Delivered>, n: u8, body: &[u8], delivered: &[usize]) {
    end(ship(memory, n, body), delivered);
}

#[test]
fn what_is_shipped_again_goes_only_where_it_is_missing() {
    let memory = Arc::new(Delivered::new(10));
    partly(&memory, 1, A, &[0]);
    let again = ship(&memory, 1, A);
    assert_eq!(has(&again), [0]);
    end(again, &[0, 2]);
    let again = ship(&memory, 1, A);
    assert_eq!(has(&again), [0, 2]);
    end(again, &[0, 1, 2]);
    assert!(memory.is_empty(), "all have it");
    assert_eq!(has(&ship(&memory, 1, A)), NOBODY, "the same again, later, is news");
}

#[test]
fn what_nobody_has_is_not_remembered() {
    let memory = Arc::new(Delivered::new(10));
    partly(&memory, 1, A, &[]);
    assert!(memory.is_empty());
}

#[test]
fn another_version_makes_the_one_before_worthless_also_when_that_comes_back() {
    let memory = Arc::new(Delivered::new(10));
    partly(&memory, 1, A, &[0]);
    partly(&memory, 1, B, &[1]);
    let back = ship(&memory, 1, A);
    assert_eq!(has(&back), NOBODY, "destination 1 has B");
    end(back, &[2]);
    assert_eq!(has(&ship(&memory, 1, A)), [2]);
}

#[test]
fn a_version_that_goes_elsewhere_or_cannot_be_told_apart_counts_as_another() {
    let memory = Arc::new(Delivered::new(10));
    partly(&memory, 1, A, &[0]);
    let elsewhere = memory.ship(record(1), Some(memory.version(B, 2)), at(&[0]));
    Share::new(&elsewhere, 0).ended(true);
    drop(elsewhere);
    assert_eq!(has(&ship(&memory, 1, A)), NOBODY, "destination 0 has B, by a route of its own");
    partly(&memory, 2, A, &[0]);
    let nameless = memory.ship(record(2), None, at(&[0, 1, 2]));
    assert_eq!(has(&nameless), NOBODY);
    end(nameless, &[0]);
    assert_eq!(has(&memory.ship(record(2), None, at(&[0, 1, 2]))), NOBODY, "nothing is known of it");
    partly(&memory, 3, A, &[0]);
    let by_another_route = memory.ship(record(3), Some(memory.version(A, 7)), at(&[0, 1, 2]));
    assert_eq!(has(&by_another_route), NOBODY, "in another form perhaps");
}

#[test]
fn the_confirmation_of_an_older_shipment_says_nothing_about_the_newer_one() {
    let memory = Arc::new(Delivered::new(10));
    // A waits at destination 0 while B comes, and A again.
    let first = ship(&memory, 1, A);
    let other = ship(&memory, 1, B);
    let back = ship(&memory, 1, A);
    Share::new(&first, 0).ended(true);
    drop((first, back));
    Share::new(&other, 0).ended(true);
    drop(other);
    assert_eq!(has(&ship(&memory, 1, A)), NOBODY, "destination 0 has B, which was behind the first A");
}

#[test]
fn nobody_is_passed_over_while_something_else_is_on_its_way() {
    let memory = Arc::new(Delivered::new(10));
    let older = ship(&memory, 1, A);
    partly(&memory, 1, B, &[0]);
    assert_eq!(has(&ship(&memory, 1, B)), NOBODY, "A may come after B");
    Share::new(&older, 0).ended(false);
    drop(older);
    assert_eq!(has(&ship(&memory, 1, B)), NOBODY, "A may have come after B, though nobody confirmed it");
}

#[test]
fn the_same_version_twice_at_once_is_one() {
    let memory = Arc::new(Delivered::new(10));
    let slow = ship(&memory, 1, A);
    let again = ship(&memory, 1, A);
    assert_eq!(has(&again), NOBODY);
    Share::new(&slow, 0).ended(true);
    end(again, &[1]);
    drop(slow);
    assert_eq!(has(&ship(&memory, 1, A)), [0, 1], "a late confirmation counts");
}

#[test]
fn what_all_have_is_remembered_while_xdr_does_not_know() {
    let memory = Arc::new(Delivered::new(10));
    let slow = ship(&memory, 1, A);
    for destination in 0..3 {
        let share = Share::new(&slow, destination);
        share.ended(true);
        if destination == 2 {
            share.unheard();
        }
    }
    drop(slow);
    assert_eq!(memory.len(), 1);
    let again = ship(&memory, 1, A);
    assert_eq!(has(&again), [0, 1, 2]);
    end(again, &[0, 1, 2]);
    assert!(memory.is_empty(), "now it does");
}

#[test]
fn only_the_times_to_live_may_differ() {
    let memory = Delivered::new(10);
    let mut body = A.to_vec();
    for at in 0..body.len() {
        body[at] ^= 1;
        let same = memory.version(&body, 1) == memory.version(A, 1);
        assert_eq!(same, (10..18).contains(&at), "byte {at}");
        body[at] ^= 1;
    }
    assert_ne!(memory.version(&A[..20], 1), memory.version(&A[..21], 1));
    let _ = memory.version(b"short", 1);
}

#[test]
fn the_oldest_make_room_and_those_on_their_way_stay() {
    let memory = Arc::new(Delivered::new(3));
    let on_its_way = ship(&memory, 0, A);
    for n in 1..=5 {
        partly(&memory, n, A, &[0]);
    }
    assert_eq!((memory.len(), memory.forgotten()), (3, 2));
    assert_eq!(has(&ship(&memory, 3, A)), [0], "remembered, and now the last to go");
    partly(&memory, 6, A, &[0]);
    assert_eq!((memory.len(), memory.forgotten()), (3, 3));
    assert_eq!(has(&ship(&memory, 4, A)), NOBODY);
    assert_eq!(has(&ship(&memory, 3, A)), [0]);
    end(on_its_way, &[2]);
    assert_eq!(has(&ship(&memory, 0, A)), [2]);
}

#[test]
fn destinations_that_cannot_be_told_apart_are_never_passed_over() {
    let memory = Arc::new(Delivered::new(10));
    let far = [0, DESTINATIONS_MAX];
    for _ in 0..2 {
        let shipment = memory.ship(record(1), Some(memory.version(A, 1)), at(&far));
        assert!(far.iter().all(|destination| !shipment.is_at(*destination)));
        far.iter().for_each(|destination| Share::new(&shipment, *destination).ended(*destination == 0));
    }
    assert!(memory.is_empty());
}

#[test]
fn many_records_are_spread_and_still_bounded() {
    let memory = Arc::new(Delivered::new(SHARDED_FROM));
    for n in 0..=255 {
        for m in 0..20 {
            let mut digest = [n; 20];
            digest[1] = m;
            let record = RecordId::new(b"test", Digest(digest));
            end(memory.ship(record, Some(memory.version(A, 1)), at(&[0, 1, 2])), &[1]);
        }
    }
    assert_eq!(memory.len(), SHARDED_FROM);
    assert_eq!(memory.forgotten() as usize, 256 * 20 - SHARDED_FROM);
}
