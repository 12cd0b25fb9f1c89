//! The media of a call, from one side: lines that are offered and answered, streams that begin, change, are held and end.
//!
//! The signalling is somebody else's: it carries the descriptions of [`MediaCall::offer`] and [`MediaCall::answer`] to the other side,
//! and tells when the call is over. The same code runs in production on tokio, on turmoil, and under shuttle.

mod error;
mod line;

pub use error::CallError;
pub use line::built_in_codec;

use crate::dtls::DtlsConfig;
use crate::media::description::{
    self, AgreedFormat, Description, Direction, Format, Kind, Local, LocalStream, MEDIA_MAX, Negotiated, Security, accept_answer,
};
use crate::media::stream::{Content, Sockets, StreamConfig, StreamError, StreamReport, TaskStream};
use line::Line;
use sim::net::UdpSocket;
use sim::sync::asynchronous::Notify;
use sim::sync::{Arc, Mutex};
use sim::time::Instant;
use std::fmt;
use std::future::{Future, poll_fn};
use std::net::{IpAddr, SocketAddr};
use std::task::Poll;
use std::time::Duration;

/// What all lines of a call share.
#[derive(Clone, Debug)]
pub struct CallSetup {
    /// Our canonical name: one for all lines, so that they are played in step (RFC 3550 section 6.5.1).
    pub cname: String,
    /// What DTLS is done with, if it may be.
    pub dtls: Option<DtlsConfig>,
    /// What streams are set up with, but for what is said of each line.
    pub stream: StreamConfig,
    /// The first number of this call's associations among those of its configuration: see [`Crypto`](crate::dtls::Crypto).
    pub first_association: u64,
}

impl Default for CallSetup {
    fn default() -> Self {
        CallSetup { cname: "glare".to_owned(), dtls: None, stream: StreamConfig::default(), first_association: 0 }
    }
}

/// What a line is to be.
#[derive(Clone, Debug)]
pub struct LineSetup {
    /// What it carries.
    pub kind: Kind,
    /// In which formats, the preferred first.
    pub formats: Vec<Format>,
    /// How it may be protected.
    pub security: Security,
    /// The timestamps from one tick to the next.
    pub samples_per_tick: u32,
    /// Who sends.
    pub direction: Direction,
    /// The port, or 0 for any.
    pub port: u16,
}

/// Makes what a line carries, once its format is agreed: of which kind, in which format, and how many timestamps a tick has. It is
/// called with no lock held, in the call of [`MediaCall::answer`] or [`MediaCall::accept`].
pub type ContentMaker = Box<dyn FnOnce(Kind, &AgreedFormat, u32) -> Result<Content, CallError> + Send>;

/// The media of a call, from one side.
///
/// Clones are the same call. Everything may be called from anywhere, any number of times, crossed; what cannot be done at this moment
/// is a typed error. The call's one lock is held for moments, never while something is awaited or an application's code is called.
#[derive(Clone)]
pub struct MediaCall {
    shared: Arc<Shared>,
}

struct Shared {
    setup: CallSetup,
    session_id: u64,
    address: IpAddr,
    state: Mutex<State>,
    /// Who hangs up waits here until what was agreed is done.
    applied: Notify,
}

struct State {
    local: Local,
    /// One for each line of `local`; nothing where that is somebody else's.
    lines: Vec<Option<Line>>,
    negotiation: Negotiation,
    has_ended: bool,
    associations: u64,
    /// Every stream that was begun.
    streams: Vec<TaskStream>,
}

/// Whose turn it is (RFC 3264 section 4).
#[derive(Clone, Debug, PartialEq, Eq)]
enum Negotiation {
    Stable,
    /// Our offer has no answer yet.
    Offered(Box<Description>),
    /// What was agreed is being done.
    Applying,
}

impl Negotiation {
    fn expected(&self) -> &'static str {
        match self {
            Negotiation::Stable => "an offer",
            Negotiation::Offered(_) => "the answer to our offer",
            Negotiation::Applying => "that what was agreed is done",
        }
    }
}

