//! Direct Invoke of a Lambda function.
//!
//! `RequestResponse` waits for the function, whose answer is the confirmation; an answer that names records failed only
//! those. `Event` is confirmed by Lambda's own queue: what becomes of the records later is not known here, their order is
//! gone, and there are no failures of single records.
//!
//! The SDK signs and sends; it does not try again and keeps no credentials. A refusal that is about credentials or the clock
//! is answered by renewing them, once, and sending again: nothing was processed.

use std::{
    fmt,
    num::NonZeroUsize,
    sync::Arc,
    time::{Duration, SystemTime},
};

use ::http::StatusCode;
use aws_sdk_lambda::{operation::invoke::InvokeOutput, types};
use futures_util::future::BoxFuture;
use tokio::{
    sync::OnceCell,
    time::{Instant, timeout},
};
use tracing::warn;

use self::{
    call::{Api, Failed},
    clock::Clock,
    event::{Body, Envelope, Moment},
    function::Function,
    judge::{Judge, Refusal, Verdict},
};
use crate::{
    Access, BuildError, Cause, Class, EndpointStats, Payload, ProbeFailure, Report, Target,
    authorize::Unproven,
    client::{
        complaints::Complaints,
        counters::{Counters, Queued},
    },
    credentials::{self, Credentials},
    gzip::Gzip,
    headers,
    http::{Compression, is_text, millis},
    url,
};

pub use self::config::{Config, InvocationType, PayloadShape};

mod answer;
mod call;
mod clock;
mod config;
mod event;
mod fault;
mod function;
#[cfg(fuzzing)]
pub(crate) mod fuzzing;
mod judge;
mod probe;

/// A Lambda function.
pub struct AwsLambda {
    destination: String,
    function: Function,
    kind: InvocationType,
    /// `None` for raw payloads.
    envelope: Option<Envelope>,
    /// Bodies larger than this are compressed.
    gzip: Option<(usize, Gzip)>,
    judge: Judge,
    credentials: Arc<Credentials>,
    endpoint_url: Option<String>,
    api: OnceCell<Api>,
    clock: Arc<Clock>,
    call_timeout: Duration,
    connect_timeout: Duration,
    body_bytes_max: Option<NonZeroUsize>,
    /// Of the operator, who outranks the format.
    content_type: Option<String>,
    counters: Counters,
    complaints: Complaints,
}

impl AwsLambda {
    /// Checks the settings and reads what they name. Fetches nothing yet.
    pub fn new(name: &str, config: Config) -> Result<Self, BuildError> {
        let function = Function::new(&config.function_name, config.qualifier.as_deref())?;
        let judge = Judge::new(&config)?;
        let statics = headers::read(&config.headers)?;
        let raw = config.payload == PayloadShape::Raw;
        if raw && config.compression != Compression::None {
            return Err(problem(
                "compression",
                "a raw payload has to be JSON; leave it out, or use `payload: event`",
            ));
        }
        if raw && !statics.is_empty() {
            return Err(problem(
                "headers",
                "a raw payload has none; leave them out, or use `payload: event`",
            ));
        }
        if let Some(url) = &config.endpoint_url {
            url::check_all(std::slice::from_ref(url))
                .map_err(|error| BuildError { key: "endpoint-url".to_owned(), ..error })?;
        }
        let event_bytes_max = event_bytes_max(config.invocation_type);
        if config.max_request_bytes.is_some_and(|max| max.get() > event_bytes_max) {
            let most = format!("more than Lambda takes; expected at most {event_bytes_max}");
            return Err(problem("max-request-bytes", &most));
        }
        let whose = regional(config.credentials, &function)?;
        let content_type = statics.iter().find(|(name, _)| *name == ::http::header::CONTENT_TYPE);
        Ok(Self {
            destination: name.to_owned(),
            content_type: content_type.and_then(|(_, value)| value.to_str().ok()).map(str::to_owned),
            envelope: if raw { None } else { Some(Envelope::new(&function, &statics)?) },
            function,
            kind: config.invocation_type,
            gzip: (config.compression == Compression::Gzip)
                .then(|| (config.compression_threshold, Gzip::default())),
            judge,
            credentials: Credentials::new(name, &whose),
            endpoint_url: config.endpoint_url,
            api: OnceCell::new(),
            clock: Arc::new(Clock::new(name)),
            call_timeout: millis("call-timeout", config.call_timeout)?,
            connect_timeout: millis("connect-timeout", config.connect_timeout)?,
            body_bytes_max: config.max_request_bytes,
            counters: Counters::default(),
            complaints: Complaints::default(),
        })
    }

