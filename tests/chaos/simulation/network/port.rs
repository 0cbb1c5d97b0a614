//! Open ports, and who waits at them.

use std::{
    collections::VecDeque,
    io,
    net::SocketAddr,
    task::{Context, Poll, Waker},
};

use adapters::world::{Pipe, Port};

use super::{CONNECTOR, Network, end::End};

#[derive(Default)]
pub(super) struct Queue {
    waiting: VecDeque<(u64, SocketAddr)>,
    waker: Option<Waker>,
    run: u64,
}

impl Queue {
    pub(super) fn push(&mut self, number: u64, peer: SocketAddr) {
        self.waiting.push_back((number, peer));
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }
}

/// An open port. It closes when it is dropped.
pub struct Open {
    network: Network,
    address: SocketAddr,
    run: u64,
}

impl Open {
    pub(super) fn new(network: &Network, address: SocketAddr) -> io::Result<Self> {
        if address.ip() == CONNECTOR {
            network.count_call();
        }
        let mut state = network.lock();
        let run = state.run_of(address.ip());
        if state.ports.contains_key(&address) {
            return Err(io::ErrorKind::AddrInUse.into());
        }
        state.ports.insert(address, Queue { run, ..Queue::default() });
        Ok(Self { network: network.clone(), address, run })
    }

    /// The next connection.
    pub fn poll(&self, cx: &mut Context<'_>) -> Poll<(End, SocketAddr)> {
        let mut state = self.network.lock();
        let Some(queue) = state.ports.get_mut(&self.address).filter(|queue| queue.run == self.run) else {
            return Poll::Pending;
        };
        match queue.waiting.pop_front() {
            Some((number, peer)) => {
                drop(state);
                Poll::Ready((End::new(self.network.clone(), number, 1), peer))
            }
            None => {
                queue.waker = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }

    /// The next connection.
    pub async fn accept(&self) -> (End, SocketAddr) {
        std::future::poll_fn(|cx| self.poll(cx)).await
    }
}

impl Port for Open {
    fn poll_accept(&self, cx: &mut Context<'_>) -> Poll<io::Result<(Box<dyn Pipe>, SocketAddr)>> {
        self.poll(cx).map(|(end, peer)| Ok((Box::new(end) as Box<dyn Pipe>, peer)))
    }

    fn local_addr(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        let mut state = self.network.lock();
        if state.ports.get(&self.address).is_some_and(|queue| queue.run == self.run) {
            let queue = state.ports.remove(&self.address).unwrap_or_default();
            for (number, _) in queue.waiting {
                state.reset(number);
                state.give_up(number, 1);
            }
        }
    }
}
