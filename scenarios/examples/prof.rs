use scenarios::canary::exchange::{self, Flaw, Setting};
use sim::{net::Link, explore::Check, Engine, StrategyName};
use std::time::{Duration, Instant};
fn fixed() {
    let ms = Duration::from_millis;
    let link = Link::timed(ms(1), ms(50)).and_then(|link| link.loss(0.1)).unwrap();
    exchange::run(Setting { flaw: Flaw::None, at_once: 1, rounds: 100 }, Some(link));
}
fn main() {
    let n: u64 = std::env::args().nth(1).unwrap().parse().unwrap();
    let engine: Engine = std::env::args().nth(2).unwrap().parse().unwrap();
    let t = Instant::now();
    let check = Check::new("network", "body", engine).strategy(StrategyName::Random).schedules(n);
    let report = check.run(fixed);
    println!("{} {:?} {}", report.verdict, t.elapsed(), n as f64 / t.elapsed().as_secs_f64());
    let replay = check.replay_deviations(&[], fixed).unwrap();
    println!("choices {} events {}", replay.choices.len(), replay.trace.unwrap().events.len());
}
