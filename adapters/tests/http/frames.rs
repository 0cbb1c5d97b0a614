//! The peer's side of HTTP/2, frame by frame.

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::peer::Connection;

pub(crate) const DATA: u8 = 0;
pub(crate) const HEADERS: u8 = 1;
pub(crate) const RST_STREAM: u8 = 3;
pub(crate) const SETTINGS: u8 = 4;
pub(crate) const GOAWAY: u8 = 7;
pub(crate) const WINDOW_UPDATE: u8 = 8;
pub(crate) const END_STREAM: u8 = 1;
pub(crate) const END_HEADERS: u8 = 4;
/// `:status: 200` of the static table.
pub(crate) const STATUS_200: &[u8] = &[0x88];

/// A frame as it came.
pub(crate) struct Frame {
    pub(crate) kind: u8,
    pub(crate) flags: u8,
    pub(crate) stream: u32,
    pub(crate) payload: Vec<u8>,
}

/// The peer's side of an HTTP/2 connection.
pub(crate) struct Frames(pub(crate) Connection);

impl Frames {
    /// Reads the client's preface and sends `settings`, such as `&[(3, 10)]` for ten streams.
    pub(crate) async fn greet(mut connection: Connection, settings: &[(u16, u32)]) -> Self {
        let mut preface = [0; 24];
        connection.stream.read_exact(&mut preface).await.unwrap();
        assert_eq!(&preface, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
        let mut frames = Self(connection);
        let settings: Vec<u8> = settings
            .iter()
            .flat_map(|(id, value)| [&id.to_be_bytes()[..], &value.to_be_bytes()].concat())
            .collect();
        frames.send(SETTINGS, 0, 0, &settings).await;
        frames
    }

    pub(crate) async fn send(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
        let mut frame = (payload.len() as u32).to_be_bytes()[1..].to_vec();
        frame.extend([kind, flags]);
        frame.extend(stream.to_be_bytes());
        frame.extend(payload);
        _ = self.0.stream.write_all(&frame).await;
    }

    /// The next frame; `None` when the client closed the connection.
    pub(crate) async fn next(&mut self) -> Option<Frame> {
        let mut head = [0; 9];
        self.0.stream.read_exact(&mut head).await.ok()?;
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
        let mut payload = vec![0; length as usize];
        self.0.stream.read_exact(&mut payload).await.ok()?;
        let stream = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
        let frame = Frame { kind: head[3], flags: head[4], stream, payload };
        if frame.kind == SETTINGS && frame.flags & 1 == 0 {
            self.send(SETTINGS, 1, 0, &[]).await;
        }
        if frame.kind == DATA && !frame.payload.is_empty() {
            let read = length.to_be_bytes();
            self.send(WINDOW_UPDATE, 0, 0, &read).await;
            self.send(WINDOW_UPDATE, 0, frame.stream, &read).await;
        }
        Some(frame)
    }

    /// The stream of the next request that is whole.
    pub(crate) async fn request(&mut self) -> Option<u32> {
        loop {
            let frame = self.next().await?;
            if matches!(frame.kind, DATA | HEADERS) && frame.flags & END_STREAM > 0 {
                return Some(frame.stream);
            }
        }
    }

    /// Waits for a frame of this kind.
    pub(crate) async fn seen(&mut self, kind: u8) -> Option<Frame> {
        loop {
            let frame = self.next().await?;
            if frame.kind == kind {
                return Some(frame);
            }
        }
    }

    pub(crate) async fn ok(&mut self, stream: u32) {
        self.send(HEADERS, END_HEADERS | END_STREAM, stream, STATUS_200).await;
    }

    /// Takes streams up to `last`, no more after it.
    pub(crate) async fn go_away(&mut self, last: u32) {
        self.send(GOAWAY, 0, 0, &[last.to_be_bytes(), [0; 4]].concat()).await;
    }

    pub(crate) async fn answer_all(mut self) {
        while let Some(stream) = self.request().await {
            self.ok(stream).await;
        }
    }
}
