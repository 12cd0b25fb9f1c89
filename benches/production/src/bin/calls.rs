//! Two-way G.711 calls over SRTP on loopback, all of them at once in this process: whether anything is lost, and how late ticks come.
//!
//! `cargo run --release -p glare-benches-production --bin calls [CALLS [SECONDS]]`: 500 for 60 s unless said. Every packet goes through two
//! kernels' worth of sockets: one of the caller's, one of the called's.

use sim::task;
use sim::time::{Duration, Instant, sleep_for, sleep_until};
use stack::media::call::{CallError, CallSetup, LineSetup, MediaCall, built_in_codec};
use stack::media::description::{Description, Direction, Format, Kind, Security};
use stack::media::sound::{Sink, Tone};
use stack::media::stream::{Content, StreamReport};
use stack::srtp::Profile;
use std::net::{IpAddr, Ipv4Addr};
use std::process::ExitCode;

const CALLS_MAX: u32 = 4_000;
const SECONDS_MAX: u64 = 86_400;
const RATE_HZ: u32 = 8_000;
/// As long as the clock remembers: 64 ticks of 20 ms.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Calls do not begin at the same moment: in a second all of them have.
const BEGIN_WITHIN: Duration = Duration::from_secs(1);
/// What was sent when the calls are told to end is on its way.
const LAST_WAY: Duration = Duration::from_millis(200);

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let mut number = |default: u64, most: u64| match arguments.next() {
        None => Ok(default),
        Some(text) => text
            .parse()
            .ok()
            .filter(|number| (1..=most).contains(number))
            .ok_or(format!("expected a number from 1 to {most}, got `{text}`")),
    };
    let (calls, seconds) = match (number(500, CALLS_MAX.into()), number(60, SECONDS_MAX)) {
        (Ok(calls), Ok(seconds)) => (calls, Duration::from_secs(seconds)),
        (Err(wrong), _) | (_, Err(wrong)) => {
            eprintln!("calls: {wrong}");
            return ExitCode::from(2);
        }
    };
    match task::block_on(run(calls, seconds)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("calls: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run(calls: u64, lasts: Duration) -> Result<(), CallError> {
    let began = Instant::now();
    let mut sides = Vec::new();
    for number in 0..calls {
        sleep_until(began + BEGIN_WITHIN.mul_f64(number as f64 / calls as f64)).await;
        let (caller, called) = (side(2 * number).await?, side(2 * number + 1).await?);
        let answer = called.answer(&Description::read(&caller.offer()?.write())?)?;
        caller.accept(&Description::read(&answer.write())?)?;
        sides.extend([caller, called]);
    }
    let streams: Vec<_> = sides.iter().flat_map(MediaCall::streams).collect();
    println!("{calls} calls, {} streams, begun in {:.1} s", streams.len(), began.elapsed().as_secs_f64());
    let (mut lateness_us, until) = (Vec::new(), Instant::now() + lasts);
    while Instant::now() < until {
        sleep_for(LOOK_EVERY).await;
        for stream in &streams {
            lateness_us.extend(stream.clock().1.iter().map(|lateness| lateness.as_micros() as u64));
        }
    }
    // Both sides fall silent first, so that what is on its way arrives.
    let now = Instant::now();
    streams.iter().for_each(|stream| stream.stream().set_direction(Direction::ReceiveOnly, now));
    sleep_for(LAST_WAY).await;
    let clocks: Vec<_> = streams.iter().map(|stream| stream.clock().0).collect();
    let reports: Vec<StreamReport> = streams.iter().map(|stream| stream.report()).collect();
    for side in &sides {
        for report in side.hang_up().await {
            report?;
        }
    }
    let sum = |of: fn(&StreamReport) -> u64| reports.iter().map(of).sum::<u64>();
    let (sent, received) = (sum(|report| report.sent_packets), sum(|report| report.received_packets));
    lateness_us.sort_unstable();
    let at =
        |part: f64| lateness_us.get((lateness_us.len() as f64 * part) as usize).copied().unwrap_or_default() as f64 / 1_000.0;
    println!("packets: {sent} sent, {received} received, {} lost", sent as i64 - received as i64);
    println!("not sent: {}, refused: {}", sum(|report| report.send_failed), sum(|report| report.refused));
    println!("late in the jitter buffer: {}", sum(|report| report.jitter_buffer.late));
    let skipped: u64 = clocks.iter().map(|clock| clock.skipped).sum();
    println!("ticks: {}, left out: {skipped}", clocks.iter().map(|clock| clock.ticks).sum::<u64>());
    println!(
        "lateness of {} ticks in ms: p50 {:.2}, p99 {:.2}, p99.9 {:.2}, most {:.2}",
        lateness_us.len(),
        at(0.5),
        at(0.99),
        at(0.999),
        at(1.0 - f64::EPSILON)
    );
    Ok(())
}

struct Nobody;

impl Sink for Nobody {
    fn play(&mut self, samples: &[i16]) {
        std::hint::black_box(samples);
    }
}

async fn side(number: u64) -> Result<MediaCall, CallError> {
    let call = MediaCall::new(CallSetup::default(), number, IpAddr::V4(Ipv4Addr::LOCALHOST))?;
    let line = LineSetup {
        kind: Kind::Audio,
        formats: vec![Format::pcmu()],
        security: Security::sdes(&[Profile::AesCm128HmacSha1_80]),
        samples_per_tick: 160,
        direction: Direction::SendReceive,
        port: 0,
    };
    let maker = |_, format: &_, samples_per_tick: u32| {
        let tone = Tone::new(440, 8_000, RATE_HZ).expect("440 Hz is below half of the rate");
        let codecs = [built_in_codec(format)?, built_in_codec(format)?];
        Ok(Content::sound(samples_per_tick as usize, codecs, Box::new(tone), Box::new(Nobody)))
    };
    call.add(line, Box::new(maker)).await?;
    Ok(call)
}
