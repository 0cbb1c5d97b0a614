//! Puts a token into the header of every request, and asks for another when a receiver refuses it.

use std::fmt;

use ::http::{HeaderName, Request, StatusCode, header};
use futures_util::future::BoxFuture;

use super::Token;
use crate::{
    Access,
    authorize::{Authorize, Refusal, Unproven, Verdict},
    renewed::{Renewed, Source},
};

/// Tokens of `S` in the requests of one destination.
pub(crate) struct Bearer<S: Source<Item = Token>> {
    tokens: Renewed<S>,
    header: HeaderName,
    judge: Box<dyn Fn(Refused<'_>) -> Option<Verdict> + Send + Sync>,
}

/// What refusals of one kind of receiver mean.
pub(crate) type Judge = fn(Refused<'_>) -> Option<Verdict>;

/// What is known of a refusal.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Refused<'a> {
    pub(crate) status: StatusCode,
    /// Whom the token names.
    pub(crate) subject: Option<&'a str>,
    /// Where it came from.
    pub(crate) source: &'a str,
}

impl<S: Source<Item = Token>> Bearer<S> {
    /// For the requests of `destination`. Asks nobody for a token yet.
    pub(crate) fn new(
        destination: &str,
        source: S,
        judge: impl Fn(Refused<'_>) -> Option<Verdict> + Send + Sync + 'static,
    ) -> Self {
        let tokens = Renewed::new(destination, source);
        Self { tokens, header: header::AUTHORIZATION, judge: Box::new(judge) }
    }

    /// The same in another header.
    pub(crate) fn in_header(self, header: HeaderName) -> Self {
        Self { header, ..self }
    }
}

impl<S: Source<Item = Token>> Authorize for Bearer<S> {
    fn prepare(&self) -> BoxFuture<'_, Result<(), Unproven>> {
        Box::pin(self.tokens.prepare())
    }

    fn authorize(&self, request: &mut Request<()>, _body: &[u8]) -> Result<(), Unproven> {
        let source = self.tokens.source();
        let token = self.tokens.current().ok_or_else(|| {
            Unproven(format!(
                "the {} from {} has expired, and there is no new one",
                source.what(),
                source.name()
            ))
        })?;
        request.headers_mut().insert(self.header.clone(), token.header);
        Ok(())
    }

    fn refused<'a>(&'a self, refusal: Refusal<'a>) -> BoxFuture<'a, bool> {
        Box::pin(async move {
            // With 403 a receiver says that it knows who sends: another token of the same sender does not help.
            refusal.status != StatusCode::FORBIDDEN && self.tokens.renew_since(refusal.began).await
        })
    }

    fn verdict(&self, refusal: &Refusal<'_>) -> Option<Verdict> {
        let token = self.tokens.current();
        (self.judge)(Refused {
            status: refusal.status,
            subject: token.as_ref().and_then(Token::subject),
            source: &self.tokens.source().name(),
        })
    }

    fn access(&self) -> Access {
        self.tokens.access()
    }
}

impl<S: Source<Item = Token>> fmt::Debug for Bearer<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bearer").field("tokens", &self.tokens).finish_non_exhaustive()
    }
}
