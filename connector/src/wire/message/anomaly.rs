//! What was accepted although it was not expected: a small set, to be counted and logged.

use super::layout::Header;

/// A set of things that are legal or harmless, but that no known server does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Anomalies(u16);

impl Anomalies {
    /// A time to live that can only be an absolute time.
    pub const ABSOLUTE_TTL: Self = Self(1);
    /// A last-update time beyond the server's clock, or not of 8 bytes.
    pub const ODD_LUT: Self = Self(1 << 1);
    /// Header bits that XDR is not known to set.
    pub const UNEXPECTED_BITS: Self = Self(1 << 2);
    /// A header longer than 22 bytes.
    pub const LONG_HEADER: Self = Self(1 << 3);
    /// Bin-level last-update times, which connectors are not meant to get.
    pub const BIN_LUTS: Self = Self(1 << 4);
    /// A particle type this version does not know; passed on as a blob.
    pub const UNKNOWN_PARTICLE: Self = Self(1 << 5);
    /// Two ops for one bin; the last won.
    pub const REPEATED_BIN: Self = Self(1 << 6);
    /// A write of a bin without a name; skipped.
    pub const UNNAMED_BIN: Self = Self(1 << 7);
    /// The op that deletes all bins.
    pub const DELETE_ALL: Self = Self(1 << 8);
    /// Ops in a delete; ignored.
    pub const OPS_ON_DELETE: Self = Self(1 << 9);

    /// Every anomaly there is, with its name.
    pub const NAMES: [(Self, &'static str); 10] = [
        (Self::ABSOLUTE_TTL, "absolute-ttl"),
        (Self::ODD_LUT, "odd-lut"),
        (Self::UNEXPECTED_BITS, "unexpected-bits"),
        (Self::LONG_HEADER, "long-header"),
        (Self::BIN_LUTS, "bin-luts"),
        (Self::UNKNOWN_PARTICLE, "unknown-particle"),
        (Self::REPEATED_BIN, "repeated-bin"),
        (Self::UNNAMED_BIN, "unnamed-bin"),
        (Self::DELETE_ALL, "delete-all"),
        (Self::OPS_ON_DELETE, "ops-on-delete"),
    ];

    /// Whether all was as expected.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Whether all of `other` is in this set.
    pub fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Names of those in this set, in a stable order.
    pub fn iter(self) -> impl Iterator<Item = &'static str> {
        Self::NAMES.into_iter().filter(move |(one, _)| self.contains(*one)).map(|(_, name)| name)
    }

    /// Adds `other`.
    pub(super) fn insert(&mut self, other: Self) {
        self.0 |= other.0;
    }

    /// Those of the header. Ordinary clients set many bits, so only messages of XDR are judged.
    pub(super) fn of(header: &Header) -> Self {
        let mut anomalies = Self::default();
        let unexpected = header.info1 & !0x10
            | header.info2 & !0x3f
            | header.info3 & !0x38
            | header.info4
            | header.result_code;
        if header.is_xdr() && unexpected != 0 {
            anomalies.insert(Self::UNEXPECTED_BITS);
        }
        if usize::from(header.header_bytes) > super::layout::HEADER_BYTES {
            anomalies.insert(Self::LONG_HEADER);
        }
        anomalies
    }
}
