//! One XDR connection: a read half and an ack half, joined.
//!
//! The read half turns frames into work and slots in the reply queue, in request order; only the ack half writes.
//! There is no `select!` between them, so neither can lose what the other was about to do.

use std::{
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::{
    io::{AsyncRead, AsyncWrite},
    sync::Semaphore,
};
use tracing::{debug, info, warn};

use self::{ack_half::AckHalf, read_half::ReadHalf};
use crate::{
    delivered::Delivered,
    lane::Lane,
    metrics::Metrics,
    recorder::Tap,
    replies::Replies,
    route::PortRoutes,
    tls::Acceptor,
    watch,
    window::Window,
    wire::{frame::FrameError, info::NodeFacts},
};

mod ack_half;
mod http;
mod intake;
mod read_half;

pub use http::Http;
#[cfg(fuzzing)]
pub use http::fuzzing as http_fuzzing;

/// A record is answered no later than this after it was read. XDR gives up after ten seconds, fixed.
pub(crate) const ANSWER_WITHIN: Duration = Duration::from_secs(8);

/// A frame that began must be whole within this time; its source has long given up on it.
const FRAME_WITHIN: Duration = Duration::from_secs(30);

/// An answer must be taken by the peer within this time.
const WRITE_WITHIN: Duration = Duration::from_secs(10);

/// Bytes of large frames that may be on their way together. One larger than this goes alone.
pub const ASSEMBLING_BYTES_MAX: usize = 64 * 1024 * 1024;

/// A buffer that grew beyond this for large records or answers is given back: ten thousand connections may keep one.
const KEEP_BYTES: usize = 64 * 1024;

/// What all connections share.
#[derive(Debug)]
pub struct Shared {
    /// Records in process.
    pub window: Window,
    /// Which destinations have what XDR ships again, unless that is not remembered.
    pub delivered: Option<Arc<Delivered>>,
    /// Counters.
    pub metrics: Arc<Metrics>,
    /// Bytes of large frames that may still begin to arrive: [`ASSEMBLING_BYTES_MAX`] permits when idle.
    pub assembling: Semaphore,
}

/// The terms on which one port takes records at present: one configuration, the same for all that is read under it. Others are
/// posted when the configuration changes; connections take them up before they read on.
#[derive(Clone, Debug)]
pub struct Terms {
    /// Number of the configuration.
    pub number: u64,
    /// Where records go, and in which form.
    pub routes: Arc<PortRoutes>,
    /// By destination, in the router's order.
    pub lanes: Arc<[Arc<Lane>]>,
    /// Limits and switches.
    pub limits: Limits,
    /// Whether senders that speak HTTP find the management endpoint here: there is none elsewhere.
    pub manages: bool,
    /// What info answers say; the address is filled in for each connection.
    pub facts: NodeFacts,
    /// Makes TLS of connections that are accepted.
    pub tls: Option<Arc<Acceptor>>,
    /// Nothing more is read: the port closes, or the connector stops.
    pub closing: bool,
}

/// Where they are posted. Nobody there to post any means closing, too.
pub type Posted = watch::Receiver<Arc<Terms>>;

/// Limits and switches of every connection.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Largest frame taken.
    pub frame_bytes_max: usize,
    /// Bytes read at a time.
    pub read_bytes: Option<usize>,
    /// Whether several answers go in one write.
    pub ack_buffering: bool,
    /// Whether writes without the XDR bit are taken.
    pub accept_client_writes: bool,
}

/// Why a connection ended other than by the peer closing it between frames.
#[derive(Debug, thiserror::Error)]
pub enum ConnectionError {
    /// The bytes are not frames.
    #[error(transparent)]
    Frame(#[from] FrameError),
    /// A frame stopped in the middle.
    #[error("a message stayed incomplete for {} s", FRAME_WITHIN.as_secs())]
    Stalled,
    /// The peer does not take its answers.
    #[error("the peer took no answer for {} s", WRITE_WITHIN.as_secs())]
    NotReading,
    /// The socket failed.
    #[error(transparent)]
    Io(#[from] std::io::Error),
}

/// Serves one connection from `peer` to `local` until the peer closes it, it breaks, or the port closes.
pub async fn serve<R, W>(
    reader: R,
    writer: W,
    [local, peer]: [SocketAddr; 2],
    tap: Tap,
    posted: Posted,
    shared: Arc<Shared>,
) where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin,
{
    shared.metrics.connection_opened();
    tap.opened();
    let replies = Arc::new(Replies::default());
    let owed = Owed { replies: Arc::clone(&replies), shared: Arc::clone(&shared), tap: tap.clone() };
    // Connections that are open keep theirs.
    let buffering = posted.borrow().limits.ack_buffering;
    let mut read_half =
        ReadHalf::new(reader, Arc::clone(&replies), local, tap.clone(), posted, Arc::clone(&shared));
    let mut ack_half =
        AckHalf { writer, replies: Arc::clone(&replies), tap, buffering, shared: Arc::clone(&shared) };
    let read = async {
        let result = read_half.run().await;
        // A broken stream still gets the answers to what was read before: fewer records come twice.
        replies.complete();
        if let Err(error) = result {
            report(&error, peer, &shared.metrics);
        }
        Ok(())
    };
    let acks = async {
        // Without a writer there is no use in reading on.
        ack_half.run().await.map_err(|error| report(&error, peer, &shared.metrics))
    };
    let _ = tokio::try_join!(read, acks);
    drop(owed);
}

/// Gives up what a connection still owes when it ends, however it ends.
struct Owed {
    replies: Arc<Replies>,
    shared: Arc<Shared>,
    tap: Tap,
}

impl Drop for Owed {
    fn drop(&mut self) {
        let records = give_up(&self.replies, &self.shared);
        self.shared.metrics.connection_closed();
        self.tap.closed();
        if records > 0 {
            debug!(records, "a connection ended with records unanswered; XDR ships them again");
        }
    }
}

/// Nobody hears the answers any more: gives the window back what their records hold, and says how many there are.
fn give_up(replies: &Replies, shared: &Shared) -> usize {
    replies.abandon();
    let (records, bytes) = replies.unanswered();
    shared.window.leave(records, bytes);
    records
}

fn report(error: &ConnectionError, peer: SocketAddr, metrics: &Metrics) {
    match error {
        ConnectionError::Frame(error) => {
            metrics.frame_error();
            warn!(%peer, %error, "closing a connection that does not speak XDR");
        }
        ConnectionError::Io(error) => debug!(%peer, %error, "connection lost"),
        error => info!(%peer, %error, "closing a connection"),
    }
}

/// Ends when the port closes.
pub(crate) async fn closed(posted: &mut Posted) {
    // An error means that whoever could say so is gone, which is an end too.
    let _ = posted.wait_for(|terms| terms.closing).await;
}

/// The runtime's clock, which tests can pause.
fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}