    async fn api(&self) -> Result<&Api, Unproven> {
        let timeouts = (self.call_timeout, self.connect_timeout);
        self.api
            .get_or_try_init(|| {
                Api::new(&self.credentials, self.endpoint_url.as_deref(), timeouts, &self.clock)
            })
            .await
    }

    async fn attempt(&self, payload: &Payload, queued: &mut Queued<'_>) -> Verdict {
        let moment = Moment { request: fastrand::u128(..), time: SystemTime::now() };
        let mut again = true;
        loop {
            let api = match self.proven().await {
                Ok(api) => api,
                Err(unproven) => {
                    return failed(Class::Credentials, Cause::Unauthorized, unproven.to_string());
                }
            };
            let event = match self.event(payload, &api.host, moment) {
                Ok(event) => event,
                Err(verdict) => return verdict,
            };
            let (offset_ms, began) = (self.clock.offset_ms(), Instant::now());
            queued.sent();
            self.counters.sent(event.len());
            let result = api.invoke(&self.function, self.kind.into(), Some(event)).await;
            if let Some(status) = status(&result) {
                self.counters.answered(status);
            }
            let refusal = match result {
                Ok(output) => return self.answered(&output, payload.count.get()),
                Err(Failed::Refused(refusal)) => refusal,
                Err(Failed::Timeout) => {
                    return failed(Class::Transient, Cause::Timeout, NO_ANSWER.to_owned());
                }
                Err(Failed::Unreachable(why)) => return failed(Class::Transient, Cause::Unreachable, why),
                Err(Failed::Malformed(why)) => return failed(Class::Transient, Cause::Malformed, why),
            };
            if !std::mem::take(&mut again) || !self.is_worth_another(&refusal, offset_ms, began).await {
                return Verdict { report: self.judge.refused(&refusal), words: Some(refusal.words()) };
            }
            self.counters.repeated();
        }
    }

    async fn proven(&self) -> Result<&Api, Unproven> {
        self.credentials.prepare().await?;
        self.api().await
    }

    /// The payload of the call, or why there will be none.
    fn event(&self, payload: &Payload, host: &str, moment: Moment) -> Result<Vec<u8>, Verdict> {
        let event = match &self.envelope {
            None if !event::is_json(&payload.content_type) => {
                let problem = format!("a raw payload has to be JSON, not {}", payload.content_type);
                return Err(failed(Class::Hold, Cause::Malformed, problem));
            }
            None => payload.body.to_vec(),
            Some(envelope) => {
                let content_type = payload.content_type.as_ref();
                match &self.gzip {
                    Some((threshold, gzip)) if payload.body.len() > *threshold => {
                        let bytes = &gzip.compress(&payload.body);
                        envelope.wrap(&Body { bytes, content_type, gzip: true }, host, moment)
                    }
                    _ => {
                        envelope.wrap(&Body { bytes: &payload.body, content_type, gzip: false }, host, moment)
                    }
                }
            }
        };
        let most = event_bytes_max(self.kind);
        if event.len() > most {
            let problem =
                format!("an event of {} bytes is more than the {most} that Lambda takes", event.len());
            return Err(failed(Class::Record, Cause::TooLarge, problem));
        }
        Ok(event)
    }

    fn answered(&self, output: &InvokeOutput, records: usize) -> Verdict {
        let status = u16::try_from(output.status_code()).ok();
        let answer = output.payload().map(AsRef::as_ref).unwrap_or_default();
        if let Some(kind) = output.function_error() {
            let report = Report { status, ..Report::failed(Class::Transient, Cause::FunctionError) };
            return Verdict { report, words: Some(fault::words(kind, answer)) };
        }
        match self.kind {
            InvocationType::RequestResponse => answer::read(&self.judge, answer, records, SystemTime::now()),
            InvocationType::Event => Verdict { report: Report::delivered(status), words: None },
        }
    }

    /// The API refused a call that began at `began`, when its clock was believed to be `offset_ms` ahead. Whether sending
    /// again at once may help: nothing was processed.
    async fn is_worth_another(&self, refusal: &Refusal, offset_ms: i64, began: Instant) -> bool {
        let code = refusal.code.as_deref().unwrap_or_default();
        if !judge::proof_at_fault(code) {
            return false;
        }
        // The refusal told the time, by which the SDK signs from now on.
        if judge::is_clock_at_fault(code) && offset_ms.abs_diff(self.clock.offset_ms()) > JUMP_MS {
            return true;
        }
        self.credentials.renew_since(began).await
    }
}

impl fmt::Debug for AwsLambda {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AwsLambda").field("function", &self.function.to_string()).finish_non_exhaustive()
    }
}

