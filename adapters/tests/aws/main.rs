//! AWS credentials from every place they can come from, as the SDK finds them, seen through calls of a Lambda function.
//!
//! Where credentials come from is said by environment variables, which belong to a whole process. So each test runs itself
//! again in a process with the environment it wants; that one only delivers, and this one judges by what its services saw.
#![allow(clippy::unwrap_used, reason = "a test that fails should say where")]

mod again;
mod services;
mod sources;
