//! An info request: the answer is one whole frame of bounded size, with a line for each command.
#![no_main]

use esp_connector::wire::{
    frame::{self, Kind},
    info::{self, ANSWER_BYTES_MAX, COMMANDS_MAX, NodeFacts},
};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|request: &[u8]| {
    let facts = NodeFacts {
        node_id: info::node_id("fuzz"),
        build: "8.1.0.0".into(),
        cluster_name: Some("cluster".into()),
        namespaces: vec!["test".into(), "shop".into()],
        address: ([127, 0, 0, 1], 8901).into(),
    };
    let mut out = vec![1, 2, 3];
    info::answer(request, &facts, &mut out);
    let answer = &out[3..];
    let frame = frame::next(answer, ANSWER_BYTES_MAX).expect("a sound header").expect("a whole frame");
    assert_eq!((frame.kind, frame.bytes.len()), (Kind::Info, answer.len()));
    let commands = info::lines(request).count();
    if answer.len() < ANSWER_BYTES_MAX / 2 && !request.is_empty() {
        assert_eq!(info::lines(frame.body()).count(), commands.min(COMMANDS_MAX));
    }
});
