//! Our own DTLS, set up for a driver: a client whose handshake is the same bytes in every run, the server that it talks to, and what is
//! known of their datagrams without keys.

use crate::dtls_crypto::{Seeded, certificate};
use sim::invariant;
use sim::time::{Duration, Instant};
use stack::buffer::Mbuf;
use stack::dtls::{Action, Association, DtlsConfig, FingerprintHash, Fingerprints, Keys, Role, Settings, Versions};
use stack::media::transport::{DtlsTransport, Peer, Reaction, Received, Transport, TransportEvent};
use stack::srtp::{Receiver, Sender};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, LazyLock};

/// What a thread needs that shakes hands: loom's own have less.
pub(crate) const STACK_BYTES: usize = 1024 * 1024;
/// How long a side waits before it sends a flight again, and more: a handshake's time stands still but for that.
pub(crate) const PAST_TIMEOUT: Duration = Duration::from_millis(300);

/// When a driver's handshakes begin.
pub(crate) fn beginning() -> Instant {
    Instant::from_origin(Duration::from_secs(1))
}

/// Where the peer of this number is.
pub(crate) fn address(number: u64) -> SocketAddr {
    SocketAddr::from((Ipv4Addr::new(192, 0, 2, number as u8), 5_004))
}

/// The side of this role, whose associations are of DTLS 1.3.
pub(crate) fn config(role: Role) -> &'static DtlsConfig {
    static CONFIGS: LazyLock<[DtlsConfig; 2]> = LazyLock::new(|| {
        [Role::Client, Role::Server].map(|role| {
            let mut settings = Settings::default();
            settings.versions = Versions::Dtls13;
            DtlsConfig::with_crypto(certificate(role), settings, Arc::new(Seeded)).expect("the settings are within their bounds")
        })
    });
    &CONFIGS[usize::from(role == Role::Server)]
}

/// What the side of this role is known by.
pub(crate) fn fingerprints(role: Role) -> Fingerprints {
    config(role).certificate().fingerprint(FingerprintHash::Sha256).into()
}

/// A client of the peer of this number, and its first flight.
pub(crate) fn client(number: u64) -> (DtlsTransport, Reaction) {
    let peer = Peer::muxed(address(number));
    let made = DtlsTransport::new(config(Role::Client), Role::Client, fingerprints(Role::Server), peer, number, beginning());
    made.expect("the peer has one port")
}

/// A client with keys, and its peer, which has them too and has been told so, or else waits for the client's last flight.
pub(crate) fn keyed_client(number: u64, is_heard: bool) -> (DtlsTransport, Far) {
    let (client, hello) = client(number);
    let mut far = Far::new(Role::Server, number);
    let flight = far.hear(&hello.datagrams);
    let last = give(&client, number, &flight);
    if is_heard {
        let confirmation = far.hear(&last.datagrams);
        let rest = give(&client, number, &confirmation);
        far.hear(&rest.datagrams);
    }
    (client, far)
}

/// The peer of this number sends these.
pub(crate) fn give(client: &DtlsTransport, number: u64, datagrams: &[Vec<u8>]) -> Reaction {
    let mut all = Reaction::default();
    for datagram in datagrams {
        if let Ok(Received::Handled(reaction)) = client.receive(address(number), &mut Mbuf::copy_of(datagram, 0, 0), beginning())
        {
            all.datagrams.extend(reaction.datagrams);
            all.events.extend(reaction.events);
            all.to = all.to.or(reaction.to);
        }
    }
    all
}

/// Whether one of the events says that there are keys.
pub(crate) fn is_keyed(reaction: &Reaction) -> bool {
    reaction.events.iter().any(|event| matches!(event, TransportEvent::Keyed { .. }))
}

/// The other side of a handshake. It belongs to one thread, and no engine sees it.
pub(crate) struct Far {
    association: Association,
    now: Instant,
    keys: Vec<Keys>,
    pub(crate) is_closed: bool,
}

