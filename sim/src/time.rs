//! Monotonic time, and a wall clock that can step.
//!
//! On shuttle time is virtual and passes when nothing else can run, apart from a small chance at each scheduling point (a slow
//! processor). On loom it follows causality: a thread knows the times that it waited for, and those of whom it heard from.

#[cfg(feature = "model")]
use crate::engine::{Engine, current};
#[cfg(feature = "model")]
use crate::kernel;
#[cfg(feature = "model")]
use crate::run::{WaitFor, me, nanos, with};
#[cfg(feature = "model")]
use crate::trace::Op;
use std::future::Future;
use std::ops::{Add, AddAssign, Sub};
#[cfg(feature = "model")]
use std::panic::Location;
use std::pin::Pin;
use std::sync::LazyLock;
use std::task::{Context, Poll};
pub use std::time::Duration;

/// A moment on the monotonic clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Instant {
    since_origin: Duration,
}

static ORIGIN: LazyLock<std::time::Instant> = LazyLock::new(std::time::Instant::now);

impl Instant {
    /// Now.
    #[inline]
    pub fn now() -> Instant {
        #[cfg(feature = "model")]
        if current() != Engine::Real {
            return Instant { since_origin: Duration::from_nanos(with(|run| run.now(me()))) };
        }
        Instant { since_origin: ORIGIN.elapsed() }
    }

    /// A moment so long after the clock's origin: for code that is given its time.
    pub const fn from_origin(since_origin: Duration) -> Instant {
        Instant { since_origin }
    }

    /// How long after the clock's origin this is. The origin is the run's beginning, or the process's first look at the clock.
    pub const fn since_origin(self) -> Duration {
        self.since_origin
    }

    /// How long ago this was; zero if it is still to come.
    pub fn elapsed(self) -> Duration {
        Instant::now().saturating_duration_since(self)
    }

    /// How long after `earlier` this is; zero if it is before.
    pub fn saturating_duration_since(self, earlier: Instant) -> Duration {
        self.since_origin.saturating_sub(earlier.since_origin)
    }

    /// How long after `earlier` this is; zero if it is before, as std's.
    pub fn duration_since(self, earlier: Instant) -> Duration {
        self.saturating_duration_since(earlier)
    }

    /// How long after `earlier` this is, if it is.
    pub fn checked_duration_since(self, earlier: Instant) -> Option<Duration> {
        self.since_origin.checked_sub(earlier.since_origin)
    }

    /// So long before this moment, if the clock had begun.
    pub fn checked_sub(self, duration: Duration) -> Option<Instant> {
        self.since_origin.checked_sub(duration).map(Instant::from_origin)
    }

    /// This moment and `duration` more, if the clock goes so far.
    pub fn checked_add(self, duration: Duration) -> Option<Instant> {
        self.since_origin.checked_add(duration).map(Instant::from_origin)
    }
}

impl Add<Duration> for Instant {
    type Output = Instant;

    /// Ends at the end of the clock, 584 billion years from its origin.
    fn add(self, duration: Duration) -> Instant {
        Instant { since_origin: self.since_origin.saturating_add(duration) }
    }
}

impl AddAssign<Duration> for Instant {
    fn add_assign(&mut self, duration: Duration) {
        *self = *self + duration;
    }
}

impl Sub<Instant> for Instant {
    type Output = Duration;

    fn sub(self, earlier: Instant) -> Duration {
        self.saturating_duration_since(earlier)
    }
}

/// Waits. Under an engine a sleep of nothing is a yield.
#[track_caller]
#[inline]
pub fn sleep(duration: Duration) {
    #[cfg(feature = "model")]
    if current() != Engine::Real {
        return sleep_modelled(duration, Location::caller());
    }
    std::thread::sleep(duration);
}

#[cfg(feature = "model")]
fn sleep_modelled(duration: Duration, site: &'static Location<'static>) {
    if duration.is_zero() {
        return kernel::yield_now(site);
    }
    kernel::point(Op::Sleep, None, site);
    let deadline_ns = with(|run| run.now(me())).saturating_add(nanos(duration));
    if current() == Engine::Loom && with(|run| run.may_fire(me(), site)) {
        // A sleep may take any time beside the others' steps, which is what loom explores; the thread knows that it passed.
        return with(|run| {
            run.fired(me(), site);
            run.threads[me() as usize].now_ns = deadline_ns;
        });
    }
    kernel::block(WaitFor::Sleep, Some(deadline_ns), site);
    kernel::park();
}

/// Whether time may have passed in this run though a thread could run: a slow processor, or threads that only yield. Where it has not,
/// an operation that took time waited for it. On loom and in production the answer is always yes.
pub fn has_run_ahead() -> bool {
    #[cfg(feature = "model")]
    if !matches!(current(), Engine::Real | Engine::Loom) {
        return with(|run| run.has_run_ahead);
    }
    true
}

/// Says that from now on in this run the processor is never slower than this at once: time passes by no more than `most` while a thread
/// could run. Unless it is said there is no limit, so a deadline of any length may come while who would have met it could run. For code
/// that promises something of a machine that keeps up. On loom, which has no time, and in production nothing happens.
pub fn bound_slowness(most: Duration) {
    #[cfg(feature = "model")]
    if !matches!(current(), Engine::Real | Engine::Loom) {
        with(|run| run.slowness_max_ns = nanos(most));
    }
    let _ = most;
}

