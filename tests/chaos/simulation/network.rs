//! The network of a simulation: hosts, ports, links with delays and faults, and connections between them.
//!
//! Invariant: bytes that one end has written come to the other one in order, whole or cut short by the end of the connection,
//! and nothing that happens here depends on anything but the seed and the order of calls.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    net::{IpAddr, SocketAddr},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::Waker,
    time::{Duration, SystemTime},
};

use adapters::world::{Pipe, Port, World};
use futures_util::{FutureExt as _, future::BoxFuture};
use tokio::{
    sync::Notify,
    time::{Instant, sleep_until},
};

pub use self::end::End;
use self::wire::Wire;
use crate::events::Events;

mod end;
mod port;
mod wire;

/// A host that does not answer at all is given up by the kernel after this time.
const CONNECT_GIVEN_UP: Duration = Duration::from_secs(127);

/// Bytes that fit between two ends: what the sending and the receiving kernel hold.
const SOCKET_BYTES: usize = 256 * 1024;

/// The host that the code under test runs on.
pub const CONNECTOR: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 1));

/// How bytes travel between two hosts.
#[derive(Clone, Debug)]
pub struct Link {
    /// One way, least and most, in milliseconds.
    pub delay_ms: (u64, u64),
    /// Nothing comes through; what was sent comes when the link is mended.
    pub cut: bool,
    /// In 10,000: how often a write resets its connection.
    pub reset_rate: u32,
    /// In 10,000: how often a write is taken in part only.
    pub partial_rate: u32,
    /// Bytes that may be under way.
    pub capacity: usize,
    /// Most bytes of a read, and the time until the next one.
    pub slow_reads: Option<(usize, Duration)>,
}

impl Default for Link {
    fn default() -> Self {
        Self {
            delay_ms: (0, 2),
            cut: false,
            reset_rate: 0,
            partial_rate: 0,
            capacity: SOCKET_BYTES,
            slow_reads: None,
        }
    }
}

/// How a host ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Crash {
    /// Its process is killed: the kernel closes what was open.
    Killed,
    /// The machine is gone: nobody closes anything.
    Vanished,
}

/// All hosts and what is between them. Clones are the same.
#[derive(Clone)]
pub struct Network(Arc<Shared>);

struct Shared {
    state: Mutex<State>,
    events: Events,
    /// The connector's host ended as [`Network::crash_connector_after`] asked for.
    crashed: Notify,
}

struct State {
    random: fastrand::Rng,
    links: BTreeMap<(IpAddr, IpAddr), Link>,
    ports: BTreeMap<SocketAddr, port::Queue>,
    connections: BTreeMap<u64, Connection>,
    next_connection: u64,
    next_port: u16,
    clock_offset_ms: i64,
    /// Number of the run of a host, counted up when it ends.
    runs: BTreeMap<IpAddr, u64>,
    /// Hosts whose machine is gone.
    vanished: BTreeSet<IpAddr>,
    /// The connector's host ends after so many of its calls.
    crash_after: Option<(u64, Crash)>,
    /// Wakers of ends that wait for a cut link.
    waiting: Vec<Waker>,
    names: BTreeMap<String, Vec<IpAddr>>,
    started: Instant,
}

/// Two ends: 0 opened it, 1 accepted it.
struct Connection {
    hosts: [IpAddr; 2],
    address: SocketAddr,
    /// What the end of this index writes.
    wires: [Wire; 2],
    /// Dropped, or its host has ended.
    gone: [bool; 2],
}

