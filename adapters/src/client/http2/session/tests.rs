//! The session against a peer whose frames are written by hand.

use std::task::{Poll, Waker};

use super::{
    super::frame::{
        self, ACK, CONTINUATION, Code, DATA, END_HEADERS, END_STREAM, GOAWAY, HEAD_BYTES, HEADERS, Head,
        MOST, PING, PREFACE, RST_STREAM, SETTINGS, WINDOW_UPDATE,
    },
    BLOCK_BYTES_MAX, BLOCK_FRAMES_MAX, CONNECTION_WINDOW_BYTES, DUE_BYTES_MAX, Session, USELESS_MAX,
};
use crate::client::{ANSWER_BODY_BYTES_MAX, Answered, Lost, kept::Keep};
use bytes::Bytes;
use http::StatusCode;

const STATUS_200: &[u8] = &[0x88];
const STATUS_503: &[u8] = b"\x08\x03503";
const HINT_103: &[u8] = b"\x08\x03103";

/// A session whose peer allows `settings`, and what it wrote since.
struct Played {
    session: Session,
}

/// A frame that the session wrote.
#[derive(Debug, PartialEq, Eq)]
struct Sent {
    kind: u8,
    flags: u8,
    stream: u32,
    payload: Vec<u8>,
}

impl Played {
    fn new(settings: &[(u16, u32)]) -> Self {
        let mut played = Self { session: Session::new() };
        let mut hello = Vec::new();
        played.session.take_due(&mut hello);
        assert!(hello.starts_with(PREFACE));
        assert_eq!(played.session.streams_max(), 0);
        played.gets(SETTINGS, 0, 0, &pairs(settings));
        assert_eq!(played.sent(), [Sent { kind: SETTINGS, flags: ACK, stream: 0, payload: Vec::new() }]);
        played
    }

    fn gets(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
        let mut bytes = Vec::new();
        frame::write(&mut bytes, kind, flags, stream, payload);
        assert_eq!(self.session.receive(&bytes), bytes.len());
    }

