//! What an end of a call means: the function's own answer, its failure, and what the Lambda API says. Pure.
//!
//! The API's errors are told apart by their names, not by their statuses alone: 502 may be a key that is away for a
//! moment, 403 a session that ended, 400 a record that is no JSON or a setting that is wrong.

use std::time::Duration;

use super::Config;
use crate::{
    BuildError, Cause, Class, Outcome, Report,
    partial::{self, Answered},
    status::{Lists, StatusTable},
};

/// A report, and what the log says of it when it is not a plain success.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Verdict {
    pub(super) report: Report,
    pub(super) words: Option<String>,
}

/// A destination's rules.
#[derive(Debug)]
pub(super) struct Judge {
    statuses: StatusTable,
    /// `http-permanent-status-codes` and `reject-on`.
    rejected: Vec<u16>,
    retried: Vec<u16>,
    partial: bool,
}

/// What the API itself said instead of calling the function.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Refusal {
    pub(super) status: u16,
    /// Name of the error, such as `ResourceNotFoundException`.
    pub(super) code: Option<String>,
    pub(super) message: Option<String>,
    pub(super) retry_after: Option<Duration>,
}

impl Judge {
    pub(super) fn new(config: &Config) -> Result<Self, BuildError> {
        let (permanent, reject_on) = (&config.http_permanent_status_codes, &config.reject_on);
        let success = &config.http_success_status_codes;
        let statuses = StatusTable::new(Lists { success, permanent, retry_on: &config.retry_on, reject_on })?;
        let rejected = [permanent.as_slice(), reject_on].concat();
        Ok(Self { statuses, rejected, retried: config.retry_on.clone(), partial: config.partial_response })
    }

    /// The function ran and answered with `status` and `body`, to a request of `records` records.
    pub(super) fn answered(
        &self,
        status: u16,
        retry_after: Option<Duration>,
        body: &[u8],
        records: usize,
    ) -> Verdict {
        if !self.statuses.is_success(status) {
            let report = self.statuses.report(status, retry_after);
            return Verdict { report, words: Some(format!("the function answered with status {status}")) };
        }
        if !self.partial {
            return Verdict { report: Report::delivered(Some(status)), words: None };
        }
        let answered = partial::parse(body, false, records);
        let words = match &answered {
            Answered::AllDone => None,
            Answered::Except(failures) => {
                Some(format!("{} of {records} records were not processed", failures.len()))
            }
            Answered::Alike(_, cause) => Some(format!("none of {records} records was processed: {cause}")),
            Answered::Nonsense(why) => Some(format!(
                "batchItemFailures that name no record ({why}), so all of {records} count as failed"
            )),
        };
        Verdict { report: answered.into_report(Some(status)), words }
    }

    /// The API refused the call.
    pub(super) fn refused(&self, refusal: &Refusal) -> Report {
        let (status, retry_after) = (refusal.status, refusal.retry_after);
        let (class, cause) = self.class(refusal);
        let class = match class {
            // Whatever the lists say of the status: who calls and how often is surely not about the records.
            Class::Credentials | Class::Throttled if self.rejected.contains(&status) => class,
            _ if self.rejected.contains(&status) => Class::Record,
            Class::Hold | Class::Record | Class::Credentials if self.retried.contains(&status) => {
                Class::Transient
            }
            class => class,
        };
        Report { status: Some(status), retry_after, ..Report::failed(class, cause) }
    }

    fn class(&self, refusal: &Refusal) -> (Class, Cause) {
        let status = Cause::Status(refusal.status);
        let Some(code) = refusal.code.as_deref() else { return self.class_of_status(refusal) };
        match code {
            "TooManyRequestsException"
            | "EC2ThrottledException"
            | "ThrottlingException"
            | "Throttling"
            | "RequestLimitExceeded" => (Class::Throttled, Cause::Overloaded),
            _ if proof_at_fault(code) => (Class::Credentials, Cause::Unauthorized),
            "RequestTooLargeException"
            | "RequestEntityTooLargeException"
            | "SerializedRequestEntityTooLargeException" => (Class::Record, Cause::TooLarge),
            "InvalidRequestContentException" => (Class::Record, status),
            // Something is being deployed, restored or mounted, or another service is away: mostly it passes. When it does
            // not, it is the caller who sees that it goes on.
            "ResourceConflictException"
            | "ResourceNotReadyException"
            | "ServiceException"
            | "SubnetIPAddressLimitReachedException"
            | "CodeArtifactUserPendingException" => (Class::Transient, status),
            "SnapStartTimeoutException" | "EFSMountTimeoutException" | "S3FilesMountTimeoutException" => {
                (Class::Transient, Cause::Timeout)
            }
            _ if [
                "SnapStart",
                "EFS",
                "S3Files",
                "EC2",
                "ENI",
                "KMS",
                "InvalidRuntime",
                "InvalidSecurityGroup",
            ]
            .into_iter()
            .chain(["InvalidSubnet", "InvalidZipFile"])
            .any(|start| code.starts_with(start)) =>
            {
                (Class::Transient, status)
            }
            // What is asked for cannot be, whatever the record: the function, its alias, the permission, a parameter.
            _ if KNOWN_HOLDS.contains(&code) => (Class::Hold, status),
            _ => self.class_of_status(refusal),
        }
    }

