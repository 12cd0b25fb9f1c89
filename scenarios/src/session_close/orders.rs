//! Every order of answers: up to three channels, each answering its closes once, twice, early, late, or never. The engine for inputs has
//! them all on the core; shuttle samples them on sessions with threads.

use super::{TICK, subject};
use crate::exhibit::{Expected, On, Subject};
use crate::inputs::{below, one_of};
use sim::sync::{Arc, Mutex, channel};
use sim::{invariant, thread, time};
use stack::buffer::pool::{Block, Pool};
use stack::session::properties::{Behaviour, every_order};
use stack::session::{
    AnswerStatus, AnswerToken, Ask, Channel, ChannelEnd, ChannelId, Closed, EndReason, Engine, Line, Media, Session,
    SessionConfig, SessionTable, TableConfig,
};
use stack::timer::{TimerConfig, Timers};

const CHANNELS_MAX: usize = 3;
/// How often the driver waits for what may take as long; a slow processor may take the time of it.
const WAITS_MAX: usize = 200;

fn of_each(count: usize) -> Vec<Behaviour> {
    (0..count).map(|_| one_of(&Behaviour::ALL)).collect()
}

/// The core.
fn core() {
    let engines = of_each(1 + below(CHANNELS_MAX));
    // With few media, so that there are not too many orders.
    let media = of_each(below(if engines.len() < CHANNELS_MAX { 2 } else { 1 }));
    every_order(&media, &engines, &mut |n| below(n));
}

/// What was asked, and answers in its own thread.
type Asked = channel::Sender<(Line, AnswerToken)>;

struct Plugin {
    behaviour: Behaviour,
    asked: Asked,
    seen: Arc<Mutex<Seen>>,
}

/// How often there was an answer, and how often one counted.
#[derive(Default)]
struct Seen {
    given: u64,
    accepted: u64,
}

fn answer(line: &Line, token: AnswerToken, seen: &Mutex<Seen>) -> AnswerStatus {
    let status = line.answer(token, None);
    let mut seen = seen.lock();
    seen.given += 1;
    seen.accepted += u64::from(status == AnswerStatus::Accepted);
    status
}

impl Plugin {
    fn asked(&self, line: &Line, token: AnswerToken) {
        if self.behaviour == Behaviour::Never {
            return;
        }
        self.asked.try_send((line.clone(), token)).expect("there is room for all that can be asked");
    }
}

impl Engine for Plugin {
    fn request(&mut self, line: &Line, token: AnswerToken, _body: Block) {
        // What it has not been asked yet.
        let early = AnswerToken { ask: Ask::CloseEngine, ..token };
        if self.behaviour == Behaviour::Early {
            let status = answer(line, early, &self.seen);
            invariant!(matches!(status, AnswerStatus::Early | AnswerStatus::AfterEnd), "an early answer counts as {status:?}");
        }
        answer(line, token, &self.seen);
    }

    fn close(&mut self, line: &Line, token: AnswerToken) {
        self.asked(line, token);
    }
}

impl Media for Plugin {
    fn close(&mut self, line: &Line, token: AnswerToken) {
        self.asked(line, token);
    }
}

fn config() -> TableConfig {
    let session = SessionConfig {
        request_deadline: TICK * 10,
        call_deadline: TICK * 10,
        media_deadline: TICK * 2,
        engine_deadline: TICK * 2,
        drop_deadline: TICK * 2,
        ..SessionConfig::default()
    };
    TableConfig { session, ..TableConfig::default() }
}

