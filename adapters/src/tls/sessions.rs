//! Which sessions of TLS may be resumed: a connection that does shows no certificate, and its session brings the ticket for the
//! next one, so that a server that was trusted once could be for ever.
//!
//! Invariant: nothing is resumed once the certificate that it goes back to has expired, nor a day after that was checked.
//! RFC 8446, 4.6.1, asks for such bounds; the day is that of RFC 5246, F.1.4.

use std::{
    collections::HashMap,
    fmt,
    ops::Range,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, UNIX_EPOCH},
};

use rustls::{
    DigitallySignedStruct, DistinguishedName, Error, NamedGroup, SignatureScheme,
    client::{
        ClientSessionMemoryCache, ClientSessionStore, Tls12ClientSessionValue, Tls13ClientSessionValue,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    pki_types::{CertificateDer, ServerName, UnixTime},
    time_provider::TimeProvider,
};

use super::Identity;
use crate::world;

/// After this the server shows its certificate again.
const RESUMED_FOR_MAX: Duration = Duration::from_secs(24 * 60 * 60);

/// Tickets and sessions that are kept, as many as rustls keeps by itself.
const KEPT_MAX: usize = 256;

/// Sessions with the servers of one destination, and who checks their certificates.
pub(super) struct Sessions {
    checks: Arc<dyn ServerCertVerifier>,
    kept: ClientSessionMemoryCache,
    /// From when to when sessions with a server stand for its certificate. There are as many as hosts in the URLs.
    proofs: Mutex<HashMap<ServerName<'static>, Range<UnixTime>>>,
}

impl Sessions {
    pub(super) fn new(checks: Arc<dyn ServerCertVerifier>) -> Self {
        Self { checks, kept: ClientSessionMemoryCache::new(KEPT_MAX), proofs: Mutex::default() }
    }

    fn proofs(&self) -> MutexGuard<'_, HashMap<ServerName<'static>, Range<UnixTime>>> {
        self.proofs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A certificate was checked. Which session goes back to which certificate is not known, as several servers may share a
    /// name, so all of them end with the first.
    fn prove(&self, server: ServerName<'static>, certificate: &CertificateDer<'_>, now: UnixTime) {
        let expires_s = Identity::of(std::slice::from_ref(certificate))
            .map_or(0, |identity| identity.not_after_unix_s.try_into().unwrap_or(0));
        let until_s = expires_s.min(now.as_secs() + RESUMED_FOR_MAX.as_secs());
        let until = UnixTime::since_unix_epoch(Duration::from_secs(until_s));
        let mut proofs = self.proofs();
        match proofs.get_mut(&server) {
            Some(proof) if proof.contains(&now) => proof.end = proof.end.min(until),
            _ => {
                self.kept.remove_tls12_session(&server);
                while self.kept.take_tls13_ticket(&server).is_some() {}
                proofs.insert(server, now..until);
            }
        }
    }

    fn is_proved(&self, server: &ServerName<'static>) -> bool {
        let now = time_of_day();
        self.proofs().get(server).is_some_and(|proof| proof.contains(&now))
    }
}

impl fmt::Debug for Sessions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sessions").field("checks", &self.checks).finish_non_exhaustive()
    }
}

impl ServerCertVerifier for Sessions {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let verified =
            self.checks.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)?;
        self.prove(server_name.to_owned(), end_entity, now);
        Ok(verified)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.checks.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.checks.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.checks.supported_verify_schemes()
    }

    fn requires_raw_public_keys(&self) -> bool {
        self.checks.requires_raw_public_keys()
    }

    fn root_hint_subjects(&self) -> Option<&[DistinguishedName]> {
        self.checks.root_hint_subjects()
    }
}

impl ClientSessionStore for Sessions {
    fn set_kx_hint(&self, server: ServerName<'static>, group: NamedGroup) {
        self.kept.set_kx_hint(server, group);
    }

    fn kx_hint(&self, server: &ServerName<'_>) -> Option<NamedGroup> {
        self.kept.kx_hint(server)
    }

    fn set_tls12_session(&self, server: ServerName<'static>, session: Tls12ClientSessionValue) {
        self.kept.set_tls12_session(server, session);
    }

    fn tls12_session(&self, server: &ServerName<'_>) -> Option<Tls12ClientSessionValue> {
        self.kept.tls12_session(server).filter(|_| self.is_proved(&server.to_owned()))
    }

    fn remove_tls12_session(&self, server: &ServerName<'static>) {
        self.kept.remove_tls12_session(server);
    }

    fn insert_tls13_ticket(&self, server: ServerName<'static>, ticket: Tls13ClientSessionValue) {
        self.kept.insert_tls13_ticket(server, ticket);
    }

    fn take_tls13_ticket(&self, server: &ServerName<'static>) -> Option<Tls13ClientSessionValue> {
        self.kept.take_tls13_ticket(server).filter(|_| self.is_proved(server))
    }
}

/// The time of day of the world, for rustls.
#[derive(Debug)]
pub(super) struct Clock;

impl TimeProvider for Clock {
    fn current_time(&self) -> Option<UnixTime> {
        Some(time_of_day())
    }
}

fn time_of_day() -> UnixTime {
    UnixTime::since_unix_epoch(world::now().duration_since(UNIX_EPOCH).unwrap_or_default())
}
