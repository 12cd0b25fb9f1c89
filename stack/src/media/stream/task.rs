//! A stream on tasks: a clock that ticks, and a task that reads the socket and keeps time.

use super::{Content, Outgoing, Stream, StreamError, StreamEvent, StreamReport};
use crate::buffer::Mbuf;
use crate::buffer::pool::Pool;
use crate::media::clock::{CatchUp, ClockConfig, ClockCounters, TaskClock};
use crate::media::transport::{DtlsTransport, Phase, Reaction};
use sim::net::UdpSocket;
use sim::sync::asynchronous::Notify;
use sim::sync::{Arc, Mutex};
use sim::task;
use sim::time::{self, Instant};
use std::fmt;
use std::future::{Future, poll_fn};
use std::net::SocketAddr;
use std::task::Poll;
use std::time::Duration;

/// The longest datagram that is read, in bytes; what is longer is cut, and then refused.
const DATAGRAM_LEN_MAX: usize = 2048;
/// So many datagrams are taken one after the other before others have their turn.
const DATAGRAMS_AT_ONCE: u32 = 64;
/// The pool of the clock's record.
const CLOCK_POOL_BYTES: usize = 1024;

/// Where a stream's packets come in and go out.
#[derive(Clone, Debug)]
pub struct Sockets {
    /// For RTP; and for RTCP, unless that has its own.
    pub rtp: Arc<UdpSocket>,
    /// For RTCP, where it has a port of its own.
    pub rtcp: Option<Arc<UdpSocket>>,
}

impl Sockets {
    /// One socket for both (RFC 5761).
    pub fn muxed(socket: UdpSocket) -> Self {
        Sockets { rtp: Arc::new(socket), rtcp: None }
    }

    /// Two neighbouring ports of which the first is even (RFC 3550 section 11), at this address.
    ///
    /// # Errors
    /// [`StreamError::Socket`] if there are none in so many tries.
    pub async fn pair(address: std::net::IpAddr) -> Result<Self, StreamError> {
        const TRIES: u32 = 64;
        for _ in 0..TRIES {
            let rtp = bind(SocketAddr::new(address, 0)).await?;
            let port = rtp.local_addr().map_err(|error| refused(address, &error))?.port();
            if port.is_multiple_of(2)
                && let Ok(rtcp) = UdpSocket::bind(SocketAddr::new(address, port + 1)).await
            {
                return Ok(Sockets { rtp: Arc::new(rtp), rtcp: Some(Arc::new(rtcp)) });
            }
        }
        Err(StreamError::Socket { address: address.to_string(), why: format!("no two neighbouring ports in {TRIES} tries") })
    }

    fn of(&self, outgoing: &Outgoing) -> &UdpSocket {
        self.rtcp.as_ref().filter(|_| outgoing.is_rtcp).unwrap_or(&self.rtp)
    }
}

pub(crate) async fn bind(address: SocketAddr) -> Result<UdpSocket, StreamError> {
    UdpSocket::bind(address).await.map_err(|error| refused(address, &error))
}

fn refused(address: impl fmt::Display, error: &std::io::Error) -> StreamError {
    StreamError::Socket { address: address.to_string(), why: error.to_string() }
}

/// A stream that runs on tasks, from [`TaskStream::start`] until it is stopped or its last clone is dropped.
///
/// Clones are the same stream. Everything may be called from anywhere, a source or a sink of its own included, any number of times,
/// crossed; what waits states its deadline. No lock is held while something is awaited, and none while the application is called, so
/// a caller may hold any lock, with the one rule of [`TaskClock`]: who awaits a stop while holding a lock must not have a source or
/// sink that waits for that lock.
#[derive(Clone)]
pub struct TaskStream {
    handle: Arc<Handle>,
}

struct Handle {
    shared: Arc<Shared>,
    clock: TaskClock,
}

struct Shared {
    stream: Stream,
    sockets: Sockets,
    /// The line's task waits here: something is due at another time, or the stream has ended. It alone does.
    changed: Notify,
    /// Whoever waits for an event or for the end waits here: each looks again.
    news: Notify,
    line: Mutex<Line>,
    stop_deadline: Duration,
}

/// The line's task.
#[derive(Debug, Default)]
struct Line {
    runs: bool,
    /// What the socket said last that ended it.
    broken: Option<String>,
}

