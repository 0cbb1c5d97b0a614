//! The ack half: writes each answer when its turn has come, and gives the window its room back.

use std::{sync::Arc, time::Instant};

use adapters::Outcome;
use tokio::io::{AsyncWrite, AsyncWriteExt};

use super::{ANSWER_WITHIN, ConnectionError, KEEP_BYTES, Shared, WRITE_WITHIN, now};
use crate::{
    metrics::{Ended, Metrics},
    recorder::{Direction, Tap},
    replies::{Answer, Answered, Next, Replies},
    wire::ack,
};

/// Most answers in one write.
const ANSWERS_MAX: usize = 1024;

pub(super) struct AckHalf<W> {
    pub(super) writer: W,
    pub(super) replies: Arc<Replies>,
    pub(super) tap: Tap,
    /// Whether several answers go in one write.
    pub(super) buffering: bool,
    pub(super) shared: Arc<Shared>,
}

impl<W: AsyncWrite + Unpin> AckHalf<W> {
    pub(super) async fn run(&mut self) -> Result<(), ConnectionError> {
        let shared = Arc::clone(&self.shared);
        let replies = Arc::clone(&self.replies);
        let answers_max = if self.buffering { ANSWERS_MAX } else { 1 };
        let mut timer = std::pin::pin!(tokio::time::sleep(ANSWER_WITHIN));
        let mut out = Vec::new();
        loop {
            out.clear();
            if out.capacity() > KEEP_BYTES {
                out = Vec::new();
            }
            let now = now();
            let (mut records, mut bytes) = (0, 0);
            let next = replies.collect(now, shared.window.fill(), answers_max, |answer| match answer {
                Answer::Known(answer) => out.extend_from_slice(answer),
                Answer::Record(answered) => {
                    count(&answered, now, &shared.metrics);
                    ack::encode(answered.outcome.into(), &mut out);
                    records += 1;
                    bytes += answered.bytes;
                }
            });
            if records > 0 {
                shared.window.leave(records, bytes);
            }
            match next {
                Next::Finished => return Ok(self.writer.shutdown().await?),
                Next::Write => self.write(&out).await?,
                Next::Wait(until) => {
                    let until = until.map_or(now + ANSWER_WITHIN, |until| until);
                    // Re-arming costs; a timer that fires early is harmless.
                    if timer.deadline().into_std() > until || timer.is_elapsed() {
                        timer.as_mut().reset(until.into());
                    }
                    tokio::select! {
                        biased;
                        () = replies.changed() => {}
                        () = timer.as_mut() => {}
                    }
                    // Whoever else runs in this turn may settle more, and one write takes them all.
                    if self.buffering && replies.are_several() {
                        tokio::task::yield_now().await;
                    }
                }
            }
        }
    }

    async fn write(&mut self, out: &[u8]) -> Result<(), ConnectionError> {
        self.tap.bytes(Direction::ToPeer, out);
        let write = async {
            self.writer.write_all(out).await?;
            self.writer.flush().await
        };
        match tokio::time::timeout(WRITE_WITHIN, write).await {
            Ok(written) => Ok(written?),
            Err(_) => Err(ConnectionError::NotReading),
        }
    }
}

/// Counts a record that is answered now.
pub(super) fn count(answered: &Answered, now: Instant, metrics: &Metrics) {
    let ended = match answered.outcome {
        _ if answered.skipped => Ended::Skipped,
        Outcome::Delivered => Ended::Success,
        Outcome::Retryable(cause) | Outcome::Rejected(cause) => Ended::Error(cause),
    };
    metrics.ended(ended, now.saturating_duration_since(answered.arrived));
}
