use std::borrow::Cow;

use serde_json::{Value as Json, json};

use super::*;
use crate::{
    recording::{Chunk, MAGIC, encode},
    wire::ack::{self, ResultCode},
};

fn printed(files: &[PathBuf]) -> Vec<Json> {
    let mut out = Vec::new();
    run(files, &mut out).unwrap();
    lines(&out)
}

fn lines(out: &[u8]) -> Vec<Json> {
    out.split(|&byte| byte == b'\n')
        .filter(|line| !line.is_empty())
        .map(|line| serde_json::from_slice(line).unwrap())
        .collect()
}

fn file(content: &[u8]) -> tempfile::NamedTempFile {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(content).unwrap();
    file
}

fn decoded(content: &[u8]) -> Vec<Json> {
    printed(&[file(content).path().to_owned()])
}

fn hex(name: &str) -> Vec<u8> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/fixtures/wire");
    std::fs::read(Path::new(folder).join(name).with_extension("hex")).unwrap()
}

fn raw(name: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    Hex { inner: &*hex(name), offset: 0 }.read_some(&mut bytes).unwrap();
    bytes
}

fn ack() -> Vec<u8> {
    let mut bytes = Vec::new();
    ack::encode(ResultCode::DeviceOverload, &mut bytes);
    bytes
}

#[test]
fn hex_and_raw_print_the_same() {
    let text = decoded(&hex("xdr-14-pipelined-stream"));
    assert_eq!(text, decoded(&raw("xdr-14-pipelined-stream")));
    let kinds: Vec<_> = text.iter().map(|line| (&line["offset"], &line["kind"])).collect();
    assert_eq!(
        kinds,
        [(&json!(0), &json!("as_msg")), (&json!(135), &json!("as_msg")), (&json!(231), &json!("compressed"))]
    );
}

#[test]
fn several_files_are_told_apart() {
    let (one, two) = (file(&hex("xdr-03-delete")), file(&ack()));
    let lines = printed(&[one.path().to_owned(), two.path().to_owned()]);
    assert_eq!(lines[0]["file"], json!(one.path()));
    assert_eq!(lines[1]["file"], json!(two.path()));
    assert_eq!((&lines[1]["result_code"], &lines[1]["result"]), (&json!(18), &json!("device-overload")));
}

#[test]
fn secrets_stay_secret() {
    for name in
        ["sec-01-login-internal-request", "sec-03-authenticate-request", "sec-07-login-external-request"]
    {
        let line = decoded(&hex(name)).remove(0);
        assert_eq!(line["fields"][0]["value"], "xdr", "{name}");
        for field in &line["fields"].as_array().unwrap()[1..] {
            assert_eq!(field["value"], "***", "{name}");
        }
    }
}

#[test]
fn reading_goes_on_after_what_is_broken() {
    let mut bytes = raw("xdr-03-delete");
    bytes.extend_from_slice(b"GET / HTTP/1.1 and more");
    bytes.extend_from_slice(&raw("bad-05-field-overrun"));
    bytes.extend_from_slice(&raw("xdr-02-write-135"));
    bytes.extend_from_slice(&raw("xdr-03-delete")[..50]);
    let lines = decoded(&bytes);
    let shown: Vec<_> = lines.iter().map(|line| (line["offset"].as_u64().unwrap(), &line["error"])).collect();
    assert_eq!(lines.len(), 6, "{lines:?}");
    assert_eq!((shown[0].0, lines[0]["event"].as_str()), (0, Some("delete")));
    assert!(shown[1].0 == 96 && shown[1].1.as_str().unwrap().starts_with("an HTTP request"));
    assert_eq!(shown[2], (96, &json!("23 bytes skipped that are no frame")));
    assert_eq!(shown[3], (119, &json!("the field at byte 30 is longer than the message")));
    assert_eq!(lines[3]["answer"], json!({"result_code": 4, "result": "parameter"}));
    assert_eq!((shown[4].0, lines[4]["event"].as_str()), (158, Some("write")));
    assert_eq!(shown[5], (293, &json!("the stream ends inside a frame, after 50 of 96 bytes")));
}

fn chunk(connection: u64, direction: Direction, bytes: &[u8]) -> Chunk<'_> {
    Chunk { time_unix_us: 1_700_000_000_000_000, connection, direction, bytes: Cow::Borrowed(bytes) }
}

#[test]
fn recordings_are_put_together_by_connection_and_direction() {
    let write = raw("xdr-02-write-135");
    let delete = raw("xdr-03-delete");
    let ack = ack();
    let mut recording = MAGIC.to_vec();
    for chunk in [
        chunk(1, Direction::Opened, b""),
        chunk(1, Direction::FromPeer, &write[..100]),
        // Connection 2 opened in an earlier file, and its first bytes are the end of a frame.
        chunk(2, Direction::FromPeer, &[&write[30..], &delete[..20]].concat()),
        chunk(1, Direction::ToPeer, &ack[..7]),
        chunk(1, Direction::FromPeer, &write[100..]),
        chunk(2, Direction::FromPeer, &delete[20..]),
        chunk(1, Direction::ToPeer, &ack[7..]),
        chunk(1, Direction::FromPeer, &write[..9]),
        chunk(1, Direction::Closed, b""),
    ] {
        encode(&chunk, &mut recording);
    }
    let lines = decoded(&recording);
    let shown: Vec<_> = lines
        .iter()
        .map(|line| {
            let word = |key: &str| line[key].as_str().unwrap_or("").to_owned();
            let what = [word("event"), word("result"), word("error"), word("kind")].concat();
            (line["connection"].as_u64().unwrap(), word("direction"), what)
        })
        .collect();
    let expected = [
        (1, "", "opened"),
        (2, "from-peer", "105 bytes skipped that are no frame"),
        (1, "from-peer", "writeas_msg"),
        (2, "from-peer", "deleteas_msg"),
        (1, "to-peer", "device-overloadas_msg"),
        (1, "from-peer", "the stream ends inside a frame, after 9 of 135 bytes"),
        (1, "", "closed"),
    ]
    .map(|(connection, direction, what)| (connection, direction.to_owned(), what.to_owned()));
    assert_eq!(shown, expected);
    assert_eq!(lines[2]["expiry"], json!(1_700_000_000 + 2_592_000));
    assert_eq!(lines[2]["time_unix_us"], json!(1_700_000_000_000_000_u64));
}

#[test]
fn what_is_no_file_or_no_hex_is_an_error() {
    let error = run(&["/nonexistent/file".into()], &mut Vec::new()).unwrap_err();
    assert_eq!(error.to_string(), "cannot read /nonexistent/file");
    for (content, expected) in
        [(&b"0203 0000 zz"[..], "byte 10 (0x7a) of hexadecimal text is no digit"), (b"020", "an odd number")]
    {
        let file = file(content);
        let Err(DecodeError::Read { source, .. }) = run(&[file.path().to_owned()], &mut Vec::new()) else {
            panic!("{content:?} was accepted");
        };
        assert!(source.to_string().starts_with(expected), "{source}");
    }
}