impl TaskStream {
    /// Starts a stream: it is bound, listens, and ticks from now on.
    ///
    /// # Errors
    /// [`StreamError::Clock`], [`StreamError::Task`]. Then the stream has ended.
    ///
    /// # Panics
    /// As [`TaskClock::start`]: in production it needs a runtime with timers around it.
    pub fn start(stream: Stream, mut content: Content, sockets: Sockets) -> Result<Self, StreamError> {
        let config = stream.config();
        let shared = Arc::new(Shared {
            stream: stream.clone(),
            sockets,
            changed: Notify::new(),
            news: Notify::new(),
            line: Mutex::new(Line { runs: true, broken: None }),
            stop_deadline: config.stop_deadline,
        });
        let clock_config = ClockConfig {
            rate_hz: config.rate_hz,
            samples_per_tick: config.samples_per_tick,
            catch_up: CatchUp::Burst { ticks_max: 5 },
            stop_deadline: config.stop_deadline,
        };
        let ticked = Arc::clone(&shared);
        let clock = TaskClock::new(clock_config, Pool::new("stream clock", CLOCK_POOL_BYTES), move |_, tick| {
            let outgoing = ticked.stream.tick(&mut content, &tick, Instant::now());
            ticked.send(outgoing);
        })?;
        let worker = Worker { shared: Arc::clone(&shared) };
        task::try_spawn("line", worker.work()).map_err(|error| StreamError::Task { why: error.to_string() })?;
        let started = TaskStream { handle: Arc::new(Handle { shared, clock }) };
        started.handle.clock.start()?;
        Ok(started)
    }

    /// The stream itself: what it is given here takes effect, and what it says is not sent. See [`TaskStream::react`].
    pub fn stream(&self) -> &Stream {
        &self.handle.shared.stream
    }

    /// Sends what follows from what the stream's transport was asked, and looks anew at what is due.
    pub fn react(&self, reaction: Reaction) {
        let shared = &self.handle.shared;
        shared.send(shared.stream.react(reaction));
        shared.changed.notify_one();
        shared.news.notify_waiters();
    }

    /// Has new keys made: see [`DtlsTransport::rekey`].
    ///
    /// # Errors
    /// Those of [`DtlsTransport::rekey`].
    pub fn rekey(&self, transport: &DtlsTransport) -> Result<(), StreamError> {
        self.react(transport.rekey(Instant::now())?);
        Ok(())
    }

    /// Looks anew at what is due: for who has changed the stream or its transport.
    pub fn look_again(&self) {
        self.handle.shared.changed.notify_one();
    }

    /// Waits until packets can pass, for so long at the most.
    ///
    /// # Errors
    /// [`StreamError::Transport`] of a handshake that has failed; [`StreamError::Ended`]; [`StreamError::Deadline`].
    pub async fn opened(&self, within: Duration) -> Result<(), StreamError> {
        let _operation = sim::operation("stream.opened", within);
        let shared = Arc::clone(&self.handle.shared);
        let look = || match shared.stream.transport().phase() {
            _ if shared.stream.has_ended() => Poll::Ready(Err(StreamError::Ended)),
            Phase::Open => Poll::Ready(Ok(())),
            Phase::Failed(error) => Poll::Ready(Err(StreamError::Transport(error.into()))),
            Phase::Closed => Poll::Ready(Err(StreamError::Ended)),
            Phase::Keying => Poll::Pending,
        };
        shared
            .news_until(Instant::now() + within, look)
            .await
            .unwrap_or(Err(StreamError::Deadline { what: "keys", expected: within }))
    }

    /// The next thing that has become of the stream, waited for until `deadline`. Nothing if none has by then, or it has ended and all
    /// was told.
    pub async fn event(&self, deadline: Instant) -> Option<StreamEvent> {
        let shared = Arc::clone(&self.handle.shared);
        let look = || match shared.stream.next_event() {
            Some(event) => Poll::Ready(Some(event)),
            None if shared.stream.has_ended() => Poll::Ready(None),
            None => Poll::Pending,
        };
        shared.news_until(deadline, look).await.flatten()
    }

    /// Ends the stream with the call: nothing is taken or sent after its last words, which are sent now. When the future is ready no
    /// source or sink of it is being called, unless the future is polled from one, and its tasks have ended. It waits for that up to
    /// [`StreamConfig::stop_deadline`](super::StreamConfig::stop_deadline). A future that is dropped has ended the stream all the same.
    ///
    /// # Errors
    /// [`StreamError::Clock`] of a callback that goes on or has panicked, [`StreamError::Deadline`]. The stream has ended all the same.
    pub fn stop(&self) -> impl Future<Output = Result<StreamReport, StreamError>> + Send + use<> {
        let shared = Arc::clone(&self.handle.shared);
        let deadline = Instant::now() + shared.stop_deadline;
        self.request_stop();
        let clock = self.handle.clock.destroy();
        async move {
            // The clock has its own deadline, which began as early.
            let _operation = sim::operation("stream.stop", shared.stop_deadline);
            let stopped = clock.await;
            let look = || if shared.line.lock().runs { Poll::Pending } else { Poll::Ready(()) };
            let ended = shared.news_until(deadline, look).await;
            stopped?;
            ended.ok_or(StreamError::Deadline { what: "the end of the stream's task", expected: shared.stop_deadline })?;
            Ok(shared.stream.report())
        }
    }

    /// Ends the stream with the call, and does not wait: see [`TaskStream::stop`]. For sources, sinks, and code that cannot await.
    pub fn request_stop(&self) {
        self.handle.shared.end();
        self.handle.clock.request_destroy();
    }