impl Target for AwsLambda {
    fn deliver<'a>(&'a self, payload: &'a Payload) -> BoxFuture<'a, Report> {
        Box::pin(async move {
            let mut queued = self.counters.queue();
            let Verdict { report, words } = timeout(self.call_timeout, self.attempt(payload, &mut queued))
                .await
                .unwrap_or_else(|_| failed(Class::Transient, Cause::Timeout, NO_ANSWER.to_owned()));
            if let Some(words) = words
                && let Some(suppressed) = self.complaints.due(about(&report), Instant::now())
            {
                let (destination, records) = (&self.destination, payload.count);
                warn!(destination, function = %self.function, records, suppressed, "invoke failed: {words}");
            }
            if matches!(report.class, Class::Done | Class::Partial) {
                queued.succeeded();
            }
            report
        })
    }

    fn concurrency(&self) -> NonZeroUsize {
        CONCURRENCY_MAX
    }

    fn concurrency_start(&self) -> NonZeroUsize {
        CONCURRENCY_START
    }

    fn body_bytes_max(&self, content_type: &str) -> usize {
        if let Some(max) = self.body_bytes_max {
            return max.get();
        }
        let text = match self.kind {
            InvocationType::RequestResponse => 4 * 1024 * 1024,
            InvocationType::Event => 900_000,
        };
        let content_type = self.content_type.as_deref().unwrap_or(content_type);
        let raw = self.envelope.is_none();
        // What is compressed, or is no text, becomes base64.
        if raw || (self.gzip.is_none() && is_text(content_type)) { text } else { text / 4 * 3 }
    }

    fn endpoints(&self) -> Vec<EndpointStats> {
        let label = match (self.api.get(), &self.endpoint_url) {
            (Some(api), _) => api.host.clone(),
            (None, Some(url)) => url.trim_start_matches("https://").trim_start_matches("http://").to_owned(),
            (None, None) => "lambda".to_owned(),
        };
        vec![self.counters.stats(label)]
    }

    fn access(&self) -> Option<Access> {
        Some(Access { clock_offset_ms: self.clock.offset_ms(), ..self.credentials.access() })
    }

    fn probe(&self) -> BoxFuture<'_, Result<String, ProbeFailure>> {
        Box::pin(self.dry_run())
    }
}

impl From<InvocationType> for types::InvocationType {
    fn from(kind: InvocationType) -> Self {
        match kind {
            InvocationType::RequestResponse => Self::RequestResponse,
            InvocationType::Event => Self::Event,
        }
    }
}

/// The status that a line in the log is about.
fn about(report: &Report) -> Option<StatusCode> {
    report.status.and_then(|status| StatusCode::from_u16(status).ok())
}

/// Of the answer, where there was one.
fn status(result: &Result<InvokeOutput, Failed>) -> Option<StatusCode> {
    let code = match result {
        Ok(output) => u16::try_from(output.status_code()).ok()?,
        Err(Failed::Refused(refusal)) => refusal.status,
        Err(_) => return None,
    };
    StatusCode::from_u16(code).ok()
}

/// An ARN says in which region the function is; the API of another one does not know it.
fn regional(config: credentials::Config, function: &Function) -> Result<credentials::Config, BuildError> {
    match (&config.region, &function.region) {
        (Some(region), Some(other)) if region != other => Err(problem(
            "region",
            &format!("{region}, but function-name is in {other}; leave one of them out"),
        )),
        (None, Some(_)) => Ok(credentials::Config { region: function.region.clone(), ..config }),
        _ => Ok(config),
    }
}

/// Most bytes of what a function is called with.
fn event_bytes_max(kind: InvocationType) -> usize {
    match kind {
        // "Request must be smaller than 6291456 bytes for the InvokeFunction operation".
        InvocationType::RequestResponse => 6 * 1024 * 1024 - 1,
        InvocationType::Event => 1024 * 1024 - 1,
    }
}

fn failed(class: Class, cause: Cause, words: String) -> Verdict {
    Verdict { report: Report::failed(class, cause), words: Some(words) }
}

fn problem(key: &str, problem: &str) -> BuildError {
    BuildError { key: key.to_owned(), problem: problem.to_owned() }
}

const NO_ANSWER: &str = "no answer within call-timeout";
/// Far beyond what one function takes by default; `workers` and what was measured bound it sooner.
const CONCURRENCY_MAX: NonZeroUsize = NonZeroUsize::MIN.saturating_add(999);
/// New accounts may have ten.
const CONCURRENCY_START: NonZeroUsize = NonZeroUsize::MIN.saturating_add(7);
/// A correction of the clock that makes a difference to a signature.
const JUMP_MS: u64 = 60_000;

#[cfg(test)]
mod tests;
