//! The facade beside the raw engine on the same body: shuttle and loom, detectors off and on. Prints one table.
//!
//! `cargo bench -p glare-benches`, or with `-- --quick` for a shorter look.

use sim::explore::Check;
use sim::{Bounds, Detectors, Engine};
use std::time::{Duration, Instant};

/// The same text for each side: only where the names come from differs.
macro_rules! body {
    ($name:ident, $threads:expr, $rounds:expr, $($path:ident)::+, lock $lock:ident, wait $wait:ident) => {
        fn $name() {
            use $($path)::+::sync::atomic::{AtomicUsize, Ordering};
            use $($path)::+::sync::{Condvar, Mutex};
            use std::sync::Arc;
            let shared = Arc::new((Mutex::new(0usize), Condvar::new(), AtomicUsize::new(0), Mutex::new(0usize)));
            let workers: Vec<_> = (0..$threads)
                .map(|_| {
                    let shared = Arc::clone(&shared);
                    $($path)::+::thread::spawn(move || {
                        for _ in 0..$rounds {
                            shared.2.fetch_add(1, Ordering::SeqCst);
                            let mut outer = $lock!(shared.0);
                            *outer += 1;
                            let mut inner = $lock!(shared.3);
                            *inner += 1;
                        }
                        shared.1.notify_one();
                    })
                })
                .collect();
            let mut done = $lock!(shared.0);
            while *done < $threads * $rounds {
                $wait!(shared.1, done);
            }
            drop(done);
            for worker in workers {
                worker.join().unwrap();
            }
        }
    };
}

macro_rules! lock_std {
    ($lock:expr) => {
        $lock.lock().unwrap()
    };
}
macro_rules! wait_std {
    ($condvar:expr, $guard:ident) => {
        $guard = $condvar.wait($guard).unwrap()
    };
}
macro_rules! lock_facade {
    ($lock:expr) => {
        $lock.lock()
    };
}
macro_rules! wait_facade {
    ($condvar:expr, $guard:ident) => {
        $condvar.wait(&mut $guard)
    };
}

body!(raw_shuttle, 3, 5, shuttle, lock lock_std, wait wait_std);
body!(facade_shuttle, 3, 5, sim, lock lock_facade, wait wait_facade);
body!(raw_loom, 2, 1, loom, lock lock_std, wait wait_std);
body!(facade_loom, 2, 1, sim, lock lock_facade, wait wait_facade);

const LOOM_PREEMPTIONS: u32 = 3;

fn time_raw_shuttle(schedules: usize) -> Duration {
    let began = Instant::now();
    let mut config = shuttle::Config::new();
    config.failure_persistence = shuttle::FailurePersistence::None;
    shuttle::Runner::new(shuttle::scheduler::RandomScheduler::new_from_seed(1, schedules), config).run(raw_shuttle);
    began.elapsed()
}

fn time_facade_shuttle(schedules: usize, detectors: Detectors) -> Duration {
    let check = Check::new("bench", "body", Engine::Shuttle).schedules(schedules as u64).detectors(detectors).seed(1);
    let report = check.run(facade_shuttle);
    assert_eq!(report.verdict.name(), "clean", "{}", report.verdict);
    report.wall
}

fn time_raw_loom() -> (Duration, u64) {
    let count = std::sync::Arc::new(std::sync::atomic::AtomicU64::new(0));
    let counted = std::sync::Arc::clone(&count);
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(LOOM_PREEMPTIONS as usize);
    let began = Instant::now();
    builder.check(move || {
        counted.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        raw_loom();
    });
    (began.elapsed(), count.load(std::sync::atomic::Ordering::Relaxed))
}

fn time_facade_loom(detectors: Detectors) -> (Duration, u64) {
    let bounds = Bounds { preemptions: Some(LOOM_PREEMPTIONS), firings: 2, ..Bounds::default() };
    let report = Check::new("bench", "body", Engine::Loom).bounds(bounds).detectors(detectors).run(facade_loom);
    assert!(report.exhaustive, "{}", report.verdict);
    (report.wall, report.schedules)
}

/// The middle one.
fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}

fn main() {
    // The facade's engines want their panic hook in place first; a loom run of ours must come after shuttle's.
    let quick = std::env::args().any(|argument| argument == "--quick");
    let (schedules, rounds) = if quick { (5_000, 3) } else { (40_000, 9) };
    let (mut raw, mut off, mut on) = (Vec::new(), Vec::new(), Vec::new());
    // The sides take turns, so that what the machine does beside hits them alike.
    for _ in 0..rounds {
        raw.push(time_raw_shuttle(schedules));
        off.push(time_facade_shuttle(schedules, Detectors::OFF));
        on.push(time_facade_shuttle(schedules, Detectors::ON));
    }
    println!("engine   side                     schedules/s  time beside raw");
    let shuttle = |name: &str, time: Duration, raw: Duration| {
        println!(
            "shuttle  {name:<24} {:>11.0}  {:.3}",
            schedules as f64 / time.as_secs_f64(),
            time.as_secs_f64() / raw.as_secs_f64()
        );
    };
    let raw = median(raw);
    shuttle("raw", raw, raw);
    shuttle("facade, detectors off", median(off), raw);
    shuttle("facade, detectors on", median(on), raw);
    let (mut raw, mut off, mut on) = (Vec::new(), Vec::new(), Vec::new());
    let mut counts = (0, 0, 0);
    for _ in 0..rounds {
        let (time, count) = time_raw_loom();
        raw.push(time);
        counts.0 = count;
        let (time, count) = time_facade_loom(Detectors::OFF);
        off.push(time);
        counts.1 = count;
        let (time, count) = time_facade_loom(Detectors::ON);
        on.push(time);
        counts.2 = count;
    }
    let loom = |name: &str, time: Duration, count: u64, raw: Duration| {
        println!(
            "loom     {name:<24} {:>11.0}  {:.3}  ({count} executions)",
            count as f64 / time.as_secs_f64(),
            time.as_secs_f64() / raw.as_secs_f64()
        );
    };
    let raw = median(raw);
    loom("raw", raw, counts.0, raw);
    loom("facade, detectors off", median(off), counts.1, raw);
    loom("facade, detectors on", median(on), counts.2, raw);
}