/// Sessions with threads: each behaviour answers in a thread of its own.
fn threads() {
    let timers = Timers::on_thread(TimerConfig::default()).expect("the engine makes threads");
    let table = SessionTable::on_threads(config(), timers.clone());
    let seen = Arc::new(Mutex::new(Seen::default()));
    let engines = of_each(1 + below(CHANNELS_MAX));
    let media = of_each(below(engines.len() + 1));
    let mut workers = Vec::new();
    let session_of = Arc::new(Mutex::new(None));
    let mut plugin = |behaviour: Behaviour| {
        let (asked, asks) = channel::bounded(1);
        let (seen, its) = (Arc::clone(&seen), Arc::clone(&seen));
        let session_of: Arc<Mutex<Option<Session>>> = Arc::clone(&session_of);
        workers.push(thread::spawn(move || {
            while let Ok((line, token)) = asks.recv() {
                if behaviour == Behaviour::Late {
                    let session = session_of.lock().clone();
                    // By then its phase is over, whatever the others do. The driver takes it away when it has ended.
                    let ended = session.is_none_or(|session| (0..WAITS_MAX).any(|_| session.wait(TICK * 20).is_ok()));
                    invariant!(ended, "a session that was ended has not ended");
                }
                answer(&line, token, &its);
                if behaviour == Behaviour::Twice {
                    let status = answer(&line, token, &its);
                    let is_no_first = matches!(status, AnswerStatus::Twice | AnswerStatus::Late | AnswerStatus::AfterEnd);
                    invariant!(is_no_first, "a second answer counts as {status:?}");
                }
            }
        }));
        Box::new(Plugin { behaviour, asked, seen })
    };
    let channels = engines.iter().enumerate().map(|(index, engine)| {
        let media = media.get(index).map(|behaviour| plugin(*behaviour) as Box<dyn Media>);
        Channel { media, engine: plugin(*engine) }
    });
    let channels: Vec<Channel> = channels.collect();
    let session = table.create(Pool::new("session pool", 64), channels).expect("there is room for one");
    *session_of.lock() = Some(session.clone());
    let replies: Vec<_> = (0..engines.len()).filter_map(|index| session.post(ChannelId(index as u16), b"?").ok()).collect();
    session.terminate();
    let report = (0..WAITS_MAX).find_map(|_| session.wait(TICK * 20).ok());
    let report = report.unwrap_or_else(|| sim::violated("a session that was ended has not ended".to_owned()));
    drop(replies);
    *session_of.lock() = None;
    workers.into_iter().for_each(|worker| worker.join().expect("a panic ends the run"));
    // Behind time nobody was late but who was to be.
    if !time::has_run_ahead() {
        let closed = |behaviour: &Behaviour| match behaviour {
            Behaviour::Once | Behaviour::Twice | Behaviour::Early => Closed::Answered,
            Behaviour::Late | Behaviour::Never => Closed::Expired,
        };
        let expected: Vec<ChannelEnd> = (0..engines.len())
            .map(|index| ChannelEnd { media: media.get(index).map_or(Closed::Absent, closed), engine: closed(&engines[index]) })
            .collect();
        invariant!(report.channels == expected, "{media:?} and {engines:?} ended as {:?}", report.channels);
        invariant!(report.reason == EndReason::Terminated && report.left_in.is_none(), "it ended as {report:?}");
    }
    let (counters, seen) = (session.counters(), seen.lock());
    let all = counters.accepted + counters.twice + counters.late + counters.early + counters.after_end;
    invariant!(
        (all, counters.accepted) == (seen.given, seen.accepted),
        "of {} answers {} counted: {counters:?}",
        seen.given,
        seen.accepted
    );
    drop(seen);
    invariant!((0..WAITS_MAX).any(|_| table.close().is_ok()) && table.is_empty(), "the table is not empty");
    invariant!((0..WAITS_MAX).any(|_| timers.close().is_ok()), "the timers have not ended");
}

/// Their rows.
pub(super) fn subjects() -> [Subject; 2] {
    [
        subject(
            "stack-orders",
            "our session's core: every order of answers that come once, twice, early, late, or never",
            vec![On::cases(Expected::Clean)],
            core,
        ),
        subject(
            "stack-orders-threads",
            "our sessions: answers that come once, twice, early, late, or never, from a thread each",
            vec![On::shuttle(Expected::Clean)],
            threads,
        ),
    ]
}
