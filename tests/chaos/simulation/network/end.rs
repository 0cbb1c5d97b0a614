//! One end of a connection, as a stream.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
};

use adapters::world::Pipe;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Instant, Sleep, sleep_until},
};

use super::{CONNECTOR, Link, Network, State, wire::Next};

/// One end of a connection. Dropping it closes it.
pub struct End {
    network: Network,
    number: u64,
    side: usize,
    timer: Option<Pin<Box<Sleep>>>,
    /// No read before, where reads are slow.
    rested: Option<Instant>,
}

impl End {
    pub(super) fn new(network: Network, number: u64, side: usize) -> Self {
        Self { network, number, side, timer: None, rested: None }
    }

    /// Which connection it is of.
    pub fn number(&self) -> u64 {
        self.number
    }

    /// Whether its host is still the one that had it, after counting the call.
    fn call(&self) -> Option<std::sync::MutexGuard<'_, State>> {
        let is_connector = {
            let state = self.network.lock();
            state.connections.get(&self.number)?.hosts[self.side] == CONNECTOR
        };
        if is_connector {
            self.network.count_call();
        }
        let state = self.network.lock();
        let connection = state.connections.get(&self.number)?;
        (!connection.gone[self.side]).then_some(state)
    }

    fn incoming(&self, state: &State) -> Link {
        let hosts = state.connections[&self.number].hosts;
        state.link_of(hosts[1 - self.side], hosts[self.side])
    }

    /// Waits until something has arrived, and gives it to `take` with the most that may be taken.
    fn poll_arrived<T>(
        &mut self,
        cx: &mut Context<'_>,
        mut take: impl FnMut(&mut super::Wire, Instant, usize) -> T,
    ) -> Poll<io::Result<Option<T>>> {
        loop {
            let now = Instant::now();
            let until = {
                let Some(mut state) = self.call() else { return Poll::Pending };
                let link = self.incoming(&state);
                let waiting = cx.waker().clone();
                let Some(connection) = state.connections.get_mut(&self.number) else { return Poll::Pending };
                let wire = &mut connection.wires[1 - self.side];
                let next = wire.next(now);
                let rested = self.rested.filter(|rested| *rested > now && link.slow_reads.is_some());
                match next {
                    Next::Reset => return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into())),
                    _ if link.cut => {
                        wire.reader = Some(waiting);
                        return Poll::Pending;
                    }
                    Next::End => return Poll::Ready(Ok(None)),
                    Next::Bytes => match rested {
                        Some(rested) => rested,
                        None => {
                            let most = link.slow_reads.map_or(usize::MAX, |(most, _)| most);
                            let taken = take(wire, now, most);
                            let left = wire.bytes;
                            drop(state);
                            self.network
                                .0
                                .events
                                .detail(&format_args!("{}/{} reads, {left} left", self.number, self.side));
                            self.rested = link.slow_reads.map(|(_, pause)| now + pause);
                            return Poll::Ready(Ok(Some(taken)));
                        }
                    },
                    Next::Nothing => {
                        wire.reader = Some(waiting);
                        return Poll::Pending;
                    }
                    Next::At(due) => {
                        wire.reader = Some(waiting);
                        due
                    }
                }
            };
            let timer = self.timer.get_or_insert_with(|| Box::pin(sleep_until(until)));
            if timer.deadline() != until {
                timer.as_mut().reset(until);
            }
            if timer.as_mut().poll(cx).is_pending() {
                return Poll::Pending;
            }
        }
    }
}

impl Pipe for End {
    fn poll_peek(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Option<u8>>> {
        self.poll_arrived(cx, |wire, _, _| wire.first()).map_ok(Option::flatten)
    }
}

impl AsyncRead for End {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if buf.remaining() == 0 {
            return Poll::Ready(Ok(()));
        }
        // The budget that tokio's own streams have.
        let ready = std::task::ready!(tokio::task::coop::poll_proceed(cx));
        let arrived = self.get_mut().poll_arrived(cx, |wire, now, most| {
            wire.take(now, most.min(buf.remaining()), |bytes| buf.put_slice(bytes));
        });
        if arrived.is_ready() {
            ready.made_progress();
        }
        arrived.map_ok(|_| ())
    }
}

impl AsyncWrite for End {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let Some(mut state) = this.call() else { return Poll::Pending };
        let (side, now) = (this.side, Instant::now());
        let hosts = state.connections[&this.number].hosts;
        let (from, to) = (hosts[side], hosts[1 - side]);
        let link = state.link_of(from, to);
        let delay = state.delay(from, to);
        let (resets, part) = (state.chance(link.reset_rate), state.chance(link.partial_rate));
        let cut_at = state.random.f64();
        let is_back = !state.vanished.contains(&to);
        let Some(connection) = state.connections.get_mut(&this.number) else { return Poll::Pending };
        if connection.wires[1 - side].reset.is_some_and(|due| due <= now) {
            return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
        }
        let wire = &mut connection.wires[side];
        if let Some(error) = wire.refuses(now) {
            return Poll::Ready(Err(error));
        }
        if wire.reader_gone || wire.void && is_back {
            // Nobody reads it, which the other host says when it gets it.
            connection.wires[1 - side].reset(now + delay * 2);
            return Poll::Ready(Ok(buf.len()));
        }
        let room = link.capacity.saturating_sub(wire.bytes);
        if room == 0 {
            wire.writer = Some(cx.waker().clone());
            this.network.0.events.detail(&format_args!("{}/{side} cannot write", this.number));
            return Poll::Pending;
        }
        let most = buf.len().min(room);
        let count = if part || resets { ((most as f64 * cut_at) as usize).max(1) } else { most };
        wire.push(&buf[..count], now + delay);
        this.network.0.events.detail(&format_args!("{}/{side} writes {count}", this.number));
        if resets {
            this.network.0.events.note(&format_args!("connection {} breaks in a write", this.number));
            connection.wires[side].reset(now + delay);
            connection.wires[1 - side].reset(now + delay);
        }
        Poll::Ready(Ok(count))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let Some(mut state) = this.call() else { return Poll::Pending };
        let hosts = state.connections[&this.number].hosts;
        let delay = state.delay(hosts[this.side], hosts[1 - this.side]);
        if let Some(connection) = state.connections.get_mut(&this.number) {
            connection.wires[this.side].end(Instant::now() + delay);
        }
        Poll::Ready(Ok(()))
    }
}

impl Drop for End {
    fn drop(&mut self) {
        let mut state = self.network.lock();
        let Some(hosts) = state.connections.get(&self.number).map(|it| it.hosts) else { return };
        let delay = state.delay(hosts[self.side], hosts[1 - self.side]);
        let Some(connection) = state.connections.get_mut(&self.number) else { return };
        if !connection.gone[self.side] {
            connection.gone[self.side] = true;
            connection.hang_up(self.side, Instant::now() + delay);
            state.sweep();
        }
    }
}
