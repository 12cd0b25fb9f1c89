//! The same across a network: the plugins are on another machine, and so is the peer. On turmoil, which has no threads, this is how the
//! exhibit is told; on shuttle it is told both ways.
//!
//! Stand-ins for SIP and MRCP until they land: a datagram is a word and a channel. What goes wrong is that two datagrams cross, or that
//! one is lost. *In turn* each is sent when the one before was answered, and nothing is lost.

use super::{TICK, subject};
use crate::exhibit::{Expected, On, Subject};
use sim::ledger::{self, ResourceId};
use sim::net::{self, Host, Link, UdpSocket};
use sim::sync::asynchronous::oneshot;
use sim::task;
use sim::time::{self, Duration};
use sim::verdict::Detector;
use std::net::SocketAddr;

/// Which habit of upstream's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Story {
    /// A channel's answer is sent again as its acknowledgement is late, and uses up another channel's place.
    Twice,
    /// What a channel has recognised is overtaken by its answer to its close.
    Late,
    /// The answer to an earlier phase crosses the BYE, and uses up a place of the next phase.
    Early,
    /// The SIP side, on a machine of its own, has not heard yet that the session is gone.
    ByeCrossing,
    /// An answer is lost, and there is no timer.
    Never,
    /// A request crosses the removal of its channel, and gets no response, which its sender waits for before it hangs up.
    DispatchFails,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Plan {
    story: Story,
    is_mended: bool,
    datagrams: Datagrams,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Datagrams {
    Cross,
    InTurn,
}

impl Plan {
    const fn new(story: Story) -> Self {
        Plan { story, is_mended: false, datagrams: Datagrams::Cross }
    }

    const fn mended(self) -> Self {
        Plan { is_mended: true, ..self }
    }

    const fn in_turn(self) -> Self {
        Plan { datagrams: Datagrams::InTurn, ..self }
    }

    fn crosses(self) -> bool {
        self.datagrams == Datagrams::Cross
    }
}

/// A datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
enum Word {
    Bye,
    Terminate,
    Modify,
    Remove,
    Recognise,
    /// The response to any of the above.
    Ok,
    /// A request was for a channel that is not there: what upstream does not say.
    NoSuchChannel,
    Stop,
    Close,
    /// The plugin's answers to the two above.
    Stopped,
    Closed,
    /// What a plugin has recognised.
    Complete,
    Acknowledge,
    /// The session is gone.
    Gone,
}

impl Word {
    const ALL: [Word; 14] = [
        Word::Bye,
        Word::Terminate,
        Word::Modify,
        Word::Remove,
        Word::Recognise,
        Word::Ok,
        Word::NoSuchChannel,
        Word::Stop,
        Word::Close,
        Word::Stopped,
        Word::Closed,
        Word::Complete,
        Word::Acknowledge,
        Word::Gone,
    ];
}

/// Datagrams in both directions.
struct Port(UdpSocket);

impl Port {
    async fn open(port: u16) -> Port {
        let at = SocketAddr::new(Host::current().address(), port);
        Port(UdpSocket::bind(at).await.expect("nobody else has this port"))
    }

    async fn say(&self, word: Word, channel: u8, to: SocketAddr) {
        self.0.send_to(&[word as u8, channel], to).await.expect("whom it is for has an address");
    }

    async fn hear(&self) -> (Word, u8, SocketAddr) {
        let mut datagram = [0; 2];
        let (length, from) = self.0.recv_from(&mut datagram).await.expect("its host is up");
        match (length, Word::ALL.get(usize::from(datagram[0]))) {
            (2, Some(word)) => (*word, datagram[1], from),
            _ => sim::violated(format!("no datagram of this exhibit: {datagram:?}")),
        }
    }

    /// Waits for this word and leaves out all others.
    async fn await_word(&self, wanted: Word) -> SocketAddr {
        loop {
            let (word, _, from) = self.hear().await;
            if word == wanted {
                return from;
            }
        }
    }
}

/// MRCPv2's, and SIP's.
const SERVER: u16 = 1_544;
const PLUGIN: [u16; 2] = [4_000, 4_001];
const SIP: u16 = 5_060;
const CLIENT: u16 = 5_061;
/// How long an acknowledgement is waited for before the answer is sent again.
const RETRANSMISSION: Duration = Duration::from_millis(200);
/// What the mended server gives a plugin for its answer.
const ANSWER_DEADLINE: Duration = Duration::from_millis(500);
/// What an end allows itself.
const END_DEADLINE: Duration = Duration::from_secs(2);

#[derive(Clone, Copy)]
struct Addresses {
    server: SocketAddr,
    plugins: [SocketAddr; 2],
    sip: SocketAddr,
    client: SocketAddr,
}

/// The driver: a session that is ended.
fn drive(plan: Plan) {
    // Who sends again needs no datagram to overtake another.
    let link = if plan.story == Story::Twice { Link::in_order() } else { Link::any_order() };
    net::set_link(&link).expect("the engine has links");
    task::block_on(async move {
        let [engine, front, peer] = ["engine", "front", "peer"].map(Host::new);
        let here = Host::current();
        if plan.story == Story::Never && plan.crosses() {
            let lossy = Link::any_order().loss(0.3).expect("a link can be so");
            net::set_link_between(&engine, &here, &lossy).expect("the engine has links");
        }
        let at = |host: &Host, port| SocketAddr::new(host.address(), port);
        let addresses = Addresses {
            server: at(&here, SERVER),
            plugins: PLUGIN.map(|port| at(&engine, port)),
            sip: at(&front, SIP),
            client: at(&peer, CLIENT),
        };
        let port = Port::open(SERVER).await;
        let mut others = Vec::new();
        for channel in 0..plan.channels() {
            let (ready, mut is_ready) = oneshot::channel();
            others.push(engine.spawn("plugin", plugin(plan, channel, addresses, ready)));
            is_ready.recv().await.expect("it opens its port");
        }
        if plan.story == Story::ByeCrossing {
            let (ready, mut is_ready) = oneshot::channel();
            others.push(front.spawn("sip", sip(addresses, ready)));
            is_ready.recv().await.expect("it opens its port");
        }
        if matches!(plan.story, Story::Never | Story::DispatchFails) {
            // Media go on, and time with them.
            let media = task::try_spawn("media", async {
                loop {
                    time::sleep_for(TICK).await;
                }
            });
            others.push(media.expect("the engine has tasks"));
        }
        let server = Server::new(plan, port, addresses);
        others.push(task::try_spawn("server task", server.work()).expect("the engine has tasks"));
        let client = peer.spawn("client", client(plan, addresses));
        client.await.expect("nobody aborts it");
        // Whoever is late comes now.
        time::sleep_for(RETRANSMISSION + RETRANSMISSION).await;
        for task in others {
            task.abort();
        }
    });
}

impl Plan {
    fn channels(self) -> u8 {
        match self.story {
            Story::Twice => 2,
            Story::Late | Story::Early | Story::Never => 1,
            Story::ByeCrossing | Story::DispatchFails => 0,
        }
    }
}

async fn client(plan: Plan, at: Addresses) {
    let port = Port::open(CLIENT).await;
    let _operation = sim::operation("client.session", END_DEADLINE);
    match plan.story {
        Story::Twice | Story::Late | Story::Never => {
            port.say(Word::Bye, 0, at.server).await;
            port.await_word(Word::Gone).await;
        }
        Story::Early => {
            port.say(Word::Modify, 0, at.server).await;
            match plan.datagrams {
                // As a rule that is time enough.
                Datagrams::Cross => time::sleep_for(TICK).await,
                Datagrams::InTurn => _ = port.await_word(Word::Ok).await,
            }
            port.say(Word::Bye, 0, at.server).await;
            port.await_word(Word::Gone).await;
        }
        Story::ByeCrossing => {
            // The application, in the same place, ends the session too.
            port.say(Word::Bye, 0, at.sip).await;
            match plan.datagrams {
                // As a rule that is time enough.
                Datagrams::Cross => time::sleep_for(TICK).await,
                Datagrams::InTurn => _ = port.await_word(Word::Gone).await,
            }
            port.say(Word::Terminate, 0, at.server).await;
            port.await_word(Word::Gone).await;
        }
        Story::DispatchFails => {
            port.say(Word::Recognise, 0, at.server).await;
            let mut has_response = false;
            if !plan.crosses() {
                port.await_word(Word::Complete).await;
                has_response = true;
            }
            port.say(Word::Remove, 0, at.server).await;
            let mut is_removed = false;
            // `active_request`: it hangs up when that has its response.
            while !(has_response && is_removed) {
                match port.hear().await.0 {
                    Word::Complete | Word::NoSuchChannel => has_response = true,
                    Word::Ok => is_removed = true,
                    _ => {}
                }
            }
            port.say(Word::Bye, 0, at.server).await;
            port.await_word(Word::Gone).await;
        }
    }
}

/// The plugin of a channel.
async fn plugin(plan: Plan, channel: u8, at: Addresses, ready: oneshot::Sender<()>) -> ! {
    let port = Port::open(PLUGIN[usize::from(channel)]).await;
    ready.send(()).expect("the driver waits for it");
    loop {
        match port.hear().await.0 {
            Word::Stop => port.say(Word::Stopped, channel, at.server).await,
            Word::Close => {
                if plan.story == Story::Late {
                    port.say(Word::Complete, channel, at.server).await;
                    if !plan.crosses() {
                        port.await_word(Word::Acknowledge).await;
                    }
                }
                port.say(Word::Closed, channel, at.server).await;
                let may_be_late = plan.story == Story::Twice && channel == 0 && plan.crosses();
                if may_be_late && time::timeout(RETRANSMISSION, port.await_word(Word::Acknowledge)).await.is_err() {
                    port.say(Word::Closed, channel, at.server).await;
                }
            }
            _ => {}
        }
    }
}

/// The SIP side, with its handle.
async fn sip(at: Addresses, ready: oneshot::Sender<()>) -> ! {
    let port = Port::open(SIP).await;
    ready.send(()).expect("the driver waits for it");
    // `NUA_HMAGIC`.
    let mut is_there = true;
    loop {
        match port.hear().await.0 {
            Word::Bye if is_there => port.say(Word::Terminate, 1, at.server).await,
            Word::Gone => {
                is_there = false;
                port.say(Word::Gone, 0, at.client).await;
            }
            _ => {}
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Idle,
    Stopping,
    Closing,
}

/// The server task and its session.
struct Server {
    plan: Plan,
    port: Port,
    at: Addresses,
    pool: ResourceId,
    phase: Phase,
    /// `subrequest_count`.
    subrequests: u8,
    /// The mended version of `twice`.
    closed: [bool; 2],
    has_channel: bool,
    is_gone: bool,
}

impl Server {
    fn new(plan: Plan, port: Port, at: Addresses) -> Self {
        let pool = ledger::register("session pool");
        let closed = [false; 2];
        Server { plan, port, at, pool, phase: Phase::Idle, subrequests: 0, closed, has_channel: true, is_gone: false }
    }

    fn is_mended(&self, story: Story) -> bool {
        self.plan.story == story && self.plan.is_mended
    }

    async fn work(mut self) -> ! {
        loop {
            let is_closing = self.phase == Phase::Closing && !self.is_gone;
            let heard = if self.is_mended(Story::Never) && is_closing {
                time::timeout(ANSWER_DEADLINE, self.port.hear()).await.ok()
            } else {
                Some(self.port.hear().await)
            };
            let Some((word, channel, from)) = heard else {
                // What never answers has had its time.
                self.destroy().await;
                continue;
            };
            match word {
                Word::Bye => self.terminate().await,
                // From the SIP side it is for a session that it knows.
                Word::Terminate if channel == 0 || self.finds_session() => self.terminate().await,
                Word::Modify if !self.is_gone && self.phase == Phase::Idle => self.ask(Word::Stop, Phase::Stopping).await,
                Word::Remove => {
                    self.has_channel = false;
                    self.port.say(Word::Ok, 0, from).await;
                }
                Word::Recognise if self.has_channel => self.port.say(Word::Complete, 0, from).await,
                Word::Recognise if self.is_mended(Story::DispatchFails) => self.port.say(Word::NoSuchChannel, 0, from).await,
                Word::Stopped => self.answered(Phase::Stopping).await,
                Word::Closed => {
                    self.port.say(Word::Acknowledge, channel, from).await;
                    let is_again = std::mem::replace(&mut self.closed[usize::from(channel)], true);
                    if !(self.is_mended(Story::Twice) && is_again) {
                        self.answered(Phase::Closing).await;
                    }
                }
                Word::Complete => {
                    self.port.say(Word::Acknowledge, channel, from).await;
                    self.finds_session();
                }
                _ => {}
            }
        }
    }

    async fn ask(&mut self, word: Word, phase: Phase) {
        self.phase = phase;
        // Whatever was outstanding is forgotten.
        self.subrequests = self.plan.channels();
        for channel in 0..self.subrequests {
            self.port.say(word, channel, self.at.plugins[usize::from(channel)]).await;
        }
        if self.subrequests == 0 {
            self.destroy().await;
        }
    }

    async fn terminate(&mut self) {
        if self.is_gone {
            self.port.say(Word::Gone, 0, self.at.client).await;
        } else if self.phase != Phase::Closing {
            self.ask(Word::Close, Phase::Closing).await;
        }
    }

    /// Whether what has come for the session is for one that is there. As it shipped, whoever sends has its address.
    fn finds_session(&self) -> bool {
        let looks_up = match self.plan.story {
            Story::Twice | Story::Early => false,
            Story::Late | Story::ByeCrossing => self.plan.is_mended,
            Story::Never | Story::DispatchFails => true,
        };
        if !looks_up {
            ledger::touch(self.pool);
        }
        !self.is_gone
    }

    async fn answered(&mut self, phase: Phase) {
        if self.is_mended(Story::Early) && phase != self.phase {
            return;
        }
        if !self.finds_session() {
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
                self.port.say(Word::Ok, 0, self.at.client).await;
            }
            Phase::Closing => self.destroy().await,
        }
    }

    async fn destroy(&mut self) {
        self.is_gone = true;
        ledger::release(self.pool);
        let told = if self.plan.story == Story::ByeCrossing { self.at.sip } else { self.at.client };
        self.port.say(Word::Gone, 0, told).await;
    }
}

macro_rules! bodies {
    ($($body:ident, $twin:ident, $in_turn:ident: $story:ident;)*) => {
        $(pub(super) fn $body() {
            drive(Plan::new(Story::$story));
        }
        pub(super) fn $twin() {
            drive(Plan::new(Story::$story).mended());
        }
        pub(super) fn $in_turn() {
            drive(Plan::new(Story::$story).in_turn());
        })*
    };
}

bodies! {
    twice, twice_twin, twice_in_turn: Twice;
    late, late_twin, late_in_turn: Late;
    early, early_twin, early_in_turn: Early;
    bye_crossing, bye_crossing_twin, bye_crossing_in_turn: ByeCrossing;
    never, never_twin, never_lossless: Never;
    dispatch_fails, dispatch_fails_twin, dispatch_fails_in_turn: DispatchFails;
}

/// The rows that shuttle has beside those of threads, those that only a network has, and those with the crossing taken away.
pub(super) fn subjects() -> Vec<Subject> {
    // It is a datagram that shows them, and no preemption.
    let caught = |name, about, on, body, in_sequence| Subject {
        fewest_preemptions: Some(0),
        in_sequence: Some(in_sequence),
        ..subject(name, about, on, body)
    };
    let crossing = |about, name, twin, in_turn, mended, in_turn_about, bodies: [fn(); 3]| {
        [
            caught(name, about, vec![On::shuttle(Expected::Caught(Detector::UseAfterRelease))], bodies[0], bodies[2]),
            subject(twin, mended, vec![On::shuttle(Expected::Clean)], bodies[1]),
            subject(in_turn, in_turn_about, vec![On::shuttle(Expected::Clean), On::turmoil(Expected::Clean)], bodies[2]),
        ]
    };
    let hanging = |about, name, twin, in_turn, mended, in_turn_about, bodies: [fn(); 3]| {
        let on = |expected| vec![On::shuttle(expected), On::turmoil(expected)];
        [
            caught(name, about, on(Expected::Caught(Detector::Hang)), bodies[0], bodies[2]),
            subject(twin, mended, on(Expected::Clean), bodies[1]),
            subject(in_turn, in_turn_about, on(Expected::Clean), bodies[2]),
        ]
    };
    let mut subjects = Vec::new();
    subjects.extend(crossing(
        "a channel's answer is sent again as its acknowledgement is late, and counts for another's",
        "twice-crossing",
        "twice-crossing-twin",
        "twice-in-turn",
        "each channel's answer counts once",
        "the acknowledgement is waited for however late it is",
        [twice, twice_twin, twice_in_turn],
    ));
    subjects.extend(crossing(
        "what a channel has recognised is overtaken by its answer to its close",
        "late-crossing",
        "late-crossing-twin",
        "late-in-turn",
        "what comes for a session is for one that is there",
        "the close is answered when the other was acknowledged",
        [late, late_twin, late_in_turn],
    ));
    subjects.extend(crossing(
        "an answer of an earlier phase crosses the BYE",
        "early-crossing",
        "early-crossing-twin",
        "early-in-turn",
        "an answer counts in its phase",
        "the BYE comes when the earlier phase is over",
        [early, early_twin, early_in_turn],
    ));
    subjects.extend(crossing(
        "a BYE and a terminate cross, and the SIP side has not heard that the session is gone",
        "bye-crossing-remote",
        "bye-crossing-remote-twin",
        "bye-crossing-in-turn",
        "the handle's owner is asked",
        "the session is terminated when the BYE was answered",
        [bye_crossing, bye_crossing_twin, bye_crossing_in_turn],
    ));
    subjects.extend(hanging(
        "an answer is lost, and nobody waits for it with a timer",
        "never",
        "never-twin",
        "never-lossless",
        "a deadline ends what never answers",
        "nothing is lost",
        [never, never_twin, never_lossless],
    ));
    subjects.extend(hanging(
        "a request crosses the removal of its channel and has no response, and the client waits for that before it hangs up",
        "dispatch-fails",
        "dispatch-fails-twin",
        "dispatch-fails-in-turn",
        "a request that cannot be dispatched has a response that says so",
        "the channel is removed when the request has its response",
        [dispatch_fails, dispatch_fails_twin, dispatch_fails_in_turn],
    ));
    subjects
}
