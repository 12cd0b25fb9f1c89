//! *The call*: setup, 1 s of sound, pictures for 0.5 s, hold, new keys, and both hang up at once.

mod party;
mod weather;

pub use party::Keying;
pub use weather::Weather;

use party::{CNAME, HANDSHAKE, Party};
use sim::invariant;
use sim::net::{self, Host};
use sim::sync::asynchronous::mpsc;
use sim::task;
use sim::time::{self, Duration, Instant};
use stack::dtls::{Protocol, classify};
use stack::media::call::{CallError, CallReport};
use stack::media::description::{Description, Direction};
use stack::media::stream::{StreamError, StreamReport};
use stack::media::transport::{Phase, TransportError};
use std::net::SocketAddr;

/// Setup and new keys in the worst weather, what is between them, and a slow machine.
const CALL_DEADLINE: Duration = Duration::from_secs(300);
const SOUND: Duration = Duration::from_millis(1_000);
const PICTURES: Duration = Duration::from_millis(500);
const HOLD: Duration = Duration::from_millis(200);
/// Who waits for the other side's voice has waited out the longest partition by then.
const VOICE: Duration = Duration::from_secs(10);
const VOICE_STEP: Duration = Duration::from_millis(20);
/// From the word that it is over until both hang up.
const HANG_UP_AFTER: Duration = Duration::from_millis(50);
/// A machine that stands still for longer may lose calls.
const SLOWNESS: Duration = Duration::from_millis(100);
/// So many words of the signalling are on their way at the most.
const SIGNALS: usize = 4;

enum Signal {
    Offer(Vec<u8>),
    Answer(Vec<u8>),
    /// Does the other side hear this?
    Hear(Voice),
    Heard(Result<(), CallError>),
    Rekey,
    HangUp(Instant),
}

/// What is to be heard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Voice {
    Sound,
    Pictures,
}

/// How a side's call went.
struct Outcome {
    party: Party,
    ended: Result<(), CallError>,
    reports: CallReport,
}

/// What is driven.
#[derive(Clone, Copy, Debug)]
pub struct Setting {
    /// How the call is keyed.
    pub keying: Keying,
    /// What the network does.
    pub weather: Weather,
}

/// The driver: one call.
pub fn call(setting: Setting) {
    call_tapped(setting, |_, _, _| {});
}

/// The same, with somebody who looks at each datagram too.
pub fn call_tapped(setting: Setting, tap: impl Fn(SocketAddr, SocketAddr, &[u8]) + 'static) {
    net::tap(move |from, to, bytes| {
        never_clear(bytes);
        tap(from, to, bytes);
    });
    time::bound_slowness(SLOWNESS);
    task::block_on(async move {
        let _operation = sim::operation("call", CALL_DEADLINE);
        let (alice, bob) = (Host::current(), Host::new("bob"));
        weather::begin(setting.weather, &alice, &bob);
        let (to_bob, from_alice) = mpsc::channel(SIGNALS);
        let (to_alice, from_bob) = mpsc::channel(SIGNALS);
        let parties = [Party::new(&alice, 0, setting.keying), Party::new(&bob, 1, setting.keying)];
        let [calling, called] = parties;
        let called = bob.spawn("bob", answers(called, to_alice, from_alice));
        let calling = calls(calling, setting, to_bob, from_bob).await;
        let called = called.await.expect("a panic ends the run");
        judge(setting, &calling, &called);
    });
}

/// Who calls: it offers, holds, has keys renewed, and says when both hang up.
async fn calls(party: Party, setting: Setting, to: mpsc::Sender<Signal>, mut from: mpsc::Receiver<Signal>) -> Outcome {
    let ended = go_through(&party, setting, &to, &mut from).await;
    let at = Instant::now() + HANG_UP_AFTER;
    // Who is called may have gone, of a failure of its own.
    let _ = to.send(Signal::HangUp(at)).await;
    time::sleep_until(at).await;
    hang_up(party, ended).await
}

async fn go_through(
    party: &Party,
    setting: Setting,
    to: &mpsc::Sender<Signal>,
    from: &mut mpsc::Receiver<Signal>,
) -> Result<(), CallError> {
    party.add_audio().await?;
    offer(party, to, from).await?;
    party.call.opened(HANDSHAKE * 2).await?;
    time::sleep_for(SOUND).await;
    both_hear(party, Voice::Sound, to, from).await?;

    party.add_video().await?;
    offer(party, to, from).await?;
    party.call.opened(HANDSHAKE * 2).await?;
    for stream in party.call.streams() {
        stream.stream().ask_for_key_frame();
        stream.look_again();
    }
    time::sleep_for(PICTURES).await;
    both_hear(party, Voice::Pictures, to, from).await?;

    for line in 0..2 {
        party.call.set_direction(line, Direction::SendOnly)?;
    }
    offer(party, to, from).await?;
    time::sleep_for(HOLD).await;
    match setting.keying {
        Keying::Dtls => {
            // One of the two is the client of each association.
            if to.send(Signal::Rekey).await.is_err() {
                return Err(CallError::Ended);
            }
            party.call.rekey()?;
            party.rekeyed(HANDSHAKE * 2).await?;
        }
        Keying::Sdes => {
            (0..2).try_for_each(|line| party.call.renew_keys(line))?;
            offer(party, to, from).await?;
        }
    }
    time::sleep_for(HOLD).await;
    Ok(())
}

