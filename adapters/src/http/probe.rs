//! One look, for an operator, whether deliveries would be taken.
//!
//! Plain HTTP gets the request of a health check. Where senders prove who they are, only a request like a delivery tells
//! whether that suffices: permissions name the method, and gateways ask who signs only on a route that exists. So the probe
//! is the POST of an empty body, which holds no records, with the header `esp-connector-probe: 1`. It may run the function
//! behind the gateway once; what the function answers is told, and held against nobody.

use ::http::{HeaderValue, StatusCode, Uri};
use bytes::Bytes;

use super::{HealthCheck, Http, Protocol};
use crate::{
    Class, ProbeFailure,
    authorize::Authorize,
    client::{Answer, Call, Endpoint, Keep},
    headers::StaticHeaders,
    health::{Probe, Silence},
};

/// What a probe of plain HTTP is made from.
pub(super) struct Probing {
    pub(super) check: HealthCheck,
    pub(super) urls: Vec<Uri>,
    pub(super) protocol: Protocol,
    pub(super) headers: StaticHeaders,
}

impl Http {
    /// As [`crate::Target::probe`].
    pub(super) async fn look(&self) -> Result<String, ProbeFailure> {
        self.start();
        match &self.authorize {
            None => self.look_at_each().await,
            Some(authorize) => self.look_as_sender(authorize.as_ref()).await,
        }
    }

    /// Each endpoint may differ; one that lives is enough for deliveries.
    async fn look_at_each(&self) -> Result<String, ProbeFailure> {
        let Probing { check, urls, protocol, headers } = &self.probing;
        let check = HealthCheck { enabled: true, ..check.clone() };
        let (mut found, mut failure, mut alive) = (Vec::new(), None, false);
        for (url, endpoint) in urls.iter().zip(self.client.endpoints()) {
            let probe = Probe::new(&check, url, *protocol, self.tls.as_ref(), headers);
            let probe = probe.map_err(|error| failed("address", error.to_string()))?;
            let Some(mut probe) = probe else { continue };
            // Not the URL: its query may hold a key.
            let place = format!("{} at {}", check.method, endpoint.label());
            match probe.once().await {
                Ok(life) => {
                    alive = true;
                    found.push(format!("{place} answers {life}"));
                }
                Err(Silence { missing, words }) => {
                    failure.get_or_insert(missing);
                    found.push(format!("{place}: {words}"));
                }
            }
        }
        let found = found.join("; ");
        match failure {
            Some(missing) if !alive => Err(failed(missing, found)),
            _ => Ok(found),
        }
    }

    async fn look_as_sender(&self, authorize: &dyn Authorize) -> Result<String, ProbeFailure> {
        let call = Call {
            body: Bytes::new(),
            content_type: HeaderValue::from_static("application/json"),
            parts: None,
            gzip: false,
            authorize: Some(authorize),
            probe: true,
            keep: Keep::Refusals,
        };
        let result = self.authorized_call(authorize, &call).await;
        let answer = result.map_err(|failure| failed(failure.missing, failure.words))?;
        let found = self.judge(&answer)?;
        Ok(format!("{found}{}", clock(authorize.access().clock_offset_ms)))
    }

    fn judge(&self, answer: &Answer<'_>) -> Result<String, ProbeFailure> {
        let status = answer.status;
        let found = format!("POST of an empty body at {} answers {status}", place(answer.endpoint));
        if let Some(verdict) = self.verdict(answer, &[]) {
            return Err(failed(verdict.missing, format!("{found}: {}", verdict.words)));
        }
        match self.statuses.judge(status.as_u16(), false).0 {
            Class::Done | Class::Partial => Ok(format!("{found}: taken")),
            Class::Credentials => Err(failed("credentials", found)),
            Class::Hold if status == StatusCode::FORBIDDEN => Err(failed("permission", found)),
            Class::Hold => Err(failed("address", found)),
            Class::Record | Class::Transient | Class::Throttled => Ok(format!(
                "{found}: who sends is accepted; what an empty body is answered with says nothing of records"
            )),
        }
    }
}

fn place(endpoint: &Endpoint) -> String {
    match endpoint.stats().protocol {
        Some(protocol) => format!("{} over {protocol}", endpoint.label()),
        None => endpoint.label().to_owned(),
    }
}

fn clock(offset_ms: i64) -> String {
    match offset_ms / 1000 {
        0 => String::new(),
        seconds => format!("; its clock is {seconds} s ahead of ours, and requests are signed by it"),
    }
}

fn failed(missing: &'static str, found: String) -> ProbeFailure {
    ProbeFailure { missing, found }
}
