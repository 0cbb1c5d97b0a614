//! The tables that HPACK refers to (RFC 7541, section 2.3): one fixed, and one that a sender fills. Pure.

use std::collections::VecDeque;

/// Fields lately sent, the newest first: both sides keep the same. The oldest go when there are too many bytes.
#[derive(Debug)]
pub(super) struct Table {
    fields: VecDeque<Field>,
    bytes: usize,
    bytes_max: usize,
}

#[derive(Debug)]
struct Field {
    name_length: usize,
    text: Box<[u8]>,
}

impl Field {
    fn parts(&self) -> (&[u8], &[u8]) {
        self.text.split_at(self.name_length)
    }

    /// Its size by the rules of section 4.1.
    fn bytes(&self) -> usize {
        self.text.len() + FIELD_BYTES
    }
}

impl Table {
    pub(super) fn new(bytes_max: usize) -> Self {
        Self { fields: VecDeque::new(), bytes: 0, bytes_max }
    }

    pub(super) fn bytes_max(&self) -> usize {
        self.bytes_max
    }

    pub(super) fn resize(&mut self, bytes_max: usize) {
        self.bytes_max = bytes_max;
        self.make_room(0);
    }

    /// One that is larger than the whole table empties it and is not kept.
    pub(super) fn add(&mut self, name: &[u8], value: &[u8]) {
        let field = Field { name_length: name.len(), text: [name, value].concat().into() };
        self.make_room(field.bytes());
        if field.bytes() <= self.bytes_max {
            self.bytes += field.bytes();
            self.fields.push_front(field);
        }
    }

    /// The field that `index` stands for, which counts from 1, through the fixed table first.
    pub(super) fn field(&self, index: usize) -> Option<(&[u8], &[u8])> {
        match index.checked_sub(FIXED.len() + 1) {
            None => FIXED.get(index.checked_sub(1)?).copied(),
            Some(place) => self.fields.get(place).map(Field::parts),
        }
    }

    /// The index of a field that was added.
    pub(super) fn find(&self, name: &[u8], value: &[u8]) -> Option<usize> {
        self.fields
            .iter()
            .position(|field| field.parts() == (name, value))
            .map(|place| FIXED.len() + 1 + place)
    }

    fn make_room(&mut self, bytes: usize) {
        while self.bytes + bytes > self.bytes_max
            && let Some(oldest) = self.fields.pop_back()
        {
            self.bytes -= oldest.bytes();
        }
    }
}

/// Index of a name, and of the whole field where that is there, in the fixed table. It knows what requests have.
pub(super) fn fixed(name: &[u8], value: &[u8]) -> (usize, bool) {
    match (name, value) {
        (b":method", b"POST") => (3, true),
        (b":method", b"GET") => (2, true),
        (b":method", _) => (2, false),
        (b":scheme", b"http") => (6, true),
        (b":scheme", b"https") => (7, true),
        (b":scheme", _) => (6, false),
        (b":path", b"/") => (4, true),
        (b":path", _) => (4, false),
        (b":authority", _) => (1, false),
        (b"accept", _) => (19, false),
        (b"authorization", _) => (23, false),
        (b"content-encoding", _) => (26, false),
        (b"content-length", _) => (28, false),
        (b"content-type", _) => (31, false),
        (b"cookie", _) => (32, false),
        (b"date", _) => (33, false),
        (b"host", _) => (38, false),
        (b"user-agent", _) => (58, false),
        _ => (0, false),
    }
}

/// What a field takes besides its text.
pub(super) const FIELD_BYTES: usize = 32;

/// Appendix A.
const FIXED: [(&[u8], &[u8]); 61] = [
    (b":authority", b""),
    (b":method", b"GET"),
    (b":method", b"POST"),
    (b":path", b"/"),
    (b":path", b"/index.html"),
    (b":scheme", b"http"),
    (b":scheme", b"https"),
    (b":status", b"200"),
    (b":status", b"204"),
    (b":status", b"206"),
    (b":status", b"304"),
    (b":status", b"400"),
    (b":status", b"404"),
    (b":status", b"500"),
    (b"accept-charset", b""),
    (b"accept-encoding", b"gzip, deflate"),
    (b"accept-language", b""),
    (b"accept-ranges", b""),
    (b"accept", b""),
    (b"access-control-allow-origin", b""),
    (b"age", b""),
    (b"allow", b""),
    (b"authorization", b""),
    (b"cache-control", b""),
    (b"content-disposition", b""),
    (b"content-encoding", b""),
    (b"content-language", b""),
    (b"content-length", b""),
    (b"content-location", b""),
    (b"content-range", b""),
    (b"content-type", b""),
    (b"cookie", b""),
    (b"date", b""),
    (b"etag", b""),
    (b"expect", b""),
    (b"expires", b""),
    (b"from", b""),
    (b"host", b""),
    (b"if-match", b""),
    (b"if-modified-since", b""),
    (b"if-none-match", b""),
    (b"if-range", b""),
    (b"if-unmodified-since", b""),
    (b"last-modified", b""),
    (b"link", b""),
    (b"location", b""),
    (b"max-forwards", b""),
    (b"proxy-authenticate", b""),
    (b"proxy-authorization", b""),
    (b"range", b""),
    (b"referer", b""),
    (b"refresh", b""),
    (b"retry-after", b""),
    (b"server", b""),
    (b"set-cookie", b""),
    (b"strict-transport-security", b""),
    (b"transfer-encoding", b""),
    (b"user-agent", b""),
    (b"vary", b""),
    (b"via", b""),
    (b"www-authenticate", b""),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_counted_from_the_newest_and_the_oldest_go() {
        let mut table = Table::new(2 * FIELD_BYTES + 4);
        table.add(b"a", b"1");
        table.add(b"b", b"2");
        assert_eq!(
            (table.field(62), table.field(63)),
            (Some((&b"b"[..], &b"2"[..])), Some((&b"a"[..], &b"1"[..])))
        );
        assert_eq!((table.find(b"a", b"1"), table.find(b"a", b"2")), (Some(63), None));
        table.add(b"c", b"3");
        assert_eq!((table.field(62), table.field(64)), (Some((&b"c"[..], &b"3"[..])), None));
        table.resize(FIELD_BYTES + 2);
        assert_eq!((table.find(b"c", b"3"), table.find(b"b", b"2")), (Some(62), None));
        table.add(b"too", b"large");
        assert_eq!((table.field(62), table.bytes), (None, 0));
        assert_eq!((table.field(0), table.field(1)), (None, Some((&b":authority"[..], &b""[..]))));
    }

    #[test]
    fn what_requests_have_is_where_it_should_be() {
        let names = [
            ":method",
            ":path",
            ":scheme",
            ":authority",
            "accept",
            "authorization",
            "content-encoding",
            "content-length",
            "content-type",
            "cookie",
            "date",
            "host",
            "user-agent",
        ];
        for name in names {
            for value in ["POST", "GET", "PUT", "http", "https", "/", "/x", ""] {
                let (index, whole) = fixed(name.as_bytes(), value.as_bytes());
                let (found, text) = (FIXED[index - 1].0, FIXED[index - 1].1);
                assert_eq!(
                    (found == name.as_bytes(), whole),
                    (true, whole && text == value.as_bytes()),
                    "{name}"
                );
                if whole {
                    assert_eq!(text, value.as_bytes());
                }
            }
        }
        assert_eq!(fixed(b"x-amz-date", b""), (0, false));
    }
}
