//! Our sessions under eight threads that do anything, with plugins that answer in every way: the production code itself.

use super::TICK;
use crate::exhibit::{self, Expected, MustSee, On, Subject};
use crate::inputs::{below, one_of};
use sim::ledger::{self, ResourceId};
use sim::sync::{Arc, Mutex};
use sim::{invariant, task, thread, time};
use stack::buffer::pool::{Block, Pool};
use stack::session::{
    AnswerStatus, AnswerToken, Channel, ChannelId, CreateError, EndReason, EndReport, Ending, Engine, Failure, Line, Media,
    Phase, PostError, Reply, Session, SessionConfig, SessionTable, TableConfig, WaitError,
};
use stack::timer::{TimerConfig, Timers};

const THREADS: usize = 8;
/// What a thread does at the most.
const OPERATIONS: usize = 3;
/// Longer than a session may take to end.
const SLOWLY: time::Duration = TICK.saturating_mul(20);
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

/// What a thread does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Operation {
    /// Makes a session, if there is room.
    Create,
    /// A plugin answers what it was asked, or once more, or what another was asked.
    Answer,
    Pause,
    CloseTable,
    /// Posts to this channel, which may not be there.
    Post(u16),
    /// Posts to a session by its name.
    PostByTable,
    Terminate,
    Bye,
    Wait,
    Get,
}

/// What threads do, as often as it is here.
const LIKELY: [Operation; 24] = [
    Operation::Create,
    Operation::Create,
    Operation::Answer,
    Operation::Answer,
    Operation::Answer,
    Operation::Answer,
    Operation::Pause,
    Operation::Pause,
    Operation::Post(0),
    Operation::Post(1),
    Operation::Post(2),
    Operation::PostByTable,
    Operation::PostByTable,
    Operation::PostByTable,
    Operation::Terminate,
    Operation::Terminate,
    Operation::Bye,
    Operation::Bye,
    Operation::Wait,
    Operation::Wait,
    Operation::Get,
    Operation::Get,
    Operation::Get,
    Operation::CloseTable,
];

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
                time::sleep(SLOWLY);
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
    fn request(&mut self, line: &Line, token: AnswerToken, body: Block) {
        // Before it may panic: giving it back may wait for the pool, and while a panic unwinds an engine lets nobody else run.
        drop(body);
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
    /// Somebody has closed the table.
    is_closed: Arc<Mutex<bool>>,
}

impl World {
    fn new(table: SessionTable) -> Self {
        let world = World { table, known: Arc::default(), waiting: Waiting::default(), is_closed: Arc::default() };
        world.create();
        world
    }

    /// Nobody does anything any more.
    fn check_closed(&self) {
        let is_closed = *self.is_closed.lock();
        let is_active = |known: &Known| known.session.phase() == Phase::Active;
        invariant!(!(is_closed && self.known.lock().iter().any(is_active)), "a session is active, and its table was closed");
    }

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

    /// What needs no waiting.
    fn perform(&self, operation: Operation) {
        match operation {
            Operation::Create => return self.create(),
            Operation::Answer => return self.answer(),
            Operation::CloseTable => {
                self.table.request_close();
                *self.is_closed.lock() = true;
                return;
            }
            _ => {}
        }
        let Some(Known { session, seen }) = self.any() else { return };
        match operation {
            Operation::Post(channel) => note_post(&seen, session.post(ChannelId(channel), b"?")),
            Operation::PostByTable => note_post(&seen, self.table.post(session.id(), ChannelId(0), b"?")),
            Operation::Terminate => note_end(&seen, session.terminate(), EndReason::Terminated),
            Operation::Bye => note_end(&seen, session.bye(), EndReason::Bye),
            Operation::Get => {
                if let Ok(same) = self.table.get(session.id()) {
                    invariant!(same.id() == session.id(), "another session has its name");
                }
            }
            Operation::Create | Operation::Answer | Operation::CloseTable | Operation::Pause | Operation::Wait => {}
        }
    }

    fn perform_on_thread(&self, operation: Operation) {
        match operation {
            Operation::Pause => time::sleep(TICK),
            Operation::Wait => {
                if let Some(Known { session, .. }) = self.any() {
                    check_report(&session, session.wait(TICK));
                }
            }
            _ => self.perform(operation),
        }
    }

