#![cfg(all(feature = "shuttle", feature = "loom"))]
use sim::explore::Check;
use sim::sync::{Arc, Condvar, Mutex};
use sim::{Engine, StrategyName};
use std::time::Duration;

fn abba() {
    let a = Arc::new(Mutex::new(0));
    let b = Arc::new(Mutex::new(0));
    let (a2, b2) = (a.clone(), b.clone());
    let t = sim::thread::Builder::new()
        .name("other")
        .spawn(move || {
            let _b = b2.lock();
            let _a = a2.lock();
        })
        .unwrap();
    {
        let _a = a.lock();
        let _b = b.lock();
    }
    t.join().unwrap();
}

fn timed() {
    let pair = Arc::new((Mutex::new(false), Condvar::new()));
    let mut done = pair.0.lock();
    let r = pair.1.wait_for(&mut done, Duration::from_millis(20));
    assert!(r.timed_out());
    drop(done);
    let p2 = pair.clone();
    let t = sim::thread::spawn(move || {
        *p2.0.lock() = true;
        p2.1.notify_all();
    });
    let mut done = pair.0.lock();
    while !*done {
        pair.1.wait(&mut done);
    }
    drop(done);
    t.join().unwrap();
}

#[test]
fn smoke() {
    for (name, body) in [("abba", abba as fn()), ("timed", timed as fn())] {
        for engine in [Engine::Shuttle, Engine::Loom] {
            for strategy in StrategyName::ALL {
                if engine == Engine::Loom && strategy != StrategyName::Random {
                    continue;
                }
                let check = Check::new("smoke", name, engine).strategy(strategy);
                let r = check.run(body);
                println!(
                    "{name} {engine} {strategy}: {} schedules {} {:?} {:?} token {:?} pre {:?}",
                    r.verdict,
                    r.schedules,
                    r.exhaustive,
                    r.wall,
                    r.token.as_ref().map(|t| t.to_string()),
                    r.preemptions
                );
                if let Some(t) = &r.token {
                    let replay = check.replay(t, true, body);
                    match replay {
                        Ok(replay) => println!(
                            "{}\n{} hash {:x} {:x?}",
                            replay.trace.unwrap().timeline(50),
                            replay.verdict,
                            replay.trace_hash,
                            r.trace_hash
                        ),
                        Err(e) => println!("REPLAY ERR {e}"),
                    }
                }
            }
        }
    }
}
