//! Both JSON formats: one object, arrays of them, or one after the other (lines).

use base64::{Engine as _, engine::general_purpose::STANDARD};

use super::{Findings, Identity, Malformed, digits};

/// Calls `each` for every notification in `body`, with its identity if it has one.
pub(super) fn identify(body: &[u8], mut each: impl FnMut(Option<Identity>)) -> Result<(), Malformed> {
    let mut scan = Scan { body, at: 0 };
    while let Some(byte) = scan.peek() {
        match byte {
            b'{' => each(scan.notification()?),
            b'[' => scan.elements(|scan, _| {
                each(scan.notification()?);
                Ok(())
            })?,
            _ => return Err(scan.fail()),
        }
    }
    Ok(())
}

struct Scan<'a> {
    body: &'a [u8],
    at: usize,
}

impl<'a> Scan<'a> {
    fn notification(&mut self) -> Result<Option<Identity>, Malformed> {
        let mut found = Findings::default();
        let mut first = true;
        self.members(|scan, name| {
            match name {
                b"id" => found.id = scan.integer()?,
                b"v" => found.version = scan.integer()?,
                b"msg" => found.is_delete = scan.string_value()? == Some(b"delete"),
                b"gen" => found.generation = scan.integer()?,
                b"key" if scan.peek() == Some(b'[') => scan.elements(|scan, index| {
                    if index == USER_KEY_AT {
                        found.user_key = scan.user_key()?;
                        return Ok(());
                    }
                    scan.skip()
                })?,
                b"bins" if scan.peek() == Some(b'[') => scan.elements(|scan, _| scan.bin(&mut found))?,
                // Flat JSON begins with its metadata, under a name of the operator's choice.
                _ if first && scan.peek() == Some(b'{') => scan.metadata(&mut found)?,
                _ => scan.skip()?,
            }
            first = false;
            Ok(())
        })?;
        Ok(found.identity())
    }

    fn metadata(&mut self, found: &mut Findings) -> Result<(), Malformed> {
        self.members(|scan, name| {
            match name {
                b"msg" => found.is_delete = scan.string_value()? == Some(b"delete"),
                b"userKey" => found.user_key = scan.user_key()?,
                b"gen" => found.generation = scan.integer()?,
                _ => scan.skip()?,
            }
            Ok(())
        })
    }

    /// One `{"name":…,"type":…,"value":…}` of the typed format; the name comes first.
    fn bin(&mut self, found: &mut Findings) -> Result<(), Malformed> {
        let mut of_bin: Option<&[u8]> = None;
        self.members(|scan, name| {
            match (name, of_bin) {
                (b"name", _) => of_bin = scan.string_value()?,
                (b"value", Some(b"id")) => found.id = scan.integer()?,
                (b"value", Some(b"v")) => found.version = scan.integer()?,
                _ => scan.skip()?,
            }
            Ok(())
        })
    }

    /// Walks an object; `member` takes the value.
    fn members(
        &mut self,
        mut member: impl FnMut(&mut Self, &'a [u8]) -> Result<(), Malformed>,
    ) -> Result<(), Malformed> {
        self.expect(b'{')?;
        if self.peek() == Some(b'}') {
            self.at += 1;
            return Ok(());
        }
        loop {
            let name = self.string()?;
            self.expect(b':')?;
            member(self, name)?;
            match self.peek() {
                Some(b',') => self.at += 1,
                _ => return self.expect(b'}'),
            }
        }
    }

    /// Walks an array; `element` takes the value, and is told how many came before.
    fn elements(
        &mut self,
        mut element: impl FnMut(&mut Self, usize) -> Result<(), Malformed>,
    ) -> Result<(), Malformed> {
        self.expect(b'[')?;
        if self.peek() == Some(b']') {
            self.at += 1;
            return Ok(());
        }
        for index in 0.. {
            element(self, index)?;
            match self.peek() {
                Some(b',') => self.at += 1,
                _ => break,
            }
        }
        self.expect(b']')
    }

    /// Takes a user key: an integer, or its digits as text or, in Base64, as bytes.
    fn user_key(&mut self) -> Result<Option<i64>, Malformed> {
        if self.peek() != Some(b'"') {
            return self.integer();
        }
        let text = self.string()?;
        Ok(digits(text).or_else(|| digits(&STANDARD.decode(text).ok()?)))
    }

    /// Takes a value; `None` when it is no integer of 64 bits.
    fn integer(&mut self) -> Result<Option<i64>, Malformed> {
        self.peek();
        let start = self.at;
        self.skip()?;
        Ok(digits(&self.body[start..self.at]))
    }

    /// Takes a value; `None` when it is no string.
    fn string_value(&mut self) -> Result<Option<&'a [u8]>, Malformed> {
        if self.peek() == Some(b'"') {
            return self.string().map(Some);
        }
        self.skip().map(|()| None)
    }

