//! Our sessions in the same place: a table looks them up, their inboxes are bounded, and whoever handles a request looks it up again.

use super::{GAP, Server};
use sim::sync::{Arc, Mutex};
use sim::thread::{self, JoinHandle};
use sim::{invariant, time};
use stack::buffer::pool::{Block, Pool};
use stack::session::{
    AnswerToken, Channel, ChannelId, Driven as Drove, Engine, Line, PostError, Reply, Session, SessionConfig, SessionTable,
    TableConfig,
};
use stack::timer::{TimerConfig, Timers};

/// How often the driver waits for what may take as long; a slow processor may take the time of it.
const WAITS_MAX: usize = 200;

/// Handles requests; each wants the table.
struct Drainer {
    table: Arc<Mutex<Option<SessionTable>>>,
}

impl Engine for Drainer {
    fn request(&mut self, line: &Line, token: AnswerToken, body: Block) {
        let table = self.table.lock().clone();
        // One that ends is not found any more.
        let _session = table.map(|table| table.get(line.of().0));
        line.answer(token, Some(body));
    }

    fn close(&mut self, line: &Line, token: AnswerToken) {
        line.answer(token, None);
    }
}

fn config() -> TableConfig {
    TableConfig { session: SessionConfig { inbox_max: 1, ..SessionConfig::default() }, ..TableConfig::default() }
}

/// What every packet leads to.
#[derive(Default)]
struct Seen {
    received: u64,
    refused: u64,
    replies: Vec<Reply>,
}

fn packet(table: &SessionTable, session: &Session, seen: &Mutex<Seen>) {
    let posted = table.post(session.id(), ChannelId(0), b"packet");
    let mut seen = seen.lock();
    seen.received += 1;
    match posted {
        Ok(reply) => seen.replies.push(reply),
        Err(PostError::Full { inbox_max: 1 }) => seen.refused += 1,
        // A call that gets no processor for as long as it may take ends its session.
        Err(PostError::Ends { .. } | PostError::NoSuchSession(_)) if time::has_run_ahead() => seen.received -= 1,
        Err(error) => sim::violated(format!("a packet is not taken: {error}")),
    }
}

/// The session has ended: each packet was answered, told why not, or refused.
fn check(session: &Session, seen: &Mutex<Seen>) {
    let (counters, mut seen) = (session.counters(), seen.lock());
    invariant!(
        (counters.posted + counters.refused_full, counters.refused_full) == (seen.received, seen.refused),
        "of {} packets {} were refused: {counters:?}",
        seen.received,
        seen.refused
    );
    let told = seen.replies.iter_mut().filter_map(Reply::take).count() as u64;
    invariant!(told == counters.posted, "of {} packets that were taken {told} were told what became of them", counters.posted);
}

fn open_drainer() -> (Channel, Arc<Mutex<Option<SessionTable>>>) {
    let table = Arc::new(Mutex::new(None));
    (Channel { media: None, engine: Box::new(Drainer { table: Arc::clone(&table) }) }, table)
}

/// A session with a thread.
pub(super) struct Threaded {
    table: SessionTable,
    session: Session,
    drainers_table: Arc<Mutex<Option<SessionTable>>>,
    seen: Mutex<Seen>,
}

impl Server for Threaded {
    fn open() -> Arc<Self> {
        let timers = Timers::on_thread(TimerConfig::default()).expect("the engine makes threads");
        let table = SessionTable::on_threads(config(), timers);
        let (channel, drainers_table) = open_drainer();
        *drainers_table.lock() = Some(table.clone());
        let session = table.create(Pool::new("session pool", 4_096), vec![channel]).expect("there is room for one");
        Arc::new(Threaded { table, session, drainers_table, seen: Mutex::default() })
    }

    fn packet(&self) {
        packet(&self.table, &self.session, &self.seen);
    }

    fn finish(&self) {
        // One that asks for a table that is its own keeps it.
        self.drainers_table.lock().take();
        invariant!((0..WAITS_MAX).any(|_| self.table.close().is_ok()), "the session has not ended");
        check(&self.session, &self.seen);
    }
}

/// A session that a thread of ours drives, as loom has few.
pub(super) struct Driven {
    table: SessionTable,
    session: Session,
    drainers_table: Arc<Mutex<Option<SessionTable>>>,
    drives: Mutex<Option<JoinHandle<()>>>,
    seen: Mutex<Seen>,
}

/// How often it drives, beside its last.
const DRIVES: usize = 2;

impl Server for Driven {
    fn open() -> Arc<Self> {
        let table = SessionTable::driven(config());
        let (channel, drainers_table) = open_drainer();
        *drainers_table.lock() = Some(table.clone());
        let made = table.create_driven(Pool::new("session pool", 4_096), vec![channel]);
        let (session, mut driver) = made.expect("there is room for one");
        let its = session.clone();
        let drives = thread::spawn(move || {
            for _ in 0..DRIVES {
                driver.drive();
                time::sleep(GAP);
            }
            its.terminate();
            invariant!(driver.drive() == Drove::Ended, "a session whose engine answers at once has not ended");
        });
        Arc::new(Driven { table, session, drainers_table, drives: Mutex::new(Some(drives)), seen: Mutex::default() })
    }

    fn packet(&self) {
        if let Ok(reply) = self.table.post(self.session.id(), ChannelId(0), b"packet") {
            self.seen.lock().replies.push(reply);
        }
    }

    fn finish(&self) {
        self.drainers_table.lock().take();
        let drives = self.drives.lock().take();
        drives.map(JoinHandle::join).transpose().expect("a panic ends the run");
        let (counters, mut seen) = (self.session.counters(), self.seen.lock());
        let told = seen.replies.iter_mut().filter_map(Reply::take).count() as u64;
        invariant!(
            told == counters.posted,
            "of {} packets that were taken {told} were told what became of them",
            counters.posted
        );
    }
}
