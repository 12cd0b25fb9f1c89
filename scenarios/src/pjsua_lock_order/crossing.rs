//! The same bug across a network: a user's command crosses a re-INVITE.
//!
//! Stand-in datagrams until SIP lands. The peer re-invites: the signalling task answers, has the dialog until the ACK has come, and calls the
//! application back, which wants its mutex. The user commands the application to hang up: the command task takes the application's mutex
//! and wants the dialog. With the crossing taken away the command comes only when the re-INVITE is over.

use super::DEADLINE;
use super::production::{Operation, World};
use crate::exhibit::{Expected, On, Sequential, Subject};
use sim::net::{self, Host, Link, UdpSocket};
use sim::sync::Arc;
use sim::sync::asynchronous::Mutex;
use sim::task;
use sim::time::{self, Duration};
use std::future::Future;
use std::net::SocketAddr;

const SIGNALLING: u16 = 5_060;
const COMMANDS: u16 = 8_080;
const INVITE: &[u8] = b"INVITE sip:alice@callee SIP/2.0";
const OK: &[u8] = b"SIP/2.0 200 OK";
const ACK: &[u8] = b"ACK sip:alice@callee SIP/2.0";
const CONFIRMED: &[u8] = b"NOTIFY confirmed";
const HANG_UP: &[u8] = b"hang up";

/// When the user commands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Command {
    /// While the re-INVITE goes on.
    Crosses,
    /// When the peer has heard that it is over.
    InTurn,
    /// A minute later, for no reason that has to do with it.
    MuchLater,
}

/// A call whose locks are awaited.
trait Call: Send + Sync + 'static {
    fn open() -> Arc<Self>;
    /// A re-INVITE has come; `answered` is ready when the ACK has come too.
    fn on_invite(&self, answered: impl Future<Output = ()> + Send) -> impl Future<Output = ()> + Send;
    fn hang_up(&self) -> impl Future<Output = ()> + Send;
    /// After all tasks have ended.
    fn close(&self) {}
}

/// As upstream would have it with tasks: who re-invites has the dialog, and the application is called back with it.
struct Inverted<const MENDED: bool> {
    application: Mutex<u32>,
    dialog: Mutex<()>,
}

impl<const MENDED: bool> Call for Inverted<MENDED> {
    fn open() -> Arc<Self> {
        Arc::new(Inverted { application: Mutex::new(0), dialog: Mutex::new(()) })
    }

    async fn on_invite(&self, answered: impl Future<Output = ()> + Send) {
        let _dialog = self.dialog.lock().await;
        answered.await;
        *self.application.lock().await += 1;
    }

    async fn hang_up(&self) {
        let application = self.application.lock().await;
        if MENDED {
            drop(application);
            let _dialog = self.dialog.lock().await;
        } else {
            let _dialog = self.dialog.lock().await;
        }
    }
}

/// Our endpoint: the production code itself. Its locks are held for moments, and never while a task awaits.
impl Call for World {
    fn open() -> Arc<Self> {
        let world = World::open();
        world.make(0);
        world
    }

    async fn on_invite(&self, answered: impl Future<Output = ()> + Send) {
        self.perform(Operation::Usage);
        answered.await;
        self.perform(Operation::State);
        self.perform(Operation::Input);
    }

    async fn hang_up(&self) {
        self.perform_inverted(Operation::HangUp);
    }

    fn close(&self) {
        self.end();
    }
}

