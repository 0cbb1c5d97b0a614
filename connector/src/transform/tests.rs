use proptest::prelude::*;

use super::*;
use crate::{
    config::{Format, JsonRules, NameTransform},
    encode::Encoder,
    notification::Value,
    simulator::{
        encode::{Change, Head, Message},
        particle::Particle,
    },
    wire::{frame, message},
};

fn set(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(|&name| name.to_owned()).collect()
}

fn map(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|&(old, new)| (old.to_owned(), new.to_owned())).collect()
}

/// The example of the reference.
fn documented() -> BinTransforms {
    BinTransforms {
        include: Some(set(&["sku", "qty", "price", "ts"])),
        exclude: Exclude::These(set(&["price"])),
        map: map(&[("ts", "event_time")]),
        transforms: vec![
            NameTransform::Uppercase,
            NameTransform::Regex { pattern: "[^A-Z0-9_]".to_owned(), replacement: "_".to_owned() },
        ],
    }
}

/// Names and values after the transform, where a bin's value is its position before; and how many bins were lost.
fn applied(config: &BinTransforms, names: &[&[u8]]) -> (Vec<(String, i64)>, usize) {
    let transform = Transform::new(config).expect("sound");
    let mut room = Names::default();
    let bin = |(position, &name)| Bin { name, value: Value::Integer(position as i64) };
    let mut bins: Vec<_> = names.iter().enumerate().map(bin).collect();
    let lost = transform.apply(&mut bins, &mut room);
    let shown = |bin: &Bin<'_>| match bin.value {
        Value::Integer(position) => (bin.name.escape_ascii().to_string(), position),
        _ => unreachable!("all values are positions"),
    };
    (bins.iter().map(shown).collect(), lost)
}

#[test]
fn bins_are_kept_dropped_and_renamed() {
    let default = BinTransforms::default;
    let exclude = |names| Exclude::These(set(names));
    let upper = || vec![NameTransform::Uppercase];
    let strip = || vec![NameTransform::Regex { pattern: "[a-z]".to_owned(), replacement: String::new() }];
    type Case<'a> = (&'a str, BinTransforms, &'a [&'a [u8]], &'a [(&'a str, i64)], usize);
    let cases: &[Case<'_>] = &[
        ("nothing", default(), &[b"a", b"b"], &[("a", 0), ("b", 1)], 0),
        (
            "the documented example",
            documented(),
            &[b"sku", b"qty", b"price", b"ts", b"note"],
            &[("SKU", 0), ("QTY", 1), ("event_time", 3)],
            0,
        ),
        ("include", BinTransforms { include: Some(set(&["b"])), ..default() }, &[b"a", b"b"], &[("b", 1)], 0),
        ("include none", BinTransforms { include: Some(set(&[])), ..default() }, &[b"a"], &[], 0),
        ("exclude", BinTransforms { exclude: exclude(&["a"]), ..default() }, &[b"a", b"b"], &[("b", 1)], 0),
        (
            "exclude all, although one is included",
            BinTransforms { include: Some(set(&["a"])), exclude: Exclude::All, ..default() },
            &[b"a", b"b"],
            &[],
            0,
        ),
        (
            "filters go by the original names",
            BinTransforms { include: Some(set(&["A"])), transforms: upper(), ..default() },
            &[b"a"],
            &[],
            0,
        ),
        (
            "what is mapped to its own name is not transformed either",
            BinTransforms { map: map(&[("a", "a")]), transforms: upper(), ..default() },
            &[b"a", b"b"],
            &[("a", 0), ("B", 1)],
            0,
        ),
        (
            "names are swapped",
            BinTransforms { map: map(&[("a", "b"), ("b", "a")]), ..default() },
            &[b"a", b"b"],
            &[("b", 0), ("a", 1)],
            0,
        ),
        (
            "a collision keeps the later value in the earlier place",
            BinTransforms { transforms: upper(), ..default() },
            &[b"a", b"c", b"A", b"b"],
            &[("A", 2), ("C", 1), ("B", 3)],
            1,
        ),
        (
            "a collision with a bin that keeps its name",
            BinTransforms { map: map(&[("b", "a"), ("c", "a")]), ..default() },
            &[b"a", b"b", b"c"],
            &[("a", 2)],
            2,
        ),
        (
            "no name becomes empty",
            BinTransforms { map: map(&[("X", "")]), transforms: strip(), ..default() },
            &[b"ab", b"X", b"aY"],
            &[("ab", 0), ("X", 1), ("Y", 2)],
            0,
        ),
        (
            "names that are not UTF-8 are not transformed",
            BinTransforms { exclude: exclude(&["x"]), transforms: upper(), ..default() },
            &[b"a\xff", b"a"],
            &[(r"a\xff", 0), ("A", 1)],
            0,
        ),
        (
            "names that are not UTF-8 are not included",
            BinTransforms { include: Some(set(&["a\u{fffd}"])), ..default() },
            &[b"a\xff"],
            &[],
            0,
        ),
    ];
    for (name, config, bins, expected, lost) in cases {
        let expected: Vec<_> = expected.iter().map(|&(name, value)| (name.to_owned(), value)).collect();
        assert_eq!(applied(config, bins), (expected, *lost), "{name}");
    }
}

