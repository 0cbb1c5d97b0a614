//! The XDR side: a bare connection that ships what a test says and reads one answer after the other.

use std::{net::SocketAddr, time::Duration};

use esp_connector::simulator::{
    encode::{self, Change, Head, Message, UserKey},
    particle::Particle,
};
use tokio::{
    io::{self, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

const WITHIN: Duration = Duration::from_secs(60);

/// Size of an answer to a record: a frame header and a message header.
const ACK_BYTES: usize = 30;

/// Result code of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ack(pub u8);

impl Ack {
    /// The record is done.
    pub const OK: Self = Self(0);

    /// XDR ships the record again (the published list, not the connector's own).
    pub fn is_temporary(self) -> bool {
        [8, 9, 11, 14, 18].contains(&self.0)
    }
}

/// One connection.
#[derive(Debug)]
pub struct XdrClient<S = TcpStream> {
    stream: S,
}

impl XdrClient {
    /// Connects to a connector.
    pub async fn connect(address: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Self { stream })
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> XdrClient<S> {
    /// On a connection that is made already, such as one with TLS.
    pub fn over(stream: S) -> Self {
        Self { stream }
    }

    /// Ships bytes, whole frames or not.
    pub async fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes).await?;
        self.stream.flush().await
    }

    /// The next answer, which must be one to a record. An error when the connection ends first.
    pub async fn ack(&mut self) -> io::Result<Ack> {
        let mut ack = [0; ACK_BYTES];
        let read = timeout(WITHIN, self.stream.read_exact(&mut ack)).await;
        read.unwrap_or_else(|_| panic!("no answer within {WITHIN:?}"))?;
        assert_eq!(ack[..8], [2, 3, 0, 0, 0, 0, 0, 22], "an answer of 30 bytes");
        Ok(Ack(ack[13]))
    }

    /// The body of the next answer, whatever its kind.
    pub async fn answer(&mut self) -> io::Result<Vec<u8>> {
        let body = timeout(WITHIN, async {
            let size = self.stream.read_u64().await? & 0xffff_ffff_ffff;
            let mut body = vec![0; usize::try_from(size).unwrap()];
            self.stream.read_exact(&mut body).await?;
            io::Result::Ok(body)
        });
        body.await.unwrap_or_else(|_| panic!("no answer within {WITHIN:?}"))
    }
}

/// A write in namespace `test`, as XDR ships it, with a stored integer key.
pub fn write(set: &str, key: i64, bins: &[(&str, Particle<'_>)]) -> Vec<u8> {
    version(set, key, 1_700_000_000_000, bins)
}

/// A write that was the last update at `lut_unix_ms`.
pub fn version(set: &str, key: i64, lut_unix_ms: u64, bins: &[(&str, Particle<'_>)]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut message = Message::begin(&mut bytes, &head(Change::Replace, set, key, lut_unix_ms));
    for (name, value) in bins {
        message.bin(name.as_bytes(), value);
    }
    message.finish();
    bytes
}

/// A delete.
pub fn delete(set: &str, key: i64) -> Vec<u8> {
    let mut bytes = Vec::new();
    Message::begin(&mut bytes, &head(Change::Delete, set, key, 1_700_000_000_000)).finish();
    bytes
}

fn head(change: Change, set: &str, key: i64, lut_unix_ms: u64) -> Head<'_> {
    let user_key = UserKey::Integer(key);
    Head {
        change,
        namespace: b"test",
        set: Some(set.as_bytes()),
        digest: encode::digest(Some(set.as_bytes()), user_key),
        user_key: Some(user_key),
        generation: 1,
        ttl_seconds: 0,
        lut_unix_ms: Some(lut_unix_ms),
    }
}

/// A question about the node.
pub fn info_request(command: &str) -> Vec<u8> {
    let body_bytes = command.len() as u64 + 1;
    let mut bytes = (0x0201_0000_0000_0000 | body_bytes).to_be_bytes().to_vec();
    bytes.extend_from_slice(command.as_bytes());
    bytes.push(b'\n');
    bytes
}
