//! Signs requests, and learns from refusals what can be renewed: the credentials, or the clock.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, SystemTime},
};

use ::http::{
    Request, StatusCode,
    header::{DATE, HOST},
};
use futures_util::future::BoxFuture;
use tokio::time::Instant;
use tracing::{info, warn};

use super::{
    Kind,
    address::region_of,
    clock::{Ahead, Clocks, Hint},
    refusal::{About, Fault},
};
use crate::{
    Access,
    authorize::{Authorize, Refusal, Unproven, Verdict},
    credentials::{self, Current},
    sigv4::{self, Scope},
};

/// Signs the requests of one destination.
#[derive(Debug)]
pub(super) struct Signer<K> {
    destination: String,
    kind: Kind,
    service: String,
    /// Of the settings; it wins over what the host's name and the environment say.
    region: Option<String>,
    keys: K,
    /// The time of day by our clock.
    clock: fn() -> SystemTime,
    learned: Mutex<Learned>,
}

#[derive(Debug, Default)]
struct Learned {
    clocks: Clocks,
    told: Option<Instant>,
}

/// Where the credentials come from: their cache, or a test.
pub(super) trait Keys: std::fmt::Debug + Send + Sync + 'static {
    /// See [`credentials::Credentials`], here and below.
    fn prepare(&self) -> impl Future<Output = Result<(), Unproven>> + Send;
    fn current(&self) -> Option<Current>;
    fn renew_since(&self, began: Instant) -> impl Future<Output = bool> + Send;
    fn access(&self) -> Access;
}

impl Keys for Arc<credentials::Credentials> {
    fn prepare(&self) -> impl Future<Output = Result<(), Unproven>> + Send {
        credentials::Credentials::prepare(self)
    }

    fn current(&self) -> Option<Current> {
        credentials::Credentials::current(self)
    }

    fn renew_since(&self, began: Instant) -> impl Future<Output = bool> + Send {
        credentials::Credentials::renew_since(self, began)
    }

    fn access(&self) -> Access {
        credentials::Credentials::access(self)
    }
}

impl<K: Keys> Signer<K> {
    pub(super) fn new(
        destination: &str,
        kind: Kind,
        service: Option<String>,
        region: Option<String>,
        keys: K,
        clock: fn() -> SystemTime,
    ) -> Self {
        Self {
            destination: destination.to_owned(),
            kind,
            service: service.unwrap_or_else(|| kind.service().to_owned()),
            region,
            keys,
            clock,
            learned: Mutex::default(),
        }
    }

    fn sign(&self, request: &mut Request<()>, body: &[u8]) -> Result<(), Unproven> {
        let Current { credentials, region: of_environment } = self.keys.current().ok_or_else(|| {
            Unproven("the AWS credentials have expired, and there are no new ones".to_owned())
        })?;
        let host = host(request).to_owned();
        let region = self.region.as_deref().or_else(|| region_of(&host)).or(of_environment.as_deref());
        let region = region.ok_or_else(|| {
            Unproven(format!(
                "no region to sign for: neither `region`, nor the host name {host}, nor AWS_REGION or the profile names one"
            ))
        })?;
        let now = self.learned().clocks.now(&host, (self.clock)());
        sigv4::sign(request, body, &credentials, Scope { region, service: &self.service }, now)
    }

    /// Corrects the clock that requests to the host are signed by; true when it was wrong.
    fn corrected(&self, refusal: &Refusal<'_>, hint: Hint) -> bool {
        let own = (self.clock)();
        let date = refusal.headers.get(DATE).and_then(|date| date.to_str().ok());
        let date = date.and_then(|date| httpdate::parse_http_date(date).ok());
        let mut learned = self.learned();
        let now = Instant::now();
        let corrected = learned.clocks.refused(refusal.host, (refusal.began, now), own, date, hint);
        if let (true, Some(date)) = (corrected, date) {
            learned.tell(&self.destination, refusal.host, Ahead::of(date, own), now);
        }
        corrected
    }

