//! Login messages, answered "security is not configured".
//!
//! XDR never logs in to a connector; misconfigured sources and ordinary clients do, and go on without a login
//! when they hear this. Credentials are never kept, shown or compared.

use super::frame;

const HEADER_BYTES: usize = 16;
const AUTHENTICATE: u8 = 0;
const LOGIN: u8 = 20;

const PARAMETER: u8 = 4;
const NOT_CONFIGURED: u8 = 52;
const UNKNOWN_COMMAND: u8 = 54;

/// Appends the answer to one security request as a whole frame.
pub fn answer(request_body: &[u8], out: &mut Vec<u8>) {
    let result = match Request::parse(request_body) {
        None => PARAMETER,
        Some(Request { command: LOGIN | AUTHENTICATE, .. }) => NOT_CONFIGURED,
        Some(_) => UNKNOWN_COMMAND,
    };
    let mut answer = [0; frame::HEADER_BYTES + HEADER_BYTES];
    answer[..frame::HEADER_BYTES].copy_from_slice(&[2, 2, 0, 0, 0, 0, 0, HEADER_BYTES as u8]);
    answer[frame::HEADER_BYTES + 1] = result;
    out.extend_from_slice(&answer);
}

/// A security message taken apart.
#[derive(Clone, Debug)]
pub struct Request<'a> {
    /// Always 0.
    pub scheme: u8,
    /// Result code; only in answers.
    pub result: u8,
    /// What is asked.
    pub command: u8,
    /// Announced number of fields.
    pub n_fields: u8,
    rest: &'a [u8],
}

/// One field of a security message.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Field<'a> {
    /// Number of the field.
    pub id: u8,
    /// What it holds; a secret for most ids, so this type shows nothing by itself.
    pub value: &'a [u8],
}

impl<'a> Request<'a> {
    /// Takes the body of a security frame apart; `None` when it is not whole.
    pub fn parse(body: &'a [u8]) -> Option<Self> {
        let (&[scheme, result, command, n_fields, ..], rest) = body.split_first_chunk::<HEADER_BYTES>()?;
        let request = Self { scheme, result, command, n_fields, rest };
        let whole = request.fields().map(|field| 5 + field.value.len()).sum::<usize>();
        (request.fields().count() == usize::from(n_fields) && whole == rest.len()).then_some(request)
    }

    /// The fields, in order.
    pub fn fields(&self) -> impl Iterator<Item = Field<'a>> + use<'a> {
        let mut rest = self.rest;
        (0..self.n_fields).map_while(move |_| {
            let (size, after) = rest.split_first_chunk::<4>()?;
            let (field, after) = after.split_at_checked(u32::from_be_bytes(*size) as usize)?;
            rest = after;
            let (&id, value) = field.split_first()?;
            Some(Field { id, value })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn result(body: &[u8]) -> u8 {
        let mut out = Vec::new();
        answer(body, &mut out);
        let frame = frame::next(&out, 64).unwrap().unwrap();
        assert_eq!((frame.kind, out.len()), (frame::Kind::Security, 24));
        let answer = Request::parse(frame.body()).unwrap();
        assert_eq!((answer.command, answer.n_fields), (0, 0));
        answer.result
    }

    fn body(command: u8, n_fields: u8, fields: &[u8]) -> Vec<u8> {
        let mut body = vec![0, 0, command, n_fields];
        body.resize(HEADER_BYTES, 0);
        body.extend_from_slice(fields);
        body
    }

    #[test]
    fn logins_hear_that_there_is_no_login() {
        assert_eq!(result(&body(LOGIN, 1, &[0, 0, 0, 4, 0, b'x', b'd', b'r'])), NOT_CONFIGURED);
        assert_eq!(result(&body(LOGIN, 0, &[])), NOT_CONFIGURED);
        assert_eq!(result(&body(AUTHENTICATE, 0, &[])), NOT_CONFIGURED);
        assert_eq!(result(&body(9, 0, &[])), UNKNOWN_COMMAND);
    }

    #[test]
    fn what_is_not_whole_is_refused() {
        let cases = [
            vec![],
            vec![0; 15],
            body(LOGIN, 1, &[]),
            body(LOGIN, 1, &[0, 0, 0, 0]),
            body(LOGIN, 1, &[0, 0, 0, 9, 0, b'x']),
            body(LOGIN, 1, &[0xff, 0xff, 0xff, 0xff, 0]),
            body(LOGIN, 0, &[0]),
        ];
        for case in cases {
            assert_eq!(result(&case), PARAMETER, "{case:?}");
        }
    }
}
