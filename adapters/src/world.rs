//! The world outside the process as the delivery path meets it: connections, ports, the time of day, work that blocks.
//!
//! It is the real one, unless a simulation has put its own in the place of it for the thread that it runs on ([`enter`]). Then
//! nothing below reaches the real one, so that a run depends on nothing but its seed. Where there is none, which is everywhere
//! outside of `tests/chaos`, that costs a look at a thread-local for each connection and never one for its bytes.

use std::{
    cell::RefCell, fmt, io, marker::PhantomData, net::SocketAddr, rc::Rc, sync::Arc, time::SystemTime,
};

use futures_util::future::BoxFuture;
use tokio::{
    net::{TcpStream, lookup_host},
    task::{JoinError, spawn_blocking},
};

pub use self::{
    listener::{Listener, Port},
    stream::{Pipe, Stream},
};

mod listener;
mod stream;

/// One that is simulated.
pub trait World: Send + Sync {
    /// The addresses of a host, in the order in which they are tried.
    fn lookup(&self, host: &str, port: u16) -> io::Result<Vec<SocketAddr>>;

    /// A connection to `address`.
    fn connect(&self, address: SocketAddr) -> BoxFuture<'static, io::Result<Box<dyn Pipe>>>;

    /// An open port.
    fn bind(&self, address: SocketAddr) -> io::Result<Box<dyn Port>>;

    /// The time of day.
    fn now(&self) -> SystemTime;
}

thread_local! {
    static SIMULATED: RefCell<Option<Arc<dyn World>>> = const { RefCell::new(None) };
}

/// Puts `world` in the place of the real one for this thread, until what is returned is dropped.
pub fn enter(world: Arc<dyn World>) -> Entered {
    SIMULATED.set(Some(world));
    Entered(PhantomData)
}

/// While this lives, its thread is in a simulated world.
#[must_use]
pub struct Entered(PhantomData<Rc<()>>);

impl fmt::Debug for Entered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Entered")
    }
}

impl Drop for Entered {
    fn drop(&mut self) {
        SIMULATED.set(None);
    }
}

fn simulated() -> Option<Arc<dyn World>> {
    SIMULATED.with_borrow(Option::clone)
}

/// Whether the world is simulated. What the system says of this process is no part of it then.
pub fn is_simulated() -> bool {
    simulated().is_some()
}

/// The addresses of a host, in the order in which they are tried.
pub async fn lookup(host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
    match simulated() {
        None => Ok(lookup_host((host, port)).await?.collect()),
        Some(world) => world.lookup(host, port),
    }
}

/// Connects.
pub async fn connect(address: SocketAddr) -> io::Result<Stream> {
    match simulated() {
        None => Ok(Stream::Tcp(TcpStream::connect(address).await?)),
        Some(world) => Ok(Stream::Simulated(world.connect(address).await?)),
    }
}

/// Opens `address` where the world is simulated; `None` in the real one, where sockets want options.
pub fn bind_simulated(address: SocketAddr) -> Option<io::Result<Listener>> {
    simulated().map(|world| world.bind(address).map(Listener::Simulated))
}

/// The time of day.
pub fn now() -> SystemTime {
    simulated().map_or_else(SystemTime::now, |world| world.now())
}

/// Does `work` on a thread where it may block; at once where the world is simulated and nothing takes time.
pub async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, JoinError> {
    match is_simulated() {
        true => Ok(work()),
        false => spawn_blocking(work).await,
    }
}
