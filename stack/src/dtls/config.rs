//! What associations are made with.

use super::association::DATAGRAM_LEN_MAX;
use super::clock::LibraryClock;
use super::setup::Role;
use super::{Certificate, DtlsError};
use dimpl::crypto::CryptoProvider;
use dimpl::{Config, Dtls, DtlsCertificate};
use sim::time::Instant;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// Which versions an association may have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Versions {
    /// DTLS 1.2 (RFC 6347) or 1.3 (RFC 9147), whichever the peer has; 1.3 if it has both.
    #[default]
    Any,
    /// DTLS 1.2 alone.
    Dtls12,
    /// DTLS 1.3 alone.
    Dtls13,
}

/// Settings of associations. The defaults suit a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub struct Settings {
    /// The versions.
    pub versions: Versions,
    /// The longest datagram that is sent, in bytes of UDP payload: 300 to 2,048, which is the longest
    /// that is looked at. On a path of 576 bytes it is 548.
    pub mtu_bytes: usize,
    /// How long a handshake may take in all, with every new beginning: 100 ms to 10 min.
    pub deadline: Duration,
    /// How long one attempt of a client may take before it makes another: 100 ms to 10 min.
    pub attempt: Duration,
    /// How long the first answer to a flight is waited for, which doubles from flight to flight: 20 ms to 10 s.
    pub retransmit_after: Duration,
    /// Whether a server has clients show that they hear it, at the price of one round trip. A socket that takes packets from the address
    /// of one agreed peer alone need not.
    pub asks_for_cookie: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            versions: Versions::Any,
            mtu_bytes: 1150,
            deadline: Duration::from_secs(30),
            attempt: Duration::from_secs(5),
            retransmit_after: Duration::from_millis(250),
            asks_for_cookie: false,
        }
    }
}

/// Cryptography other than production's. What an association does is the same again if its number, its role and its input are.
pub trait Crypto: Send + Sync {
    /// For the association of this number among those of its [`DtlsConfig`]'s role: what it works with, and what its random numbers
    /// come from, 64 bits, which is no security.
    fn for_association(&self, role: Role, number: u64) -> (CryptoProvider, u64);

    /// What the library makes of that and of the settings, which tries all algorithms each time: `make`, unless it is remembered.
    ///
    /// # Errors
    /// Those of `make`.
    fn library_config(
        &self,
        of: (Role, u64, Settings),
        make: &dyn Fn() -> Result<Arc<Config>, DtlsError>,
    ) -> Result<Arc<Config>, DtlsError> {
        let _ = of;
        make()
    }
}

/// A certificate, settings and cryptography, for any number of associations.
#[derive(Clone)]
pub struct DtlsConfig {
    certificate: Arc<Certificate>,
    settings: Settings,
    crypto: Option<Arc<dyn Crypto>>,
    /// Of a client and of a server.
    shared: [Arc<Config>; 2],
    clock: LibraryClock,
}

/// A certificate is at most so many times as long as a datagram.
const CERTIFICATE_MTUS_MAX: usize = 3;
/// How many records wait for one before them, and how many datagrams wait to be sent.
const RECORDS_MAX: usize = 64;
const DATAGRAMS_MAX: usize = 30;
/// How often a flight is sent again.
const RETRIES: usize = 6;

impl DtlsConfig {
    /// With the cryptography of aws-lc-rs.
    ///
    /// # Errors
    /// [`DtlsError::Setting`].
    pub fn new(certificate: Certificate, settings: Settings) -> Result<Self, DtlsError> {
        DtlsConfig::with(certificate, settings, None)
    }

    /// With other cryptography: for simulation.
    ///
    /// # Errors
    /// [`DtlsError::Setting`].
    pub fn with_crypto(certificate: Certificate, settings: Settings, crypto: Arc<dyn Crypto>) -> Result<Self, DtlsError> {
        DtlsConfig::with(certificate, settings, Some(crypto))
    }

    fn with(certificate: Certificate, settings: Settings, crypto: Option<Arc<dyn Crypto>>) -> Result<Self, DtlsError> {
        settings.check()?;
        // The library keeps few records of a flight, and panics past them (dimpl 0.9).
        let (least, got) = (certificate.der().len().div_ceil(CERTIFICATE_MTUS_MAX), settings.mtu_bytes);
        if got < least {
            let what = "an MTU in bytes for a certificate that is so long";
            return Err(DtlsError::Setting { what, least: least as u64, most: DATAGRAM_LEN_MAX as u64, got: got as u64 });
        }
        let shared = [settings.to_library(Role::Client, None)?, settings.to_library(Role::Server, None)?];
        let clock = LibraryClock::new(&shared[0], &certificate.to_library());
        Ok(DtlsConfig { certificate: Arc::new(certificate), settings, crypto, shared, clock })
    }

    /// The settings.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Our certificate.
    pub fn certificate(&self) -> &Certificate {
        &self.certificate
    }

    pub(super) fn clock(&self) -> LibraryClock {
        self.clock
    }

    /// A new association of the library's.
    pub(super) fn begin(&self, role: Role, number: u64, now: Instant) -> Result<Dtls, DtlsError> {
        let config = match &self.crypto {
            None => Arc::clone(&self.shared[usize::from(role == Role::Server)]),
            Some(crypto) => crypto.library_config((role, number, self.settings), &|| {
                self.settings.to_library(role, Some(crypto.for_association(role, number)))
            })?,
        };
        let (certificate, now): (DtlsCertificate, _) = (self.certificate.to_library(), self.clock.to_library(now));
        let mut dtls = match self.settings.versions {
            Versions::Dtls12 => Dtls::new_12(config, certificate, now),
            Versions::Dtls13 => Dtls::new_13(config, certificate, now),
            Versions::Any => Dtls::new_auto(config, certificate, now),
        };
        if role == Role::Client {
            dtls.set_active(true);
        }
        Ok(dtls)
    }
}

impl Settings {
    fn check(&self) -> Result<(), DtlsError> {
        let within = |what, least: u64, most: u64, got: u64| match (least..=most).contains(&got) {
            true => Ok(()),
            false => Err(DtlsError::Setting { what, least, most, got }),
        };
        let ms = |duration: Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
        within("an MTU in bytes", 300, DATAGRAM_LEN_MAX as u64, self.mtu_bytes as u64)?;
        within("a deadline in ms", 100, 600_000, ms(self.deadline))?;
        within("an attempt's time in ms", 100, 600_000, ms(self.attempt))?;
        within("a retransmission's time in ms", 20, 10_000, ms(self.retransmit_after))
    }

    fn to_library(self, role: Role, crypto: Option<(CryptoProvider, u64)>) -> Result<Arc<Config>, DtlsError> {
        let builder = Config::builder()
            .mtu(self.mtu_bytes)
            .max_queue_rx(RECORDS_MAX)
            .max_queue_tx(DATAGRAMS_MAX)
            // Without the client's certificate there is no fingerprint to know it by.
            .require_client_certificate(true)
            .use_server_cookie(self.asks_for_cookie)
            .flight_start_rto(self.retransmit_after)
            .flight_retries(RETRIES)
            // A server has nothing to begin anew without the client, which may think itself done.
            .handshake_timeout(if role == Role::Client { self.attempt } else { self.deadline });
        let builder = match crypto {
            None => builder,
            Some((provider, seed)) => builder.with_crypto_provider(provider).dangerously_set_rng_seed(seed),
        };
        builder.build().map(Arc::new).map_err(|error| DtlsError::Handshake { why: error.to_string() })
    }
}

impl fmt::Debug for DtlsConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DtlsConfig")
            .field("certificate", &self.certificate)
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
}
