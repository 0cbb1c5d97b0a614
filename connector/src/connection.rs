//! One XDR connection: a read half and an ack half, joined.
//!
//! The read half turns frames into work and slots in the reply queue, in request order; only the ack half writes.
//! There is no `select!` between them, so neither can lose what the other was about to do.

use std::{
    future::poll_fn,
    io,
    net::SocketAddr,
    pin::Pin,
    sync::Arc,
    task::{Poll, ready},
    time::{Duration, Instant},
};

use bytes::BytesMut;
use tokio::{
    io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf},
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

/// The most that is read at first: many connections only say that they are there, or ask one thing.
const FIRST_READ_BYTES: usize = 512;

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
    Io(#[from] io::Error),
}

/// Serves one connection from `peer` to `local` until the peer closes it, it breaks, or the port closes.
///
/// One that has said nothing yet costs little more than its socket: there may be ten thousand of them.
pub async fn serve<R, W>(
    mut reader: R,
    mut writer: W,
    ends: [SocketAddr; 2],
    tap: Tap,
    mut posted: Posted,
    shared: Arc<Shared>,
) where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin,
{
    let _open = Open::new(&shared, &tap);
    let first = tokio::select! {
        biased;
        () = closed(&mut posted) => Ok(BytesMut::new()),
        first = first_read(&mut reader) => first,
    };
    match first {
        Ok(first) if first.is_empty() => drop(writer.shutdown().await),
        // Both halves and all they hold, several kilobytes, are made now.
        Ok(first) => Box::pin(speak(reader, writer, first, ends, tap, posted, shared)).await,
        Err(error) => report(&error.into(), ends[1], &shared.metrics),
    }
}

/// Reads what comes first into memory that is only taken when it is there; nothing at the end.
async fn first_read(reader: &mut (impl AsyncRead + Unpin)) -> io::Result<BytesMut> {
    poll_fn(|context| {
        let mut bytes = [0; FIRST_READ_BYTES];
        let mut read = ReadBuf::new(&mut bytes);
        ready!(Pin::new(&mut *reader).poll_read(context, &mut read))?;
        Poll::Ready(Ok(BytesMut::from(read.filled())))
    })
    .await
}

/// Serves a connection that began with the bytes `first`.
async fn speak<R, W>(
    reader: R,
    writer: W,
    first: BytesMut,
    [local, peer]: [SocketAddr; 2],
    tap: Tap,
    posted: Posted,
    shared: Arc<Shared>,
) where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin,
{
    let replies = Arc::new(Replies::default());
    let owed = Owed { replies: Arc::clone(&replies), shared: Arc::clone(&shared) };
    // Connections that are open keep theirs.
    let buffering = posted.borrow().limits.ack_buffering;
    let tapped = tap.clone();
    let mut read_half =
        ReadHalf::new((reader, first), Arc::clone(&replies), local, tapped, posted, Arc::clone(&shared));
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

/// Counts a connection for as long as it is open.
struct Open {
    shared: Arc<Shared>,
    tap: Tap,
}

impl Open {
    fn new(shared: &Arc<Shared>, tap: &Tap) -> Self {
        shared.metrics.connection_opened();
        tap.opened();
        Self { shared: Arc::clone(shared), tap: tap.clone() }
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.shared.metrics.connection_closed();
        self.tap.closed();
    }
}

/// Gives up what a connection still owes when it ends, however it ends.
struct Owed {
    replies: Arc<Replies>,
    shared: Arc<Shared>,
}

impl Drop for Owed {
    fn drop(&mut self) {
        let records = give_up(&self.replies, &self.shared);
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

#[cfg(test)]
mod tests {
    use super::*;

    /// Bytes of what `serve` waits in, without calling it.
    fn bytes_of<A, B, C, D, E, F, Served>(_: impl FnOnce(A, B, C, D, E, F) -> Served) -> usize {
        size_of::<Served>()
    }

    #[test]
    fn a_silent_connection_is_small() {
        use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
        let bytes = bytes_of(serve::<OwnedReadHalf, OwnedWriteHalf>);
        assert!(bytes <= 768, "{bytes} bytes for each connection that says nothing");
    }

    #[tokio::test]
    async fn little_is_read_at_first_and_nothing_at_the_end() {
        let sent = [7; FIRST_READ_BYTES + 1];
        let mut reader = sent.as_slice();
        let first = first_read(&mut reader).await.expect("bytes");
        assert_eq!((first.len(), reader.len()), (FIRST_READ_BYTES, 1));
        assert_eq!(first_read(&mut reader).await.expect("a byte").len(), 1);
        assert!(first_read(&mut reader).await.expect("the end").is_empty());
    }
}
