//! How the function misbehaves, from its environment. Pure: the same call and the same record always fare alike.
//! Calls that fail are evenly spread, and fail in each of the ways in turn: by chance, one run in fifty would see none.
//!
//! | variable | |
//! | --- | --- |
//! | `FAIL_SHARE` | share of the calls that fail, 0 to 1; they are counted in the file that `CALLS` names |
//! | `FAIL_HOW` | how, of these: `error`, `panic`, `exit`, `late:MS`, `status:CODE`, `lost` (all is done, and nobody told) |
//! | `POISON_PER_MILLE` | records of a thousand that can never be processed |
//! | `POISON_HOW` | `item`, `final-item` (`retryable: false`), `call` (the handler fails), `status:CODE` |

use std::time::Duration;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use e2e::poison::is_poison;

/// What goes wrong.
#[derive(Debug, Default)]
pub(crate) struct Faults {
    fail_share: f64,
    fail_how: Vec<Ends>,
    poison_per_mille: u32,
    poison_how: Option<Poison>,
}

/// How a call ends that fails.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Ends {
    /// The handler returns an error.
    Error,
    /// The handler panics.
    Panic,
    /// The process is gone.
    Exit,
    /// All is well, later.
    Late(Duration),
    /// An answer with this status.
    Status(u16),
    /// The process is gone, after it did all it had to do.
    Lost,
}

/// What a record does that cannot be processed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Poison {
    /// It is named as a failure, again and again.
    Item,
    /// It is named as a failure for good.
    FinalItem,
    /// The handler fails with it.
    Call,
    /// The handler answers with this status.
    Status(u16),
}

impl Faults {
    /// Reads the settings.
    pub(crate) fn new(variable: impl Fn(&str) -> Option<String>) -> Result<Self, String> {
        let number = |name: &str| match variable(name) {
            Some(text) => text.parse().map_err(|_| format!("{name}: expected a number, got {text:?}")),
            None => Ok(0.0),
        };
        let how = variable("FAIL_HOW").unwrap_or_default();
        let fail_how = how.split(',').filter(|one| !one.is_empty()).map(ends).collect::<Result<_, _>>()?;
        Ok(Self {
            fail_share: number("FAIL_SHARE")?,
            fail_how,
            poison_per_mille: number("POISON_PER_MILLE")? as u32,
            poison_how: variable("POISON_HOW").map(|how| poison(&how)).transpose()?,
        })
    }

    /// How the call with this number fails, if it does; the first has number 1.
    pub(crate) fn of_call(&self, number: u64) -> Option<&Ends> {
        let failed = |calls: u64| (calls as f64 * self.fail_share) as usize;
        let before = failed(number - 1);
        (failed(number) > before).then(|| self.fail_how.get(before % self.fail_how.len().max(1)))?
    }

    /// What a record does, if it is one of those.
    pub(crate) fn poison(&self, digest: &str) -> Option<Poison> {
        let digest = STANDARD.decode(digest).unwrap_or_default();
        self.poison_how.filter(|_| is_poison(&digest, self.poison_per_mille))
    }
}

fn ends(how: &str) -> Result<Ends, String> {
    let (kind, number) = how.split_once(':').unwrap_or((how, ""));
    match kind {
        "error" => Some(Ends::Error),
        "panic" => Some(Ends::Panic),
        "exit" => Some(Ends::Exit),
        "lost" => Some(Ends::Lost),
        "late" => number.parse().ok().map(Duration::from_millis).map(Ends::Late),
        "status" => number.parse().ok().map(Ends::Status),
        _ => None,
    }
    .ok_or_else(|| format!("FAIL_HOW: {how:?} is none of error, panic, exit, late:MS, status:CODE, lost"))
}

fn poison(how: &str) -> Result<Poison, String> {
    match how {
        "item" => Ok(Poison::Item),
        "final-item" => Ok(Poison::FinalItem),
        "call" => Ok(Poison::Call),
        _ => how
            .strip_prefix("status:")
            .and_then(|code| code.parse().ok())
            .map(Poison::Status)
            .ok_or_else(|| format!("POISON_HOW: {how:?} is none of item, final-item, call, status:CODE")),
    }
}
