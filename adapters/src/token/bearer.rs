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

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

    use ::http::HeaderMap;
    use bytes::Bytes;
    use tokio::time::Instant;

    use super::*;

    /// Another token each time.
    #[derive(Debug, Default)]
    struct Counting(AtomicUsize);

    impl Source for Counting {
        type Item = Token;

        fn what(&self) -> &'static str {
            "token"
        }

        fn name(&self) -> String {
            "a test".to_owned()
        }

        fn fetch(&self) -> BoxFuture<'_, Result<Token, String>> {
            Box::pin(async { Token::new(&format!("token-{}", self.0.fetch_add(1, SeqCst)), None) })
        }
    }

    fn sent(bearer: &Bearer<Counting>, header: &str) -> String {
        let mut request = Request::new(());
        request.headers_mut().insert(header::AUTHORIZATION, "own".parse().unwrap());
        bearer.authorize(&mut request, b"").unwrap();
        assert!(!format!("{request:?} {bearer:?}").contains("token-"));
        request.headers()[header].to_str().unwrap().to_owned()
    }

    async fn refused(bearer: &Bearer<Counting>, status: StatusCode) -> bool {
        let refusal = Refusal {
            host: "a",
            began: Instant::now(),
            status,
            headers: &HeaderMap::new(),
            body: &Bytes::new(),
        };
        bearer.refused(refusal).await
    }

    #[tokio::test(start_paused = true)]
    async fn a_refused_token_is_replaced_once_and_one_without_permission_is_not() {
        let bearer = Bearer::new("d", Counting::default(), |_| None);
        let mut request = Request::new(());
        assert!(bearer.authorize(&mut request, b"").is_err(), "nothing was prepared");
        bearer.prepare().await.unwrap();
        assert_eq!(sent(&bearer, "authorization"), "Bearer token-0");
        assert!(!refused(&bearer, StatusCode::FORBIDDEN).await);
        assert_eq!(sent(&bearer, "authorization"), "Bearer token-0");
        assert!(refused(&bearer, StatusCode::UNAUTHORIZED).await);
        assert_eq!(sent(&bearer, "authorization"), "Bearer token-1");
        tokio::time::advance(std::time::Duration::from_secs(1)).await;
        assert!(!refused(&bearer, StatusCode::UNAUTHORIZED).await, "asked a moment ago");
        assert_eq!(bearer.access().fetched, 2);
    }

    #[tokio::test(start_paused = true)]
    async fn another_header_leaves_the_operators_alone() {
        let bearer = Bearer::new("d", Counting::default(), |_| None);
        let bearer = bearer.in_header(HeaderName::from_static("x-serverless-authorization"));
        bearer.prepare().await.unwrap();
        assert_eq!(sent(&bearer, "x-serverless-authorization"), "Bearer token-0");
        assert_eq!(sent(&bearer, "authorization"), "own");
    }
}
