//! The server task and its plugins as they were, rewritten small. A version says which of the stories it is, and whether it is mended.

use super::{Operation, Server, TICK};
use sim::cell::CheckedCell;
use sim::ledger::{self, ResourceId};
use sim::sync::atomic::{AtomicBool, Ordering::SeqCst};
use sim::sync::channel::{self, Receiver, Sender};
use sim::sync::{Arc, Condvar, Mutex};
use sim::thread::{self, JoinHandle};
use sim::time;
use std::cell::Cell;

/// Which habit of upstream's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Story {
    /// One count for all channels: who answers twice uses up another's place.
    Twice,
    /// The plugin has answered its close, and goes on.
    Late,
    /// One count for all phases: what answers an earlier phase uses up a place of the next.
    Early,
    /// The handle says whether its session is there, to a thread that does not own it.
    ByeCrossing,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Version {
    pub(super) story: Story,
    pub(super) is_mended: bool,
}

thread_local! {
    static VERSION: Cell<Version> = const { Cell::new(Version { story: Story::Twice, is_mended: false }) };
}

/// Which version the next server is.
pub(super) fn choose(version: Version) {
    VERSION.set(version);
}

/// `apt_task_msg_t`, to the server task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Message {
    /// The session is to be changed: its channels stop what they do.
    Modify,
    /// The session is to end, if it is there.
    Terminate,
    /// A channel has answered; the message has the address of its session.
    Answered(Phase),
    Quit,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Idle,
    Stopping,
    Closing,
}

/// What the server task asks a plugin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ask {
    Stop,
    Close,
    Quit,
}

const CHANNELS: usize = 2;
const QUEUE_MAX: usize = 8;

pub(super) struct Historic {
    server: Arc<Shared>,
    asks: Vec<Sender<Ask>>,
    /// The asks to the second channel's plugin, whose worker is the driver.
    second: Option<Receiver<Ask>>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

struct Shared {
    version: Version,
    queue: Sender<Message>,
    /// `pool`, of which the session itself is allocated.
    pool: ResourceId,
    handle: Handle,
    first: Plugin,
    seen: Mutex<Seen>,
    changed: Condvar,
}

/// The SIP handle.
struct Handle {
    /// `NUA_HMAGIC`: whether the session is there. As it shipped.
    magic: CheckedCell<bool>,
}

/// The first channel's plugin, which knows whether it has answered its close.
struct Plugin {
    is_asked: AtomicBool,
    has_answered: AtomicBool,
}

#[derive(Default)]
struct Seen {
    modified: bool,
    ended: bool,
}

impl Shared {
    fn is(&self, story: Story) -> bool {
        self.version.story == story
    }

    fn is_shipped(&self, story: Story) -> bool {
        self.is(story) && !self.version.is_mended
    }

    fn post(&self, message: Message) {
        self.queue.send(message).expect("the server task outlives who posts to it");
    }

    /// The plugin answers its close, unless it has. Its worker and who watches its connection may both see that it has not.
    fn answer_close(&self) {
        let has_answered = match self.version {
            Version { story: Story::Twice, is_mended: true } => self.first.has_answered.swap(true, SeqCst),
            _ => {
                let has_answered = self.first.has_answered.load(SeqCst);
                self.first.has_answered.store(true, SeqCst);
                has_answered
            }
        };
        if has_answered {
            return;
        }
        self.post(Message::Answered(Phase::Closing));
    }

    fn tell(&self, change: impl FnOnce(&mut Seen)) {
        change(&mut self.seen.lock());
        self.changed.notify_all();
    }

    fn wait(&self, is_seen: impl Fn(&Seen) -> bool) {
        self.changed.wait_while(&mut self.seen.lock(), |seen| !is_seen(seen));
    }
}

impl Server for Historic {
    fn open() -> Arc<Self> {
        let version = VERSION.get();
        let (queue, messages) = channel::bounded(QUEUE_MAX);
        let server = Arc::new(Shared {
            version,
            queue,
            pool: ledger::register("session pool"),
            handle: Handle { magic: CheckedCell::new(true) },
            first: Plugin { is_asked: AtomicBool::new(false), has_answered: AtomicBool::new(false) },
            seen: Mutex::default(),
            changed: Condvar::new(),
        });
        let channels = match version.story {
            Story::Twice => CHANNELS,
            Story::Late | Story::Early => 1,
            Story::ByeCrossing => 0,
        };
        let (asks, mut asked): (Vec<_>, Vec<_>) = (0..channels).map(|_| channel::bounded(QUEUE_MAX)).unzip();
        let second = asked.split_off(channels.min(1)).pop();
        let task = Task { server: Arc::clone(&server), asks: asks.clone(), phase: Phase::Idle, subrequests: 0, is_gone: false };
        let mut threads = vec![spawn("server task", move || task.work(&messages))];
        if let Some(asked) = asked.pop() {
            let server = Arc::clone(&server);
            threads.push(spawn("plugin", move || work(&server, &asked)));
        }
        Arc::new(Historic { server, asks, second, threads: Mutex::new(threads) })
    }

