//! A stream and its transport, shared.

use super::content::Content;
use super::core::{Play, StreamCore};
use super::report::{StreamEvent, StreamReport};
use super::{StreamConfig, StreamError};
use crate::buffer::Mbuf;
use crate::dtls::Protocol;
use crate::media::clock::Tick;
use crate::media::description::Direction;
use crate::media::transport::{Peer, Phase, Reaction, Received, Transport};
use crate::rtp::header;
use sim::sync::{Arc, Mutex};
use sim::time::Instant;
use std::net::SocketAddr;

/// A stream of media, shared and sans-IO: it is given datagrams, ticks and the time, and says what to send.
///
/// Clones are the same stream. Every method may be called from any thread at any time, the end included, and under any lock of the
/// caller's. Its one lock is held for moments, never while the transport works and never while an application's source or sink is
/// called: those belong to the [`Content`], which whoever ticks has for its own.
#[derive(Clone, Debug)]
pub struct Stream {
    shared: Arc<Mutex<State>>,
}

#[derive(Debug)]
struct State {
    core: StreamCore,
    transport: Arc<dyn Transport>,
}

/// What became of a datagram that came.
#[derive(Debug, Default)]
pub struct Taken {
    /// To be sent.
    pub outgoing: Vec<Outgoing>,
    /// The datagram is of this protocol, which is somebody else's.
    pub other: Option<Protocol>,
    /// Whether there are events, or something else is due.
    pub has_news: bool,
}

/// A datagram to be sent.
#[derive(Debug)]
pub struct Outgoing {
    /// Where to.
    pub to: SocketAddr,
    /// Its bytes, protected.
    pub bytes: Mbuf,
    /// Whether it goes out of the socket for RTCP, if that is another.
    pub is_rtcp: bool,
}

impl Stream {
    /// A stream of what `content` will be given and ask for.
    ///
    /// # Errors
    /// [`StreamError::Config`], [`StreamError::Jitter`].
    pub fn new(
        config: StreamConfig,
        content: &Content,
        transport: Arc<dyn Transport>,
        now: Instant,
    ) -> Result<Self, StreamError> {
        let core = StreamCore::new(config, content.is_sound(), now)?;
        Ok(Stream { shared: Arc::new(Mutex::new(State { core, transport })) })
    }

    /// What it was set up with.
    pub fn config(&self) -> StreamConfig {
        self.shared.lock().core.config().clone()
    }

    /// Its transport.
    pub fn transport(&self) -> Arc<dyn Transport> {
        Arc::clone(&self.shared.lock().transport)
    }

    /// Goes on with another transport. The one before is the caller's to close, and is returned.
    ///
    /// # Errors
    /// [`StreamError::ClearAfterSecure`]; [`StreamError::Ended`]. Then the stream has the one that it had.
    pub fn set_transport(&self, transport: Arc<dyn Transport>) -> Result<Arc<dyn Transport>, StreamError> {
        let mut state = self.shared.lock();
        if state.core.has_ended() {
            return Err(StreamError::Ended);
        }
        // What it lets by may be worse in two ways: without tags, and in clear.
        let is_worse = state.transport.is_secure() && !transport.is_secure();
        if is_worse || transport.require_encryption(state.transport.has_encrypted()).is_err() {
            return Err(StreamError::ClearAfterSecure);
        }
        Ok(std::mem::replace(&mut state.transport, transport))
    }

    /// Who sends from now on.
    pub fn set_direction(&self, direction: Direction, now: Instant) {
        self.shared.lock().core.set_direction(direction, now);
    }

    /// Who sends.
    pub fn direction(&self) -> Direction {
        self.shared.lock().core.direction()
    }

    /// Asks the peer for a whole picture.
    pub fn ask_for_key_frame(&self) {
        self.shared.lock().core.ask_for_key_frame();
    }

    /// One tick of the media clock: what has come is played, and what is to be sent is made. `content` is called with no lock held.
    pub fn tick(&self, content: &mut Content, tick: &Tick, now: Instant) -> Vec<Outgoing> {
        let (play, wanted, transport) = {
            let mut state = self.shared.lock();
            let play = state.core.play(now);
            (play, state.core.wants_frame(now, tick.timestamp_samples), Arc::clone(&state.transport))
        };
        // For what a hold leaves out nothing is called.
        let played = (!matches!(play, Play::Nothing)).then(|| content.play(play));
        // Its source goes on at its pace though nothing can be sent yet.
        let frames = wanted.map(|wants_key_frame| content.frame(wants_key_frame));
        let is_open = transport.phase() == Phase::Open;
        let mut packets = Vec::new();
        {
            let mut state = self.shared.lock();
            if let Some(played) = played {
                state.core.count(|report| played.count(report));
            }
            match &frames {
                Some(Ok(frames)) if is_open && !frames.is_empty() => {
                    for (payload, marker) in frames.iter() {
                        if let Ok(Some(packet)) = state.core.packet(payload, *marker) {
                            packets.push((packet, payload.len()));
                        }
                    }
                }
                Some(Err(_)) => state.core.count(|report| report.unencoded += 1),
                _ => state.core.pause(wanted == Some(true)),
            }
        }
        self.protect(&*transport, packets)
    }

