//! A consumer as a user would write it, run as a real Lambda `bootstrap` by the tests.

fn main() {}
