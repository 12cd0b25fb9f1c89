//! What a simulated network costs: runs a second of the fixed setting (1 to 50 ms latency, retransmission after 200 ms, 10 % loss, 100
//! exchanges) on shuttle and turmoil, and on turmoil beside raw turmoil sending the same datagrams at the same times.
//!
//! `cargo bench -p glare-benches --bench network`, or with `-- --quick` for a shorter look.

use scenarios::canary::exchange::{self, Flaw, Setting};
use sim::explore::Check;
use sim::net::Link;
use sim::{Detectors, Engine, StrategyName};
use std::time::{Duration, Instant};

const EXCHANGES: u32 = 100;
const ONE_WAY: Duration = Duration::from_millis(25);
const RETRANSMIT: Duration = Duration::from_millis(200);

/// The fixed setting.
fn fixed() {
    let ms = Duration::from_millis;
    let link = Link::timed(ms(1), ms(50)).and_then(|link| link.loss(0.1)).expect("a link can be so");
    exchange::run(Setting { flaw: Flaw::None, workers: 1, each: EXCHANGES }, Some(link));
}

/// The same text for each side: only where the names come from differs.
macro_rules! program {
    ($server:ident, $client:ident, $socket:ty, |$within:ident, $future:ident| $timeout:expr) => {
        async fn $server(at: std::net::SocketAddr) {
            let socket = <$socket>::bind(at).await.unwrap();
            let mut buffer = [0; 64];
            loop {
                let (length, from) = socket.recv_from(&mut buffer).await.unwrap();
                socket.send_to(&buffer[..length], from).await.unwrap();
            }
        }

        async fn $client(here: std::net::SocketAddr, server: std::net::SocketAddr) {
            let socket = <$socket>::bind(here).await.unwrap();
            let mut buffer = [0; 64];
            for number in 0..EXCHANGES {
                loop {
                    socket.send_to(&number.to_be_bytes(), server).await.unwrap();
                    let $within = RETRANSMIT;
                    let $future = socket.recv_from(&mut buffer);
                    if let Ok(received) = $timeout.await {
                        received.unwrap();
                        break;
                    }
                }
            }
        }
    };
}

program!(serve_raw, ask_raw, turmoil::net::UdpSocket, |within, future| tokio::time::timeout(within, future));
program!(serve_facade, ask_facade, sim::net::UdpSocket, |within, future| sim::time::timeout(within, future));

fn raw_turmoil(seed: u64) {
    let mut sim = turmoil::Builder::new()
        .rng_seed(seed)
        .simulation_duration(Duration::from_secs(3_600))
        .min_message_latency(ONE_WAY)
        .max_message_latency(ONE_WAY)
        .build();
    sim.host("server", || async {
        serve_raw(([0, 0, 0, 0], 5_000).into()).await;
        Ok(())
    });
    let server = sim.lookup("server");
    sim.client("client", async move {
        ask_raw(([0, 0, 0, 0], 0).into(), (server, 5_000).into()).await;
        Ok(())
    });
    sim.run().expect("the client ends");
}

fn facade_turmoil() {
    sim::net::set_link(&Link::timed(ONE_WAY, ONE_WAY).expect("a link can be so")).expect("it has links");
    sim::task::block_on(async {
        let server = sim::net::Host::new("server");
        let at = (server.address(), 5_000).into();
        server.spawn("server", serve_facade(at));
        ask_facade((sim::net::Host::current().address(), 0).into(), at).await;
    });
}

fn time_check(engine: Engine, detectors: Detectors, schedules: u64, body: fn()) -> Duration {
    let began = Instant::now();
    let check = Check::new("network", "body", engine).strategy(StrategyName::Random).schedules(schedules).detectors(detectors);
    let report = check.run(body);
    assert_eq!(report.verdict.name(), "clean", "{}", report.verdict);
    began.elapsed()
}

fn main() {
    let quick = std::env::args().any(|argument| argument == "--quick");
    let (shuttle_runs, turmoil_runs, rounds) = if quick { (500, 10, 3) } else { (5_000, 60, 5) };
    let per_second = |runs: u64, took: Duration| runs as f64 / took.as_secs_f64();
    println!("{EXCHANGES} exchanges at 1-50 ms, 10 % loss, retransmission after 200 ms: runs a second, one core");
    for (name, detectors) in [("detectors on", Detectors::ON), ("detectors off", Detectors::OFF)] {
        let best = (0..rounds).map(|_| time_check(Engine::Shuttle, detectors, shuttle_runs, fixed)).min().unwrap_or_default();
        println!("  shuttle, {name:<14} {:>8.0}", per_second(shuttle_runs, best));
    }
    let best = (0..rounds).map(|_| time_check(Engine::Turmoil, Detectors::ON, turmoil_runs, fixed)).min().unwrap_or_default();
    println!("  turmoil, {:<14} {:>8.0}", "detectors on", per_second(turmoil_runs, best));
    println!("the same datagrams, {} ms each way, no loss: runs a second on turmoil", ONE_WAY.as_millis());
    // In turn, so that what else the machine does falls on both.
    let (mut raw, mut facade) = (Duration::MAX, Duration::MAX);
    for _ in 0..rounds {
        let began = Instant::now();
        (0..turmoil_runs).for_each(raw_turmoil);
        raw = raw.min(began.elapsed());
        facade = facade.min(time_check(Engine::Turmoil, Detectors::ON, turmoil_runs, facade_turmoil));
    }
    println!("  raw {:>25.0}", per_second(turmoil_runs, raw));
    println!("  facade, detectors on {:>8.0}", per_second(turmoil_runs, facade));
    println!("  facade beside raw {:>11.2} (rate)", raw.as_secs_f64() / facade.as_secs_f64());
}
