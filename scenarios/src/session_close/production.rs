//! Our sessions under eight threads that do anything, with plugins that answer in every way: the production code itself.

use super::TICK;
use crate::exhibit::{Expected, MustSee, On, Subject};
use crate::inputs::{below, one_of};
use sim::ledger::{self, ResourceId};
use sim::sync::{Arc, Mutex};
use sim::{invariant, thread, time};
use stack::buffer::pool::{Block, Pool};
use stack::session::{
    AnswerStatus, AnswerToken, Channel, ChannelId, CreateError, EndReason, Ending, Engine, Failure, Line, Media, PostError,
    Reply, Session, SessionConfig, SessionTable, TableConfig,
};
use stack::timer::{TimerConfig, Timers};

const THREADS: usize = 8;
/// What a thread does at the most.
const OPERATIONS: usize = 3;
const SESSIONS_MAX: usize = 4;
/// How often the driver closes a table whose sessions have not ended in time: a slow processor may take the time of their deadlines.
const CLOSES_MAX: usize = 200;

/// Few of everything, so that limits are met.
pub(super) fn config() -> TableConfig {
    let session = SessionConfig {
        channels_max: 3,
        inbox_max: 2,
        requests_max: 2,
        request_deadline: TICK * 4,
        call_deadline: TICK * 3,
        media_deadline: TICK * 2,
        engine_deadline: TICK * 2,
        drop_deadline: TICK * 2,
    };
    TableConfig { sessions_max: SESSIONS_MAX, workers_max: SESSIONS_MAX + 2, session }
}

/// What a plugin does when it is asked something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Manner {
    /// Answers before it returns.
    AtOnce,
    /// Leaves the answer to whoever comes.
    Later,
    /// Answers before it returns, and once more.
    Twice,
    Never,
    /// Takes longer than it may.
    Slowly,
    Panics,
}

impl Manner {
    fn any() -> Self {
        // Few sessions are to end by their plugins.
        let likely = [Manner::AtOnce, Manner::Later, Manner::Later, Manner::Twice];
        if sim::choose(8) == 7 { one_of(&[Manner::Never, Manner::Slowly, Manner::Panics]) } else { one_of(&likely) }
    }
}

/// What is seen of one session: the model that its report is held to.
#[derive(Default)]
struct Seen {
    /// Media that were not asked to close yet.
    media_left: usize,
    /// Answers by what they counted as, as whoever gave them was told.
    accepted: u64,
    others: u64,
    /// Ends that have begun, as whoever asked was told, with their reasons.
    begun: Vec<EndReason>,
    posted: u64,
    replies: Vec<Reply>,
}

/// A session, and what is seen of it.
#[derive(Clone)]
struct Known {
    session: Session,
    seen: Arc<Mutex<Seen>>,
}

/// What was asked and waits for an answer.
type Waiting = Arc<Mutex<Vec<(Line, AnswerToken, Arc<Mutex<Seen>>)>>>;

struct Plugin {
    resource: ResourceId,
    is_media: bool,
    waiting: Waiting,
    seen: Arc<Mutex<Seen>>,
}

impl Plugin {
    fn new(is_media: bool, waiting: &Waiting, seen: &Arc<Mutex<Seen>>) -> Box<Self> {
        let resource = ledger::register(if is_media { "media" } else { "engine" });
        Box::new(Plugin { resource, is_media, waiting: Arc::clone(waiting), seen: Arc::clone(seen) })
    }

    fn asked(&self, line: &Line, token: AnswerToken) {
        ledger::touch(self.resource);
        match Manner::any() {
            Manner::AtOnce => answer(line, token, &self.seen),
            Manner::Twice => {
                answer(line, token, &self.seen);
                answer(line, token, &self.seen);
            }
            Manner::Later => self.waiting.lock().push((line.clone(), token, Arc::clone(&self.seen))),
            Manner::Never => {}
            Manner::Slowly => {
                time::sleep(TICK * 20);
                answer(line, token, &self.seen);
            }
            Manner::Panics => panic!("on purpose"),
        }
        // Its session may have ended meanwhile; what it was lent is its own until it is dropped.
        ledger::touch(self.resource);
    }
}