    /// Begins a request whose head is the one field `:method: POST`.
    fn asks(&mut self, body: &'static [u8], keep: Keep) -> Result<u32, &'static str> {
        self.session.begin(|_, out| out.push(0x83), Bytes::from_static(body), keep)
    }

    fn asked(&mut self) -> u32 {
        let id = self.asks(b"{}", Keep::All(1000)).unwrap();
        self.sent();
        id
    }

    fn sent(&mut self) -> Vec<Sent> {
        let (mut out, mut sent) = (Vec::new(), Vec::new());
        self.session.take_due(&mut out);
        let mut rest = &out[..];
        while let Some((head, behind)) = rest.split_first_chunk::<HEAD_BYTES>() {
            let Head { length, kind, flags, stream } = Head::read(head);
            let (payload, behind) = behind.split_at(length);
            sent.push(Sent { kind, flags, stream, payload: payload.to_vec() });
            rest = behind;
        }
        assert!(rest.is_empty());
        sent
    }

    fn answer(&mut self, id: u32) -> Option<Result<Answered, Lost>> {
        match self.session.poll_answer(id, Waker::noop()) {
            Poll::Ready(answer) => Some(answer),
            Poll::Pending => None,
        }
    }

    /// Status, body, whether it is whole, whether it was cut.
    fn answered(&mut self, id: u32) -> (u16, String, bool, bool) {
        let Some(Ok(answered)) = self.answer(id) else { panic!("no answer to {id}") };
        let body = String::from_utf8(answered.body.to_vec()).unwrap();
        (answered.status.as_u16(), body, answered.whole, answered.cut)
    }

    fn lost(&mut self, id: u32) -> Lost {
        match self.answer(id) {
            Some(Err(lost)) => lost,
            other => panic!("{id}: {:?}", other.map(|answer| answer.map(|answered| answered.status))),
        }
    }

    /// The code of the GOAWAY with which the session ended, if it did.
    fn fault(&mut self) -> Option<Code> {
        let code = self.sent().iter().find(|sent| sent.kind == GOAWAY).map(|sent| {
            assert_eq!(sent.payload[..4], [0; 4]);
            Code(u32::from_be_bytes(sent.payload[4..].try_into().unwrap()))
        });
        assert_eq!(code.is_some(), self.session.is_finished());
        code
    }
}

fn pairs(settings: &[(u16, u32)]) -> Vec<u8> {
    settings.iter().flat_map(|(id, value)| [&id.to_be_bytes()[..], &value.to_be_bytes()].concat()).collect()
}

fn bytes_of(sent: &[Sent], stream: u32) -> usize {
    sent.iter().filter(|sent| (sent.kind, sent.stream) == (DATA, stream)).map(|sent| sent.payload.len()).sum()
}

#[test]
fn a_request_is_two_frames_and_so_may_be_its_answer() {
    let mut played = Played::new(&[]);
    let id = played.asks(b"{}", Keep::All(9)).unwrap();
    let head = Sent { kind: HEADERS, flags: END_HEADERS, stream: 1, payload: vec![0x83] };
    let body = Sent { kind: DATA, flags: END_STREAM, stream: 1, payload: b"{}".to_vec() };
    assert_eq!(played.sent(), [head, body]);
    assert!(played.answer(id).is_none());
    played.gets(HEADERS, END_HEADERS, id, STATUS_200);
    assert!(played.answer(id).is_none() && played.session.take_heard());
    played.gets(DATA, END_STREAM, id, b"ok");
    let mut woken = Vec::new();
    played.session.take_woken(&mut woken);
    assert_eq!(woken.len(), 1);
    assert_eq!(played.answered(id), (200, "ok".to_owned(), true, false));
    assert!(matches!(played.lost(id), Lost::Broken(_)), "fetched once");

    let empty = played.asks(b"", Keep::Nothing).unwrap();
    assert_eq!(played.sent()[0].flags, END_STREAM | END_HEADERS);
    played.gets(HEADERS, END_HEADERS | END_STREAM, empty, STATUS_503);
    assert_eq!(played.answered(empty), (503, String::new(), true, false));
}

#[test]
fn bodies_keep_to_both_windows_and_to_what_is_due() {
    let mut played = Played::new(&[(4, 10)]);
    let first = played.asks(&[1; 25], Keep::Nothing).unwrap();
    assert_eq!(bytes_of(&played.sent(), first), 10);
    played.gets(WINDOW_UPDATE, 0, first, &6u32.to_be_bytes());
    assert_eq!(bytes_of(&played.sent(), first), 6);
    // Less than was used: the stream owes, and gets nothing until it has paid.
    played.gets(SETTINGS, 0, 0, &pairs(&[(4, 4)]));
    played.gets(WINDOW_UPDATE, 0, first, &6u32.to_be_bytes());
    assert_eq!(bytes_of(&played.sent(), first), 0);
    played.gets(SETTINGS, 0, 0, &pairs(&[(4, 40)]));
    let rest = played.sent();
    assert_eq!((bytes_of(&rest, first), rest.last().unwrap().flags), (9, END_STREAM));

    // All streams together have 65,535 bytes.
    let mut played = Played::new(&[(4, MOST), (3, 100)]);
    let (large, small) =
        (played.asks(&[1; 65_000], Keep::Nothing).unwrap(), played.asks(&[2; 1_000], Keep::Nothing).unwrap());
    let sent = played.sent();
    assert_eq!(bytes_of(&sent, large) + bytes_of(&sent, small), 65_535);
    assert!(!played.session.is_due());
    played.gets(WINDOW_UPDATE, 0, 0, &1000u32.to_be_bytes());
    let sent = played.sent();
    assert_eq!(bytes_of(&sent, large) + bytes_of(&sent, small), 465);

    // However large the windows, what waits to be written does not pile up; streams take turns.
    played.gets(WINDOW_UPDATE, 0, 0, &(1u32 << 30).to_be_bytes());
    let (first, second) = (
        played.asks(&[1; 300_000], Keep::Nothing).unwrap(),
        played.asks(&[2; 300_000], Keep::Nothing).unwrap(),
    );
    let (mut sent, mut parts) = (Vec::new(), 0);
    while played.session.is_due() {
        let part = played.sent();
        assert!(part.iter().map(|sent| sent.payload.len()).sum::<usize>() <= DUE_BYTES_MAX + 20_000);
        sent.extend(part);
        parts += 1;
    }
    assert_eq!((bytes_of(&sent, first), bytes_of(&sent, second)), (300_000, 300_000));
    let turns = sent.windows(2).filter(|two| two[0].stream != two[1].stream).count();
    assert!(parts > 5 && turns > 20, "{parts} parts, {turns} turns");
}

#[test]
fn larger_frames_are_used_where_they_are_allowed_and_long_heads_are_split() {
    let mut played = Played::new(&[(4, MOST), (5, 20_000)]);
    played.gets(WINDOW_UPDATE, 0, 0, &(1u32 << 20).to_be_bytes());
    let id = played.session.begin(
        |_, out| out.resize(out.len() + 45_000, 7),
        Bytes::from_static(&[1; 30_000]),
        Keep::Nothing,
    );
    let sent = played.sent();
    let shape: Vec<_> = sent.iter().map(|sent| (sent.kind, sent.flags, sent.payload.len())).collect();
    assert_eq!(
        shape,
        [
            (HEADERS, 0, 20_000),
            (CONTINUATION, 0, 20_000),
            (CONTINUATION, END_HEADERS, 5_000),
            (DATA, 0, 20_000),
            (DATA, END_STREAM, 10_000),
        ]
    );
    assert!(sent.iter().all(|sent| sent.stream == id.unwrap()));
}

#[test]
fn the_peer_says_how_many_streams_there_may_be() {
    let mut played = Played::new(&[(3, 2)]);
    assert_eq!(played.session.streams_max(), 2);
    let (first, _) = (played.asked(), played.asked());
    assert!(played.asks(b"", Keep::Nothing).is_err());
    played.gets(HEADERS, END_HEADERS | END_STREAM, first, STATUS_200);
    let third = played.asked();
    played.session.cancel(third);
    let reset =
        Sent { kind: RST_STREAM, flags: 0, stream: third, payload: Code::CANCEL.0.to_be_bytes().to_vec() };
    assert_eq!(played.sent(), [reset]);
    played.asked();
    played.gets(SETTINGS, 0, 0, &pairs(&[(3, 1)]));
    assert_eq!(played.session.streams_max(), 1);
    assert!(played.asks(b"", Keep::Nothing).is_err());
    assert_eq!(played.fault(), None);
}

#[test]
fn what_was_refused_or_is_beyond_a_goaway_was_not_processed() {
    let mut played = Played::new(&[]);
    let ids: Vec<_> = (0..5).map(|_| played.asked()).collect();
    played.gets(RST_STREAM, 0, ids[0], &Code::REFUSED_STREAM.0.to_be_bytes());
    assert!(matches!(played.lost(ids[0]), Lost::Unprocessed(_)));
    played.gets(RST_STREAM, 0, ids[1], &2u32.to_be_bytes());
    assert!(matches!(played.lost(ids[1]), Lost::Broken(_)));
    assert!(!played.session.is_retired());

    // First all of them, which says that more will not be taken; then the last that was.
    played.gets(GOAWAY, 0, 0, &[MOST.to_be_bytes(), [0; 4]].concat());
    assert!(played.session.is_retired() && !played.session.is_finished());
    assert!(played.asks(b"", Keep::Nothing).is_err());
    played.gets(GOAWAY, 0, 0, &[ids[3].to_be_bytes(), [0; 4]].concat());
    assert!(matches!(played.lost(ids[4]), Lost::Unprocessed(_)));
    played.gets(HEADERS, END_HEADERS | END_STREAM, ids[2], STATUS_200);
    assert_eq!(played.answered(ids[2]).0, 200);
    assert!(!played.session.is_finished());
    played.session.broken("gone");
    assert!(matches!(played.lost(ids[3]), Lost::Broken(_)));
    assert!(played.session.is_finished());
}

#[test]
fn answers_in_many_shapes() {
    let mut played = Played::new(&[]);
    // Hints, a header in three parts with padding, a body in parts, trailers.
    let id = played.asked();
    played.gets(HEADERS, END_HEADERS, id, HINT_103);
    played.gets(HEADERS, END_HEADERS, id, HINT_103);
    played.gets(HEADERS, 8, id, &[2, 0x88, 0, 0]);
    played.gets(CONTINUATION, 0, id, b"\x00\x0bretry");
    played.gets(CONTINUATION, END_HEADERS, id, b"-after\x019");
    played.gets(DATA, 8, id, &[1, b'o', 0]);
    played.gets(0xbe, 0xff, id, b"unknown");
    played.gets(DATA, 0, id, b"k");
    played.gets(HEADERS, END_HEADERS | END_STREAM, id, b"\x00\x01a\x01b");
    let Some(Ok(answered)) = played.answer(id) else { panic!() };
    assert_eq!((answered.status, &answered.body[..], answered.whole), (StatusCode::OK, &b"ok"[..], true));
    assert_eq!(answered.headers["retry-after"], "9");

    // The peer answers before it has all of the request, and stops listening.
    let id = played.asks(&[0; 100_000], Keep::Nothing).unwrap();
    played.sent();
    played.gets(HEADERS, END_HEADERS | END_STREAM, id, STATUS_503);
    played.gets(RST_STREAM, 0, id, &0u32.to_be_bytes());
    assert_eq!(played.answered(id), (503, String::new(), true, false));
    assert_eq!(
        played.sent().iter().map(|sent| (sent.kind, sent.stream)).collect::<Vec<_>>(),
        [(RST_STREAM, id)]
    );

    // More than anyone wants.
    let id = played.asks(b"", Keep::All(5)).unwrap();
    played.gets(HEADERS, END_HEADERS, id, STATUS_200);
    played.gets(DATA, 0, id, b"12345678");
    assert_eq!(played.answered(id), (200, "12345".to_owned(), true, true));
    assert_eq!(played.sent().last().unwrap().kind, RST_STREAM);
    played.gets(DATA, END_STREAM, id, b"what was on its way");
    assert_eq!(played.fault(), None);
}

#[test]
fn what_breaks_within_a_body_leaves_half_an_answer() {
    for end in 0..3 {
        let mut played = Played::new(&[]);
        let id = played.asked();
        played.gets(HEADERS, END_HEADERS, id, STATUS_200);
        played.gets(DATA, 0, id, b"half");
        match end {
            0 => played.gets(RST_STREAM, 0, id, &7u32.to_be_bytes()),
            1 => played.session.broken("gone"),
            _ => played.gets(PING, 0, 0, b"short"),
        }
        assert_eq!(played.answered(id), (200, "half".to_owned(), false, false));
    }
}

#[test]
fn answers_that_contradict_themselves_cost_their_stream_only() {
    let length_3 = b"\x88\x0f\x0d\x013";
    let length_0 = b"\x88\x0f\x0d\x010";
    type Frames<'a> = &'a [(u8, u8, &'a [u8])];
    let asked: [(Frames<'_>, bool); 10] = [
        (&[(HEADERS, END_STREAM, length_3)], false),
        (&[(HEADERS, END_STREAM, b"\x00\x01a\x01b")], false),
        (&[(HEADERS, END_STREAM, HINT_103)], false),
        (&[(HEADERS, 0, b"\x08\x03101")], false),
        (&[(HEADERS, END_STREAM, b"\x88\x00\x01A\x01b")], false),
        (&[(HEADERS, 0, length_3), (DATA, END_STREAM, b"12")], true),
        (&[(HEADERS, 0, length_3), (DATA, 0, b"1234")], true),
        (&[(HEADERS, 0, length_3), (HEADERS, END_STREAM, b"")], true),
        (&[(HEADERS, 0, STATUS_200), (HEADERS, 0, STATUS_200)], true),
        (&[(HEADERS, 0, STATUS_200), (HEADERS, 0, b"\x00\x01a\x01b")], true),
    ];
    let mut played = Played::new(&[]);
    for (frames, half) in asked {
        let id = played.asked();
        for (kind, flags, payload) in frames {
            played.gets(*kind, if *kind == HEADERS { flags | END_HEADERS } else { *flags }, id, payload);
        }
        if half {
            assert!(!played.answered(id).2, "{frames:?}");
        } else {
            assert!(matches!(played.lost(id), Lost::Malformed(_)), "{frames:?}");
        }
        let sent = played.sent();
        assert_eq!(
            (sent[0].kind, &sent[0].payload[..]),
            (RST_STREAM, &Code::PROTOCOL_ERROR.0.to_be_bytes()[..])
        );
    }
    for block in [&length_0[..], b"\x89\x0f\x0d\x013"] {
        let id = played.asked();
        played.gets(HEADERS, END_HEADERS | END_STREAM, id, block);
        assert!(played.answered(id).2, "nothing is missing");
    }
    let id = played.asked();
    played.gets(WINDOW_UPDATE, 0, id, &0u32.to_be_bytes());
    assert!(matches!(played.lost(id), Lost::Malformed(_)));
    assert!(!played.session.is_retired());
}

#[test]
fn what_the_protocol_forbids_ends_the_connection_with_the_right_code() {
    let large = MOST.to_be_bytes();
    type Case<'a> = (u8, u8, u32, &'a [u8], Code);
    let cases: [Case<'_>; 22] = [
        (DATA, 0, 1, b"x", Code::PROTOCOL_ERROR),
        (DATA, 0, 3, b"x", Code::PROTOCOL_ERROR),
        (HEADERS, END_HEADERS, 3, STATUS_200, Code::PROTOCOL_ERROR),
        (HEADERS, END_HEADERS, 2, STATUS_200, Code::PROTOCOL_ERROR),
        (HEADERS, END_HEADERS, 0, STATUS_200, Code::PROTOCOL_ERROR),
        (HEADERS, END_HEADERS, 1, &[0xff; 9], Code::COMPRESSION_ERROR),
        (CONTINUATION, 0, 1, STATUS_200, Code::PROTOCOL_ERROR),
        (RST_STREAM, 0, 3, &[0; 4], Code::PROTOCOL_ERROR),
        (RST_STREAM, 0, 1, &[0; 3], Code::FRAME_SIZE_ERROR),
        (SETTINGS, 0, 0, &[0; 5], Code::FRAME_SIZE_ERROR),
        (SETTINGS, 0, 0, &[0, 2, 0, 0, 0, 1], Code::PROTOCOL_ERROR),
        (SETTINGS, 0, 0, &[0, 4, 0x80, 0, 0, 0], Code::FLOW_CONTROL_ERROR),
        (SETTINGS, 0, 0, &[0, 5, 0, 0, 0, 1], Code::PROTOCOL_ERROR),
        (SETTINGS, 0, 0, &[0, 5, 1, 0, 0, 0], Code::PROTOCOL_ERROR),
        (5, END_HEADERS, 1, &[0, 0, 0, 2, 0x83], Code::PROTOCOL_ERROR),
        (PING, 0, 0, &[0; 9], Code::FRAME_SIZE_ERROR),
        (PING, 0, 1, &[0; 8], Code::PROTOCOL_ERROR),
        (GOAWAY, 0, 0, &[0; 4], Code::FRAME_SIZE_ERROR),
        (WINDOW_UPDATE, 0, 0, &[0; 4], Code::PROTOCOL_ERROR),
        (WINDOW_UPDATE, 0, 0, &large, Code::FLOW_CONTROL_ERROR),
        (WINDOW_UPDATE, 0, 5, &[0, 0, 0, 1], Code::PROTOCOL_ERROR),
        (0xbe, 0, 0, &[0; 16_385], Code::FRAME_SIZE_ERROR),
    ];
    for (kind, flags, stream, payload, code) in cases {
        let mut played = Played::new(&[]);
        let id = played.asked();
        played.gets(kind, flags, stream, payload);
        assert_eq!(
            played.fault(),
            Some(code),
            "{kind} {flags} {stream} {:?}",
            &payload[..payload.len().min(9)]
        );
        assert!(matches!(played.lost(id), Lost::Malformed(_)));
        assert!(played.asks(b"", Keep::Nothing).is_err());
    }

    let mut unasked = Session::new();
    assert_eq!(unasked.receive(b"HTTP/1.1 400 Bad Request\r\n\r\n"), 28);
    assert!(unasked.is_finished());
    for (kind, flags) in [(PING, 0), (SETTINGS, ACK)] {
        let mut played = Played { session: Session::new() };
        played.gets(kind, flags, 0, &[0; 8][..if kind == PING { 8 } else { 0 }]);
        assert!(played.session.is_finished(), "no settings first");
    }

    let mut played = Played::new(&[]);
    let id = played.asked();
    played.gets(WINDOW_UPDATE, 0, id, &large);
    assert!(matches!(played.lost(id), Lost::Malformed(_)), "its own window concerns the stream only");
    assert_eq!(played.sent()[0].payload, Code::FLOW_CONTROL_ERROR.0.to_be_bytes());

    let mut played = Played::new(&[]);
    played.gets(GOAWAY, 0, 0, &[1u32.to_be_bytes(), [0; 4]].concat());
    assert_eq!(played.session.end().map(ToString::to_string), None);
    played.gets(GOAWAY, 0, 0, &[3u32.to_be_bytes(), [0; 4]].concat());
    assert!(matches!(played.session.end(), Some(Lost::Malformed(_))));

    let mut played = Played::new(&[]);
    let id = played.asked();
    played.gets(HEADERS, 0, id, STATUS_200);
    played.gets(PING, 0, 0, &[0; 8]);
    assert_eq!(played.fault(), Some(Code::PROTOCOL_ERROR), "a block that was broken off");
}

#[test]
fn windows_of_answers_are_opened_again_and_kept_to() {
    let mut played = Played::new(&[]);
    let part = [b'x'; 16_384];
    let id = played.asks(b"", Keep::All(10 * ANSWER_BODY_BYTES_MAX)).unwrap();
    played.sent();
    played.gets(HEADERS, END_HEADERS, id, STATUS_200);
    let (mut stream, mut connection) = (0, 0);
    for _ in 0..40 {
        played.gets(DATA, 0, id, &part);
        for sent in played.sent() {
            let bytes = u32::from_be_bytes(sent.payload.try_into().unwrap());
            *(if sent.stream == 0 { &mut connection } else { &mut stream }) += bytes;
        }
    }
    assert_eq!((stream, connection), (40 * 16_384, CONNECTION_WINDOW_BYTES / 2));
    played.gets(DATA, END_STREAM, id, b"");
    assert_eq!(played.answered(id).1.len(), 40 * 16_384);

    // On a stream that is gone the window of the connection opens all the same.
    let id = played.asked();
    played.session.cancel(id);
    played.sent();
    let mut opened = 0;
    for _ in 0..200 {
        played.gets(DATA, 0, id, &part);
        opened += played.sent().len();
    }
    assert_eq!(played.fault(), None);
    assert!(opened >= 6);
}

#[test]
fn floods_end_the_connection() {
    let calm = Some(Code::ENHANCE_YOUR_CALM);
    let flood: [(&str, u8, u8, u32, &[u8]); 8] = [
        ("pings", PING, 0, 0, &[0; 8]),
        ("answers to pings", PING, ACK, 0, &[0; 8]),
        ("settings", SETTINGS, 0, 0, &[]),
        ("hints", HEADERS, END_HEADERS, 1, HINT_103),
        ("priorities", 2, 0, 1, &[0; 5]),
        ("what nobody knows", 0xbe, 0, 0, &[]),
        ("empty windows", WINDOW_UPDATE, 0, 1, &[0, 0, 0, 1]),
        ("frames of a stream that is gone", RST_STREAM, 0, 3, &[0; 4]),
    ];
    for (name, kind, flags, stream, payload) in flood {
        let mut played = Played::new(&[]);
        let (_, gone) = (played.asked(), played.asked());
        played.session.cancel(gone);
        let mut count = 0;
        while !played.session.is_finished() && count <= USELESS_MAX {
            played.gets(kind, flags, stream, payload);
            count += 1;
        }
        assert_eq!(played.fault(), calm, "{name}");
    }
    // Empty parts of a body; behind an answer they are counted anew.
    let mut played = Played::new(&[]);
    let id = played.asked();
    played.gets(HEADERS, END_HEADERS, id, STATUS_200);
    (0..USELESS_MAX).for_each(|_| played.gets(DATA, 0, id, b""));
    let other = played.asked();
    played.gets(HEADERS, END_HEADERS, other, STATUS_200);
    (0..USELESS_MAX).for_each(|_| played.gets(DATA, 0, id, b""));
    assert!(!played.session.is_finished());
    (0..2).for_each(|_| played.gets(DATA, 0, id, b""));
    assert_eq!(played.fault(), calm);

    // Header blocks without end: in number, and in bytes.
    for (part, parts) in [(0, BLOCK_FRAMES_MAX as usize), (16_000, BLOCK_BYTES_MAX / 16_000 + 1)] {
        let mut played = Played::new(&[]);
        let id = played.asked();
        played.gets(HEADERS, 0, id, STATUS_200);
        (0..parts).for_each(|_| played.gets(CONTINUATION, 0, id, &vec![0; part]));
        assert_eq!(played.fault(), calm);
    }
    // A list that is small as it comes and large as it is read concerns its stream only.
    let mut played = Played::new(&[]);
    let id = played.asked();
    // The number 4,000: 127, and 3,873 in two parts.
    let mut block = [&[0x88, 0x40, 1, b'a', 0x7f, 0xa1, 0x1e][..], &[b'v'; 4000]].concat();
    block.extend([0xbe; 100]);
    played.gets(HEADERS, END_HEADERS | END_STREAM, id, &block);
    assert!(matches!(played.lost(id), Lost::Malformed(_)));
    assert_eq!(played.fault(), None);
}

#[test]
fn a_goodbye_is_said_once_and_waits_for_what_is_open() {
    let mut played = Played::new(&[]);
    let id = played.asked();
    played.session.say_goodbye();
    played.session.say_goodbye();
    assert_eq!(played.sent().len(), 1);
    assert!(!played.session.is_finished() && played.asks(b"", Keep::Nothing).is_err());
    played.gets(HEADERS, END_HEADERS | END_STREAM, id, STATUS_200);
    assert!(played.session.is_finished());
    assert_eq!(played.answered(id).0, 200);
}