/// What was counted in a call: a report of each line that was agreed, or why its stream could not be stopped in time.
pub type CallReport = Vec<Result<StreamReport, StreamError>>;

impl MediaCall {
    /// A call without lines, at this address. `session_id` names its descriptions: a number that no other of this address has.
    ///
    /// # Errors
    /// None as yet; there are no lines that could be too many.
    pub fn new(setup: CallSetup, session_id: u64, address: IpAddr) -> Result<Self, CallError> {
        let state = State {
            local: Local::new(session_id, address, Vec::new())?,
            lines: Vec::new(),
            negotiation: Negotiation::Stable,
            has_ended: false,
            associations: setup.first_association,
            streams: Vec::new(),
        };
        Ok(MediaCall {
            shared: Arc::new(Shared { setup, session_id, address, state: Mutex::new(state), applied: Notify::new() }),
        })
    }

    /// Adds a line, which the next offer has, and which answers the first line of its kind of the next offer of the other side's.
    ///
    /// # Errors
    /// [`CallError::Stream`] if there is no socket, [`CallError::Description`] of too many lines or formats that are none,
    /// [`CallError::Port`], [`CallError::Ended`].
    pub async fn add(&self, line: LineSetup, maker: ContentMaker) -> Result<(), CallError> {
        let at = SocketAddr::new(self.shared.address, line.port);
        let broken = |error: std::io::Error| StreamError::Socket { address: at.to_string(), why: error.to_string() };
        let socket = UdpSocket::bind(at).await.map_err(broken)?;
        let bound = socket.local_addr().map_err(broken)?;
        // Two sides that draw the same have different ones all the same.
        let own = self.shared.session_id.wrapping_mul(MEDIA_MAX as u64).wrapping_add(self.shared.state.lock().lines.len() as u64);
        let ssrc = (sim::rand::below(u64::from(u32::MAX)).wrapping_add(own) % u64::from(u32::MAX)) as u32 + 1;
        let got = bound;
        let mut local = LocalStream::new(line.kind, bound, line.formats, line.security).map_err(|error| match bound.port() {
            u16::MAX => CallError::Port { got },
            _ => error.into(),
        })?;
        local = local.with_source(ssrc, &self.shared.setup.cname)?;
        local.set_direction(line.direction);
        let line = Line::new(ssrc, line.samples_per_tick, Sockets::muxed(socket), maker);
        let mut state = self.shared.state.lock();
        if state.has_ended {
            return Err(CallError::Ended);
        }
        if state.negotiation != Negotiation::Stable {
            return Err(CallError::OutOfTurn { expected: state.negotiation.expected(), got: "another line" });
        }
        state.local.add(local)?;
        state.lines.push(Some(line));
        Ok(())
    }

    /// Who is to send on a line, as the next offer or answer says: how a call is held, and taken back.
    ///
    /// # Errors
    /// [`CallError::NoSuchLine`].
    pub fn set_direction(&self, line: usize, direction: Direction) -> Result<(), CallError> {
        self.change(line, |stream| stream.set_direction(direction))
    }

    /// Has the next offer or answer say other keys for a line, or ask for another association.
    ///
    /// # Errors
    /// [`CallError::NoSuchLine`].
    pub fn renew_keys(&self, line: usize) -> Result<(), CallError> {
        self.change(line, LocalStream::renew_keys)
    }

    /// An offer of all lines, which is to be answered before another can be made.
    ///
    /// # Errors
    /// [`CallError::OutOfTurn`], [`CallError::Ended`], [`CallError::Description`].
    pub fn offer(&self) -> Result<Description, CallError> {
        let mut state = self.shared.state.lock();
        state.expect_going()?;
        if state.negotiation != Negotiation::Stable {
            return Err(CallError::OutOfTurn { expected: state.negotiation.expected(), got: "an offer of ours" });
        }
        let offer = state.local.offer()?;
        state.negotiation = Negotiation::Offered(Box::new(offer.clone()));
        Ok(offer)
    }

