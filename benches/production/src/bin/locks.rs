//! A fixed workload on the facade or on parking_lot and std themselves, for counting instructions: `locks facade` or `locks raw`.
//!
//! `ci/instructions` runs both under callgrind and compares. Build it with `-p glare-benches-production`: a build of the whole
//! workspace has the engines in the facade.

use std::hint::black_box;

const ROUNDS: u64 = 200_000;

macro_rules! workload {
    ($name:ident, $sync:path, $atomic:path) => {
        #[inline(never)]
        fn $name() -> u64 {
            use $atomic as atomic;
            use $sync as sync;
            let count = sync::Mutex::new(0u64);
            let table = sync::RwLock::new([1u64; 8]);
            let condition = sync::Condvar::new();
            let ticks = atomic::AtomicU64::new(0);
            for round in 0..ROUNDS {
                *black_box(&count).lock() += round;
                if let Some(mut guard) = black_box(&count).try_lock() {
                    *guard ^= 1;
                }
                let sum: u64 = black_box(&table).read().iter().sum();
                black_box(&table).write()[(round % 8) as usize] = sum;
                black_box(&condition).notify_one();
                ticks.fetch_add(black_box(sum), atomic::Ordering::Relaxed);
            }
            let total = *count.lock();
            total ^ ticks.load(atomic::Ordering::Relaxed)
        }
    };
}

workload!(facade, sim::sync, sim::sync::atomic);
workload!(raw, parking_lot, std::sync::atomic);

fn main() {
    match std::env::args().nth(1).as_deref() {
        Some("facade") => println!("{}", black_box(facade())),
        Some("raw") => println!("{}", black_box(raw())),
        _ => {
            eprintln!("usage: locks facade|raw");
            std::process::exit(2);
        }
    }
}
