//! A call whose sender proves who it is; refused for that, and something could be renewed: once more.
//!
//! A refusal was decided before anything was processed, so this repeat makes no duplicates. There is one, whatever the
//! answer to it, and it ends by the same deadline.

use ::http::StatusCode;
use futures_util::future::BoxFuture;
use tokio::time::{Instant, timeout_at};

use super::{Http, success_status_codes};
use crate::{
    authorize::{Authorize, Refusal, Verdict},
    client::{Answer, Call, Failure},
};

impl Http {
    /// Boxed: what only some need must not make the futures of all large.
    pub(super) fn authorized_call<'a>(
        &'a self,
        authorize: &'a dyn Authorize,
        call: &'a Call<'a>,
    ) -> BoxFuture<'a, Result<Answer<'a>, Failure>> {
        Box::pin(async move {
            let success = success_status_codes(call.parts);
            let began = Instant::now();
            let deadline = self.client.deadline(began);
            let prepared = timeout_at(deadline, authorize.prepare()).await;
            let prepared = prepared.map_err(|_| "no credentials came in time (call-timeout)".to_owned());
            if let Err(words) = prepared.and_then(|prepared| prepared.map_err(|unproven| unproven.0)) {
                self.client.complain(&words);
                return Err(Failure::unproven(words));
            }
            let answer = self.client.call(call, Instant::now(), deadline).await?;
            if !self.is_refusal(answer.status, success) {
                return Ok(answer);
            }
            let renewed = timeout_at(deadline, authorize.refused(refusal(&answer, began))).await;
            if !renewed.unwrap_or(false) {
                return Ok(answer);
            }
            // Its place in the counters and on the connection comes free before the repeat takes another.
            answer.endpoint.repeated();
            drop(answer);
            self.client.call(call, Instant::now(), deadline).await
        })
    }

    /// What a refusal that stands comes to.
    pub(super) fn verdict(&self, answer: &Answer<'_>, success: &[u16]) -> Option<Verdict> {
        let authorize = self.authorize.as_deref().filter(|_| self.is_refusal(answer.status, success))?;
        // What could be renewed has been; when this call began says nothing here.
        authorize.verdict(&refusal(answer, Instant::now()))
    }

    fn is_refusal(&self, status: StatusCode, success: &[u16]) -> bool {
        matches!(
            status,
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN | StatusCode::PROXY_AUTHENTICATION_REQUIRED
        ) && !self.statuses.confirms(status.as_u16(), success)
    }
}

fn refusal<'a>(answer: &'a Answer<'_>, began: Instant) -> Refusal<'a> {
    Refusal {
        host: answer.endpoint.host(),
        began,
        status: answer.status,
        headers: &answer.headers,
        body: &answer.body,
    }
}