    /// Where it listens for RTP.
    ///
    /// # Errors
    /// [`StreamError::Socket`].
    pub fn local_addr(&self) -> Result<SocketAddr, StreamError> {
        self.handle.shared.sockets.rtp.local_addr().map_err(|error| refused("a stream's port", &error))
    }

    /// What was counted.
    pub fn report(&self) -> StreamReport {
        self.handle.shared.stream.report()
    }

    /// What its clock has counted, and how late its last ticks came.
    pub fn clock(&self) -> (ClockCounters, Vec<Duration>) {
        (self.handle.clock.counters(), self.handle.clock.recent_lateness())
    }

    /// Why it reads no more, if its socket is broken.
    pub fn broken(&self) -> Option<String> {
        self.handle.shared.line.lock().broken.clone()
    }
}

impl Shared {
    fn send(&self, outgoing: Vec<Outgoing>) {
        for datagram in outgoing {
            // What the system does not take now is late by the time it would: it is lost, as on the way.
            if self.sockets.of(&datagram).try_send_to(datagram.bytes.bytes(), datagram.to).is_err() {
                self.stream.lose();
            }
        }
    }

    fn end(&self) {
        let last = self.stream.end(Instant::now());
        self.send(last);
        self.changed.notify_one();
        self.news.notify_waiters();
    }

    /// Looks until there is something, or the deadline has come: then once more, and nothing.
    async fn news_until<T>(&self, deadline: Instant, look: impl Fn() -> Poll<T>) -> Option<T> {
        loop {
            // In this order: what comes before the look is seen by it, and what comes after finds this one in the line.
            sim::select! {
                () = self.news.notified() => {}
                found = poll_fn(|_| look()) => return Some(found),
                () = async { time::sleep_until(deadline).await } => return match look() {
                    Poll::Ready(found) => Some(found),
                    Poll::Pending => None,
                },
            }
        }
    }
}

/// The line's task, from before it is made. However it ends, who waits for its end is told.
struct Worker {
    shared: Arc<Shared>,
}

/// What the line has waited for.
enum Next {
    Datagram(std::io::Result<(usize, SocketAddr)>, bool),
    Due,
    Changed,
}

impl Worker {
    async fn work(self) {
        let shared = &self.shared;
        let (mut wire, mut wire_rtcp) = (vec![0; DATAGRAM_LEN_MAX], vec![0; DATAGRAM_LEN_MAX]);
        let mut at_once = 0;
        while !shared.stream.has_ended() {
            let due = shared.stream.next_due();
            let next = sim::select! {
                () = shared.changed.notified() => Next::Changed,
                received = shared.sockets.rtp.recv_from(&mut wire) => Next::Datagram(received, false),
                received = receive(shared.sockets.rtcp.as_deref(), &mut wire_rtcp) => Next::Datagram(received, true),
                () = until(due) => Next::Due,
            };
            match next {
                Next::Changed => {}
                Next::Due => {
                    shared.send(shared.stream.handle_timeout(Instant::now()));
                    shared.news.notify_waiters();
                }
                Next::Datagram(Ok((len, from)), is_rtcp) => {
                    let bytes = if is_rtcp { &wire_rtcp[..len] } else { &wire[..len] };
                    self.take(bytes, from);
                    at_once += 1;
                    if at_once >= DATAGRAMS_AT_ONCE {
                        at_once = 0;
                        // A flood must not keep what is due from being done.
                        if shared.stream.next_due().is_some_and(|due| due <= Instant::now()) {
                            shared.send(shared.stream.handle_timeout(Instant::now()));
                        }
                        task::yield_now().await;
                    }
                }
                // A peer that has no such port any more, or not yet.
                Next::Datagram(Err(error), _) if error.kind() == std::io::ErrorKind::ConnectionRefused => {}
                Next::Datagram(Err(error), _) => {
                    shared.line.lock().broken = Some(error.to_string());
                    return shared.end();
                }
            }
        }
    }

    fn take(&self, bytes: &[u8], from: SocketAddr) {
        let shared = &self.shared;
        let mut datagram = Mbuf::copy_of(bytes, 0, 0);
        // What is refused is counted.
        let Ok(taken) = shared.stream.receive(from, &mut datagram, Instant::now()) else { return };
        shared.send(taken.outgoing);
        if taken.has_news {
            shared.news.notify_waiters();
        }
    }
}

async fn receive(socket: Option<&UdpSocket>, wire: &mut [u8]) -> std::io::Result<(usize, SocketAddr)> {
    match socket {
        Some(socket) => socket.recv_from(wire).await,
        None => std::future::pending().await,
    }
}

async fn until(due: Option<Instant>) {
    match due {
        Some(due) => time::sleep_until(due).await,
        None => std::future::pending().await,
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.shared.line.lock().runs = false;
        self.shared.news.notify_waiters();
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.shared.end();
        self.clock.request_destroy();
    }
}

impl fmt::Debug for TaskStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TaskStream").field("stream", &self.handle.shared.stream).finish_non_exhaustive()
    }
}
