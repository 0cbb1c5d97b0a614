//! The same exchange by hyper: what ours is compared with.

use std::{
    future::{Future, poll_fn},
    pin::{Pin, pin},
};

use bytes::Bytes;
use http_body_util::Full;
use hyper::{
    Request, Response,
    body::{Body, Incoming},
    client::conn::http1::{self, Connection, SendRequest},
};
use hyper_util::rt::TokioIo;

use super::{scripted::Scripted, tests::Seen};
use crate::client::{
    ANSWER_HEAD_BYTES_MAX, Answered, Lost,
    kept::{Keep, Kept},
};

/// One request on a connection that `stream` is.
pub(super) async fn exchange(stream: Scripted, request: Request<Full<Bytes>>, keep: Keep) -> Seen {
    let builder = http1::Builder::new().max_buf_size(ANSWER_HEAD_BYTES_MAX).clone();
    let (sender, connection) = builder.handshake(TokioIo::new(stream)).await.unwrap();
    let mut engine = Engine { sender, connection, ended: false };
    let waiting = engine.sender.try_send_request(request);
    let result = match engine.wait(pin!(waiting)).await {
        Some(Ok(answer)) => Ok(engine.read(answer, keep).await),
        Some(Err(mut error)) => Err(match error.take_message() {
            Some(_) => Lost::Unprocessed(String::new()),
            None if error.error().is_parse() => Lost::Malformed(String::new()),
            None => Lost::Broken(String::new()),
        }),
        None => Err(Lost::Broken(String::new())),
    };
    // Lets hyper see that both halves are done, which makes the connection ready for the next request.
    engine.drive().await;
    Seen::new(result, !engine.ended && engine.sender.is_ready())
}

struct Engine {
    sender: SendRequest<Full<Bytes>>,
    connection: Connection<TokioIo<Scripted>, Full<Bytes>>,
    ended: bool,
}

impl Engine {
    async fn drive(&mut self) {
        poll_fn(|cx| {
            self.ended = self.ended || Pin::new(&mut self.connection).poll(cx).is_ready();
            std::task::Poll::Ready(())
        })
        .await;
    }

    /// Polls the connection and what waits on it together; `None` when the connection ended without a result.
    async fn wait<F: Future>(&mut self, mut waiting: Pin<&mut F>) -> Option<F::Output> {
        poll_fn(|cx| {
            self.ended = self.ended || Pin::new(&mut self.connection).poll(cx).is_ready();
            match waiting.as_mut().poll(cx) {
                std::task::Poll::Pending if self.ended => std::task::Poll::Ready(None),
                polled => polled.map(Some),
            }
        })
        .await
    }

    async fn read(&mut self, answer: Response<Incoming>, keep: Keep) -> Answered {
        let (head, mut body) = answer.into_parts();
        let mut kept = Kept::new(keep, head.status);
        let mut whole = true;
        while !body.is_end_stream() {
            let next = poll_fn(|cx| Pin::new(&mut body).poll_frame(cx));
            match self.wait(pin!(next)).await {
                Some(Some(Ok(frame))) => {
                    if frame.data_ref().is_some_and(|piece| !kept.push(piece)) {
                        self.ended = true;
                        break;
                    }
                }
                Some(None) => break,
                Some(Some(Err(_))) | None => {
                    whole = false;
                    break;
                }
            }
        }
        Answered::new(head.status, head.headers, whole, kept)
    }
}