#[test]
fn what_does_nothing_says_so() {
    let is_empty = |config: &BinTransforms| Transform::new(config).expect("sound").is_empty();
    assert!(is_empty(&BinTransforms::default()));
    assert!(!is_empty(&BinTransforms { exclude: Exclude::All, ..BinTransforms::default() }));
    assert!(!is_empty(&BinTransforms { include: Some(BTreeSet::new()), ..BinTransforms::default() }));
    assert!(!is_empty(&BinTransforms { map: map(&[("a", "b")]), ..BinTransforms::default() }));
    let trim = BinTransforms { transforms: vec![NameTransform::Trim], ..BinTransforms::default() };
    assert!(!is_empty(&trim));
}

proptest! {
    /// Short and long records take different ways; both must do what the plain rule says.
    #[test]
    fn collisions_end_as_the_plain_rule_says(letters in prop::collection::vec("[a-cA-C]{1,3}", 0..80)) {
        let config =
            BinTransforms { transforms: vec![NameTransform::Uppercase], ..BinTransforms::default() };
        // As decoded, each name is there once.
        let mut originals: Vec<&str> = Vec::new();
        for name in &letters {
            if !originals.contains(&name.as_str()) {
                originals.push(name);
            }
        }
        let mut expected: Vec<(String, i64)> = Vec::new();
        for (position, name) in originals.iter().enumerate() {
            let name = name.to_uppercase();
            match expected.iter_mut().find(|(earlier, _)| *earlier == name) {
                Some(earlier) => earlier.1 = position as i64,
                None => expected.push((name, position as i64)),
            }
        }
        let lost = originals.len() - expected.len();
        let names: Vec<&[u8]> = originals.iter().map(|name| name.as_bytes()).collect();
        let changed = originals.iter().any(|name| name.to_uppercase() != *name);
        prop_assert!(changed || lost == 0);
        prop_assert_eq!(applied(&config, &names), (expected, lost));
    }
}

/// Holds what it needs from record to record, like the read half of a connection.
struct Reader {
    names: Names,
    transform: Transform,
    encoder: Encoder,
    bodies: Vec<String>,
}

impl Reader {
    async fn message(&mut self, body: &[u8]) {
        let mut names = std::mem::take(&mut self.names);
        let mut decoded = message::decode(body, 0).expect("sound");
        let lost = self.transform.apply(&mut decoded.notification.bins, &mut names);
        assert_eq!(lost, 0);
        // The whole of `self` is free for use while the notification borrows the names.
        self.dispatch(&decoded.notification).await;
        self.names = names;
    }

    async fn dispatch(&mut self, notification: &crate::notification::ChangeNotification<'_>) {
        let mut body = Vec::new();
        self.encoder.encode(notification, &mut body).expect("fits");
        self.bodies.push(String::from_utf8(body).expect("JSON"));
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn one_room_for_names_serves_record_after_record() {
    let mut reader = Reader {
        names: Names::default(),
        transform: Transform::new(&documented()).expect("sound"),
        encoder: Encoder::new(Format::Json(JsonRules::default())).expect("usable"),
        bodies: Vec::new(),
    };
    let head = Head {
        change: Change::Update,
        namespace: b"shop",
        set: None,
        digest: [7; 20],
        user_key: None,
        generation: 1,
        ttl_seconds: 0,
        lut_unix_ms: None,
    };
    let mut capacity = 0;
    for (quantity, bytes) in [(1, b"a"), (2, b"b"), (3, b"c")] {
        let mut out = Vec::new();
        let mut message = Message::begin(&mut out, &head);
        message.bin(b"qty", &Particle::Integer(quantity));
        message.bin(b"note", &Particle::String(bytes));
        message.bin(b"ts", &Particle::String(bytes));
        message.finish();
        reader.message(&out[frame::HEADER_BYTES..]).await;
        assert!(capacity == 0 || reader.names.text.capacity() == capacity, "the memory is used again");
        capacity = reader.names.text.capacity();
    }
    let bins = |body: &String| body.split_once("\"bins\":").expect("bins").1.to_owned();
    let expected = |quantity, text| {
        format!(
            "[{{\"name\":\"QTY\",\"type\":\"int\",\"value\":{quantity}}},\
             {{\"name\":\"event_time\",\"type\":\"str\",\"value\":\"{text}\"}}]}}"
        )
    };
    let written: Vec<_> = reader.bodies.iter().map(bins).collect();
    assert_eq!(written, [expected(1, "a"), expected(2, "b"), expected(3, "c")]);
}

#[test]
fn room_for_names_has_a_bound() {
    let mut names = Names::default();
    names.push(0, &"x".repeat(Names::KEEP_BYTES + 1));
    names.clear();
    assert_eq!(names.text.capacity(), 0);
}
