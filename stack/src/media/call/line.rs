//! One line of a call: its sockets, its transport and its stream, from its first description to its end.

use super::{CallError, CallSetup, ContentMaker};
use crate::dtls::Role;
use crate::media::codec::{AudioCodec, G711, Law};
use crate::media::description::{Agreed, AgreedFormat, KeyChange, Transport as Agreement};
use crate::media::stream::{Sockets, Stream, StreamConfig, StreamError, TaskStream};
use crate::media::transport::{ClearTransport, DtlsTransport, Peer, Reaction, SdesTransport, Transport};
use sim::sync::Arc;
use sim::time::Instant;

/// One line, as this side has it.
pub(super) struct Line {
    pub(super) ssrc: u32,
    pub(super) samples_per_tick: u32,
    sockets: Sockets,
    /// Makes what the stream carries, when its format is known.
    maker: Option<ContentMaker>,
    running: Option<Running>,
}

/// A line that was agreed.
#[derive(Clone)]
pub(super) struct Running {
    pub(super) stream: TaskStream,
    keying: Keying,
}

/// What keys the stream.
#[derive(Clone)]
enum Keying {
    Clear(Arc<ClearTransport>),
    Sdes(Arc<SdesTransport>),
    Dtls(Arc<DtlsTransport>),
}

impl Keying {
    fn transport(&self) -> Arc<dyn Transport> {
        match self {
            Keying::Clear(transport) => Arc::clone(transport) as Arc<dyn Transport>,
            Keying::Sdes(transport) => Arc::clone(transport) as Arc<dyn Transport>,
            Keying::Dtls(transport) => Arc::clone(transport) as Arc<dyn Transport>,
        }
    }
}

impl Line {
    pub(super) fn new(ssrc: u32, samples_per_tick: u32, sockets: Sockets, maker: ContentMaker) -> Self {
        Line { ssrc, samples_per_tick, sockets, maker: Some(maker), running: None }
    }

    /// Goes on as was agreed: the stream begins, or what it is and how it is keyed changes.
    pub(super) fn agree(&mut self, setup: &CallSetup, agreed: &Agreed, number: u64) -> Result<(), CallError> {
        let now = Instant::now();
        let peer = Peer { rtp: agreed.remote_rtp(), rtcp: agreed.remote_rtcp() };
        let before = self.running.as_ref().map(|running| &running.keying);
        let (keying, reaction) = key(setup, before, agreed.transport(), peer, number, now)?;
        match &mut self.running {
            None => self.begin(setup, agreed, keying, reaction, now),
            Some(running) => {
                let stream = running.stream.stream();
                let (is, was) = (keying.transport(), running.keying.transport());
                if !Arc::ptr_eq(&is, &was) {
                    stream.set_transport(is)?;
                    let last = was.close(now);
                    running.stream.react(last);
                }
                running.keying = keying;
                stream.set_direction(agreed.direction(), now);
                running.stream.react(reaction);
                Ok(())
            }
        }
    }

    fn begin(
        &mut self,
        setup: &CallSetup,
        agreed: &Agreed,
        keying: Keying,
        reaction: Reaction,
        now: Instant,
    ) -> Result<(), CallError> {
        let format = agreed.formats().iter().find(|format| format.sending.is_media());
        // A line without one is refused before.
        let Some(format) = format else { return Err(CallError::NoCodec { format: "none".to_owned() }) };
        let Some(maker) = self.maker.take() else { return Err(CallError::Ended) };
        let content = maker(agreed.kind(), format, self.samples_per_tick)?;
        let config = StreamConfig {
            ssrc: self.ssrc,
            cname: setup.cname.clone(),
            direction: agreed.direction(),
            sending_payload_type: format.sending.payload_type(),
            receiving_payload_type: format.receiving.payload_type(),
            rate_hz: format.sending.clock_rate_hz(),
            samples_per_tick: self.samples_per_tick,
            ..setup.stream.clone()
        };
        let stream = Stream::new(config, &content, keying.transport(), now)?;
        let stream = TaskStream::start(stream, content, self.sockets.clone())?;
        stream.react(reaction);
        self.running = Some(Running { stream, keying });
        Ok(())
    }

