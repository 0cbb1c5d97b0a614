//! A connector that answers as a test tells it to, and keeps what it saw.

use std::{
    io,
    sync::{Arc, Mutex},
};

use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, DuplexStream},
    net::TcpListener,
    sync::mpsc,
};
use tokio_rustls::TlsAcceptor;

/// One message as it came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Seen {
    pub(super) connection: usize,
    pub(super) id: u64,
    pub(super) version: u32,
}

/// What the stand-in does with a message.
pub(super) enum Reply {
    Code(u8),
    Garbage,
    Silence,
    Close,
}

#[derive(Clone, Default)]
pub(super) struct StandIn {
    pub(super) seen: Arc<Mutex<Vec<Seen>>>,
    /// Connections on which no byte came.
    pub(super) silent: Arc<Mutex<usize>>,
}

impl StandIn {
    /// Answers each message with what `reply` says, on connections that arrive in memory.
    pub(super) fn start(
        reply: impl Fn(Seen) -> Reply + Send + Sync + 'static,
    ) -> (mpsc::Sender<DuplexStream>, Self) {
        let (dial, mut connections) = mpsc::channel(16);
        let stand_in = Self::default();
        let (this, reply) = (stand_in.clone(), Arc::new(reply));
        tokio::spawn(async move {
            for number in 0.. {
                let Some(stream) = connections.recv().await else { break };
                let (this, reply) = (this.clone(), Arc::clone(&reply));
                tokio::spawn(async move { this.serve(number, stream, &*reply).await });
            }
        });
        (dial, stand_in)
    }

    /// The same behind TLS on a free port of this machine, answering 0 always.
    pub(super) async fn start_tls(tls: TlsAcceptor) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let tls = tls.clone();
                tokio::spawn(async move {
                    Self::default().serve(0, tls.accept(stream).await?, &|_| Reply::Code(0)).await
                });
            }
        });
        address
    }

    async fn serve(
        &self,
        connection: usize,
        mut stream: impl AsyncRead + AsyncWrite + Unpin,
        reply: &(impl Fn(Seen) -> Reply + ?Sized),
    ) -> io::Result<()> {
        let mut header = [0; 8];
        for message in 0.. {
            if let Err(error) = stream.read_exact(&mut header).await {
                if message == 0 {
                    *self.silent.lock().unwrap() += 1;
                }
                return Err(error);
            }
            assert_eq!(header[..2], [2, 3], "a plain message");
            let size = u64::from_be_bytes(header) & 0xffff_ffff_ffff;
            let mut body = vec![0; size as usize];
            stream.read_exact(&mut body).await?;
            let (id, version) = identity(&body);
            let seen = Seen { connection, id, version };
            self.seen.lock().unwrap().push(seen);
            match reply(seen) {
                Reply::Code(code) => {
                    let mut answer = [0; 30];
                    answer[..9].copy_from_slice(&[2, 3, 0, 0, 0, 0, 0, 22, 22]);
                    answer[13] = code;
                    stream.write_all(&answer).await?;
                    stream.flush().await?;
                }
                Reply::Garbage => stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await?,
                Reply::Silence => {}
                Reply::Close => return Ok(()),
            }
        }
        Ok(())
    }

    pub(super) fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }
}

/// Record number (the user key) and version (the generation) of a message, header excluded.
fn identity(body: &[u8]) -> (u64, u32) {
    let version = u32::from_be_bytes(body[6..10].try_into().unwrap());
    let fields = u16::from_be_bytes(body[18..20].try_into().unwrap());
    let mut at = 22;
    for _ in 0..fields {
        let size = u32::from_be_bytes(body[at..at + 4].try_into().unwrap()) as usize;
        if body[at + 4..at + 6] == [2, 1] {
            return (u64::from_be_bytes(body[at + 6..at + 14].try_into().unwrap()), version);
        }
        at += 4 + size;
    }
    panic!("no integer user key");
}
