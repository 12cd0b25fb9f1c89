//! Our sessions under every two operations at once, on loom.
//!
//! Loom has five threads, and a thread for the calls and one for the deadlines would be two of them that do little but multiply its
//! executions. So these sessions are driven: calls are made where an operation drives, and deadlines pass where one says the time.

use crate::exhibit::Subject;
use crate::pairs;
use sim::sync::{Arc, Mutex};
use sim::{invariant, thread, time};
use stack::buffer::pool::{Block, Pool};
use stack::session::{
    AnswerStatus, AnswerToken, Channel, ChannelId, Driven, Driver, Ending, Engine, Line, Reply, Session, SessionConfig,
    SessionTable, TableConfig,
};

/// What a thread does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Operation {
    /// Makes a session, and ends it.
    Create,
    /// Looks the session up.
    Get,
    Post,
    /// The engine answers what it was asked last.
    Answer,
    /// The engine answers what it was asked first.
    AnswerFirst,
    Terminate,
    Bye,
    /// Every deadline that there is has come.
    Deadline,
    /// Makes calls.
    Drive,
    /// Closes the table.
    Close,
}

/// How far the session is when the operations begin. It has a request in progress, or had one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Active,
    /// Its engine was asked to close.
    Ending,
}

/// What was asked of the engine, in order.
type Asked = Arc<Mutex<Vec<(Line, AnswerToken)>>>;

/// An engine that leaves its answers to the driver.
struct Slow(Asked);

impl Engine for Slow {
    fn request(&mut self, line: &Line, token: AnswerToken, _body: Block) {
        self.0.lock().push((line.clone(), token));
    }

    fn close(&mut self, line: &Line, token: AnswerToken) {
        self.0.lock().push((line.clone(), token));
    }
}

#[derive(Clone)]
struct Fixture {
    table: SessionTable,
    session: Session,
    driver: Arc<Mutex<Option<Driver>>>,
    asked: Asked,
    replies: Arc<Mutex<Vec<Reply>>>,
    ends_begun: Arc<Mutex<u32>>,
}

const CHANNEL: ChannelId = ChannelId(0);
/// How often the session is driven beside the two operations.
const DRIVES: usize = 2;

fn config() -> TableConfig {
    TableConfig { sessions_max: 3, workers_max: 3, session: SessionConfig { inbox_max: 2, ..SessionConfig::default() } }
}

fn create(table: &SessionTable, asked: &Asked) -> (Session, Driver) {
    let channel = Channel { media: None, engine: Box::new(Slow(Arc::clone(asked))) };
    table.create_driven(Pool::new("session pool", 64), vec![channel]).expect("there is room for it")
}

impl Fixture {
    fn new(stage: Stage) -> Self {
        let table = SessionTable::driven(config());
        let asked = Asked::default();
        let (session, driver) = create(&table, &asked);
        let new = Fixture {
            table,
            session,
            driver: Arc::new(Mutex::new(Some(driver))),
            asked,
            replies: Arc::default(),
            ends_begun: Arc::default(),
        };
        new.perform(Operation::Post);
        new.perform(Operation::Drive);
        if stage == Stage::Ending {
            new.perform(Operation::Terminate);
            new.perform(Operation::Drive);
        }
        new
    }

    fn perform(&self, operation: Operation) {
        match operation {
            Operation::Create => {
                let asked = Asked::default();
                let channel = Channel { media: None, engine: Box::new(Slow(Arc::clone(&asked))) };
                let Ok((session, mut driver)) = self.table.create_driven(Pool::new("second pool", 64), vec![channel]) else {
                    return;
                };
                invariant!(session.id() != self.session.id(), "two sessions have one name");
                session.terminate();
                finish(&session, &mut driver, &asked);
            }
            Operation::Get => {
                if let Ok(session) = self.table.get(self.session.id()) {
                    invariant!(session.id() == self.session.id(), "another session has its name");
                }
            }
            Operation::Post => {
                if let Ok(reply) = self.table.post(self.session.id(), CHANNEL, b"?") {
                    self.replies.lock().push(reply);
                }
            }
            Operation::Answer => self.answer(|asked| asked.len().checked_sub(1)),
            Operation::AnswerFirst => self.answer(|_| Some(0)),
            Operation::Terminate => self.ended(self.session.terminate()),
            Operation::Bye => self.ended(self.session.bye()),
            Operation::Deadline => {
                let config = config().session;
                time::sleep(config.request_deadline.max(config.end_max()));
                self.session.on_time();
            }
            Operation::Drive => {
                // One thread makes a session's calls.
                let driver = self.driver.lock().take();
                if let Some(mut driver) = driver {
                    driver.drive();
                    *self.driver.lock() = Some(driver);
                }
            }
            Operation::Close => _ = self.table.request_close(),
        }
    }