    /// An error without a name that is known: maybe a proxy's, or of a newer API.
    fn class_of_status(&self, refusal: &Refusal) -> (Class, Cause) {
        let (class, outcome) = self.statuses.judge(refusal.status, refusal.retry_after.is_some());
        match outcome {
            // The operator's successes are about the function's answers: this is none, so nothing was processed.
            Outcome::Delivered => (Class::Hold, Cause::Status(refusal.status)),
            // That a record is at fault is something the API would say by name.
            Outcome::Rejected(cause) if cause != Cause::TooLarge => (Class::Hold, cause),
            Outcome::Retryable(cause) | Outcome::Rejected(cause) => (class, cause),
        }
    }
}

/// The API does not accept who we say we are; another session, or another time of day, may be accepted.
pub(super) fn proof_at_fault(code: &str) -> bool {
    is_clock_at_fault(code)
        || [
            "ExpiredToken",
            "ExpiredTokenException",
            "IncompleteSignature",
            "IncompleteSignatureException",
            "InvalidAccessKeyId",
            "InvalidClientTokenId",
            "MissingAuthenticationToken",
            "MissingAuthenticationTokenException",
            "UnrecognizedClientException",
        ]
        .contains(&code)
}

/// A wrong time of day shows like this, among other things.
pub(super) fn is_clock_at_fault(code: &str) -> bool {
    ["InvalidSignatureException", "SignatureDoesNotMatch", "RequestTimeTooSkewed", "RequestExpired"]
        .contains(&code)
}

impl Refusal {
    /// For the log: the status, the name of the error, and its message where that cannot hold what was sent. Messages
    /// about signatures repeat the signed headers, the session token among them; those about contents repeat contents.
    pub(super) fn words(&self) -> String {
        let Self { status, code, message, .. } = self;
        let Some(code) = code else { return format!("status {status}") };
        let name: String = code.chars().filter(char::is_ascii_alphanumeric).take(NAME_CHARS_MAX).collect();
        let told = TOLD.contains(&code.as_str()) || TOLD_STARTS.iter().any(|start| code.starts_with(start));
        match message.as_deref().filter(|message| told && !message.is_empty()) {
            Some(message) => {
                let message: String = message.chars().take(MESSAGE_CHARS_MAX).map(plain).collect();
                format!("status {status} {name}: {message}")
            }
            None => format!("status {status} {name}"),
        }
    }
}

/// One line in the log stays one.
fn plain(letter: char) -> char {
    if letter.is_control() { ' ' } else { letter }
}

const KNOWN_HOLDS: [&str; 12] = [
    "AccessDeniedException",
    "CodeArtifactUserDeletedException",
    "CodeArtifactUserFailedException",
    "DurableExecutionAlreadyStartedException",
    "InvalidParameterValueException",
    "ModeNotSupportedException",
    "NoPublishedVersionException",
    "RecursiveInvocationException",
    "ResourceNotFoundException",
    "ServiceQuotaExceededException",
    "UnsupportedMediaTypeException",
    "ValidationException",
];
/// Errors whose messages are about functions, roles and networks only.
const TOLD: [&str; 14] = [
    "AccessDeniedException",
    "InvalidRuntimeException",
    "InvalidSecurityGroupIDException",
    "InvalidSubnetIDException",
    "InvalidZipFileException",
    "ModeNotSupportedException",
    "RecursiveInvocationException",
    "RequestTooLargeException",
    "ResourceConflictException",
    "ResourceNotFoundException",
    "ResourceNotReadyException",
    "ServiceException",
    "SubnetIPAddressLimitReachedException",
    "TooManyRequestsException",
];
const TOLD_STARTS: [&str; 6] = ["CodeArtifact", "EC2", "EFS", "ENI", "KMS", "SnapStart"];
const NAME_CHARS_MAX: usize = 100;
const MESSAGE_CHARS_MAX: usize = 512;

#[cfg(test)]
#[path = "judge/tests.rs"]
mod tests;
