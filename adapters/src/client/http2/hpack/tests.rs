//! Both halves against the examples of the RFC and against each other.

use proptest::prelude::*;

use super::{Decoder, Encoder, Remember, Unreadable};

fn decoded(decoder: &mut Decoder, block: &[u8]) -> Result<Vec<(String, String)>, Unreadable> {
    let mut fields = Vec::new();
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    decoder.decode(block, |name, value, _| fields.push((text(name), text(value))))?;
    Ok(fields)
}

fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<_> = text.chars().filter(char::is_ascii_hexdigit).collect();
    digits.chunks(2).map(|pair| u8::from_str_radix(&pair.iter().collect::<String>(), 16).unwrap()).collect()
}

fn fields(lines: &[&str]) -> Vec<(String, String)> {
    lines
        .iter()
        .map(|line| line.split_once("= ").unwrap())
        .map(|(a, b)| (a.to_owned(), b.to_owned()))
        .collect()
}

/// Sections C.3 and C.4: requests, the second and third with what the ones before left in the table.
#[test]
fn requests_of_the_rfc() {
    let first = [":method= GET", ":scheme= http", ":path= /", ":authority= www.example.com"];
    let second = [&first[..], &["cache-control= no-cache"]].concat();
    let third = [
        ":method= GET",
        ":scheme= https",
        ":path= /index.html",
        ":authority= www.example.com",
        "custom-key= custom-value",
    ];
    let plain = [
        "8286 8441 0f77 7777 2e65 7861 6d70 6c65 2e63 6f6d",
        "8286 84be 5808 6e6f 2d63 6163 6865",
        "8287 85bf 400a 6375 7374 6f6d 2d6b 6579 0c63 7573 746f 6d2d 7661 6c75 65",
    ];
    let coded = [
        "8286 8441 8cf1 e3c2 e5f2 3a6b a0ab 90f4 ff",
        "8286 84be 5886 a8eb 1064 9cbf",
        "8287 85bf 4088 25a8 49e9 5ba9 7d7f 8925 a849 e95b b8e8 b4bf",
    ];
    for blocks in [plain, coded] {
        let mut decoder = Decoder::new(4096);
        for (block, expected) in blocks.iter().zip([&first[..], &second, &third]) {
            assert_eq!(decoded(&mut decoder, &hex(block)), Ok(fields(expected)), "{block}");
        }
    }
}

/// Sections C.5 and C.6: answers, with a table of 256 bytes, out of which fields fall.
#[test]
fn answers_of_the_rfc() {
    let first = [
        ":status= 302",
        "cache-control= private",
        "date= Mon, 21 Oct 2013 20:13:21 GMT",
        "location= https://www.example.com",
    ];
    let second = [&[":status= 307"], &first[1..]].concat();
    let third = [
        ":status= 200",
        "cache-control= private",
        "date= Mon, 21 Oct 2013 20:13:22 GMT",
        "location= https://www.example.com",
        "content-encoding= gzip",
        "set-cookie= foo=ASDJKHQKBZXOQWEOPIUAXQWEOIU; max-age=3600; version=1",
    ];
    let plain = [
        "4803 3330 3258 0770 7269 7661 7465 611d 4d6f 6e2c 2032 3120 4f63 7420 3230 3133 2032 303a 3133 3a32 3120 474d
         546e 1768 7474 7073 3a2f 2f77 7777 2e65 7861 6d70 6c65 2e63 6f6d",
        "4803 3330 37c1 c0bf",
        "88c1 611d 4d6f 6e2c 2032 3120 4f63 7420 3230 3133 2032 303a 3133 3a32 3220 474d 54c0 5a04 677a 6970 7738 666f
         6f3d 4153 444a 4b48 514b 425a 584f 5157 454f 5049 5541 5851 5745 4f49 553b 206d 6178 2d61 6765 3d33 3630 303b
         2076 6572 7369 6f6e 3d31",
    ];
    let coded = [
        "4882 6402 5885 aec3 771a 4b61 96d0 7abe 9410 54d4 44a8 2005 9504 0b81 66e0 82a6 2d1b ff6e 919d 29ad 1718 63c7
         8f0b 97c8 e9ae 82ae 43d3",
        "4883 640e ffc1 c0bf",
        "88c1 6196 d07a be94 1054 d444 a820 0595 040b 8166 e084 a62d 1bff c05a 839b d9ab 77ad 94e7 821d d7f2 e6c7 b335
         dfdf cd5b 3960 d5af 2708 7f36 72c1 ab27 0fb5 291f 9587 3160 65c0 03ed 4ee5 b106 3d50 07",
    ];
    for blocks in [plain, coded] {
        let mut decoder = Decoder::new(256);
        for (block, expected) in blocks.iter().zip([&first[..], &second, &third]) {
            assert_eq!(decoded(&mut decoder, &hex(block)), Ok(fields(expected)), "{block}");
        }
    }
}

