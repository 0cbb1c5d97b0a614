//! Numbers that look random and are the same every time: a workload and its faults repeat with their seed.

/// Spreads `value` over 64 bits (the finalizer of splitmix64).
pub fn mix(value: u64) -> u64 {
    let mut z = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// A number in `[0, 1)` drawn by `seed`, for the decision `what` about number `index`.
pub fn share(seed: u64, what: u64, index: u64) -> f64 {
    (mix(mix(seed ^ mix(what)) ^ index) >> 11) as f64 / (1u64 << 53) as f64
}
