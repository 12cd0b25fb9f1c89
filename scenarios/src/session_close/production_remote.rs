//! Our sessions with tasks for their calls and deadlines, and a plugin on another machine: the production code itself. What a plugin is
//! asked goes to it as a token, and its answer comes back as one, over a network that loses, overtakes and repeats.

use super::TICK;
use crate::exhibit::{Expected, On, Subject};
use crate::inputs::one_of;
use sim::net::{self, Host, Link, UdpSocket};
use sim::sync::asynchronous::{mpsc, oneshot};
use sim::sync::{Arc, Mutex};
use sim::task;
use sim::time;
use sim::{Bounds, invariant, ledger};
use stack::buffer::pool::{Block, Pool};
use stack::session::{
    AnswerStatus, AnswerToken, Channel, Closed, EndReason, Engine, Line, Session, SessionConfig, SessionTable, TableConfig,
};
use stack::timer::{TimerConfig, Timers};
use std::net::SocketAddr;

const PORT: u16 = 1_544;
const BYE: &[u8] = b"BYE";
const TERMINATE: &[u8] = b"TERMINATE";
const TOKEN_BYTES: usize = 16;
/// How often the driver waits for what may take as long.
const WAITS_MAX: usize = 50;

/// What the plugin does when it is asked to close.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Behaviour {
    Once,
    Twice,
    Never,
}

/// Whether who ends the session does so when another has, or at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ends {
    Cross,
    InTurn,
}

/// The plugin's near side: hands on what it is asked.
struct Remote {
    resource: ledger::ResourceId,
    asks: mpsc::Sender<AnswerToken>,
    line: Arc<Mutex<Option<Line>>>,
}

impl Remote {
    fn ask(&self, line: &Line, token: AnswerToken) {
        ledger::touch(self.resource);
        *self.line.lock() = Some(line.clone());
        self.asks.try_send(token).expect("there is room for all that can be asked");
    }
}

impl Engine for Remote {
    fn request(&mut self, line: &Line, token: AnswerToken, _body: Block) {
        self.ask(line, token);
    }

    fn close(&mut self, line: &Line, token: AnswerToken) {
        self.ask(line, token);
    }
}

impl Drop for Remote {
    fn drop(&mut self) {
        ledger::release(self.resource);
    }
}

fn config() -> TableConfig {
    let session = SessionConfig {
        request_deadline: TICK * 10,
        call_deadline: TICK * 10,
        engine_deadline: TICK,
        ..SessionConfig::default()
    };
    TableConfig { session, ..TableConfig::default() }
}

/// The driver: one session, ended twice.
fn drive(link: Link, behaviour: Behaviour, ends: Ends) {
    // So far a processor may be late at once: past the deadlines of the session, and not past the one that its timers give a callback.
    time::bound_slowness(config().session.call_deadline);
    net::set_link(&Link::in_order()).expect("the engine has links");
    task::block_on(async move {
        let [engine, peer] = ["engine", "peer"].map(Host::new);
        let here = Host::current();
        net::set_link_between(&engine, &here, &link).expect("the engine has links");
        let at = |host: &Host| SocketAddr::new(host.address(), PORT);
        let (server, plugin_at) = (at(&here), at(&engine));
        let socket = Arc::new(UdpSocket::bind(server).await.expect("nobody else has this port"));
        let timers = Timers::on_task(TimerConfig::default()).expect("the engine has tasks");
        let table = SessionTable::on_tasks(config(), timers.clone());
        let (asks, asked) = mpsc::channel(4);
        let line = Arc::new(Mutex::new(None));
        let remote = Remote { resource: ledger::register("engine"), asks, line: Arc::clone(&line) };
        let channel = Channel { media: None, engine: Box::new(remote) };
        let session = table.create(Pool::new("session pool", 64), vec![channel]).expect("there is room for one");
        let (ready, mut is_ready) = oneshot::channel();
        let plugin = engine.spawn("plugin", plugin(plugin_at, behaviour, ready));
        is_ready.recv().await.expect("it opens its port");
        let sends = task::try_spawn("asks", send_asks(Arc::clone(&socket), asked, plugin_at)).expect("the engine has tasks");
        let hears = task::try_spawn("server", hear(socket, session.clone(), Arc::clone(&line))).expect("the engine has tasks");
        let ends = peer.spawn("peer", hang_up(at(&peer), server, ends));
        ends.await.expect("nobody aborts it");
        let report = loop_until_ended(&session).await;
        invariant!(matches!(report.reason, EndReason::Bye | EndReason::Terminated), "it ended as {report:?}");
        let closed = report.channels[0].engine;
        invariant!(behaviour != Behaviour::Never || closed != Closed::Answered, "what never answers is {closed:?}");
        // Whoever is late comes now.
        time::sleep_for(TICK).await;
        let counters = session.counters();
        let accepted = u64::from(closed == Closed::Answered);
        invariant!(counters.accepted == accepted && counters.foreign == 0, "{closed:?} with {counters:?}");
        table.closed().await.expect("its session has ended");
        timers.closed().await.expect("no deadline is left");
        for task in [plugin, sends, hears] {
            task.abort();
        }
    });
}