#[test]
fn what_cannot_be_read_is_refused() {
    for (block, why) in [
        ("80", "index 0"),
        ("be", "an index beyond both tables"),
        ("ff 80 80 80 80 01", "a number with too many bytes"),
        ("ff", "a number that breaks off"),
        ("7f", "the same, of a name"),
        ("40 05 61", "a name that breaks off"),
        ("40 01 61 05 61", "a value that breaks off"),
        ("40 01 61 81 ff", "a value that is no Huffman code"),
        ("88 3f e1 1f", "the size of the table behind a field"),
        ("3f e2 1f", "a table larger than was allowed"),
        ("00", "nothing behind the first byte"),
    ] {
        assert_eq!(decoded(&mut Decoder::new(4096), &hex(block)), Err(Unreadable), "{why}");
    }
    assert_eq!(decoded(&mut Decoder::new(4096), &hex("20 3f e1 1f 88")), Ok(fields(&[":status= 200"])));
}

#[test]
fn a_field_of_the_fixed_table_takes_a_byte_and_others_do_the_second_time() {
    let (mut encoder, mut decoder) = (Encoder::new(), Decoder::new(4096));
    let mut block = |encoder: &mut Encoder, name: &str, value: &str, remember| {
        let mut out = Vec::new();
        encoder.begin(&mut out);
        encoder.field(name.as_bytes(), value.as_bytes(), remember, &mut out);
        assert_eq!(decoded(&mut decoder, &out), Ok(vec![(name.to_owned(), value.to_owned())]));
        out
    };
    assert_eq!(block(&mut encoder, ":method", "POST", Remember::Yes), [0x83]);
    let long = block(&mut encoder, ":path", "/records", Remember::Yes).len();
    assert_eq!((long, block(&mut encoder, ":path", "/records", Remember::Yes)), (10, vec![0xbe]));
    let generation = encoder.generation();
    assert_eq!(block(&mut encoder, ":path", "/x", Remember::No), [0x04, 2, b'/', b'x']);
    assert_eq!(block(&mut encoder, "authorization", "s", Remember::Never), [0x1f, 8, 1, b's']);
    assert_eq!(block(&mut encoder, ":path", "/records", Remember::No), [0xbe], "found all the same");
    assert_eq!(encoder.generation(), generation);
    // A secret is not even looked up.
    assert_eq!(block(&mut encoder, ":path", "/records", Remember::Never).len(), 10);

    // The peer takes its table away and gives some of it back: both are told, and nothing is left in it.
    encoder.resize(0);
    encoder.resize(100);
    assert!(encoder.generation() > generation);
    let again = block(&mut encoder, ":path", "/records", Remember::Yes);
    assert_eq!(again[..3], [0x20, 0x3f, 100 - 31]);
    assert_eq!(block(&mut encoder, ":path", "/records", Remember::Yes), [0xbe]);
    encoder.resize(1 << 20);
    assert_eq!(block(&mut encoder, ":path", "/records", Remember::Yes), [0x3f, 0xe1, 0x1f, 0xbe]);
}

proptest! {
    #[test]
    fn what_is_encoded_comes_back(
        blocks in prop::collection::vec(
            (prop::option::of(0usize..6000), prop::collection::vec(("[a-z-]{1,9}", ".{0,40}", 0u8..3), 0..8), 0usize..1 << 40),
            0..12,
        )
    ) {
        let (mut encoder, mut decoder) = (Encoder::new(), Decoder::new(4096));
        for (resized, sent, length) in blocks {
            if let Some(bytes) = resized {
                encoder.resize(bytes);
            }
            let mut out = Vec::new();
            encoder.begin(&mut out);
            for (name, value, remember) in &sent {
                let remember = [Remember::Yes, Remember::No, Remember::Never][usize::from(*remember)];
                encoder.field(name.as_bytes(), value.as_bytes(), remember, &mut out);
            }
            Encoder::content_length(length, &mut out);
            let mut expected: Vec<_> = sent.into_iter().map(|(name, value, _)| (name, value)).collect();
            expected.push(("content-length".to_owned(), length.to_string()));
            prop_assert_eq!(decoded(&mut decoder, &out).unwrap(), expected);
        }
    }

    #[test]
    fn no_bytes_make_it_stop_or_grow(block in prop::collection::vec(any::<u8>(), 0..300)) {
        let mut decoder = Decoder::new(4096);
        for _ in 0..3 {
            let _ = decoder.decode(&block, |_, _, _| ());
        }
    }
}