    /// Takes a string, escapes as they are.
    fn string(&mut self) -> Result<&'a [u8], Malformed> {
        self.expect(b'"')?;
        let start = self.at;
        loop {
            match self.body.get(self.at) {
                Some(b'"') => break,
                Some(b'\\') => self.at += 2,
                Some(_) => self.at += 1,
                None => return Err(self.fail()),
            }
        }
        self.at += 1;
        Ok(&self.body[start..self.at - 1])
    }

    /// Takes any value. Brackets are counted, not matched: whoever wrote the body is not on trial here.
    fn skip(&mut self) -> Result<(), Malformed> {
        let mut depth = 0usize;
        loop {
            match self.peek() {
                Some(b'"') => {
                    self.string()?;
                }
                Some(b'{' | b'[') => {
                    self.at += 1;
                    depth += 1;
                    continue;
                }
                Some(b'}' | b']') if depth > 0 => {
                    self.at += 1;
                    depth -= 1;
                }
                Some(b',' | b':') if depth > 0 => {
                    self.at += 1;
                    continue;
                }
                Some(b'-' | b'0'..=b'9' | b't' | b'f' | b'n') => {
                    let word = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'+' | b'.');
                    self.at += self.body[self.at..].iter().take_while(|byte| word(byte)).count();
                }
                _ => return Err(self.fail()),
            }
            if depth == 0 {
                return Ok(());
            }
        }
    }

    /// The next byte that is not white space, left where it is.
    fn peek(&mut self) -> Option<u8> {
        while let Some(byte) = self.body.get(self.at) {
            if !matches!(byte, b' ' | b'\n' | b'\r' | b'\t') {
                return Some(*byte);
            }
            self.at += 1;
        }
        None
    }

    fn expect(&mut self, byte: u8) -> Result<(), Malformed> {
        if self.peek() != Some(byte) {
            return Err(self.fail());
        }
        self.at += 1;
        Ok(())
    }

    fn fail(&self) -> Malformed {
        Malformed { at: self.at.min(self.body.len()), expected: "JSON" }
    }
}

/// In `"key":[namespace, set, digest, userKey]`.
const USER_KEY_AT: usize = 3;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simulator::ledger::LAST;

    fn all(body: &str) -> Result<Vec<Option<(u64, u32)>>, Malformed> {
        let mut found = Vec::new();
        identify(body.as_bytes(), |identity| found.push(identity.map(|found| (found.id, found.version))))?;
        Ok(found)
    }

    #[test]
    fn flat_json() {
        let write = r#"{"_meta":{"namespace":"shop","set":"orders","userKey":7,"digest":"UisnajVr3zkBPfq+os1D4UHsyeg=","msg":"write","gen":4,"lut":1767225600123,"exp":0},"id":17,"v":4,"m":{"id":99,"v":98},"s":"\"id\":5,\"v\":6}","l":[{"id":1}]}"#;
        assert_eq!(all(write), Ok(vec![Some((17, 4))]));
        let delete =
            r#"{"m":{"namespace":"shop","userKey":17,"digest":"U=","msg":"delete","gen":5,"durable":true}}"#;
        assert_eq!(all(delete), Ok(vec![Some((17, 5))]));
        for key in ["\"17\"", "\"MTc=\""] {
            let delete = format!(r#"{{"m":{{"userKey":{key},"msg":"delete","gen":5}}}}"#);
            assert_eq!(all(&delete), Ok(vec![Some((17, 5))]), "{key}");
            let delete = format!(r#"{{"msg":"delete","key":["n",null,"U=",{key}],"durable":true}}"#);
            assert_eq!(all(&delete), Ok(vec![Some((17, LAST))]), "{key}");
        }
        let unversioned = r#"{ "m" : { "userKey" : 17 , "gen":null, "msg" : "delete" } }"#;
        assert_eq!(all(unversioned), Ok(vec![Some((17, LAST))]));
    }

    #[test]
    fn typed_json() {
        let write = r#"{"msg":"write","key":["shop","orders","UisnajVr3zkBPfq+os1D4UHsyeg=","order-17"],"gen":4,"exp":0,"lut":1767225600123,"bins":[
 {"name":"sku","type":"str","value":"A-9"},{"name":"id","type":"int","value":18446744},
 {"name":"dims","type":"map","value":{"id":"cm","v":20},"order":"key"},{"name":"v","type":"int","value":9}]}"#;
        assert_eq!(all(write), Ok(vec![Some((18_446_744, 9))]));
        let delete =
            r#"{"msg":"delete","key":["shop",null,"UisnajVr3zkBPfq+os1D4UHsyeg=",17],"durable":false}"#;
        assert_eq!(all(delete), Ok(vec![Some((17, LAST))]));
    }

    #[test]
    fn several_in_one_body() {
        let expected = Ok(vec![Some((1, 2)), Some((3, 4)), None]);
        assert_eq!(all(r#"[{"id":1,"v":2}, {"v":4,"id":3},{}]"#), expected);
        assert_eq!(all("{\"id\":1,\"v\":2}\n{\"id\":3,\"v\":4}\n{\"a\":1}\n"), expected);
        assert_eq!(all(r#"{"id":1,"v":2}[{"id":3,"v":4},{"a":[[]]}]"#), expected);
    }

    #[test]
    fn what_carries_no_identity_is_still_a_notification() {
        for body in [
            r#"{"id":"1","v":2}"#,
            r#"{"id":1.5,"v":2}"#,
            r#"{"id":1}"#,
            r#"{"id":-1,"v":1}"#,
            r#"{"id":1,"v":4294967296}"#,
            r#"{"msg":"delete","key":["shop"]}"#,
        ] {
            assert_eq!(all(body), Ok(vec![None]), "{body}");
        }
    }

    #[test]
    fn anything_else_is_refused_and_never_panics() {
        for body in ["hello", "7", r#"{"id":1"#, r#"{"id"}"#, r#"{"id":}"#, "[{]", r#"["a"]"#, r#"{"a":"\"#] {
            assert!(all(body).is_err(), "{body}");
        }
        let whole = r#"{"msg":"write","key":["a","b","c",1],"bins":[{"name":"id","type":"int","value":[1,{"x":"\\"}]}]}"#;
        for end in 1..whole.len() {
            assert!(all(&whole[..end]).is_err(), "{}", &whole[..end]);
        }
        let deep = format!("{{\"a\":{}", "[".repeat(100_000));
        assert!(all(&deep).is_err());
    }
}