fn answer(line: &Line, token: AnswerToken, seen: &Mutex<Seen>) {
    let response = line.allocate(1).ok();
    let status = line.answer(token, response);
    let mut seen = seen.lock();
    match status {
        AnswerStatus::Accepted => seen.accepted += 1,
        _ => seen.others += 1,
    }
}

impl Engine for Plugin {
    fn request(&mut self, line: &Line, token: AnswerToken, _body: Block) {
        self.asked(line, token);
    }

    fn close(&mut self, line: &Line, token: AnswerToken) {
        let media_left = self.seen.lock().media_left;
        invariant!(media_left == 0 || time::has_run_ahead(), "an engine is closed before {media_left} media");
        self.asked(line, token);
    }
}

impl Media for Plugin {
    fn close(&mut self, line: &Line, token: AnswerToken) {
        self.seen.lock().media_left -= 1;
        self.asked(line, token);
    }
}

impl Drop for Plugin {
    fn drop(&mut self) {
        if self.is_media {
            ledger::touch(self.resource);
        }
        ledger::release(self.resource);
    }
}

/// What the threads share.
#[derive(Clone)]
struct World {
    table: SessionTable,
    known: Arc<Mutex<Vec<Known>>>,
    waiting: Waiting,
}

impl World {
    fn create(&self) {
        let seen = Arc::new(Mutex::new(Seen::default()));
        let channels: Vec<Channel> = (0..1 + below(2))
            .map(|_| {
                let media = (sim::choose(2) == 1).then(|| Plugin::new(true, &self.waiting, &seen));
                seen.lock().media_left += usize::from(media.is_some());
                Channel { media: media.map(|media| media as Box<dyn Media>), engine: Plugin::new(false, &self.waiting, &seen) }
            })
            .collect();
        match self.table.create(Pool::new("session pool", 64), channels) {
            Ok(session) => self.known.lock().push(Known { session, seen }),
            Err(CreateError::TooManySessions { .. } | CreateError::TooManyWorkers { .. } | CreateError::Closed) => {}
            Err(error) => sim::violated(format!("a session is not made: {error}")),
        }
    }

    fn any(&self) -> Option<Known> {
        let known = self.known.lock();
        (!known.is_empty()).then(|| known[below(known.len())].clone())
    }

    fn perform(&self, operation: u64) {
        match operation {
            0 => self.create(),
            1 => self.answer(),
            2 => time::sleep(TICK),
            3 if sim::choose(4) == 3 => _ = self.table.request_close(),
            _ => {
                if let Some(known) = self.any() {
                    self.perform_on(&known, operation);
                }
            }
        }
    }

    fn perform_on(&self, known: &Known, operation: u64) {
        let Known { session, seen } = known;
        match operation {
            4 | 5 => {
                // Of three channels one is never there.
                let posted = match operation {
                    4 => session.post(ChannelId(below(3) as u16), b"?"),
                    _ => self.table.post(session.id(), ChannelId(0), b"?"),
                };
                match posted {
                    Ok(reply) => {
                        let mut seen = seen.lock();
                        seen.posted += 1;
                        seen.replies.push(reply);
                    }
                    Err(PostError::Full { .. } | PostError::Ends { .. } | PostError::NoSuchSession(_)) => {}
                    Err(error) => sim::violated(format!("a request is not taken: {error}")),
                }
            }
            6 => note_end(seen, session.terminate(), EndReason::Terminated),
            7 => note_end(seen, session.bye(), EndReason::Bye),
            8 => {
                if let Ok(report) = session.wait(TICK) {
                    invariant!(report.session == session.id(), "a session has another's report");
                }
            }
            _ => {
                if let Ok(same) = self.table.get(session.id()) {
                    invariant!(same.id() == session.id(), "another session has its name");
                }
            }
        }
    }

    /// Answers what waits, and at times once more, or by another's line.
    fn answer(&self) {
        let picked = {
            let mut waiting = self.waiting.lock();
            let count = waiting.len();
            if count == 0 {
                return;
            }
            let index = below(count);
            if sim::choose(3) == 2 { waiting[index].clone() } else { waiting.swap_remove(index) }
        };
        let (line, token, seen) = picked;
        let thief = if sim::choose(8) == 7 { self.waiting.lock().last().cloned() } else { None };
        match thief {
            Some((thief, _, its)) if thief.of() != line.of() => answer(&thief, token, &its),
            _ => answer(&line, token, &seen),
        }
    }
}