    async fn perform_on_task(&self, operation: Operation) {
        match operation {
            Operation::Pause => time::sleep_for(TICK).await,
            Operation::Wait => {
                if let Some(Known { session, .. }) = self.any() {
                    check_report(&session, session.ended(TICK).await);
                }
            }
            _ => self.perform(operation),
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

fn note_post(seen: &Mutex<Seen>, posted: Result<Reply, PostError>) {
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

fn check_report(session: &Session, report: Result<Arc<EndReport>, WaitError>) {
    if let Ok(report) = report {
        invariant!(report.session == session.id(), "a session has another's report");
    }
}

/// What each thread, or task, does.
type Programs = [Vec<Operation>; THREADS];

fn any_programs() -> Programs {
    std::array::from_fn(|_| (0..=below(OPERATIONS)).map(|_| one_of(&LIKELY)).collect())
}

/// The driver: eight threads.
fn run_on_threads(programs: Programs) {
    let timers = Timers::on_thread(TimerConfig::default()).expect("the engine makes threads");
    let table = SessionTable::on_threads(config(), timers.clone());
    let world = World::new(table);
    let threads = programs.map(|program| {
        let world = world.clone();
        thread::spawn(move || program.into_iter().for_each(|operation| world.perform_on_thread(operation)))
    });
    for thread in threads {
        thread.join().expect("a panic ends the run");
    }
    world.check_closed();
    let closed = (0..CLOSES_MAX).any(|_| world.table.close().is_ok());
    invariant!(closed, "the sessions have not ended in {CLOSES_MAX} times what they may take");
    // Whoever answers slowly has answered by then.
    time::sleep(SLOWLY + SLOWLY);
    world.check();
    invariant!((0..CLOSES_MAX).any(|_| timers.close().is_ok()), "the timers have not ended");
}

/// The same with eight tasks, on sessions and timers with tasks.
fn run_on_tasks(programs: Programs) {
    task::block_on(async move {
        let timers = Timers::on_task(TimerConfig::default()).expect("the engine has tasks");
        let table = SessionTable::on_tasks(config(), timers.clone());
        let world = World::new(table);
        let tasks = programs.map(|program| {
            let world = world.clone();
            task::spawn(async move {
                for operation in program {
                    world.perform_on_task(operation).await;
                }
            })
        });
        for task in tasks {
            task.await.expect("nobody aborts it");
        }
        world.check_closed();
        let mut closes = 0;
        while world.table.closed().await.is_err() {
            closes += 1;
            invariant!(closes < CLOSES_MAX, "the sessions have not ended in {CLOSES_MAX} times what they may take");
        }
        time::sleep_for(SLOWLY + SLOWLY).await;
        world.check();
        while timers.closed().await.is_err() {
            closes += 1;
            invariant!(closes < 2 * CLOSES_MAX, "the timers have not ended");
        }
    });
}

impl World {
    /// Every session has ended.
    fn check(&self) {
        for known in self.known.lock().drain(..) {
            check(&known);
        }
        let counters = self.table.counters();
        let all_ended = self.table.is_empty() && counters.created == counters.ended;
        invariant!(all_ended, "{} sessions were made, and {} have ended", counters.created, counters.ended);
        invariant!(counters.workers_left_now() == 0 || time::has_run_ahead(), "a worker is left");
    }
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

const MUST_SEE: MustSee = MustSee {
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
    // One worker has all deadlines.
    never: &[["session.deadline", "session.deadline"]],
    not_driven: &[],
    timers: exhibit::Timers::Both,
};

/// The rows of our sessions: with tasks, and last with threads, which have a body of their own on turmoil.
pub(super) fn subjects(on_turmoil: On) -> [Subject; 2] {
    fn on_threads() {
        run_on_threads(any_programs());
    }
    fn on_tasks() {
        run_on_tasks(any_programs());
    }
    let shuttle = || On::shuttle(Expected::Clean);
    [
        Subject {
            must_see: Some(MUST_SEE),
            ..super::subject(
                "stack-task",
                "our sessions on tasks: eight tasks do anything, and plugins answer in every way",
                vec![shuttle()],
                on_tasks,
            )
        },
        Subject {
            must_see: Some(MUST_SEE),
            ..super::subject(
                "stack",
                "our sessions on threads: eight threads do anything, and plugins answer in every way",
                vec![shuttle(), on_turmoil],
                on_threads,
            )
        },
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::programs::hold;
    use proptest::prelude::proptest;
    use proptest::{array::uniform8, collection::vec, sample::select};

    proptest! {
        #[test]
        fn any_programs_hold_on_threads(programs in uniform8(vec(select(&LIKELY[..]), 0..6))) {
            hold("sessions", programs, run_on_threads)?;
        }

        #[test]
        fn any_programs_hold_on_tasks(programs in uniform8(vec(select(&LIKELY[..]), 0..6))) {
            hold("sessions-task", programs, run_on_tasks)?;
        }
    }
}
