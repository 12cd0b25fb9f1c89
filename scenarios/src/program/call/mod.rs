//! `glare call` and `glare answer`: a call with a real peer, without signalling as yet. Both sides are told on the command line, or on
//! standard input, what an offer and its answer would say.

mod arguments;
mod certificate;
mod failure;
mod keying;
mod learning;
mod running;
mod sound;
mod statistics;
mod words;

pub(crate) use arguments::{ANSWER_HELP, AnswerArguments, CALL_HELP, CallArguments};

use super::Failure;
use super::whole_file::WholeFile;
use arguments::HowArguments;
use failure::CallFailure;
use keying::{Keyed, Keying};
use running::Running;
use sim::net::UdpSocket;
use sim::time::Instant;
use sound::Files;
use stack::media::stream::{Content, Sockets, Stream, StreamConfig, StreamError, TaskStream};
use stack::media::transport::Peer;
use statistics::{Board, Sum};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs};
use std::time::Duration;
use words::Words;

/// After so long without a packet or a report of the peer's the call has failed: several reports were due (RFC 3550 section 6.2).
const SILENCE: Duration = Duration::from_secs(30);

/// Calls. True if the call was one.
pub(crate) fn call(arguments: &CallArguments) -> Result<bool, Failure> {
    let peer = resolve(&arguments.media, arguments.local, !arguments.how.no_rtcp_mux)?;
    let any = match peer.rtp.ip() {
        IpAddr::V4(_) => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        IpAddr::V6(_) => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
    };
    let local = arguments.local.unwrap_or(SocketAddr::new(any, 0));
    run(&Side { name: "call", local, peer: Some(peer) }, &arguments.how)
}

/// Waits for a call. True if there was one.
pub(crate) fn answer(arguments: &AnswerArguments) -> Result<bool, Failure> {
    let how = &arguments.how;
    let peer = arguments.media.as_ref().map(|media| resolve(media, Some(arguments.local), !how.no_rtcp_mux)).transpose()?;
    run(&Side { name: "answer", local: arguments.local, peer }, how)
}

/// Who is where.
struct Side {
    name: &'static str,
    local: SocketAddr,
    /// Nothing if whoever has the keys is answered.
    peer: Option<Peer>,
}

fn run(side: &Side, how: &HowArguments) -> Result<bool, Failure> {
    let keying = Keying::new(how)?;
    if side.peer.is_none() && keying.needs_address() {
        let why = "nothing authenticates a ClientHello, or a packet in clear";
        return Err(Failure::Usage(format!("expected --media HOST:PORT with --dtls and --clear, got none: {why}")));
    }
    // Before anything is sent, so that a wrong path is known at once.
    let json = how.json.as_deref().map(WholeFile::create).transpose()?;
    let (content, files) = sound::content(how)?;
    let mut words = Words::new()?;
    sim::task::block_on(async {
        let Done { sum, outcome, is_stuck } = set_up_and_talk(side, how, keying, (content, &files), &mut words).await?;
        let written = json.map_or(Ok(()), |json| json.write_json(&sum));
        let outcome = outcome.map_err(|failure| Failure::System(failure.to_string()));
        let result = written.and(outcome).map(|()| true);
        if is_stuck && let Err(failure) = &result {
            // The runtime would wait for what does not return.
            eprintln!("glare: {failure}");
            std::process::exit(super::NOT_AS_EXPECTED.into());
        }
        result
    })
}

/// What came of a call.
struct Done {
    sum: Sum,
    outcome: Result<(), CallFailure>,
    /// Whether its tasks could not be ended: one of them waits for a file.
    is_stuck: bool,
}

/// The whole of a call, and its sum, which is told.
async fn set_up_and_talk(
    side: &Side,
    how: &HowArguments,
    mut keying: Keying,
    (content, files): (Content, &Files),
    words: &mut Words,
) -> Result<Done, Failure> {
    let mut board = Board::new();
    let is_muxed = !how.no_rtcp_mux;
    let (sockets, local) = bind(side.local, is_muxed).await.map_err(|error| Failure::System(error.to_string()))?;
    board.say(format_args!("{} at {local}", side.name));
    if let Some(told) = keying.told() {
        board.say(&*told);
    }
    if let Some(what) = keying.missing() {
        board.say(format_args!("{what} is read from standard input"));
    }
    if !keying.complete(words).await? {
        return Err(Failure::System(CallFailure::EndedEarly { got: "a signal" }.to_string()));
    }
    let Keyed { transport, reaction, profile } = keying.transport(side.peer, is_muxed, Instant::now())?;
    let system = |error: StreamError| Failure::System(error.to_string());
    let stream = Stream::new(config(how), &content, transport, Instant::now()).map_err(system)?;
    let stream = TaskStream::start(stream, content, sockets).map_err(system)?;
    stream.react(reaction);

    let mut running = Running::new(&stream, files, &mut board, (how.wait, how.talk), profile);
    let outcome = running.run(words).await;
    let (talked, keys) = (running.talked(), running.keys());
    let stopped = stream.stop().await;
    files.finish().into_iter().for_each(|error| running.trouble(error));
    let last_error = running.last_error();
    let is_stuck = stopped.is_err();
    // Why it failed says more than that it could not be stopped.
    let outcome = outcome.and_then(|ending| stopped.map(|_| ending).map_err(CallFailure::Stream));
    let recorded = files.recorded();
    let sum = Sum {
        side: side.name,
        ended_well: outcome.is_ok(),
        end: outcome.as_ref().map_or_else(ToString::to_string, ToString::to_string),
        local: local.to_string(),
        peer: (!talked.is_zero()).then(|| stream.stream().transport().peer().rtp.to_string()),
        keys,
        talked_ms: u64::try_from(talked.as_millis()).unwrap_or(u64::MAX),
        recorded_samples: recorded.map(|(written, _)| written),
        recording_lost_samples: recorded.map(|(_, lost)| lost),
        last_error,
        ..Sum::default()
    };
    let sum = sum.counted(&stream.report());
    board.say(&sum);
    Ok(Done { sum, outcome: outcome.map(|_| ()), is_stuck })
}

