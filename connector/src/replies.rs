//! The replies one connection owes, in request order, and the tickets that settle them.
//!
//! Every request takes a slot when it is read. A record's slot is settled by its [`Ticket`]s, one for each
//! destination; a ticket that is dropped unused settles as a temporary failure, so a reply cannot be
//! forgotten, whatever happens to the code that held it. Nothing is answered twice: what is settled after
//! its deadline finds its slot gone.

use std::{
    collections::VecDeque,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use adapters::{Cause, Outcome};
use tokio::sync::Notify;

use crate::delivered::{Share, Shipment};

/// What a temporary refusal waits for at least, counted from arrival: XDR repeats a refused record soon, and an
/// immediate answer would make it spin.
const REFUSAL_PACE: Duration = Duration::from_millis(100);

/// Bytes of known answers, slots included, that a peer may leave unread before nothing more is read from it. Bytes,
/// because an info answer can be a thousand times as large as an ack.
const KNOWN_BYTES_MAX: usize = 32 * 1024;

/// Room for slots that a connection keeps; what a deep pipeline took beyond it is given back once all is answered.
const KEEP_SLOTS: usize = 1024;

/// The pace where another try soon is futile: the whole destination is at fault, or the record cannot be written.
const FUTILE_PACE: Duration = Duration::from_secs(1);

/// The replies of one connection.
#[derive(Debug, Default)]
pub struct Replies {
    state: Mutex<State>,
    changed: Notify,
    /// Known answers were written.
    drained: Notify,
    gone: AtomicBool,
}

#[derive(Debug, Default)]
struct State {
    /// Sequence number of the oldest slot.
    base: u64,
    slots: VecDeque<Slot>,
    /// Bytes of the known answers and their slots.
    known_bytes: usize,
    /// No further request will come.
    complete: bool,
}

#[derive(Debug)]
enum Slot {
    /// An answer that is known already.
    Known(Vec<u8>),
    Record(Record),
}

impl Slot {
    fn known_bytes(&self) -> usize {
        match self {
            Self::Known(answer) => answer.capacity() + size_of::<Self>(),
            Self::Record(_) => 0,
        }
    }
}

#[derive(Debug)]
struct Record {
    /// Tickets not settled yet.
    open: usize,
    outcome: Outcome,
    arrived: Instant,
    deadline: Instant,
    /// Bytes to give back to the window.
    bytes: usize,
    skipped: bool,
    /// Another try soon would be futile.
    futile: bool,
}

/// One answered record, for the window and the metrics.
#[derive(Clone, Copy, Debug)]
pub struct Answered {
    /// Its fate, [`Cause::Timeout`] when the deadline came first.
    pub outcome: Outcome,
    /// When it was read.
    pub arrived: Instant,
    /// Bytes it held in the window.
    pub bytes: usize,
    /// Whether no destination wanted it.
    pub skipped: bool,
}

/// What the ack half should do next.
#[derive(Debug, PartialEq, Eq)]
pub enum Next {
    /// Write what was collected.
    Write,
    /// Wait for a change, at most until the instant.
    Wait(Option<Instant>),
    /// Every request is answered and no more will come.
    Finished,
}

impl Replies {
    /// Adds an answer that is known already, behind all earlier requests.
    ///
    /// Waits while the peer leaves too many of them unread: they are not in the window, so this is their bound.
    pub async fn push_known(&self, answer: Vec<u8>) {
        loop {
            let mut drained = std::pin::pin!(self.drained.notified());
            drained.as_mut().enable();
            if self.lock().known_bytes < KNOWN_BYTES_MAX {
                break;
            }
            drained.await;
        }
        self.push(Slot::Known(answer));
    }

    /// Adds a record that waits for `tickets` destinations and returns that many tickets. With none the record is
    /// acknowledged as soon as its turn comes.
    pub fn push_record(
        self: &Arc<Self>,
        arrived: Instant,
        deadline: Instant,
        bytes: usize,
        tickets: usize,
    ) -> impl Iterator<Item = Ticket> + use<> {
        let skipped = tickets == 0;
        let outcome = Outcome::Delivered;
        let slot =
            Slot::Record(Record { open: tickets, outcome, arrived, deadline, bytes, skipped, futile: false });
        let sequence = self.push(slot);
        let replies = Arc::clone(self);
        (0..tickets).map(move |_| Ticket { replies: Some(Arc::clone(&replies)), sequence, share: None })
    }

    fn push(&self, slot: Slot) -> u64 {
        let mut state = self.lock();
        let sequence = state.base + state.slots.len() as u64;
        state.known_bytes += slot.known_bytes();
        state.slots.push_back(slot);
        let first = state.slots.len() == 1;
        drop(state);
        if first {
            self.changed.notify_one();
        }
        sequence
    }

    /// Says that no further request will come.
    pub fn complete(&self) {
        self.lock().complete = true;
        self.changed.notify_one();
    }

    /// Says that the connection is gone: answers are of no use any more, and records that wait for a destination
    /// need not be sent, because XDR ships them again on another connection.
    pub fn abandon(&self) {
        self.gone.store(true, Ordering::Release);
    }

    /// Takes every answer whose turn has come off the queue, up to `answers_max`, handing known answers and
    /// outcomes to `emit` in order.
    pub fn collect(
        &self,
        now: Instant,
        window_fill: f64,
        answers_max: usize,
        mut emit: impl FnMut(Answer<'_>),
    ) -> Next {
        let mut state = self.lock();
        let known_bytes_before = state.known_bytes;
        let mut taken = 0;
        while taken < answers_max {
            let Some(slot) = state.slots.front() else { break };
            match slot {
                Slot::Known(answer) => emit(Answer::Known(answer)),
                Slot::Record(record) => match record.answer_at(now, window_fill) {
                    Ok(answered) => emit(Answer::Record(answered)),
                    Err(later) if taken == 0 => return Next::Wait(Some(later)),
                    Err(_) => break,
                },
            }
            let known_bytes = slot.known_bytes();
            state.slots.pop_front();
            state.known_bytes -= known_bytes;
            state.base += 1;
            taken += 1;
        }
        if state.known_bytes < known_bytes_before {
            self.drained.notify_one();
        }
        if state.slots.is_empty() && state.slots.capacity() > KEEP_SLOTS {
            state.slots.shrink_to(KEEP_SLOTS);
        }
        match (taken, state.complete) {
            (0, true) => Next::Finished,
            (0, false) => Next::Wait(None),
            _ => Next::Write,
        }
    }

    /// Waits until something may have changed for the oldest slot.
    pub async fn changed(&self) {
        self.changed.notified().await;
    }

    /// What the records still unanswered hold: their number and bytes. For giving up a connection.
    pub fn unanswered(&self) -> (usize, usize) {
        self.lock().slots.iter().fold((0, 0), |(records, bytes), slot| match slot {
            Slot::Known(_) => (records, bytes),
            Slot::Record(record) => (records + 1, bytes + record.bytes),
        })
    }

    /// Whether answers to more than one request are owed.
    pub fn are_several(&self) -> bool {
        self.lock().slots.len() > 1
    }

    /// False when nobody hears of it: the answer was given without it, or can be given to nobody any more.
    fn settle(&self, sequence: u64, outcome: Outcome, futile: bool) -> bool {
        let settled = self.lock().settle(sequence, outcome, futile);
        if settled == Some(Settled::First) {
            self.changed.notify_one();
        }
        settled.is_some() && !self.gone.load(Ordering::Acquire)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // A panic while the lock was held leaves at worst one slot unsettled, which its deadline answers.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Where a record stood that a ticket was settled of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Settled {
    Other,
    /// It is the oldest, and nothing is open any more: its answer is due.
    First,
}

impl State {
    /// Takes note of the fate of a record at one destination; `None` when it was answered before.
    fn settle(&mut self, sequence: u64, outcome: Outcome, futile: bool) -> Option<Settled> {
        let index = sequence.checked_sub(self.base)?;
        let Some(Slot::Record(record)) = self.slots.get_mut(index as usize) else { return None };
        record.outcome = record.outcome.and(outcome);
        record.futile |= futile;
        record.open = record.open.saturating_sub(1);
        Some(if record.open == 0 && index == 0 { Settled::First } else { Settled::Other })
    }
}

/// One answer whose turn has come.
#[derive(Debug)]
pub enum Answer<'a> {
    /// Bytes to write as they are.
    Known(&'a [u8]),
    /// A record's fate.
    Record(Answered),
}

impl Record {
    /// The answer, or the instant at which to look again.
    fn answer_at(&self, now: Instant, window_fill: f64) -> Result<Answered, Instant> {
        let Self { outcome, arrived, bytes, skipped, .. } = *self;
        if self.open > 0 {
            if now < self.deadline {
                return Err(self.deadline);
            }
            let outcome = outcome.and(Outcome::Retryable(Cause::Timeout));
            return Ok(Answered { outcome, arrived, bytes, skipped });
        }
        let due = (arrived + pace(outcome, self.futile, window_fill)).min(self.deadline);
        if now < due { Err(due) } else { Ok(Answered { outcome, arrived, bytes, skipped }) }
    }
}

/// How long after its arrival an outcome is answered at the earliest.
///
/// The pace shrinks as the window fills, because records waiting for their refusal take room from others, and
/// what sits unread in the sockets ages too.
fn pace(outcome: Outcome, futile: bool, window_fill: f64) -> Duration {
    let pace = match outcome {
        Outcome::Delivered | Outcome::Rejected(_) | Outcome::Retryable(Cause::Shutdown) => {
            return Duration::ZERO;
        }
        Outcome::Retryable(_) if futile => FUTILE_PACE,
        Outcome::Retryable(_) => REFUSAL_PACE,
    };
    let room = ((1.0 - window_fill) * 2.0).clamp(0.05, 1.0);
    pace.mul_f64(room)
}

/// The duty to settle one record at one destination. Dropping it is a temporary failure.
#[derive(Debug)]
#[must_use]
pub struct Ticket {
    /// `None` once settled.
    replies: Option<Arc<Replies>>,
    sequence: u64,
    /// What is remembered of the record at this destination.
    share: Option<Share>,
}

impl Ticket {
    /// The same ticket, whose end is remembered for the destination at this position.
    pub fn remembered(self, shipment: &Arc<Shipment>, destination: usize) -> Self {
        let mut ticket = self;
        ticket.share = Some(Share::new(shipment, destination));
        ticket
    }

    /// Gives the record its fate at this destination.
    pub fn settle(mut self, outcome: Outcome) {
        self.end(outcome, false);
    }

    /// Refuses the record for now, and slowly, because another try soon would fail as well.
    pub fn refuse(mut self, cause: Cause) {
        self.end(Outcome::Retryable(cause), true);
    }

    fn end(&mut self, outcome: Outcome, futile: bool) {
        let Some(replies) = self.replies.take() else { return };
        // Before the answer, which brings the record back.
        let share = self.share.take().inspect(|share| share.ended(outcome == Outcome::Delivered));
        let in_time = replies.settle(self.sequence, outcome, futile);
        if let Some(share) = share.filter(|_| !in_time) {
            share.unheard();
        }
    }

    /// Whether all there is to settle is a place in `replies`.
    fn is_plain_of(&self, replies: &Arc<Replies>) -> bool {
        self.share.is_none() && self.replies.as_ref().is_some_and(|own| Arc::ptr_eq(own, replies))
    }

    /// Whether anybody still waits for the answer.
    pub fn is_wanted(&self) -> bool {
        self.replies.as_ref().is_some_and(|replies| !replies.gone.load(Ordering::Acquire))
    }
}

/// Settles all of them as delivered: what follows each other of one connection at once. Taking the next of them must settle
/// nothing by itself.
pub fn deliver(tickets: impl Iterator<Item = Ticket>) {
    let mut tickets = tickets.peekable();
    while let Some(mut ticket) = tickets.next() {
        if ticket.share.is_some() {
            ticket.settle(Outcome::Delivered);
            continue;
        }
        let Some(replies) = ticket.replies.take() else { continue };
        let mut state = replies.lock();
        let mut settled = state.settle(ticket.sequence, Outcome::Delivered, false);
        while let Some(mut next) = tickets.next_if(|next| next.is_plain_of(&replies)) {
            next.replies = None;
            settled = state.settle(next.sequence, Outcome::Delivered, false).max(settled);
        }
        drop(state);
        if settled == Some(Settled::First) {
            replies.changed.notify_one();
        }
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.end(Outcome::Retryable(Cause::Shutdown), false);
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    const FAR: Duration = Duration::from_secs(8);

    fn record(replies: &Arc<Replies>, now: Instant, tickets: usize) -> Vec<Ticket> {
        replies.push_record(now, now + FAR, 10, tickets).collect()
    }

    fn drain(replies: &Replies, now: Instant) -> (Vec<Outcome>, Next) {
        let mut outcomes = Vec::new();
        let next = replies.collect(now, 0.0, usize::MAX, |answer| {
            if let Answer::Record(answered) = answer {
                outcomes.push(answered.outcome);
            }
        });
        (outcomes, next)
    }

    #[test]
    fn answers_leave_in_request_order_whatever_finishes_first() {
        let (replies, now) = (Arc::new(Replies::default()), Instant::now());
        let first = record(&replies, now, 1);
        let second = record(&replies, now, 1);
        second.into_iter().for_each(|ticket| ticket.settle(Outcome::Delivered));
        assert_eq!(drain(&replies, now), (vec![], Next::Wait(Some(now + FAR))));
        first.into_iter().for_each(|ticket| ticket.settle(Outcome::Rejected(Cause::TooLarge)));
        let expected = vec![Outcome::Rejected(Cause::TooLarge), Outcome::Delivered];
        assert_eq!(drain(&replies, now), (expected, Next::Write));
    }

    #[test]
    fn success_needs_every_destination_and_retryable_beats_rejected() {
        let (replies, now) = (Arc::new(Replies::default()), Instant::now());
        let mut tickets = record(&replies, now, 3);
        let late = now + FUTILE_PACE;
        for outcome in [Outcome::Delivered, Outcome::Rejected(Cause::Malformed)] {
            tickets.pop().expect("three").settle(outcome);
            assert_eq!(drain(&replies, late).0, []);
        }
        tickets.pop().expect("three").settle(Outcome::Retryable(Cause::Timeout));
        assert_eq!(drain(&replies, late).0, [Outcome::Retryable(Cause::Timeout)]);
    }

    #[test]
    fn a_dropped_ticket_is_a_temporary_failure() {
        let (replies, now) = (Arc::new(Replies::default()), Instant::now());
        let tickets = record(&replies, now, 2);
        let mut tickets = tickets.into_iter();
        tickets.next().expect("two").settle(Outcome::Delivered);
        drop(tickets);
        assert_eq!(drain(&replies, now).0, [Outcome::Retryable(Cause::Shutdown)]);
    }

    #[test]
    fn the_deadline_answers_and_what_comes_later_is_ignored() {
        let (replies, now) = (Arc::new(Replies::default()), Instant::now());
        let slow = record(&replies, now, 1);
        let _behind = record(&replies, now + Duration::from_secs(1), 1);
        let (outcomes, _) = drain(&replies, now + FAR);
        assert_eq!(outcomes, [Outcome::Retryable(Cause::Timeout)]);
        slow.into_iter().for_each(|ticket| ticket.settle(Outcome::Delivered));
        assert_eq!(drain(&replies, now + FAR).0, [], "the next slot is not settled by the late ticket");
    }

    #[tokio::test]
    async fn tickets_of_several_connections_are_settled_whatever_their_order() {
        let (one, other, now) = (Arc::new(Replies::default()), Arc::new(Replies::default()), Instant::now());
        let of = |replies: &Arc<Replies>, n| record(replies, now, n).into_iter();
        let tickets: Vec<_> =
            of(&one, 1).chain(of(&one, 2)).chain(of(&other, 1)).chain(of(&one, 1)).collect();
        let open = record(&other, now, 1);
        // What told of the new records is heard.
        one.changed().await;
        other.changed().await;
        deliver(tickets.into_iter());
        assert!(one.changed().now_or_never().is_some() && other.changed().now_or_never().is_some());
        assert_eq!(drain(&one, now), (vec![Outcome::Delivered; 3], Next::Write));
        assert_eq!(drain(&other, now), (vec![Outcome::Delivered], Next::Write));
        deliver(open.into_iter());
        assert_eq!(drain(&other, now).0, [Outcome::Delivered]);
    }

    #[test]
    fn refusals_are_paced_and_less_so_when_the_window_fills() {
        let (replies, now) = (Arc::new(Replies::default()), Instant::now());
        let tickets = record(&replies, now, 1);
        tickets.into_iter().for_each(|ticket| ticket.refuse(Cause::Overloaded));
        assert_eq!(drain(&replies, now).1, Next::Wait(Some(now + FUTILE_PACE)));
        let full = replies.collect(now + Duration::from_millis(60), 1.0, 10, |_| {});
        assert_eq!(full, Next::Write, "a full window paces by a twentieth");
    }

    #[test]
    fn known_answers_keep_their_place_and_completion_is_noticed() {
        let (replies, now) = (Arc::new(Replies::default()), Instant::now());
        let tickets = record(&replies, now, 1);
        replies.push(Slot::Known(b"info".to_vec()));
        replies.complete();
        assert!(matches!(drain(&replies, now).1, Next::Wait(Some(_))));
        tickets.into_iter().for_each(|ticket| ticket.settle(Outcome::Delivered));
        let mut seen = Vec::new();
        replies.collect(now, 0.0, 10, |answer| seen.push(matches!(answer, Answer::Known(b"info"))));
        assert_eq!(seen, [false, true]);
        assert_eq!(drain(&replies, now).1, Next::Finished);
    }

    #[test]
    fn a_skipped_record_is_acknowledged_at_once() {
        let (replies, now) = (Arc::new(Replies::default()), Instant::now());
        assert!(record(&replies, now, 0).is_empty());
        assert_eq!(drain(&replies, now).0, [Outcome::Delivered]);
    }

    #[tokio::test]
    async fn what_a_peer_leaves_unread_is_bounded_in_bytes_not_in_answers() {
        let replies = Replies::default();
        for _ in 0..200 {
            assert!(
                replies.push_known(vec![0; 30]).now_or_never().is_some(),
                "acks of refused messages are small"
            );
        }
        assert!(replies.push_known(vec![0; 1 << 20]).now_or_never().is_some(), "one answer, however large");
        let mut second = std::pin::pin!(replies.push_known(vec![0; 1 << 20]));
        assert!(second.as_mut().now_or_never().is_none());
        replies.collect(Instant::now(), 0.0, 201, |_| {});
        assert!(second.now_or_never().is_some(), "room again once they are written");
    }
}
