//! A receiver that does next to nothing: counts requests and the records in them, answers 204, and fails on request.
//!
//! It speaks HTTP/1.1 and HTTP/2 as far as the clients measured here need it, by hand, so that it is never what limits them;
//! it is no server for anything else.

mod faults;
mod http1;
mod http2;

use std::{net::SocketAddr, path::PathBuf, rc::Rc};

use clap::Args;
use esp_connector::receiver;
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite},
    net::{TcpListener, TcpStream},
    task::LocalSet,
};

pub(crate) use self::faults::FaultArgs;
use self::faults::{Counts, Faults};
use crate::Failure;

/// Takes requests, and tells at `GET` how many.
#[derive(Args, Clone, Debug)]
pub(crate) struct SinkArgs {
    /// Address to listen on.
    #[arg(long, value_name = "HOST:PORT")]
    listen: SocketAddr,
    /// Address to listen on with TLS.
    #[arg(long, value_name = "HOST:PORT", requires = "tls_cert", requires = "tls_key")]
    listen_tls: Option<SocketAddr>,
    /// Certificate chain.
    #[arg(long, value_name = "FILE")]
    tls_cert: Option<PathBuf>,
    /// Its private key.
    #[arg(long, value_name = "FILE")]
    tls_key: Option<PathBuf>,
    #[command(flatten)]
    faults: FaultArgs,
}

/// What all connections share; one thread serves them.
#[derive(Debug)]
struct Sink {
    faults: Faults,
    counts: Counts,
}

/// `sink`, until it is ended.
pub(crate) async fn run(args: SinkArgs) -> Result<(), Failure> {
    let sink = Rc::new(Sink { faults: Faults::new(&args.faults), counts: Counts::default() });
    let clear = TcpListener::bind(args.listen).await?;
    let tls = match (&args.listen_tls, &args.tls_cert, &args.tls_key) {
        (Some(listen), Some(chain), Some(key)) => {
            Some((TcpListener::bind(listen).await?, receiver::tls::acceptor(chain, key)?))
        }
        _ => None,
    };
    let tasks = LocalSet::new();
    let clear_sink = Rc::clone(&sink);
    tasks.spawn_local(async move {
        while let Some(stream) = accept(&clear).await {
            let sink = Rc::clone(&clear_sink);
            tokio::task::spawn_local(async move { sink.serve(stream).await });
        }
    });
    if let Some((listener, acceptor)) = tls {
        tasks.spawn_local(async move {
            while let Some(stream) = accept(&listener).await {
                let (sink, acceptor) = (Rc::clone(&sink), acceptor.clone());
                tokio::task::spawn_local(async move {
                    if let Ok(stream) = acceptor.accept(stream).await {
                        sink.serve(stream).await;
                    }
                });
            }
        });
    }
    tasks.await;
    Ok(())
}

async fn accept(listener: &TcpListener) -> Option<TcpStream> {
    let (stream, _) = listener.accept().await.ok()?;
    stream.set_nodelay(true).ok()?;
    Some(stream)
}

impl Sink {
    /// Until the client leaves; that it does is no fault.
    async fn serve(&self, mut stream: impl AsyncRead + AsyncWrite + Unpin) {
        let mut input = Vec::with_capacity(INPUT_BYTES);
        while input.len() < http2::PREFACE.len() && http2::PREFACE.starts_with(&input) {
            if stream.read_buf(&mut input).await.is_ok_and(|read| read > 0) {
                continue;
            }
            return;
        }
        let _ = if input.starts_with(http2::PREFACE) {
            http2::serve(self, stream, input).await
        } else {
            http1::serve(self, stream, input).await
        };
    }
}

const INPUT_BYTES: usize = 64 * 1024;