fn note_end(seen: &Mutex<Seen>, ending: Ending, reason: EndReason) {
    if ending == Ending::Begun {
        seen.lock().begun.push(reason);
    }
}

/// The driver: eight threads at random.
fn drive() {
    let timers = Timers::on_thread(TimerConfig::default()).expect("the engine makes threads");
    let table = SessionTable::on_threads(config(), timers.clone());
    let world = World { table, known: Arc::default(), waiting: Waiting::default() };
    world.create();
    let threads: Vec<_> = (0..THREADS)
        .map(|_| {
            let world = world.clone();
            thread::spawn(move || {
                for _ in 0..=below(OPERATIONS) {
                    world.perform(sim::choose(10));
                }
            })
        })
        .collect();
    for thread in threads {
        thread.join().expect("a panic ends the run");
    }
    // Whoever answers slowly has answered by then.
    let closed = (0..CLOSES_MAX).any(|_| world.table.close().is_ok());
    invariant!(closed, "the sessions have not ended in {CLOSES_MAX} times what they may take");
    time::sleep(TICK * 50);
    for known in world.known.lock().drain(..) {
        check(&known);
    }
    let counters = world.table.counters();
    invariant!(
        world.table.is_empty() && counters.created == counters.ended,
        "{} made, {} ended",
        counters.created,
        counters.ended
    );
    invariant!(counters.workers_left_now() == 0 || time::has_run_ahead(), "a worker is left");
    invariant!((0..CLOSES_MAX).any(|_| timers.close().is_ok()), "the timers have not ended");
}

/// A session that has ended against what was seen of it.
fn check(known: &Known) {
    let report = known.session.report().unwrap_or_else(|| sim::violated("a session has ended without a report".to_owned()));
    let (mut seen, counters) = (known.seen.lock(), known.session.counters());
    let others = counters.twice + counters.late + counters.early + counters.after_end + counters.foreign;
    let is_told = (counters.accepted, others) == (seen.accepted, seen.others);
    invariant!(
        is_told || time::has_run_ahead(),
        "{counters:?} is not what {} accepted and {} others are",
        seen.accepted,
        seen.others
    );
    invariant!(counters.posted == seen.posted, "{} requests were posted, {} counted", seen.posted, counters.posted);
    let told: Vec<_> = seen.replies.iter_mut().filter_map(Reply::take).collect();
    let (answered, failed) = (
        told.iter().filter(|outcome| outcome.is_ok()).count() as u64,
        told.iter().filter(|outcome| outcome.is_err()).count() as u64,
    );
    invariant!(
        (answered, failed, counters.posted) == (counters.answered, counters.failed, answered + failed),
        "{answered} requesters were answered and {failed} were told why not, of {counters:?}"
    );
    for failure in told.iter().filter_map(|outcome| outcome.as_ref().err()) {
        if let Failure::Ended { reason } = failure {
            invariant!(*reason == report.reason, "a request is told {reason}, and the session ended as {}", report.reason);
        }
    }
    invariant!(seen.begun.len() <= 1, "a session has begun to end {} times", seen.begun.len());
    let by_asking = matches!(report.reason, EndReason::Terminated | EndReason::Bye);
    invariant!(
        seen.begun.first().copied() == by_asking.then_some(report.reason),
        "{:?} have ended it as {}",
        seen.begun,
        report.reason
    );
}

/// The rows of our sessions on threads.
pub(super) fn stack(on_turmoil: On) -> Subject {
    Subject {
        must_see: Some(MustSee {
            operations: &[
                "session.create",
                "session.lookup",
                "session.post",
                "session.dispatch",
                "session.answer",
                "session.terminate",
                "session.bye",
                "session.wait",
                "session.deadline",
                "session.release",
            ],
            // One thread has all deadlines.
            never: &[["session.deadline", "session.deadline"]],
            not_driven: &[],
            timers: true,
        }),
        ..super::subject(
            "stack",
            "our sessions: eight threads do anything, and plugins answer in every way",
            vec![On::shuttle(Expected::Clean), on_turmoil],
            drive,
        )
    }
}
