//! Answers to messages, and the only file that knows result codes.
//!
//! XDR sorts result codes into three: 0 completes a record, six codes make it ship the record again, and every
//! other code makes it give the record up. So a code is sent only if it is named here.

use adapters::{Cause, Outcome};

/// Bytes of one answer.
pub const ACK_BYTES: usize = 30;

/// The result codes this connector sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum ResultCode {
    /// Delivered, or wanted nowhere. Completes the record.
    Ok = 0,
    /// Makes no sense, or refused for good. XDR abandons the record.
    Parameter = 4,
    /// Ship again.
    OutOfSpace = 8,
    /// Not confirmed in time. Ship again.
    Timeout = 9,
    /// Nobody to deliver to. Ship again.
    Unavailable = 11,
    /// Larger than the target takes. XDR abandons the record.
    RecordTooBig = 13,
    /// Another version of the record is in flight. Ship again.
    KeyBusy = 14,
    /// Not a change of a record. XDR abandons it.
    UnsupportedFeature = 16,
    /// More than can be taken now. Ship again.
    DeviceOverload = 18,
    /// No namespace. XDR abandons the record.
    Namespace = 20,
    /// Refused by policy. XDR abandons the record.
    Forbidden = 22,
    /// Login first. Ship again.
    NotAuthenticated = 80,
}

/// What XDR does on a result code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reaction {
    /// The record is done.
    Complete,
    /// The record is shipped again.
    Retry,
    /// The record is lost to this destination until an operator rewinds.
    Abandon,
}

impl ResultCode {
    /// What XDR does on this code.
    pub fn reaction(self) -> Reaction {
        reaction(self as u8)
    }

    /// The vendor's name of the code, for logs and labels.
    pub fn as_str(self) -> &'static str {
        name(self as u8)
    }
}

impl From<Outcome> for ResultCode {
    fn from(outcome: Outcome) -> Self {
        match outcome {
            Outcome::Delivered => Self::Ok,
            Outcome::Retryable(Cause::Timeout) => Self::Timeout,
            Outcome::Retryable(Cause::Unreachable | Cause::Storage) => Self::Unavailable,
            Outcome::Retryable(
                Cause::Overloaded
                | Cause::Unauthorized
                | Cause::Status(_)
                | Cause::FunctionError
                | Cause::TooLarge
                | Cause::Malformed
                | Cause::Shutdown,
            ) => Self::DeviceOverload,
            Outcome::Rejected(Cause::TooLarge) => Self::RecordTooBig,
            Outcome::Rejected(_) => Self::Parameter,
        }
    }
}

/// Appends one answer.
pub fn encode(code: ResultCode, out: &mut Vec<u8>) {
    let mut ack = [0; ACK_BYTES];
    ack[..8].copy_from_slice(&[2, 3, 0, 0, 0, 0, 0, 22]);
    ack[8] = 22;
    ack[13] = code as u8;
    out.extend_from_slice(&ack);
}

/// What XDR does on any result code, as published.
pub fn reaction(code: u8) -> Reaction {
    match code {
        0 | 2 => Reaction::Complete,
        8 | 9 | 11 | 14 | 18 | 80 => Reaction::Retry,
        _ => Reaction::Abandon,
    }
}

/// The vendor's name of any result code.
pub fn name(code: u8) -> &'static str {
    match code {
        0 => "ok",
        1 => "unknown",
        2 => "not-found",
        3 => "generation",
        4 => "parameter",
        5 => "record-exists",
        6 => "bin-exists",
        7 => "cluster-key-mismatch",
        8 => "out-of-space",
        9 => "timeout",
        10 => "always-forbidden",
        11 => "unavailable",
        12 => "incompatible-type",
        13 => "record-too-big",
        14 => "key-busy",
        15 => "query-abort",
        16 => "unsupported-feature",
        17 => "bin-not-found",
        18 => "device-overload",
        19 => "key-mismatch",
        20 => "namespace",
        21 => "bin-name",
        22 => "forbidden",
        23 => "element-not-found",
        24 => "element-exists",
        25 => "enterprise-only",
        26 => "op-not-applicable",
        27 => "filtered-out",
        28 => "lost-conflict",
        32 => "xdr-key-busy",
        51 => "security-not-supported",
        52 => "security-not-configured",
        54 => "security-command",
        60 => "user",
        62 => "password",
        65 => "credential",
        66 => "session-expired",
        80 => "not-authenticated",
        81 => "role-violation",
        82 => "not-whitelisted",
        83 => "quota-exceeded",
        100 => "udf",
        _ => "other",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CAUSES: [Cause; 10] = [
        Cause::Timeout,
        Cause::Unreachable,
        Cause::Overloaded,
        Cause::Unauthorized,
        Cause::Status(500),
        Cause::FunctionError,
        Cause::TooLarge,
        Cause::Malformed,
        Cause::Shutdown,
        Cause::Storage,
    ];

    #[test]
    fn only_a_delivery_completes_and_only_a_rejection_abandons() {
        assert_eq!(ResultCode::from(Outcome::Delivered).reaction(), Reaction::Complete);
        for cause in CAUSES {
            assert_eq!(ResultCode::from(Outcome::Retryable(cause)).reaction(), Reaction::Retry, "{cause}");
            assert_eq!(ResultCode::from(Outcome::Rejected(cause)).reaction(), Reaction::Abandon, "{cause}");
        }
    }

    #[test]
    fn causes_keep_their_codes() {
        let codes = CAUSES.map(|cause| ResultCode::from(Outcome::Retryable(cause)) as u8);
        assert_eq!(codes, [9, 11, 18, 18, 18, 18, 18, 18, 18, 11]);
        assert_eq!(ResultCode::from(Outcome::Rejected(Cause::TooLarge)) as u8, 13);
        assert_eq!(ResultCode::from(Outcome::Rejected(Cause::Status(400))) as u8, 4);
    }

    #[test]
    fn an_answer_is_thirty_bytes_with_one_that_matters() {
        let mut out = vec![0xaa];
        encode(ResultCode::DeviceOverload, &mut out);
        assert_eq!(out.len(), 1 + ACK_BYTES);
        let expected = [2, 3, 0, 0, 0, 0, 0, 0x16, 0x16, 0, 0, 0, 0, 0x12, 0, 0, 0, 0];
        assert_eq!(out[1..19], expected);
        assert!(out[19..].iter().all(|&byte| byte == 0));
    }
}