    fn perform(&self, operation: Operation) {
        let server = &self.server;
        match operation {
            Operation::Bye if server.is_shipped(Story::ByeCrossing) => {
                if server.handle.magic.get() {
                    // Where it is to be sent to stands in the session.
                    ledger::touch(server.pool);
                    server.post(Message::Terminate);
                }
            }
            Operation::Bye | Operation::Terminate => server.post(Message::Terminate),
            Operation::Modify => server.post(Message::Modify),
            Operation::Pause => time::sleep(TICK),
            Operation::LinkLost => {
                if server.first.is_asked.load(SeqCst) {
                    server.answer_close();
                }
            }
        }
    }

    fn wait_modified(&self) {
        self.server.wait(|seen| seen.modified || seen.ended);
    }

    fn wait_ended(&self) {
        if let Some(asked) = &self.second
            && !self.server.seen.lock().ended
            && asked.recv() == Ok(Ask::Close)
        {
            self.server.post(Message::Answered(Phase::Closing));
        }
        self.server.wait(|seen| seen.ended);
    }

    fn finish(&self) {
        for ask in &self.asks {
            // The second's worker is the driver, who has gone.
            let _ = ask.try_send(Ask::Quit);
        }
        // The plugin first: what it has to say yet the server task hears.
        let mut threads = std::mem::take(&mut *self.threads.lock());
        while let Some(thread) = threads.pop() {
            if threads.is_empty() {
                self.server.post(Message::Quit);
            }
            thread.join().expect("a panic ends the run");
        }
    }
}

fn spawn(name: &str, work: impl FnOnce() + Send + 'static) -> JoinHandle<()> {
    thread::Builder::new().name(name).spawn(work).expect("the engine makes threads")
}

/// The first plugin's worker.
fn work(server: &Shared, asked: &Receiver<Ask>) {
    while let Ok(ask) = asked.recv() {
        match ask {
            Ask::Stop => server.post(Message::Answered(Phase::Stopping)),
            Ask::Close => {
                if server.is(Story::Late) && server.version.is_mended {
                    ledger::touch(server.pool);
                }
                server.answer_close();
                if server.is_shipped(Story::Late) {
                    // 03b8948: its loop runs on, and sends what it has recognised to the channel's session.
                    ledger::touch(server.pool);
                }
            }
            Ask::Quit => return,
        }
    }
}

/// `mrcp_server_session_t`, and the task that owns it.
struct Task {
    server: Arc<Shared>,
    asks: Vec<Sender<Ask>>,
    phase: Phase,
    /// `subrequest_count`.
    subrequests: usize,
    is_gone: bool,
}

impl Task {
    fn work(mut self, messages: &Receiver<Message>) {
        while let Ok(message) = messages.recv() {
            match message {
                Message::Modify => self.modify(),
                Message::Terminate => self.terminate(),
                Message::Answered(phase) => self.answered(phase),
                Message::Quit => return,
            }
        }
    }

    fn ask(&mut self, ask: Ask, phase: Phase) {
        self.phase = phase;
        // Whatever was outstanding is forgotten.
        self.subrequests = self.asks.len();
        for to in &self.asks {
            to.send(ask).expect("a plugin outlives its session");
        }
        if self.subrequests == 0 {
            self.destroy();
        }
    }

    fn modify(&mut self) {
        if !self.is_gone && self.phase == Phase::Idle {
            self.ask(Ask::Stop, Phase::Stopping);
        }
    }

    fn terminate(&mut self) {
        if self.is_gone || self.phase == Phase::Closing {
            return;
        }
        self.server.first.is_asked.store(true, SeqCst);
        self.ask(Ask::Close, Phase::Closing);
    }

    fn answered(&mut self, phase: Phase) {
        ledger::touch(self.server.pool);
        if self.server.is(Story::Early) && self.server.version.is_mended && phase != self.phase {
            return;
        }
        self.subrequests = self.subrequests.saturating_sub(1);
        if self.subrequests > 0 {
            return;
        }
        match self.phase {
            Phase::Idle => {}
            Phase::Stopping => {
                self.phase = Phase::Idle;
                self.server.tell(|seen| seen.modified = true);
            }
            Phase::Closing => self.destroy(),
        }
    }

    fn destroy(&mut self) {
        if self.server.is_shipped(Story::ByeCrossing) {
            self.server.handle.magic.set(false);
        }
        self.is_gone = true;
        ledger::release(self.server.pool);
        self.server.tell(|seen| seen.ended = true);
    }
}
