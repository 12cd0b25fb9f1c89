//! What several exhibits have across a network: a user's command crosses what the peer does to the call.
//!
//! Stand-in datagrams until SIP lands. The peer sends a request, is answered, and acknowledges; the user's program sends a command. A task
//! receives each. With the crossing taken away the command comes only when the peer's part is over.

use sim::net::{self, Host, Link, UdpSocket};
use sim::sync::Arc;
use sim::task;
use sim::time::{self, Duration};
use std::future::Future;
use std::net::SocketAddr;

/// What a command allows itself.
const DEADLINE: Duration = Duration::from_secs(5);
const SIGNALLING: u16 = 5_060;
const COMMANDS: u16 = 8_080;
const INVITE: &[u8] = b"INVITE sip:alice@callee SIP/2.0";
const OK: &[u8] = b"SIP/2.0 200 OK";
const ACK: &[u8] = b"ACK sip:alice@callee SIP/2.0";
const CONFIRMED: &[u8] = b"NOTIFY confirmed";
const COMMAND: &[u8] = b"command";

/// When the user commands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Command {
    /// While the peer's part goes on.
    Crosses,
    /// When the peer has heard that it is over.
    InTurn,
    /// A minute later, for no reason that has to do with it.
    MuchLater,
}

/// A call as the tasks of the driver have it.
pub(crate) trait Call: Send + Sync + 'static {
    fn open() -> Arc<Self>;
    /// The peer's request has come; `answered` is ready when it is answered and acknowledged.
    fn on_invite(&self, answered: impl Future<Output = ()> + Send) -> impl Future<Output = ()> + Send;
    fn on_command(&self) -> impl Future<Output = ()> + Send;
    /// After all tasks have ended.
    fn close(&self) {}
}

/// The driver: the peer's part and the user's command.
pub(crate) fn drive<C: Call>(command: Command) {
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
            let _operation = sim::operation("call.on_invite", None);
            let answered = async {
                signalling_socket.send_to(OK, from).await.expect("the peer has an address");
                expect(&signalling_socket, ACK).await;
            };
            theirs.on_invite(answered).await;
            signalling_socket.send_to(CONFIRMED, from).await.expect("the peer has an address");
        });
        let theirs = Arc::clone(&call);
        let obeys = task::try_spawn("commands", async move {
            expect(&commands_socket, COMMAND).await;
            let _operation = sim::operation("call.on_command", DEADLINE);
            theirs.on_command().await;
        });
        for task in [signals, obeys] {
            task.expect("the engine has tasks").await.expect("nothing aborts it");
        }
        invites.await.expect("nothing aborts it");
        commanding.await.expect("nothing aborts it");
        call.close();
    });
}

/// The peer, which tells the user's program when its part is over.
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
    socket.send_to(COMMAND, commands).await.expect("it has an address");
}

/// Waits for this datagram, and says where it came from.
async fn expect(socket: &UdpSocket, wanted: &[u8]) -> SocketAddr {
    let mut buffer = [0; 64];
    let (length, from) = socket.recv_from(&mut buffer).await.expect("its host is up");
    sim::invariant!(&buffer[..length] == wanted, "expected {wanted:?}, got {:?}", &buffer[..length]);
    from
}