/// The wall clock: time since the Unix epoch. It can jump either way; never measure with it.
pub fn wall_clock() -> Duration {
    #[cfg(feature = "model")]
    if current() != Engine::Real {
        return with(|run| {
            let now_ns = i128::from(nanos(WALL_ORIGIN)) + i128::from(run.now(me())) + i128::from(run.wall_offset_ns);
            Duration::from_nanos(u64::try_from(now_ns.max(0)).unwrap_or(u64::MAX))
        });
    }
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default()
}

/// Where the wall clock of every run begins: 2020-01-01, so that a token's run does not depend on the day.
#[cfg(feature = "model")]
pub(crate) const WALL_ORIGIN: Duration = Duration::from_secs(1_577_836_800);

/// Steps the wall clock of this run by `by_ns` nanoseconds, as NTP or an operator does. Nothing happens in production.
pub fn step_wall_clock(by_ns: i64) {
    #[cfg(feature = "model")]
    if current() != Engine::Real {
        with(|run| run.wall_offset_ns = run.wall_offset_ns.saturating_add(by_ns));
    }
    let _ = by_ns;
}

/// Waits until `deadline`, awaited.
#[track_caller]
pub fn sleep_until(deadline: Instant) -> Sleep {
    #[cfg(feature = "model")]
    if current() != Engine::Real {
        let deadline_ns = nanos(deadline.since_origin());
        let id = with(|run| {
            run.sleeps_made += 1;
            run.sleeps_made
        });
        return Sleep(RawSleep::Modelled {
            id,
            deadline_ns,
            polled_by: None,
            site: Location::caller(),
            #[cfg(feature = "turmoil")]
            carrier: None,
        });
    }
    let left = deadline.saturating_duration_since(Instant::now());
    Sleep(RawSleep::Real(Box::pin(tokio::time::sleep(left))))
}

/// Waits, awaited: the async kin of [`sleep()`].
#[track_caller]
pub fn sleep_for(duration: Duration) -> Sleep {
    sleep_until(Instant::now() + duration)
}

/// A wait for a moment. Dropped, it waits no more.
#[derive(Debug)]
#[must_use = "a future does nothing until it is awaited"]
pub struct Sleep(RawSleep);

#[derive(Debug)]
enum RawSleep {
    Real(Pin<Box<tokio::time::Sleep>>),
    #[cfg(feature = "model")]
    Modelled {
        id: u64,
        deadline_ns: u64,
        polled_by: Option<u32>,
        site: &'static Location<'static>,
        /// On turmoil: what really ends the wait.
        #[cfg(feature = "turmoil")]
        carrier: Option<Pin<Box<tokio::time::Sleep>>>,
    },
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        match &mut self.0 {
            RawSleep::Real(sleep) => sleep.as_mut().poll(context),
            #[cfg(feature = "model")]
            RawSleep::Modelled {
                id,
                deadline_ns,
                polled_by,
                site,
                #[cfg(feature = "turmoil")]
                carrier,
            } => {
                let (id, deadline_ns, me) = (*id, *deadline_ns, me());
                if polled_by.is_none() {
                    kernel::point(Op::Sleep, None, site);
                }
                #[cfg(feature = "turmoil")]
                let moved = polled_by.is_some_and(|thread| thread != me);
                let is_due = with(|run| {
                    for sleeps in polled_by.iter().map(|thread| *thread as usize) {
                        run.threads[sleeps].sleeps.retain(|sleep| sleep.id != id);
                    }
                    if run.now_ns >= deadline_ns {
                        return true;
                    }
                    let waker = context.waker().clone();
                    run.threads[me as usize].sleeps.push(crate::run::PolledSleep { id, deadline_ns, waker });
                    false
                });
                *polled_by = Some(me);
                #[cfg(feature = "turmoil")]
                if !is_due && current() == Engine::Turmoil {
                    let left = Duration::from_nanos(deadline_ns.saturating_sub(with(|run| run.now_ns)));
                    if moved {
                        // It belongs to the runtime of the host that polled it before.
                        *carrier = None;
                    }
                    let carrier = carrier.get_or_insert_with(|| Box::pin(tokio::time::sleep(left)));
                    let is_due = carrier.as_mut().poll(context).is_ready();
                    if is_due {
                        with(|run| run.threads[me as usize].sleeps.retain(|sleep| sleep.id != id));
                    }
                    return if is_due { Poll::Ready(()) } else { Poll::Pending };
                }
                if is_due { Poll::Ready(()) } else { Poll::Pending }
            }
        }
    }
}

#[cfg(feature = "model")]
impl Drop for Sleep {
    fn drop(&mut self) {
        if let RawSleep::Modelled { id, polled_by: Some(thread), .. } = self.0 {
            crate::run::try_with(|run| {
                if let Some(thread) = run.threads.get_mut(thread as usize) {
                    thread.sleeps.retain(|sleep| sleep.id != id);
                }
            });
        }
    }
}

/// The time was up before the future was ready.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected an answer within {within:?}, got none")]
pub struct Elapsed {
    /// How long was waited.
    pub within: Duration,
}

/// Awaits `future` for `within` at most. A future that is ready when the time is up counts as ready.
///
/// # Errors
/// [`Elapsed`]; the future is dropped.
#[track_caller]
pub fn timeout<F: Future>(within: Duration, future: F) -> impl Future<Output = Result<F::Output, Elapsed>> {
    let sleep = sleep_for(within);
    async move {
        let (mut future, mut sleep) = (std::pin::pin!(future), std::pin::pin!(sleep));
        std::future::poll_fn(|context| {
            if let Poll::Ready(value) = future.as_mut().poll(context) {
                return Poll::Ready(Ok(value));
            }
            sleep.as_mut().poll(context).map(|()| Err(Elapsed { within }))
        })
        .await
    }
}
