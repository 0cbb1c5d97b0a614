//! Our client beside that of the `h2` crate, which hyper uses, before the same servers: what the server saw and what came of
//! each request has to be the same.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use ::http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response};
use bytes::Bytes;
use h2::{Reason, RecvStream, client, server};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Notify,
};

use super::Http2;
use crate::{
    RequestParts,
    client::{
        ANSWER_BODY_BYTES_MAX, ANSWER_HEAD_BYTES_MAX, Answered, Call, Keep, Lost, Peer, Template,
        kept::Kept,
        slots::{Permit, Slots},
    },
    request::Path,
};

/// What a server does with every request.
#[derive(Clone, Copy, Debug)]
enum Does {
    Answer {
        status: u16,
        headers: usize,
        parts: &'static [usize],
        trailers: bool,
    },
    /// Answers before it has read the request, and then resets the stream.
    AnswerEarly(Option<Reason>),
    Reset(Reason),
    /// Answers, and takes no more on this connection.
    GoAway,
    Close,
}

/// What came of a request.
#[derive(Debug, PartialEq)]
enum Seen {
    Answer { status: u16, headers: Vec<(String, Vec<u8>)>, body: Bytes, whole: bool, cut: bool },
    Unprocessed,
    Broken,
    Malformed,
}

impl From<Result<Answered, Lost>> for Seen {
    fn from(result: Result<Answered, Lost>) -> Self {
        match result {
            Ok(Answered { status, headers, whole, body, cut }) => {
                let mut headers: Vec<_> = headers
                    .iter()
                    .filter(|(name, _)| {
                        !status.is_success() || ["date", "retry-after"].contains(&name.as_str())
                    })
                    .map(|(name, value)| (name.to_string(), value.as_bytes().to_vec()))
                    .collect();
                headers.sort();
                Self::Answer { status: status.as_u16(), headers, body, whole, cut }
            }
            Err(Lost::Unprocessed(_)) => Self::Unprocessed,
            Err(Lost::Malformed(_)) => Self::Malformed,
            Err(_) => Self::Broken,
        }
    }
}

/// Windows and frame sizes of the servers, in turn.
const SETTINGS: [(u32, u32); 3] = [(65_535, 16_384), (1_000, 16_384), (1 << 20, 40_000)];

#[tokio::test]
async fn servers_and_callers_cannot_tell_the_clients_apart() {
    let whole = |status, headers, parts, trailers| Does::Answer { status, headers, parts, trailers };
    let servers = [
        whole(204, 0, &[], false),
        whole(200, 3, &[2], false),
        whole(200, 30, &[1, 0, 700, 16_384], true),
        whole(503, 300, &[10], false),
        whole(403, 0, &[ANSWER_BODY_BYTES_MAX], false),
        whole(403, 5, &[40_000, 40_000, 40_000], false),
        whole(200, 5, &[40_000, 40_000, 40_000], false),
        // More than a header list may have.
        whole(200, 2_000, &[10], false),
        Does::AnswerEarly(None),
        Does::AnswerEarly(Some(Reason::NO_ERROR)),
        Does::Reset(Reason::REFUSED_STREAM),
        Does::Reset(Reason::INTERNAL_ERROR),
        Does::Reset(Reason::HTTP_1_1_REQUIRED),
        Does::GoAway,
        Does::Close,
    ];
    for (does, (window, frame)) in servers.into_iter().zip(SETTINGS.into_iter().cycle()) {
        let ours = play(does, window, frame, false).await;
        let theirs = play(does, window, frame, true).await;
        assert_eq!(ours.0, theirs.0, "{does:?} {window} {frame}");
        // What was not answered may or may not have been read to its end.
        if matches!(does, Does::Answer { .. }) {
            assert_eq!(ours.1, theirs.1, "{does:?} {window} {frame}");
        }
    }
}

/// What came of each request to such a server, and what it saw of them.
async fn play(does: Does, window: u32, frame: u32, theirs: bool) -> (Vec<Seen>, Vec<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let log = Arc::new(Mutex::new(Vec::new()));
    let serving = tokio::spawn(serve(listener, does, window, frame, Arc::clone(&log)));
    let statics = [("x-key", "secret", true), ("x-tenant", "t", false)].map(|(name, value, secret)| {
        let mut value = HeaderValue::from_static(value);
        value.set_sensitive(secret);
        (HeaderName::from_static(name), value)
    });
    let url = "http://receiver.example:81/records?x=1".parse().unwrap();
    let template = Template::new(&url, &statics.to_vec()).unwrap();
    let parts = RequestParts {
        method: Some(Method::PUT),
        path: Some(Path::new("/elsewhere".to_owned()).unwrap()),
        headers: vec![(HeaderName::from_static("x-key"), HeaderValue::from_static("own"))],
        ..RequestParts::default()
    };
    let mut client = if theirs { Client::theirs(port).await } else { Client::ours(port).await };
    let mut seen = Vec::new();
    for (bytes, keep, parts) in [
        (2, Keep::Nothing, None),
        (40, Keep::All(100_000), None),
        (7, Keep::Refusals, Some(&parts)),
        (200_000, Keep::All(5), None),
        (0, Keep::Refusals, Some(&parts)),
        (1, Keep::Refusals, None),
    ] {
        let call = Call {
            body: vec![b'b'; bytes].into(),
            content_type: HeaderValue::from_static("application/json"),
            parts,
            gzip: bytes == 40,
            authorize: None,
            probe: bytes == 7,
            keep,
        };
        let result =
            tokio::time::timeout(Duration::from_secs(20), client.call(&template, &call)).await.unwrap();
        seen.push(result.into());
    }
    serving.abort();
    let log = std::mem::take(&mut *log.lock().unwrap());
    (seen, log)
}