impl Network {
    pub fn new(seed: u64, events: Events) -> Self {
        let state = State {
            random: fastrand::Rng::with_seed(seed ^ 0x6e65_7477_6f72_6b00),
            links: BTreeMap::new(),
            ports: BTreeMap::new(),
            connections: BTreeMap::new(),
            next_connection: 1,
            next_port: 40_000,
            clock_offset_ms: 0,
            runs: BTreeMap::new(),
            vanished: BTreeSet::new(),
            crash_after: None,
            waiting: Vec::new(),
            names: BTreeMap::new(),
            started: Instant::now(),
        };
        Self(Arc::new(Shared { state: Mutex::new(state), events, crashed: Notify::new() }))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the link between two hosts, in both directions.
    pub fn link(&self, a: IpAddr, b: IpAddr, change: impl Fn(&mut Link)) {
        let mut state = self.lock();
        for pair in [(a, b), (b, a)] {
            change(state.links.entry(pair).or_default());
        }
        state.wake_all();
    }

    /// Sets the addresses of a name; with none it leads nowhere.
    pub fn name(&self, name: &str, addresses: &[IpAddr]) {
        self.lock().names.insert(name.to_owned(), addresses.to_vec());
    }

    /// Makes the connector's clock differ from what it should show.
    pub fn shift_clock(&self, offset_ms: i64) {
        self.lock().clock_offset_ms = offset_ms;
    }

    /// Resets all connections between two hosts.
    pub fn reset(&self, a: IpAddr, b: IpAddr) {
        let mut state = self.lock();
        let hit: Vec<u64> = state
            .connections
            .iter()
            .filter(|(_, it)| it.hosts == [a, b] || it.hosts == [b, a])
            .map(|(number, _)| *number)
            .collect();
        for number in hit {
            self.0.events.note(&format_args!("reset of connection {number}"));
            state.reset(number);
        }
    }

    /// Ends a host: all that it has open is gone, and it opens and accepts nothing before it has been started again.
    pub fn crash(&self, host: IpAddr, how: Crash) {
        self.0.events.note(&format_args!("{host} ends: {how:?}"));
        self.lock().crash(host, how);
    }

    /// Starts the machine of a host again, with nothing open.
    pub fn start(&self, host: IpAddr) {
        let mut state = self.lock();
        if !state.vanished.remove(&host) {
            return;
        }
        // Whoever sent to it meanwhile sends again, and learns that nobody knows of the connection.
        let unheard = |(_, it): &(&u64, &Connection)| {
            (0..2).any(|side| it.hosts[1 - side] == host && it.wires[side].void && it.wires[side].bytes > 0)
        };
        let unheard: Vec<u64> = state.connections.iter().filter(unheard).map(|(number, _)| *number).collect();
        unheard.into_iter().for_each(|number| state.reset(number));
    }

    /// Ends the connector's host in the middle of its `calls`th call of the network from now. [`Self::crashed`] tells.
    pub fn crash_connector_after(&self, calls: u64, how: Crash) {
        self.lock().crash_after = Some((calls, how));
    }

    /// Waits until the connector's host has ended in a call.
    pub async fn crashed(&self) {
        self.0.crashed.notified().await;
    }

    /// Takes back [`Self::crash_connector_after`].
    pub fn crash_no_more(&self) {
        self.lock().crash_after = None;
    }

    /// Connections that `host` has open to `address`.
    pub fn open_to(&self, host: IpAddr, address: SocketAddr) -> usize {
        let state = self.lock();
        let open = |it: &&Connection| it.hosts[0] == host && it.address == address && !it.gone[0];
        state.connections.values().filter(open).count()
    }

    /// Whether the end that opened connection `number` still has it.
    pub fn is_held_by_opener(&self, number: u64) -> bool {
        let state = self.lock();
        state.connections.get(&number).is_some_and(|it| !it.gone[0] && it.wires[1].reset.is_none())
    }

    /// Connects `from` a host to an address.
    pub fn connect(&self, from: IpAddr, address: SocketAddr) -> BoxFuture<'static, io::Result<End>> {
        let this = self.clone();
        async move {
            if from == CONNECTOR {
                this.count_call();
            }
            let (run, there, back) = {
                let mut state = this.lock();
                let run = state.run_of(from);
                let (there, back) = (state.delay(from, address.ip()), state.delay(address.ip(), from));
                (run, there, back)
            };
            let begun = Instant::now();
            sleep_until(begun + there).await;
            while this.lock().swallows(from, address.ip()) {
                if begun.elapsed() > CONNECT_GIVEN_UP {
                    return Err(io::ErrorKind::TimedOut.into());
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            if this.lock().run_of(from) != run {
                // Its host has ended meanwhile, and whoever asked is about to.
                return std::future::pending().await;
            }
            let accepted = this.lock().accept(from, address);
            // Whoever stops waiting now closes it.
            let end = accepted.map(|number| End::new(this.clone(), number, 0));
            sleep_until(Instant::now() + back).await;
            end.ok_or_else(|| io::ErrorKind::ConnectionRefused.into())
        }
        .boxed()
    }

    /// Opens a port.
    pub fn listen(&self, address: SocketAddr) -> io::Result<port::Open> {
        port::Open::new(self, address)
    }

    /// The connector called the network. False when its host ends here.
    fn count_call(&self) {
        let mut state = self.lock();
        let Some((left, how)) = &mut state.crash_after else { return };
        *left = left.saturating_sub(1);
        if *left == 0 {
            let how = *how;
            state.crash_after = None;
            self.0.events.note(&format_args!("the connector ends inside a call: {how:?}"));
            state.crash(CONNECTOR, how);
            drop(state);
            self.0.crashed.notify_one();
        }
    }
}

impl State {
    fn link_of(&self, from: IpAddr, to: IpAddr) -> Link {
        self.links.get(&(from, to)).cloned().unwrap_or_default()
    }

    /// Whether what is sent there gets no answer of any kind.
    fn swallows(&self, from: IpAddr, to: IpAddr) -> bool {
        self.vanished.contains(&to) || self.link_of(from, to).cut
    }

    fn run_of(&self, host: IpAddr) -> u64 {
        self.runs.get(&host).copied().unwrap_or_default()
    }

    fn delay(&mut self, from: IpAddr, to: IpAddr) -> Duration {
        let (least, most) = self.link_of(from, to).delay_ms;
        Duration::from_millis(self.random.u64(least..=most))
    }

    fn chance(&mut self, in_10_000: u32) -> bool {
        // One draw whether or not anything can happen, so that what follows does not hang on rates.
        self.random.u32(..10_000) < in_10_000
    }

    fn wake_all(&mut self) {
        self.waiting.drain(..).for_each(Waker::wake);
        for connection in self.connections.values_mut() {
            connection.wires.iter_mut().for_each(Wire::wake);
        }
    }

    /// A new connection in the queue of the port, if there is one.
    fn accept(&mut self, from: IpAddr, address: SocketAddr) -> Option<u64> {
        let number = self.next_connection;
        self.next_port = self.next_port.checked_add(1).unwrap_or(40_000);
        let peer = SocketAddr::new(from, self.next_port);
        let queue = self.ports.get_mut(&address)?;
        queue.push(number, peer);
        self.next_connection += 1;
        let hosts = [from, address.ip()];
        let wires = [Wire::default(), Wire::default()];
        self.connections.insert(number, Connection { hosts, address, wires, gone: [false; 2] });
        Some(number)
    }

    fn reset(&mut self, number: u64) {
        if let Some(connection) = self.connections.get_mut(&number) {
            connection.wires.iter_mut().for_each(|wire| wire.reset(Instant::now()));
        }
    }

    fn crash(&mut self, host: IpAddr, how: Crash) {
        *self.runs.entry(host).or_default() += 1;
        self.ports.retain(|address, _| address.ip() != host);
        if how == Crash::Vanished {
            self.vanished.insert(host);
        }
        let now = Instant::now();
        let numbers: Vec<u64> = self.connections.keys().copied().collect();
        for number in numbers {
            for side in 0..2 {
                let connection = &self.connections[&number];
                if connection.hosts[side] != host || connection.gone[side] {
                    continue;
                }
                let delay = self.delay(host, connection.hosts[1 - side]);
                let Some(connection) = self.connections.get_mut(&number) else { continue };
                connection.gone[side] = true;
                match how {
                    Crash::Killed => connection.hang_up(side, now + delay),
                    Crash::Vanished => {
                        connection.wires[side].lose_after(now);
                        connection.wires[1 - side].void = true;
                    }
                }
            }
        }
        self.sweep();
    }

    fn give_up(&mut self, number: u64, side: usize) {
        if let Some(connection) = self.connections.get_mut(&number) {
            connection.gone[side] = true;
        }
    }

    /// Forgets connections that nobody has any more.
    fn sweep(&mut self) {
        self.connections.retain(|_, it| it.gone != [true; 2]);
    }
}

impl Connection {
    /// `side` closes both directions: what it did not read resets the other end, otherwise that one sees an end at `due`.
    fn hang_up(&mut self, side: usize, due: Instant) {
        let unread = self.wires[1 - side].has_arrived(Instant::now());
        self.wires[1 - side].reader_gone = true;
        self.wires[1 - side].wake();
        if unread {
            self.wires[side].reset(due);
        } else {
            self.wires[side].end(due);
        }
    }
}

impl World for Network {
    fn lookup(&self, host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
        if let Ok(address) = host.parse::<IpAddr>() {
            return Ok(vec![SocketAddr::new(address, port)]);
        }
        let state = self.lock();
        let known = state.names.get(host).ok_or_else(|| io::Error::other("no such name"))?;
        Ok(known.iter().map(|address| SocketAddr::new(*address, port)).collect())
    }

    fn connect(&self, address: SocketAddr) -> BoxFuture<'static, io::Result<Box<dyn Pipe>>> {
        let connecting = Self::connect(self, CONNECTOR, address);
        async move { connecting.await.map(|end| Box::new(end) as Box<dyn Pipe>) }.boxed()
    }

    fn bind(&self, address: SocketAddr) -> io::Result<Box<dyn Port>> {
        self.listen(SocketAddr::new(CONNECTOR, address.port())).map(|open| Box::new(open) as Box<dyn Port>)
    }

    fn now(&self) -> SystemTime {
        let state = self.lock();
        let ms = 1_790_000_000_000 + state.started.elapsed().as_millis() as i64 + state.clock_offset_ms;
        SystemTime::UNIX_EPOCH + Duration::from_millis(ms.max(0) as u64)
    }
}