    /// Takes a datagram that came `from` there.
    ///
    /// # Errors
    /// [`StreamError`]: the datagram is dropped and counted.
    pub fn receive(&self, from: SocketAddr, datagram: &mut Mbuf, now: Instant) -> Result<Taken, StreamError> {
        let transport = {
            let mut state = self.shared.lock();
            if state.core.has_ended() {
                state.core.count(|report| report.refused += 1);
                return Err(StreamError::Ended);
            }
            Arc::clone(&state.transport)
        };
        let received = match transport.receive(from, datagram, now) {
            Ok(received) => received,
            Err(error) => {
                self.shared.lock().core.count(|report| report.refused += 1);
                return Err(error.into());
            }
        };
        match received {
            Received::Rtp => self.take(|core| core.receive_rtp(datagram.bytes(), now)),
            Received::Rtcp => self.take(|core| core.receive_rtcp(datagram.bytes(), now)),
            Received::Handled(reaction) => {
                self.shared.lock().core.hear(now);
                Ok(Taken { outgoing: self.react(reaction), other: None, has_news: true })
            }
            Received::Other(protocol) => Ok(Taken { other: Some(protocol), ..Taken::default() }),
        }
    }

    fn take(&self, take: impl FnOnce(&mut StreamCore) -> Result<(), StreamError>) -> Result<Taken, StreamError> {
        let mut state = self.shared.lock();
        let before = state.core.next_due();
        take(&mut state.core)?;
        let has_news =
            state.core.has_events() || state.core.next_due().is_some_and(|due| before.is_none_or(|before| due < before));
        Ok(Taken { has_news, ..Taken::default() })
    }

    /// What follows from what the transport was asked from outside.
    pub fn react(&self, reaction: Reaction) -> Vec<Outgoing> {
        if !reaction.events.is_empty() {
            let mut state = self.shared.lock();
            reaction.events.into_iter().for_each(|event| state.core.tell(StreamEvent::Transport(event)));
        }
        let to = reaction.to;
        let outgoing = |datagram: Vec<u8>| to.map(|to| Outgoing { to, bytes: Mbuf::copy_of(&datagram, 0, 0), is_rtcp: false });
        reaction.datagrams.into_iter().filter_map(outgoing).collect()
    }

    /// Does what is due.
    pub fn handle_timeout(&self, now: Instant) -> Vec<Outgoing> {
        let (report, transport) = {
            let mut state = self.shared.lock();
            let is_open = state.transport.phase() == Phase::Open;
            // A report that cannot be protected would be lost, and the next one late.
            let report = if is_open { state.core.handle_timeout(now) } else { None };
            (report, Arc::clone(&state.transport))
        };
        let mut outgoing = match transport.next_due().is_some_and(|due| due <= now) {
            true => self.react(transport.handle_timeout(now)),
            false => Vec::new(),
        };
        outgoing.extend(report.and_then(|report| protect_rtcp(&*transport, report)));
        outgoing
    }

    /// When [`Stream::handle_timeout`] is to be called at the latest; nothing once it has ended.
    pub fn next_due(&self) -> Option<Instant> {
        let (core, transport) = {
            let state = self.shared.lock();
            (state.core.next_due()?, Arc::clone(&state.transport))
        };
        let own = (transport.phase() == Phase::Open).then_some(core);
        own.into_iter().chain(transport.next_due()).min()
    }

    /// Ends it, and its transport: nothing is taken and nothing made from now on. What is to be said last is to be sent. The second
    /// time nothing happens.
    pub fn end(&self, now: Instant) -> Vec<Outgoing> {
        let (bye, transport) = {
            let mut state = self.shared.lock();
            (state.core.end(now), Arc::clone(&state.transport))
        };
        // Who ends it closes the transport too: another would close it before the last word is protected.
        let Some(bye) = bye else { return Vec::new() };
        let mut outgoing: Vec<_> = bye.and_then(|bye| protect_rtcp(&*transport, bye)).into_iter().collect();
        outgoing.extend(self.react(transport.close(now)));
        outgoing
    }

    /// Whether it has ended.
    pub fn has_ended(&self) -> bool {
        self.shared.lock().core.has_ended()
    }

    /// What has become of it, if nobody was told yet.
    pub fn next_event(&self) -> Option<StreamEvent> {
        self.shared.lock().core.next_event()
    }

    /// What was counted.
    pub fn report(&self) -> StreamReport {
        let (report, transport) = {
            let state = self.shared.lock();
            (state.core.report(), Arc::clone(&state.transport))
        };
        StreamReport { transport: transport.counters(), ..report }
    }

    /// A datagram could not be sent, as the system says.
    pub(super) fn lose(&self) {
        self.shared.lock().core.sent(None);
    }

    fn protect(&self, transport: &dyn Transport, packets: Vec<(Mbuf, usize)>) -> Vec<Outgoing> {
        if packets.is_empty() {
            return Vec::new();
        }
        let Peer { rtp: to, .. } = transport.peer();
        let mut outgoing = Vec::with_capacity(packets.len());
        let mut sent = Vec::with_capacity(packets.len());
        for (mut bytes, payload_len) in packets {
            debug_assert!(header::parse(bytes.bytes()).is_ok(), "what was written is RTP");
            let protected = transport.protect(&mut bytes).is_ok();
            sent.push(protected.then_some(payload_len));
            if protected {
                outgoing.push(Outgoing { to, bytes, is_rtcp: false });
            }
        }
        let mut state = self.shared.lock();
        sent.into_iter().for_each(|payload_len| state.core.sent(payload_len));
        outgoing
    }
}

fn protect_rtcp(transport: &dyn Transport, mut bytes: Mbuf) -> Option<Outgoing> {
    transport.protect(&mut bytes).ok()?;
    Some(Outgoing { to: transport.peer().rtcp, bytes, is_rtcp: true })
}