enum Client {
    Ours(Arc<Http2>),
    Theirs(client::SendRequest<Bytes>),
}

impl Client {
    async fn ours(port: u16) -> Self {
        let timeout = Duration::from_secs(20);
        let peer = Peer { host: "127.0.0.1".to_owned(), port, tls: None, timeout };
        let io = peer.connect().await.unwrap().io;
        let permit = Permit::take(&Arc::new(Slots::new(Arc::default())), 1).unwrap();
        Self::Ours(Http2::new(io, permit, 100, timeout).await.unwrap())
    }

    async fn theirs(port: u16) -> Self {
        let io = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
        io.set_nodelay(true).unwrap();
        let (sender, connection) = client::Builder::new()
            .enable_push(false)
            .max_header_list_size(ANSWER_HEAD_BYTES_MAX as u32)
            .initial_window_size(ANSWER_BODY_BYTES_MAX as u32)
            .handshake(io)
            .await
            .unwrap();
        tokio::spawn(connection);
        Self::Theirs(sender)
    }

    async fn call(&mut self, template: &Template, call: &Call<'_>) -> Result<Answered, Lost> {
        match self {
            Self::Ours(connection) => connection.send(template, call)?.await,
            Self::Theirs(sender) => {
                let request = template.http2(call).unwrap_or_else(|_| panic!("nothing to prove"));
                exchange(sender, request, call).await
            }
        }
    }
}

async fn exchange(
    sender: &mut client::SendRequest<Bytes>,
    request: Request<()>,
    call: &Call<'_>,
) -> Result<Answered, Lost> {
    let sent = sender.send_request(request, call.body.is_empty());
    let (answer, mut stream) = sent.map_err(|error| Lost::Unprocessed(error.to_string()))?;
    if !call.body.is_empty() {
        stream.send_data(call.body.clone(), true).map_err(lost)?;
    }
    let (head, mut body) = answer.await.map_err(lost)?.into_parts();
    let (mut kept, mut whole) = (Kept::new(call.keep, head.status), true);
    while !body.is_end_stream() {
        match body.data().await {
            Some(Ok(data)) if !kept.push(&data) => break,
            Some(Ok(data)) => _ = body.flow_control().release_capacity(data.len()),
            Some(Err(_)) => {
                whole = false;
                break;
            }
            None => break,
        }
    }
    Ok(Answered::new(head.status, head.headers, whole, kept))
}

fn lost(error: h2::Error) -> Lost {
    let refused = error.is_go_away() || error.reason() == Some(Reason::REFUSED_STREAM);
    if error.is_remote() && refused {
        Lost::Unprocessed(error.to_string())
    } else if error.is_library() {
        Lost::Malformed(error.to_string())
    } else {
        Lost::Broken(error.to_string())
    }
}

async fn serve(listener: TcpListener, does: Does, window: u32, frame: u32, log: Arc<Mutex<Vec<String>>>) {
    let (io, _) = listener.accept().await.unwrap();
    io.set_nodelay(true).unwrap();
    let mut builder = server::Builder::new();
    let mut connection =
        builder.initial_window_size(window).max_frame_size(frame).handshake::<_, Bytes>(io).await.unwrap();
    let close = Arc::new(Notify::new());
    loop {
        let accepted = tokio::select! {
            biased;
            accepted = connection.accept() => accepted,
            () = close.notified() => return,
        };
        let Some(Ok((request, respond))) = accepted else { return };
        if matches!(does, Does::GoAway) {
            connection.graceful_shutdown();
        }
        tokio::spawn(serve_one(request, respond, does, Arc::clone(&log), Arc::clone(&close)));
    }
}

async fn serve_one(
    request: Request<RecvStream>,
    mut respond: server::SendResponse<Bytes>,
    does: Does,
    log: Arc<Mutex<Vec<String>>>,
    close: Arc<Notify>,
) {
    let (head, mut body) = request.into_parts();
    if let Does::AnswerEarly(reset) = does {
        let response = Response::builder().status(429).header("retry-after", "3").body(()).unwrap();
        let mut stream = respond.send_response(response, true).unwrap();
        if let Some(reason) = reset {
            stream.send_reset(reason);
        }
        return;
    }
    let mut bytes = 0;
    while let Some(Ok(part)) = body.data().await {
        bytes += part.len();
        _ = body.flow_control().release_capacity(part.len());
    }
    let mut headers: Vec<_> = head.headers.iter().map(|field| format!("{field:?}")).collect();
    headers.sort();
    log.lock().unwrap().push(format!("{} {} {headers:?} {bytes}", head.method, head.uri));
    match does {
        Does::AnswerEarly(_) => {}
        Does::Answer { status, headers, parts, trailers } => {
            let mut response =
                Response::builder().status(status).header("date", "now").header("Retry-After", "9");
            for number in 0..headers {
                response =
                    response.header(format!("x-{}", number % 70), format!("value ä {number}").repeat(2));
            }
            let mut stream =
                respond.send_response(response.body(()).unwrap(), parts.is_empty() && !trailers).unwrap();
            for (place, part) in parts.iter().enumerate() {
                let ends = place + 1 == parts.len() && !trailers;
                if stream.send_data(vec![b'a'; *part].into(), ends).is_err() {
                    return;
                }
            }
            if trailers {
                let trailers = HeaderMap::from_iter([("grpc-status".parse().unwrap(), "0".parse().unwrap())]);
                _ = stream.send_trailers(trailers);
            }
        }
        Does::Reset(reason) => respond.send_reset(reason),
        Does::GoAway => _ = respond.send_response(Response::new(()), true),
        Does::Close => close.notify_one(),
    }
}