    fn learned(&self) -> MutexGuard<'_, Learned> {
        self.learned.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Learned {
    fn tell(&mut self, destination: &str, host: &str, ahead: Ahead, now: Instant) {
        if self.told.is_some_and(|told| now.duration_since(told) < TELL_INTERVAL) {
            return;
        }
        self.told = Some(now);
        let seconds = ahead.0 / 1000;
        if ahead.magnitude() > WORTH_A_WARNING {
            warn!(
                destination,
                host,
                seconds,
                "the receiver's clock is ahead of ours by so many seconds; requests are signed by its time. Check \
                 the clock of this machine"
            );
        } else {
            info!(destination, host, seconds, "requests are signed by the receiver's time");
        }
    }
}

impl<K: Keys> Authorize for Signer<K> {
    fn prepare(&self) -> BoxFuture<'_, Result<(), Unproven>> {
        Box::pin(self.keys.prepare())
    }

    fn authorize(&self, request: &mut Request<()>, body: &[u8]) -> Result<(), Unproven> {
        self.sign(request, body)
    }

    fn refused<'a>(&'a self, refusal: Refusal<'a>) -> BoxFuture<'a, bool> {
        Box::pin(async move {
            match Fault::read(refusal.headers, refusal.body).about {
                About::Clock | About::Signature => self.corrected(&refusal, Hint::Named),
                About::Credentials => self.keys.renew_since(refusal.began).await,
                // HTTP APIs never say why: `Forbidden` is all they tell of keys that were exchanged.
                About::Unsaid if refusal.status == StatusCode::FORBIDDEN => {
                    self.corrected(&refusal, Hint::None) || self.keys.renew_since(refusal.began).await
                }
                About::Unsaid | About::Scope | About::Permission | About::Address => {
                    self.corrected(&refusal, Hint::None)
                }
            }
        })
    }

    fn verdict(&self, refusal: &Refusal<'_>) -> Option<Verdict> {
        let fault = Fault::read(refusal.headers, refusal.body);
        let (missing, advice) = match fault.about {
            About::Clock => ("clock", "check the clock of this machine".to_owned()),
            About::Scope => ("region", self.about_scope(refusal.host)),
            About::Signature => (
                "credentials",
                "the secret key is another one, or something between us and the receiver changes requests".to_owned(),
            ),
            About::Credentials => {
                ("credentials", "the credentials that sign are not known, or no longer; renew them".to_owned())
            }
            About::Unsaid if refusal.status != StatusCode::FORBIDDEN => (
                "credentials",
                "the route asks for another proof than a signature, such as a token; set its authorization to AWS_IAM"
                    .to_owned(),
            ),
            About::Permission | About::Unsaid => ("permission", self.kind.permission().to_owned()),
            About::Address => (
                "address",
                "there is nothing at this path and method that asks for a signature; check stage and path of the URL"
                    .to_owned(),
            ),
        };
        let credentials =
            matches!(fault.about, About::Clock | About::Scope | About::Signature | About::Credentials);
        Some(Verdict { credentials, missing, words: format!("{}; {advice}", fault.words()) })
    }

    fn access(&self) -> Access {
        Access { clock_offset_ms: self.learned().clocks.largest().0, ..self.keys.access() }
    }
}

impl<K: Keys> Signer<K> {
    fn about_scope(&self, host: &str) -> String {
        let of_environment = self.keys.current().and_then(|current| current.region);
        let region = self.region.as_deref().or_else(|| region_of(host)).or(of_environment.as_deref());
        format!(
            "requests are signed for region {} and service {}; check `region` and `service`",
            region.unwrap_or("(none)"),
            self.service
        )
    }
}

/// Whom the request names as its receiver.
fn host(request: &Request<()>) -> &str {
    let header = request.headers().get(HOST).and_then(|host| host.to_str().ok());
    header.or_else(|| request.uri().authority().map(|authority| authority.as_str())).unwrap_or_default()
}

const WORTH_A_WARNING: Duration = Duration::from_secs(60);
const TELL_INTERVAL: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests;