    /// Our offer was refused, or has met another: all is as it was before it.
    pub fn take_back_offer(&self) {
        let mut state = self.shared.state.lock();
        if matches!(state.negotiation, Negotiation::Offered(_)) {
            state.negotiation = Negotiation::Stable;
        }
    }

    /// Answers the other side's offer, and does what follows from it.
    ///
    /// # Errors
    /// [`CallError::Glare`], [`CallError::OutOfTurn`], [`CallError::Ended`], [`CallError::Description`] of an offer that is none: then
    /// nothing changes. What a line's stream or transport refuses is an error too; the other lines go on as was agreed.
    pub fn answer(&self, offer: &Description) -> Result<Description, CallError> {
        let (answer, negotiated, lines) = {
            let mut state = self.shared.state.lock();
            state.expect_going()?;
            match &state.negotiation {
                Negotiation::Stable => {}
                Negotiation::Offered(_) => return Err(CallError::Glare),
                other => return Err(CallError::OutOfTurn { expected: other.expected(), got: "an offer" }),
            }
            let (answer, negotiated) = description::answer(offer, &state.local)?;
            let lines = state.begin_applying(&negotiated);
            (answer, negotiated, lines)
        };
        self.apply(&negotiated, lines)?;
        Ok(answer)
    }

    /// Takes the answer to our offer, and does what follows from it.
    ///
    /// # Errors
    /// [`CallError::OutOfTurn`], [`CallError::Ended`], [`CallError::Description`] of an answer that is none: then the offer still waits
    /// for one. Else as [`MediaCall::answer`].
    pub fn accept(&self, answer: &Description) -> Result<(), CallError> {
        let (negotiated, lines) = {
            let mut state = self.shared.state.lock();
            state.expect_going()?;
            let Negotiation::Offered(offer) = &state.negotiation else {
                return Err(CallError::OutOfTurn { expected: state.negotiation.expected(), got: "an answer" });
            };
            let negotiated = accept_answer(offer, answer, &state.local)?;
            let lines = state.begin_applying(&negotiated);
            (negotiated, lines)
        };
        self.apply(&negotiated, lines)
    }

    /// Waits until packets can pass on every line that was agreed.
    ///
    /// # Errors
    /// [`CallError::Stream`] of the first that fails, or does not come so far in time.
    pub async fn opened(&self, within: Duration) -> Result<(), CallError> {
        let deadline = Instant::now() + within;
        for stream in self.streams() {
            stream.opened(deadline.saturating_duration_since(Instant::now())).await?;
        }
        Ok(())
    }

    /// Has new keys made on every line whose keys are this side's to renew: those keyed by DTLS of which it is the client. Returns how
    /// many those are. Keys of the signalling are renewed by an offer: see
    /// [`MediaCall::renew_keys`].
    ///
    /// # Errors
    /// [`CallError::OutOfTurn`] while what was agreed is being done; [`CallError::Stream`] of the first that refuses.
    pub fn rekey(&self) -> Result<usize, CallError> {
        let running: Vec<_> = {
            let state = self.shared.state.lock();
            if state.negotiation == Negotiation::Applying {
                return Err(CallError::OutOfTurn { expected: state.negotiation.expected(), got: "a rekeying" });
            }
            state.lines.iter().flatten().filter_map(Line::running).collect()
        };
        let mut count = 0;
        for line in running {
            count += usize::from(line.rekey()?);
        }
        Ok(count)
    }

    /// The streams that were begun and go on, in the order in which they were.
    pub fn streams(&self) -> Vec<TaskStream> {
        let streams = self.shared.state.lock().streams.clone();
        streams.into_iter().filter(|stream| !stream.stream().has_ended()).collect()
    }

    /// Whether it has ended.
    pub fn has_ended(&self) -> bool {
        self.shared.state.lock().has_ended
    }