async fn offer(party: &Party, to: &mpsc::Sender<Signal>, from: &mut mpsc::Receiver<Signal>) -> Result<(), CallError> {
    let offer = party.call.offer()?.write().to_vec();
    if to.send(Signal::Offer(offer)).await.is_err() {
        return Err(CallError::Ended);
    }
    match from.recv().await {
        Some(Signal::Answer(answer)) => party.call.accept(&Description::read(&answer)?),
        _ => Err(CallError::Ended),
    }
}

/// A partition may be one way.
async fn both_hear(
    party: &Party,
    voice: Voice,
    to: &mpsc::Sender<Signal>,
    from: &mut mpsc::Receiver<Signal>,
) -> Result<(), CallError> {
    hear(party, voice).await?;
    if to.send(Signal::Hear(voice)).await.is_err() {
        return Err(CallError::Ended);
    }
    match from.recv().await {
        Some(Signal::Heard(heard)) => heard,
        _ => Err(CallError::Ended),
    }
}

/// Waits until it is heard, or gives up.
async fn hear(party: &Party, voice: Voice) -> Result<(), CallError> {
    let until = Instant::now() + VOICE;
    loop {
        let (sound, pictures) = party.heard();
        let heard = if voice == Voice::Sound { sound } else { pictures };
        if heard > 0 {
            return Ok(());
        }
        if Instant::now() >= until {
            return Err(CallError::Deadline { what: "the other side's voice", expected: VOICE });
        }
        time::sleep_for(VOICE_STEP).await;
    }
}

/// Who is called: it does what it is told to.
async fn answers(party: Party, to: mpsc::Sender<Signal>, mut from: mpsc::Receiver<Signal>) -> Outcome {
    let mut ended = party.add_audio().await;
    let mut lines = 1;
    let mut at = Instant::now();
    while let Some(signal) = from.recv().await {
        match signal {
            Signal::Offer(offer) => {
                let answer = answer(&party, &offer, &mut lines).await;
                let answered = match answer {
                    Ok(answer) => to.send(Signal::Answer(answer)).await.map_err(|_| CallError::Ended),
                    Err(error) => Err(error),
                };
                ended = ended.and(answered);
                if ended.is_err() {
                    break;
                }
            }
            Signal::Hear(voice) => {
                // Who asked may have gone.
                let _ = to.send(Signal::Heard(hear(&party, voice).await)).await;
            }
            Signal::Rekey => ended = ended.and(unless_hung_up(party.call.rekey().map(drop))),
            Signal::HangUp(then) => {
                at = then;
                break;
            }
            Signal::Answer(_) | Signal::Heard(_) => {}
        }
    }
    time::sleep_until(at).await;
    hang_up(party, ended).await
}

/// On a slow processor who called may have given up, and hung up, before this side has come to what it was told.
fn unless_hung_up(done: Result<(), CallError>) -> Result<(), CallError> {
    match done {
        Err(CallError::Stream(StreamError::Transport(TransportError::Closed))) => Ok(()),
        done => done,
    }
}

async fn hang_up(party: Party, ended: Result<(), CallError>) -> Outcome {
    let streams = party.call.streams();
    let reports = party.call.hang_up().await;
    for stream in streams {
        let phase = stream.stream().transport().phase();
        invariant!(phase == Phase::Closed, "a transport is {phase:?} when its call has ended");
        invariant!(stream.stream().next_due().is_none(), "something is due in a stream that has ended");
    }
    Outcome { party, ended, reports }
}

async fn answer(party: &Party, offer: &[u8], lines: &mut usize) -> Result<Vec<u8>, CallError> {
    let offer = Description::read(offer)?;
    if offer.lines().len() > *lines {
        party.add_video().await?;
        *lines += 1;
    }
    Ok(party.call.answer(&offer)?.write().to_vec())
}

/// A call ends keyed and talking, or with a reason. In fair weather there is none.
fn judge(setting: Setting, calling: &Outcome, called: &Outcome) {
    if setting.weather == Weather::Fair {
        for outcome in [calling, called] {
            invariant!(outcome.ended.is_ok(), "in fair weather a call goes through, this one: {:?}", outcome.ended);
        }
    }
    invariant!(called.ended.is_ok(), "who is called does what it is told to: {:?}", called.ended);
    for outcome in [calling, called] {
        for report in &outcome.reports {
            match report {
                Ok(report) => expect_protected(report),
                // A machine that is slow enough may not see its tasks end in time.
                Err(error) => invariant!(time::has_run_ahead(), "a stream has not stopped in time: {error}"),
            }
        }
        let (sound, pictures) = outcome.party.heard();
        if calling.ended.is_ok() {
            invariant!(sound > 0 && pictures > 0, "a call that went through was heard: {sound} frames, {pictures} payloads");
        }
    }
}

fn expect_protected(report: &StreamReport) {
    let (sent, received) = report.transport.clear;
    invariant!((sent, received) == (0, 0), "{sent} packets went in clear, {received} came");
}

/// No packet of the call is on the wire in clear.
fn never_clear(bytes: &[u8]) {
    let body = match classify(bytes) {
        Ok(Protocol::Rtp) => &bytes[12..],
        Ok(Protocol::Rtcp) => {
            let name = CNAME.as_bytes();
            let is_there = bytes.windows(name.len()).any(|window| window == name);
            return invariant!(!is_there, "a report is on the wire in clear");
        }
        _ => return,
    };
    let is_even = body.windows(32).any(|window| window.iter().all(|byte| *byte == window[0]));
    invariant!(!is_even, "a packet is on the wire in clear");
}
