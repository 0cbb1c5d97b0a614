//! All of it in one call: read an invocation, run a handler, answer.

use std::time::{Duration, SystemTime};

use serde_json::{Value, json};

use crate::{Batch, Decoder, Entry, Failure, Invocation, Limits, Notification, Origin, Report, Unreadable};

/// Reads invocations, runs a handler over their records, and answers which of them failed.
///
/// ```no_run
/// # async fn send(_: &notification::Notification) -> Result<(), std::io::Error> { Ok(()) }
/// # struct Context; impl Context { fn deadline(&self) -> std::time::SystemTime { std::time::SystemTime::now() } }
/// # struct LambdaEvent<T> { payload: T, context: Context }
/// use notification::{Consumer, Failure, Invocation, Unreadable};
///
/// // `LambdaEvent` is that of `lambda_runtime`.
/// async fn handle(event: LambdaEvent<Invocation>) -> Result<serde_json::Value, Unreadable> {
///     let consumer = Consumer::new().at_once(32);
///     let deadline = event.context.deadline();
///     consumer.each(event.payload, deadline, async |notification| {
///         if notification.key.set.is_none() {
///             return Err(Failure::never("which set?"));
///         }
///         Ok(send(notification).await?)
///     }).await
/// }
/// ```
#[derive(Clone, Debug, Default)]
pub struct Consumer {
    decoder: Decoder,
    limits: Limits,
}

impl Consumer {
    /// One with the defaults of [`Decoder`] and [`Limits`].
    pub fn new() -> Self {
        Self::default()
    }

    /// Reads bodies with `decoder`.
    #[must_use]
    pub fn decoder(mut self, decoder: Decoder) -> Self {
        self.decoder = decoder;
        self
    }

    /// Runs so many handlers at once.
    #[must_use]
    pub fn at_once(mut self, handlers: usize) -> Self {
        self.limits.at_once = handlers;
        self
    }

    /// Answers so long before the deadline.
    #[must_use]
    pub fn spare(mut self, spare: Duration) -> Self {
        self.limits.spare = spare;
        self
    }

    /// Runs `handler` for each record, as [`Batch::each`] does, and answers in the shape that the caller reads. An error is
    /// for the runtime, which fails the invocation with it.
    pub async fn each<H>(
        &self,
        invocation: Invocation,
        deadline: impl Into<Option<SystemTime>>,
        handler: H,
    ) -> Result<Value, Unreadable>
    where
        H: AsyncFn(&Notification) -> Result<(), Failure>,
    {
        let limits = Limits { deadline: deadline.into(), ..self.limits };
        self.answer(invocation, async |batch: Batch| batch.each(&limits, handler).await).await
    }

    /// The same for groups of records, as [`Batch::groups`] runs them; `group` says which indices of the entries go
    /// together.
    pub async fn groups<H>(
        &self,
        invocation: Invocation,
        deadline: impl Into<Option<SystemTime>>,
        group: impl FnOnce(&[Entry]) -> Vec<Vec<usize>>,
        handler: H,
    ) -> Result<Value, Unreadable>
    where
        H: AsyncFn(&[&Entry]) -> Result<Vec<(usize, Failure)>, Failure>,
    {
        let limits = Limits { deadline: deadline.into(), ..self.limits };
        self.answer(invocation, async |batch: Batch| {
            let groups = group(batch.entries());
            batch.groups(&limits, groups, handler).await
        })
        .await
    }

    async fn answer(
        &self,
        invocation: Invocation,
        work: impl AsyncFnOnce(Batch) -> Report,
    ) -> Result<Value, Unreadable> {
        let origin = invocation.origin();
        match self.decoder.decode(invocation) {
            Ok(batch) => Ok(work(batch).await.answer(origin)),
            // Without a status around it only an error says that nothing was done.
            Err(unreadable) if origin == Origin::Bare => Err(unreadable),
            Err(unreadable) => {
                Ok(origin.answer(unreadable.status(), &json!({"message": unreadable.to_string()})))
            }
        }
    }
}