    /// Ends the call with the call: every stream has said its last word. When the future is ready nothing of the call's goes on: see
    /// [`TaskStream::stop`]. The second time it waits as the first does. A future that is dropped has ended the call all the same.
    pub fn hang_up(&self) -> impl Future<Output = CallReport> + Send + use<> {
        let shared = Arc::clone(&self.shared);
        let streams = {
            let mut state = shared.state.lock();
            state.has_ended = true;
            state.streams.clone()
        };
        let mut stopping: Vec<_> = streams.iter().map(TaskStream::stop).collect();
        async move {
            // What is begun beside this is begun by somebody who waits for nothing, and is ended there.
            loop {
                sim::select! {
                    () = shared.applied.notified() => {}
                    () = poll_fn(|_| shared.state.lock().is_applied()) => break,
                }
            }
            let late = shared.state.lock().streams.split_off(streams.len());
            stopping.extend(late.iter().map(TaskStream::stop));
            let mut reports = Vec::new();
            for stopping in stopping {
                reports.push(stopping.await);
            }
            reports
        }
    }

    /// Does what was agreed, with no lock held: contents are made here.
    fn apply(&self, negotiated: &Negotiated, mut lines: Vec<Option<Line>>) -> Result<(), CallError> {
        let mut result = Ok(());
        for (line, negotiated) in lines.iter_mut().zip(negotiated.lines()) {
            let Some(own) = line.as_mut() else { continue };
            let before = own.running();
            match negotiated.agreed() {
                Ok(agreed) => {
                    let agreed = own.agree(&self.shared.setup, agreed, self.next_association());
                    result = result.and(agreed);
                }
                Err(_) => {
                    // What carried it has nobody to talk to any more.
                    own.forget();
                    if let Some(before) = &before {
                        before.stream.request_stop();
                    }
                }
            }
            if let (None, Some(begun)) = (before, own.running()) {
                self.shared.state.lock().streams.push(begun.stream);
            }
        }
        let mut state = self.shared.state.lock();
        (state.lines, state.negotiation) = (lines, Negotiation::Stable);
        let (has_ended, streams) = (state.has_ended, state.streams.clone());
        drop(state);
        self.shared.applied.notify_waiters();
        if has_ended {
            // Who hung up meanwhile may not have seen all of them.
            streams.iter().for_each(TaskStream::request_stop);
            return Err(CallError::Ended);
        }
        result
    }

    fn change(&self, line: usize, change: impl FnOnce(&mut LocalStream)) -> Result<(), CallError> {
        let mut state = self.shared.state.lock();
        let expected = state.local.streams_mut().count();
        change(state.local.streams_mut().nth(line).ok_or(CallError::NoSuchLine { expected, got: line })?);
        Ok(())
    }

    fn next_association(&self) -> u64 {
        let mut state = self.shared.state.lock();
        state.associations = state.associations.wrapping_add(1);
        state.associations
    }
}

impl State {
    fn is_applied(&self) -> Poll<()> {
        if self.negotiation == Negotiation::Applying { Poll::Pending } else { Poll::Ready(()) }
    }

    fn expect_going(&self) -> Result<(), CallError> {
        if self.has_ended { Err(CallError::Ended) } else { Ok(()) }
    }

    /// What was agreed holds from now on; the lines, in the order that they have in it, are lent until it is done.
    fn begin_applying(&mut self, negotiated: &Negotiated) -> Vec<Option<Line>> {
        self.local.settle(negotiated);
        self.negotiation = Negotiation::Applying;
        let mut before = std::mem::take(&mut self.lines);
        let mut lines: Vec<Option<Line>> =
            negotiated.lines().iter().map(|line| line.local.and_then(|at| before.get_mut(at)).and_then(Option::take)).collect();
        lines.extend(before.into_iter().flatten().map(Some));
        lines
    }
}

impl fmt::Debug for MediaCall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.shared.state.lock();
        let mut debug = f.debug_struct("MediaCall");
        debug.field("lines", &state.lines.len()).field("negotiation", &state.negotiation.expected());
        debug.field("has_ended", &state.has_ended).finish_non_exhaustive()
    }
}
