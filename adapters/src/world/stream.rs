//! A connection, real or simulated.

use std::{
    fmt, io,
    pin::Pin,
    task::{Context, Poll, ready},
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
};

/// One end of a simulated connection.
pub trait Pipe: AsyncRead + AsyncWrite + Unpin + Send + Sync {
    /// Looks at the next byte without taking it; `None` at the end.
    fn poll_peek(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Option<u8>>>;
}

/// A connection. Which kind it is stays the same for its life, so the branch costs nothing that could be measured.
pub enum Stream {
    /// To somewhere outside.
    Tcp(TcpStream),
    /// To another part of a simulation.
    Simulated(Box<dyn Pipe>),
}

impl Stream {
    /// Small writes go at once.
    pub fn set_nodelay(&self, nodelay: bool) -> io::Result<()> {
        match self {
            Self::Tcp(tcp) => tcp.set_nodelay(nodelay),
            Self::Simulated(_) => Ok(()),
        }
    }

    /// Waits for the next byte and leaves it where it is; `None` at the end.
    pub async fn peek(&mut self) -> io::Result<Option<u8>> {
        std::future::poll_fn(|cx| match self {
            Self::Tcp(tcp) => {
                let mut byte = [0];
                let count = ready!(tcp.poll_peek(cx, &mut ReadBuf::new(&mut byte)))?;
                Poll::Ready(Ok((count > 0).then_some(byte[0])))
            }
            Self::Simulated(pipe) => pipe.poll_peek(cx),
        })
        .await
    }
}

impl From<TcpStream> for Stream {
    fn from(tcp: TcpStream) -> Self {
        Self::Tcp(tcp)
    }
}

impl fmt::Debug for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(tcp) => tcp.fmt(f),
            Self::Simulated(_) => f.write_str("Simulated"),
        }
    }
}

impl AsyncRead for Stream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(tcp) => Pin::new(tcp).poll_read(cx, buf),
            Self::Simulated(pipe) => Pin::new(pipe).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Tcp(tcp) => Pin::new(tcp).poll_write(cx, buf),
            Self::Simulated(pipe) => Pin::new(pipe).poll_write(cx, buf),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Tcp(tcp) => Pin::new(tcp).poll_write_vectored(cx, bufs),
            Self::Simulated(pipe) => Pin::new(pipe).poll_write_vectored(cx, bufs),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Self::Tcp(tcp) => tcp.is_write_vectored(),
            Self::Simulated(pipe) => pipe.is_write_vectored(),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(tcp) => Pin::new(tcp).poll_flush(cx),
            Self::Simulated(pipe) => Pin::new(pipe).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(tcp) => Pin::new(tcp).poll_shutdown(cx),
            Self::Simulated(pipe) => Pin::new(pipe).poll_shutdown(cx),
        }
    }
}