    /// Its stream and what keys it, if it was agreed.
    pub(super) fn running(&self) -> Option<Running> {
        self.running.clone()
    }

    /// It carries nothing any more.
    pub(super) fn forget(&mut self) {
        self.running = None;
    }
}

impl Running {
    /// Has new keys made, if that is this side's to begin. True if it was.
    pub(super) fn rekey(&self) -> Result<bool, CallError> {
        match &self.keying {
            Keying::Dtls(transport) if transport.role() == Role::Client => {
                self.stream.rekey(transport)?;
                Ok(true)
            }
            _ => Ok(false),
        }
    }
}

/// What keys a line from now on: what did, if that may go on, or another.
fn key(
    setup: &CallSetup,
    before: Option<&Keying>,
    agreement: &Agreement,
    peer: Peer,
    number: u64,
    now: Instant,
) -> Result<(Keying, Reaction), CallError> {
    match (agreement, before) {
        (Agreement::Clear, Some(Keying::Clear(transport))) => {
            transport.set_peer(peer);
            Ok((Keying::Clear(Arc::clone(transport)), Reaction::default()))
        }
        // The descriptions refuse that, and so does the stream.
        (Agreement::Clear, Some(_)) => Err(StreamError::ClearAfterSecure.into()),
        (Agreement::Clear, None) => Ok((Keying::Clear(Arc::new(ClearTransport::new(peer))), Reaction::default())),
        (Agreement::Sdes { change: KeyChange::Unchanged, .. }, Some(Keying::Sdes(transport))) => {
            transport.set_peer(peer);
            Ok((Keying::Sdes(Arc::clone(transport)), Reaction::default()))
        }
        (Agreement::Sdes { policy, sending, receiving, .. }, before) => {
            let transport = match before {
                Some(Keying::Sdes(transport)) => Arc::clone(transport),
                _ => Arc::new(SdesTransport::new(peer)),
            };
            transport.set_keys(policy, sending, receiving)?;
            transport.set_peer(peer);
            Ok((Keying::Sdes(transport), Reaction::default()))
        }
        (Agreement::Dtls { is_new: false, .. }, Some(Keying::Dtls(transport))) => {
            transport.set_peer(peer)?;
            Ok((Keying::Dtls(Arc::clone(transport)), Reaction::default()))
        }
        (Agreement::Dtls { role, fingerprints, .. }, Some(Keying::Dtls(transport))) => {
            let reaction = transport.renegotiate(*role, fingerprints.clone(), peer, number, now)?;
            Ok((Keying::Dtls(Arc::clone(transport)), reaction))
        }
        (Agreement::Dtls { role, fingerprints, .. }, _) => {
            let dtls = setup.dtls.as_ref().ok_or(CallError::NoCertificate)?;
            let (transport, reaction) = DtlsTransport::new(dtls, *role, fingerprints.clone(), peer, number, now)?;
            Ok((Keying::Dtls(Arc::new(transport)), reaction))
        }
    }
}

/// The codec of a format that is built in.
///
/// # Errors
/// [`CallError::NoCodec`].
pub fn built_in_codec(format: &AgreedFormat) -> Result<Box<dyn AudioCodec>, CallError> {
    let format = &format.sending;
    let law = match (format.encoding().to_ascii_uppercase().as_str(), format.clock_rate_hz(), format.channels()) {
        ("PCMU", 8000, 1) => Law::Mu,
        ("PCMA", 8000, 1) => Law::A,
        (name, rate_hz, channels) => return Err(CallError::NoCodec { format: format!("{name}/{rate_hz}/{channels}") }),
    };
    Ok(Box::new(G711::new(law)))
}