impl Far {
    pub(crate) fn new(role: Role, number: u64) -> Self {
        let other = if role == Role::Server { Role::Client } else { Role::Server };
        let association = Association::new(config(role), role, fingerprints(other), number, beginning());
        Far { association, now: beginning(), keys: Vec::new(), is_closed: false }
    }

    /// Takes these, and says what it answers.
    pub(crate) fn hear(&mut self, datagrams: &[Vec<u8>]) -> Vec<Vec<u8>> {
        datagrams.iter().for_each(|datagram| self.association.handle_datagram(datagram, self.now));
        self.say()
    }

    /// Has heard nothing for a while, and says what it sends again.
    pub(crate) fn wait(&mut self) -> Vec<Vec<u8>> {
        self.now += PAST_TIMEOUT;
        self.association.handle_timeout(self.now);
        self.say()
    }

    /// What it has to say. A client's first flight is there at once.
    pub(crate) fn say(&mut self) -> Vec<Vec<u8>> {
        let mut datagrams = Vec::new();
        while let Some(action) = self.association.poll() {
            match action {
                Action::Transmit(datagram) => datagrams.push(datagram),
                Action::Keyed(keys) => self.keys.push(keys),
                Action::Closed => self.is_closed = true,
                other => sim::violated(format!("the far side says {other:?}")),
            }
        }
        datagrams
    }

    /// Whether any of its keys is that of an SRTP packet, which then is in clear.
    pub(crate) fn unprotects(&self, packet: &[u8]) -> Option<Vec<u8>> {
        self.keys.iter().rev().find_map(|keys| {
            let policy = keys.policy().expect("what is agreed on has a policy");
            let mut receiver = Receiver::new(policy, std::slice::from_ref(keys.receiving())).expect("the keys are for it");
            let mut packet = Mbuf::copy_of(packet, 0, 0);
            receiver.unprotect(&mut packet).is_ok().then(|| packet.bytes().to_vec())
        })
    }

    /// A packet of its own under its last keys, if it has any.
    pub(crate) fn protect(&self, packet: &[u8]) -> Option<Vec<u8>> {
        let keys = self.keys.last()?;
        let policy = keys.policy().expect("what is agreed on has a policy");
        let mut sender = Sender::new(policy, std::slice::from_ref(keys.sending())).expect("the keys are for it");
        let mut packet = Mbuf::copy_of(packet, 0, 0);
        sender.protect(&mut packet).expect("a new key protects a packet");
        Some(packet.bytes().to_vec())
    }
}

/// A datagram is one record after another, each whole, and nothing behind the last (RFC 6347 section 4.1, RFC 9147 section 4).
pub(crate) fn expect_whole(datagram: &[u8]) {
    const HEADER_LEN: usize = 13;
    let length = |at: usize| datagram.get(at..at + 2).map(|two| usize::from(u16::from_be_bytes([two[0], two[1]])));
    let mut at = 0;
    while at < datagram.len() {
        let (header_len, body_len) = match datagram[at] {
            // Change of cipher, alert, handshake, application data, acknowledgement.
            20..=23 | 26 => (HEADER_LEN, length(at + HEADER_LEN - 2)),
            // Encrypted, with no connection id: a sequence number of one byte or two, and a length, or else the rest of the datagram.
            first @ 0x20..=0x2f => {
                let number_len = if first & 0x08 == 0 { 1 } else { 2 };
                match first & 0x04 == 0 {
                    true => (1 + number_len, datagram.len().checked_sub(at + 1 + number_len)),
                    false => (3 + number_len, length(at + 1 + number_len)),
                }
            }
            other => sim::violated(format!("expected a record at {at} of {}, got a first byte {other}", datagram.len())),
        };
        let end = body_len.map(|body_len| at + header_len + body_len).filter(|end| *end <= datagram.len());
        invariant!(
            end.is_some(),
            "expected a whole record at {at}, got {} bytes of {header_len} and {body_len:?}",
            datagram.len() - at
        );
        at = end.unwrap_or(usize::MAX);
    }
}