async fn loop_until_ended(session: &Session) -> Arc<stack::session::EndReport> {
    for _ in 0..WAITS_MAX {
        if let Ok(report) = session.ended(config().session.end_max()).await {
            return report;
        }
    }
    sim::violated("a session that was ended has not ended".to_owned())
}

async fn send_asks(socket: Arc<UdpSocket>, mut asked: mpsc::Receiver<AnswerToken>, to: SocketAddr) {
    while let Some(token) = asked.recv().await {
        socket.send_to(&token.to_bits().to_be_bytes(), to).await.expect("the plugin has an address");
    }
}

/// Hears the peer and the plugin.
async fn hear(socket: Arc<UdpSocket>, session: Session, line: Arc<Mutex<Option<Line>>>) {
    let mut buffer = [0; 64];
    loop {
        let (length, from) = socket.recv_from(&mut buffer).await.expect("its host is up");
        match &buffer[..length] {
            BYE => {
                session.bye();
                socket.send_to(b"OK", from).await.expect("the peer has an address");
            }
            TERMINATE => _ = session.terminate(),
            bytes => {
                let bits = <[u8; TOKEN_BYTES]>::try_from(bytes).expect("nothing corrupts a datagram here");
                let token = AnswerToken::from_bits(u128::from_be_bytes(bits)).expect("the plugin sends what it was sent");
                let Some(to) = line.lock().clone() else { sim::violated("nothing was asked, and there is an answer".to_owned()) };
                let status = to.answer(token, None);
                let is_possible =
                    matches!(status, AnswerStatus::Accepted | AnswerStatus::Twice | AnswerStatus::Late | AnswerStatus::AfterEnd);
                invariant!(is_possible, "an answer to what was asked counts as {status:?}");
            }
        }
    }
}

/// The plugin's far side.
async fn plugin(at: SocketAddr, behaviour: Behaviour, ready: oneshot::Sender<()>) {
    let socket = UdpSocket::bind(at).await.expect("nobody else has this port");
    ready.send(()).expect("the driver waits for it");
    let mut buffer = [0; 64];
    loop {
        let (length, from) = socket.recv_from(&mut buffer).await.expect("its host is up");
        let answers = match behaviour {
            Behaviour::Once => 1,
            Behaviour::Twice => 2,
            Behaviour::Never => 0,
        };
        for _ in 0..answers {
            socket.send_to(&buffer[..length], from).await.expect("the server has an address");
        }
    }
}

async fn hang_up(at: SocketAddr, server: SocketAddr, ends: Ends) {
    let signalling = UdpSocket::bind(at).await.expect("nobody else has this port");
    let other = UdpSocket::bind(SocketAddr::new(at.ip(), PORT + 1)).await.expect("nobody else has this port");
    let mut buffer = [0; 8];
    signalling.send_to(BYE, server).await.expect("the server has an address");
    if ends == Ends::InTurn {
        signalling.recv_from(&mut buffer).await.expect("its host is up");
    }
    other.send_to(TERMINATE, server).await.expect("the server has an address");
}

fn any() {
    let behaviour = one_of(&[Behaviour::Once, Behaviour::Twice, Behaviour::Never]);
    let ends = one_of(&[Ends::Cross, Ends::InTurn]);
    let lossy = || Link::any_order().loss(0.2).and_then(|link| link.duplicate(0.2)).expect("a link can be so");
    drive(lossy(), behaviour, ends);
}

/// What turmoil has in seconds: one datagram is lost or comes twice, and those of different machines cross in every way.
fn crossing() {
    let behaviour = one_of(&[Behaviour::Once, Behaviour::Never]);
    let link = Link::in_order().loss(0.2).and_then(|link| link.duplicate(0.2)).expect("a link can be so");
    drive(link, behaviour, Ends::Cross);
}

/// Our sessions on turmoil.
pub(super) fn on_turmoil() -> On {
    let on = On::turmoil(Expected::Clean).body(crossing);
    let bounds = Bounds { firings: 1, ..on.bounds };
    on.within(bounds)
}

/// The row that shuttle has of it.
pub(super) fn subject() -> Subject {
    super::subject(
        "stack-remote",
        "our sessions on tasks: a plugin on another machine, over a network that loses, overtakes and repeats",
        vec![On::shuttle(Expected::Clean)],
        any,
    )
}