/// Our sockets, and where the first is.
async fn bind(local: SocketAddr, is_muxed: bool) -> Result<(Sockets, SocketAddr), StreamError> {
    let refused =
        |address: SocketAddr, error: std::io::Error| StreamError::Socket { address: address.to_string(), why: error.to_string() };
    let at = |address: SocketAddr| async move { UdpSocket::bind(address).await.map_err(|error| refused(address, error)) };
    let sockets = match (is_muxed, local.port()) {
        (true, _) => Sockets::muxed(at(local).await?),
        (false, 0) => Sockets::pair(local.ip()).await?,
        (false, port) => {
            let above = port.checked_add(1).ok_or_else(|| refused(local, std::io::Error::other("no port above it for RTCP")))?;
            let (rtp, rtcp) = (at(local).await?, at(SocketAddr::new(local.ip(), above)).await?);
            Sockets { rtp: rtp.into(), rtcp: Some(rtcp.into()) }
        }
    };
    let bound = sockets.rtp.local_addr().map_err(|error| refused(local, error))?;
    Ok((sockets, bound))
}

fn config(how: &HowArguments) -> StreamConfig {
    let mut name = [0; 12];
    sim::rand::fill(&mut name);
    StreamConfig {
        ssrc: sim::rand::below(u64::from(u32::MAX)) as u32 + 1,
        // RFC 7022 section 4.2: random, of 96 bits.
        cname: name.iter().map(|byte| format!("{byte:02x}")).collect(),
        sending_payload_type: how.codec.payload_type(),
        receiving_payload_type: how.codec.payload_type(),
        samples_per_tick: sound::SAMPLES_PER_TICK,
        silence: SILENCE,
        ..StreamConfig::default()
    }
}

/// The address of a peer, of the same family as ours if that is said.
fn resolve(media: &str, local: Option<SocketAddr>, is_muxed: bool) -> Result<Peer, Failure> {
    let refused = |why: String| Failure::Usage(format!("expected --media HOST:PORT, got `{media}`: {why}"));
    let found = media.to_socket_addrs().map_err(|error| refused(error.to_string()))?;
    let mut ours = found.filter(|address| local.is_none_or(|local| local.is_ipv4() == address.is_ipv4()));
    let rtp = ours.next().ok_or_else(|| refused("it has no address of the family of --local".to_owned()))?;
    if rtp.ip().is_unspecified() || rtp.port() == 0 {
        return Err(refused("nothing can be sent there".to_owned()));
    }
    let above = rtp.port().checked_add(1).ok_or_else(|| refused("it has no port above it for RTCP".to_owned()));
    Ok(if is_muxed { Peer::muxed(rtp) } else { Peer { rtp, rtcp: SocketAddr::new(rtp.ip(), above?) } })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_the_peer_is() {
        let at = |text: &str| text.parse::<SocketAddr>().unwrap();
        assert_eq!(resolve("127.0.0.1:5004", None, true).unwrap(), Peer::muxed(at("127.0.0.1:5004")));
        let two = Peer { rtp: at("[::1]:5004"), rtcp: at("[::1]:5005") };
        assert_eq!(resolve("[::1]:5004", Some(at("[::]:0")), false).unwrap(), two);
        for (media, local, says) in [
            ("127.0.0.1", None, "invalid socket address"),
            ("127.0.0.1:0", None, "nothing can be sent there"),
            ("0.0.0.0:5004", None, "nothing can be sent there"),
            ("127.0.0.1:5004", Some(at("[::]:0")), "no address of the family of --local"),
            ("127.0.0.1:65535", None, "no port above it"),
        ] {
            let error = resolve(media, local, false).unwrap_err();
            assert!(matches!(&error, Failure::Usage(why) if why.contains(says)), "{error}");
        }
    }
}
