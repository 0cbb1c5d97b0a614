use proptest::prelude::*;

use super::*;

fn list(bytes: &[u8]) -> List<'_> {
    match particle(20, bytes) {
        Ok(Value::List(list)) => list,
        other => panic!("{other:?}"),
    }
}

fn map(bytes: &[u8]) -> Map<'_> {
    match particle(19, bytes) {
        Ok(Value::Map(map)) => map,
        other => panic!("{other:?}"),
    }
}

fn nested(depth: usize) -> Vec<u8> {
    let mut bytes = vec![0x91; depth - 1];
    bytes.push(0x90);
    bytes
}

/// Reads every value in `value`, as a format would.
fn visit(value: Value<'_>) -> usize {
    match value {
        Value::List(list) => {
            let found: usize = list.iter().map(visit).sum();
            assert_eq!(list.iter().count(), list.len());
            1 + found
        }
        Value::Map(map) => {
            assert_eq!(map.iter().count(), map.len());
            1 + map.iter().map(|(key, value)| visit(key) + visit(value)).sum::<usize>()
        }
        _ => 1,
    }
}

#[test]
fn scalars() {
    let cases: [(u8, &[u8], Value<'_>); 12] = [
        (0, &[], Value::Null),
        (1, &[0xff], Value::Integer(255)),
        (1, &[0xff, 0xff], Value::Integer(65535)),
        (1, &[0xff; 4], Value::Integer(4_294_967_295)),
        (1, &[0xff; 8], Value::Integer(-1)),
        (2, &[0x40, 0x0c, 0, 0, 0, 0, 0, 0], Value::Double(3.5)),
        (3, &[0xff, b'x'], Value::String(&[0xff, b'x'])),
        (4, &[], Value::Blob(4, &[])),
        (17, &[1], Value::Boolean(true)),
        (23, &[0, 0, 1, 9, 9, 9, 9, 9, 9, 9, 9, b'{', b'}'], Value::GeoJson(b"{}")),
        (23, &[0, 0, 0], Value::GeoJson(b"")),
        (99, &[1, 2], Value::Blob(99, &[1, 2])),
    ];
    for (type_, bytes, expected) in cases {
        assert_eq!(particle(type_, bytes), Ok(expected), "type {type_}");
    }
}

#[test]
fn bad_scalars_name_what_was_expected() {
    let cases: [(u8, &[u8], &str); 8] = [
        (1, &[0; 3], "an integer of 3 bytes, expected 1, 2, 4 or 8"),
        (1, &[], "an integer of 0 bytes, expected 1, 2, 4 or 8"),
        (2, &[0; 4], "a double of 4 bytes, expected 8"),
        (17, &[2], "boolean 2, expected 0 or 1"),
        (17, &[0, 0], "a boolean of 2 bytes, expected 1"),
        (23, &[0, 0, 1, 9], "GeoJSON of 4 bytes is shorter than the cells it announces"),
        (19, &[0x90], "the bytes of a map bin do not start with a map"),
        (20, &[0xc0], "the bytes of a list bin do not start with a list"),
    ];
    for (type_, bytes, expected) in cases {
        assert_eq!(particle(type_, bytes).unwrap_err().to_string(), expected);
    }
}

#[test]
fn msgpack_conventions() {
    let bytes = [
        0x9b, 0xa2, 3, b'x', 0xa0, 0xa3, 9, 1, 2, 0xc4, 2, 23, b'j', 0xcf, 0xff, 0xff, 0xff, 0xff, 0xff,
        0xff, 0xff, 0xfe, 0xca, 0x3f, 0xc0, 0, 0, 0xd9, 1, 3, 0xd4, 0xff, 1, 0xe0, 0xd1, 0xff, 0xfe, 0xc3,
    ];
    let found: Vec<_> = list(&bytes).iter().collect();
    let expected = [
        Value::String(b"x"),
        Value::Blob(4, &[]),
        Value::Blob(9, &[1, 2]),
        Value::GeoJson(b"j"),
        Value::Integer(-2),
        Value::Double(1.5),
        Value::String(b""),
        Value::Null,
        Value::Integer(-32),
        Value::Integer(-2),
        Value::Boolean(true),
    ];
    assert_eq!(found, expected);
}

#[test]
fn markers_are_not_elements() {
    let ordered = list(&[0x93, 0xc7, 0, 1, 5, 6]);
    assert_eq!((ordered.len(), ordered.flags(), ordered.ordered()), (2, 1, true));
    assert_eq!(ordered.iter().collect::<Vec<_>>(), [Value::Integer(5), Value::Integer(6)]);

    let empty = list(&[0x91, 0xc7, 0, 1]);
    assert_eq!((empty.len(), empty.flags(), empty.iter().count()), (0, 1, 0));
    assert!(map(&[0x81, 0xc7, 0, 3, 0xc0]).is_empty());

    let plain = list(&[0x92, 5, 6]);
    assert_eq!((plain.len(), plain.flags(), plain.ordered()), (2, 0, false));

    // Nested ones have their own; the value beside a map's marker may be anything.
    let outer = map(&[0x82, 0xd5, 3, 9, 9, 0x92, 1, 2, 0x92, 0xc7, 0, 1, 7, 0x81, 0xc7, 0, 1, 0xc0]);
    assert_eq!((outer.len(), outer.flags()), (1, 3));
    let entries: Vec<_> = outer.iter().collect();
    let [(Value::List(key), Value::Map(value))] = entries[..] else { panic!("{entries:?}") };
    assert_eq!((key.len(), key.flags(), value.len(), value.flags()), (1, 1, 0, 1));
}

#[test]
fn bad_msgpack_says_where() {
    let cases: [(&[u8], &str); 9] = [
        (&[], "the data ends early at byte 0 of the list or map"),
        (&[0x92, 1], "more elements are announced than there are bytes at byte 0 of the list or map"),
        (&[0x91, 0xa5, 3], "the data ends early at byte 2 of the list or map"),
        (&[0x91, 0xc1], "byte 0xc1, which msgpack never uses, at byte 1 of the list or map"),
        (&[0x92, 1, 0xc7, 0, 1], "an ext that is not in front at byte 2 of the list or map"),
        (&[0x90, 0], "bytes after the end at byte 1 of the list or map"),
        (
            &[0xdd, 0xff, 0xff, 0xff, 0xff, 1],
            "more elements are announced than there are bytes at byte 0 of the list or map",
        ),
        (&[0x82, 1, 1, 0xc7, 0, 1, 0xc0], "an ext that is not in front at byte 3 of the list or map"),
        (&[0x91, 0xcd, 0], "the data ends early at byte 2 of the list or map"),
    ];
    for (bytes, expected) in cases {
        assert_eq!(particle(20, bytes).unwrap_err().to_string(), expected);
    }
}

#[test]
fn nesting_is_bounded() {
    let deepest = nested(DEPTH_MAX);
    assert_eq!(visit(Value::List(list(&deepest))), DEPTH_MAX);
    let error = particle(20, &nested(DEPTH_MAX + 1)).unwrap_err();
    assert_eq!(error.to_string(), "lists and maps nested too deep at byte 128 of the list or map");
    assert!(particle(20, &nested(1 << 20)).is_err(), "and the native stack does not care");
}

proptest! {
    #[test]
    fn never_panics(type_ in 0_u8..30, bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        if let Ok(value) = particle(type_, &bytes) {
            visit(value);
        }
    }

    /// Bytes picked so that many inputs are valid lists and maps.
    #[test]
    fn what_was_checked_reads_to_its_end(
        bytes in prop::collection::vec(
            prop::sample::select(vec![0x80, 0x81, 0x82, 0x90, 0x91, 0x93, 0, 1, 0xc0, 0xa1, 3, 0xc7, 0xff, 0xd4]),
            1..40,
        ),
    ) {
        for type_ in [19, 20] {
            if let Ok(value) = particle(type_, &bytes) {
                prop_assert!(visit(value) <= bytes.len());
            }
        }
    }
}