/// The driver: a call that is re-invited, and hung up by its user.
fn drive<C: Call>(command: Command) {
    net::set_link(&Link::any_order()).expect("the engine has links");
    task::block_on(async move {
        let here = Host::current().address();
        let [signalling, commands] = [SIGNALLING, COMMANDS].map(|port| SocketAddr::new(here, port));
        let signalling_socket = UdpSocket::bind(signalling).await.expect("nobody else has this port");
        let commands_socket = UdpSocket::bind(commands).await.expect("nobody else has this port");
        let call = C::open();
        let (peer, user) = (Host::new("peer"), Host::new("user"));
        let peer_socket = SocketAddr::new(peer.address(), SIGNALLING);
        let tells = (command == Command::InTurn).then_some(SocketAddr::new(user.address(), COMMANDS));
        let invites = peer.spawn("peer", invite(peer_socket, signalling, tells));
        let from = SocketAddr::new(user.address(), COMMANDS);
        let commanding = user.spawn("user", give(from, commands, command));
        let theirs = Arc::clone(&call);
        let signals = task::try_spawn("signalling", async move {
            let from = expect(&signalling_socket, INVITE).await;
            let _operation = sim::operation("call.on_response", None);
            let answered = async {
                signalling_socket.send_to(OK, from).await.expect("the peer has an address");
                expect(&signalling_socket, ACK).await;
            };
            theirs.on_invite(answered).await;
            signalling_socket.send_to(CONFIRMED, from).await.expect("the peer has an address");
        });
        let theirs = Arc::clone(&call);
        let obeys = task::try_spawn("commands", async move {
            expect(&commands_socket, HANG_UP).await;
            let _operation = sim::operation("call.hang_up", DEADLINE);
            theirs.hang_up().await;
        });
        for task in [signals, obeys] {
            task.expect("the engine has tasks").await.expect("nothing aborts it");
        }
        invites.await.expect("nothing aborts it");
        commanding.await.expect("nothing aborts it");
        call.close();
    });
}

/// The peer: re-invites, and tells the user's program when that is over.
async fn invite(own: SocketAddr, callee: SocketAddr, tells: Option<SocketAddr>) {
    let socket = UdpSocket::bind(own).await.expect("nobody else has this port");
    socket.send_to(INVITE, callee).await.expect("the callee has an address");
    expect(&socket, OK).await;
    socket.send_to(ACK, callee).await.expect("the callee has an address");
    expect(&socket, CONFIRMED).await;
    if let Some(user) = tells {
        socket.send_to(CONFIRMED, user).await.expect("the user has an address");
    }
}

/// The user's program.
async fn give(own: SocketAddr, commands: SocketAddr, command: Command) {
    let socket = UdpSocket::bind(own).await.expect("nobody else has this port");
    match command {
        Command::Crosses => {}
        Command::InTurn => _ = expect(&socket, CONFIRMED).await,
        Command::MuchLater => time::sleep_for(Duration::from_secs(60)).await,
    }
    socket.send_to(HANG_UP, commands).await.expect("it has an address");
}

/// Waits for this datagram, and says where it came from.
async fn expect(socket: &UdpSocket, wanted: &[u8]) -> SocketAddr {
    let mut buffer = [0; 64];
    let (length, from) = socket.recv_from(&mut buffer).await.expect("its host is up");
    sim::invariant!(&buffer[..length] == wanted, "expected {wanted:?}, got {:?}", &buffer[..length]);
    from
}

macro_rules! bodies {
    ($($name:ident: $call:ty, $command:ident;)*) => {
        $(pub(super) fn $name() {
            drive::<$call>(Command::$command);
        })*
    };
}

bodies! {
    inverted: Inverted<false>, Crosses;
    inverted_in_turn: Inverted<false>, InTurn;
    inverted_twin: Inverted<true>, Crosses;
    quiet: Inverted<false>, MuchLater;
    quiet_twin: Inverted<true>, MuchLater;
}

/// Our endpoint under every command.
pub(super) fn stack() {
    let command = [Command::Crosses, Command::InTurn][sim::choose(2) as usize];
    drive::<World>(command);
}

/// With the crossing taken away.
pub(super) fn in_turn() -> Subject {
    Subject {
        name: "inverted-in-turn",
        about: "the command comes when the re-INVITE is over",
        on: vec![On::shuttle(Expected::Clean), On::turmoil(Expected::Clean)],
        fewest_preemptions: None,
        sequential: Sequential::Clean,
        body: inverted_in_turn,
        in_sequence: None,
        must_see: None,
    }
}