    fn answer(&self, which: impl Fn(&[(Line, AnswerToken)]) -> Option<usize>) {
        let asked = self.asked.lock();
        let picked = which(&asked).and_then(|index| asked.get(index).cloned());
        drop(asked);
        if let Some((line, token)) = picked {
            let status = line.answer(token, None);
            let is_possible =
                [AnswerStatus::Accepted, AnswerStatus::Twice, AnswerStatus::Late, AnswerStatus::AfterEnd].contains(&status);
            invariant!(is_possible, "an answer to what was asked counts as {status:?}");
        }
    }

    fn ended(&self, ending: Ending) {
        *self.ends_begun.lock() += u32::from(ending == Ending::Begun);
    }
}

/// Has a session that ends end.
fn finish(session: &Session, driver: &mut Driver, asked: &Asked) {
    for _ in 0..8 {
        if driver.drive() == Driven::Ended {
            return;
        }
        let last = asked.lock().last().cloned();
        if let Some((line, token)) = last {
            line.answer(token, None);
        }
    }
    sim::violated(format!("a session whose engine has answered is {:?}", session.phase()));
}

fn drive(stage: Stage, a: Operation, b: Operation) {
    let fixture = Fixture::new(stage);
    let threads = [a, b].map(|operation| {
        let fixture = fixture.clone();
        thread::spawn(move || fixture.perform(operation))
    });
    for _ in 0..DRIVES {
        fixture.perform(Operation::Drive);
    }
    for thread in threads {
        thread.join().expect("a panic ends the run");
    }
    fixture.perform(Operation::Terminate);
    let driver = fixture.driver.lock().take();
    finish(&fixture.session, &mut driver.expect("nobody drives it any more"), &fixture.asked);
    // Its end was told to the first who asked for it, unless something else ended it.
    let begun = *fixture.ends_begun.lock();
    let may_end_otherwise = [a, b].iter().any(|operation| matches!(operation, Operation::Close | Operation::Deadline));
    invariant!(begun == 1 || (begun == 0 && may_end_otherwise), "{begun} ends have begun");
    let report = fixture.session.report();
    let report = report.unwrap_or_else(|| sim::violated("a session that has ended has no report".to_owned()));
    invariant!(report.counters.posted == report.counters.answered + report.counters.failed, "some requests have no answer");
    let replies = fixture.replies.lock().iter_mut().filter_map(Reply::take).count() as u64;
    invariant!(replies == report.counters.posted, "{replies} of {} requesters were told", report.counters.posted);
    invariant!(fixture.table.is_empty(), "the table knows a session that has ended");
    let counters = fixture.table.counters();
    invariant!(counters.created == counters.ended, "{} sessions were made, {} ended", counters.created, counters.ended);
}

fn drive_active(a: Operation, b: Operation) {
    drive(Stage::Active, a, b);
}

fn drive_ending(a: Operation, b: Operation) {
    drive(Stage::Ending, a, b);
}

/// A row for each pair.
pub(super) fn subjects() -> Vec<Subject> {
    let mut subjects = pairs!(drive_active, [
        "create" => Operation::Create,
        "get" => Operation::Get,
        "post" => Operation::Post,
        "answer" => Operation::Answer,
        "terminate" => Operation::Terminate,
        "bye" => Operation::Bye,
        "deadline" => Operation::Deadline,
        "drive" => Operation::Drive,
        "close" => Operation::Close,
    ]);
    subjects.extend(pairs!(drive_ending, [
        "late-create" => Operation::Create,
        "late-get" => Operation::Get,
        "late-post" => Operation::Post,
        "late-answer" => Operation::AnswerFirst,
        "close-answer" => Operation::Answer,
        "late-terminate" => Operation::Terminate,
        "late-bye" => Operation::Bye,
        "late-deadline" => Operation::Deadline,
        "late-drive" => Operation::Drive,
        "late-close" => Operation::Close,
    ]));
    subjects
}
