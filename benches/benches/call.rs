//! What *the call* of the exhibit `media-call` costs: schedules a second on shuttle, on one core; and on turmoil beside raw turmoil that
//! carries the same datagrams at the same times.
//!
//! `cargo bench -p glare-benches --bench call`, or with `-- --quick` for a shorter look.

use scenarios::media_call;
use sim::explore::Check;
use sim::{Detectors, Engine, StrategyName};
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// One datagram of the call: when it is sent, by which host, from where, to where, and how long it is.
#[derive(Clone, Debug)]
struct Sent {
    at: Duration,
    from: SocketAddr,
    to: SocketAddr,
    len: usize,
}

static RECORDED: Mutex<Vec<Sent>> = Mutex::new(Vec::new());
/// One way, as long as the call's links take in the mean.
const ONE_WAY: Duration = Duration::from_millis(3);

/// A check may run a body again, to see whether it does the same.
fn recorded() {
    RECORDED.lock().expect("nobody panics").clear();
    media_call::fair_tapped(|from, to, bytes| {
        let at = sim::time::Instant::now().since_origin();
        RECORDED.lock().expect("nobody panics").push(Sent { at, from, to, len: bytes.len() });
    });
}

fn check(engine: Engine, detectors: Detectors, schedules: u64, body: fn()) -> Duration {
    let began = Instant::now();
    let check = Check::new("media-call", "stack-fair", engine).strategy(StrategyName::Random).schedules(schedules);
    let report = check.detectors(detectors).run(body);
    assert_eq!(report.verdict.name(), "clean", "{}", report.verdict);
    began.elapsed()
}

/// A host for each address; each sends its datagrams at their times, and takes what comes.
fn raw_turmoil(seed: u64, call: &[Sent]) {
    let mut sim = turmoil::Builder::new()
        .rng_seed(seed)
        .simulation_duration(Duration::from_secs(3_600))
        .min_message_latency(ONE_WAY)
        .max_message_latency(ONE_WAY)
        .build();
    let mut hosts: Vec<IpAddr> = call.iter().flat_map(|sent| [sent.from.ip(), sent.to.ip()]).collect();
    hosts.sort_unstable();
    hosts.dedup();
    for (at, host) in hosts.iter().enumerate() {
        // What comes to each of its ports, and what goes out of each.
        let mut ports: Vec<u16> = Vec::new();
        for sent in call {
            ports.extend((sent.from.ip() == *host).then_some(sent.from.port()));
            ports.extend((sent.to.ip() == *host).then_some(sent.to.port()));
        }
        ports.sort_unstable();
        ports.dedup();
        let (host, hosts) = (*host, hosts.clone());
        let lines: Vec<(u16, Vec<Sent>)> = ports
            .into_iter()
            .map(|port| (port, call.iter().filter(|sent| sent.from == SocketAddr::new(host, port)).cloned().collect()))
            .collect();
        sim.client(name(at), async move {
            let mut senders = Vec::new();
            for (port, sends) in lines {
                let socket = std::rc::Rc::new(turmoil::net::UdpSocket::bind(SocketAddr::from(([0, 0, 0, 0], port))).await?);
                let reads = std::rc::Rc::clone(&socket);
                tokio::task::spawn_local(async move {
                    let mut wire = [0; 2048];
                    while reads.recv_from(&mut wire).await.is_ok() {}
                });
                let hosts = hosts.clone();
                senders.push(tokio::task::spawn_local(async move {
                    let began = tokio::time::Instant::now();
                    for sent in sends {
                        tokio::time::sleep_until(began + sent.at).await;
                        let of = hosts.iter().position(|host| *host == sent.to.ip()).expect("it is one of the hosts");
                        let to = SocketAddr::new(turmoil::lookup(name(of)), sent.to.port());
                        socket.send_to(&vec![0; sent.len], to).await.expect("it is bound");
                    }
                }));
            }
            for sender in senders {
                sender.await?;
            }
            tokio::time::sleep(2 * ONE_WAY).await;
            Ok(())
        });
    }
    sim.run().expect("the hosts end");
}

fn name(at: usize) -> String {
    format!("host-{at}")
}

fn main() {
    let quick = std::env::args().any(|argument| argument == "--quick");
    let (shuttle_runs, turmoil_runs, rounds) = if quick { (200, 20, 3) } else { (1_000, 100, 5) };
    let per_second = |runs: u64, took: Duration| runs as f64 / took.as_secs_f64();
    println!(
        "the call: handshake, 1 s of sound, 0.5 s of pictures, hold, new keys, hang-up from both sides: runs a second, one core"
    );
    for (name, detectors) in [("detectors on", Detectors::ON), ("detectors off", Detectors::OFF)] {
        let best = (0..rounds).map(|_| check(Engine::Shuttle, detectors, shuttle_runs, media_call::fair)).min();
        println!("  shuttle, {name:<14} {:>8.0}", per_second(shuttle_runs, best.unwrap_or_default()));
    }
    check(Engine::Turmoil, Detectors::ON, 1, recorded);
    let call: Arc<[Sent]> = RECORDED.lock().expect("nobody panics").clone().into();
    let bytes: usize = call.iter().map(|sent| sent.len).sum();
    let lasts = call.last().map_or(Duration::ZERO, |sent| sent.at);
    println!("one call on turmoil: {} datagrams of {bytes} bytes in all, over {:.2} s", call.len(), lasts.as_secs_f64());
    // In turn, so that what else the machine does falls on both.
    let (mut raw, mut facade) = (Duration::MAX, Duration::MAX);
    for _ in 0..rounds {
        let began = Instant::now();
        (0..turmoil_runs).for_each(|seed| raw_turmoil(seed, &call));
        raw = raw.min(began.elapsed());
        facade = facade.min(check(Engine::Turmoil, Detectors::ON, turmoil_runs, media_call::fair));
    }
    println!("  raw turmoil, the same datagrams {:>8.0}", per_second(turmoil_runs, raw));
    println!("  the call, detectors on {:>17.0}", per_second(turmoil_runs, facade));
    println!("  the call beside raw turmoil {:>12.2} (rate)", raw.as_secs_f64() / facade.as_secs_f64());
}
