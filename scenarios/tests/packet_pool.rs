//! The packet pool under the engines: buffers come back from any thread in any order, and one that does not is named.

use sim::explore::{Check, Report};
use sim::thread;
use sim::verdict::{Detector, Verdict};
use sim::{Bounds, Engine};
use stack::buffer::{PacketPool, PacketPoolConfig, PacketPoolError};

const CONFIG: PacketPoolConfig = PacketPoolConfig { buffers: 2, headroom_bytes: 4, tailroom_bytes: 8, capacity_bytes_max: 64 };

fn check(name: &str, engine: Engine, body: fn()) -> Report {
    Check::new("packet-pool", name, engine).bounds(Bounds::default()).schedules(Some(2_000)).run(body)
}

/// Two threads want three buffers of two: one is dropped where it was not taken, one grows, and the account is exact whenever
/// anyone looks.
fn crossing() {
    let pool = PacketPool::new("packets", CONFIG);
    let taken = pool.take().expect("nobody has taken one yet");
    let other = pool.clone();
    let returning = thread::spawn(move || {
        drop(taken);
        if let Ok(mut grown) = other.take() {
            grown.append(&[7; 20]).expect("20 bytes are below the limit");
            sim::invariant!(other.lent_bytes() >= grown.capacity(), "the account has what grew");
        }
    });
    let mut refused = 0;
    let mut mine = Vec::new();
    for _ in 0..2 {
        match pool.take() {
            Ok(mbuf) => {
                sim::invariant!(mbuf.bytes().is_empty() && mbuf.headroom() == 4, "a buffer comes empty");
                mine.push(mbuf);
            }
            Err(PacketPoolError::Exhausted { buffers: 2, .. }) => refused += 1,
            Err(error) => sim::violated(format!("the pool says: {error}")),
        }
        sim::invariant!((mine.len()..=2).contains(&pool.lent()), "more are lent than there are");
    }
    returning.join().expect("the thread does not panic");
    sim::invariant!(pool.lent() == mine.len(), "lent: {}, held: {}", pool.lent(), mine.len());
    let held_bytes: usize = mine.iter().map(|mbuf| mbuf.capacity()).sum();
    sim::invariant!(pool.lent_bytes() == held_bytes, "the account is exact");
    sim::invariant!(pool.exhausted_count() >= refused, "each refusal is counted");
    drop(mine);
    sim::invariant!(pool.release() == Some(0) && pool.lent_bytes() == 0, "everything is back");
}

/// One thread releases the pool while another has a buffer of it.
fn released_meanwhile() {
    let pool = PacketPool::new("packets", CONFIG);
    let other = pool.clone();
    let using = thread::spawn(move || match other.take() {
        Ok(mut mbuf) => mbuf.append(b"packet").expect("there is room for a packet"),
        Err(error) => sim::invariant!(error == PacketPoolError::Released { name: "packets" }, "{error}"),
    });
    sim::invariant!(pool.release().is_some_and(|lent| lent <= 1), "it was not released before");
    using.join().expect("the thread does not panic");
    sim::invariant!(pool.lent() == 0 && pool.release().is_none(), "what was lent is accounted for");
}

/// A buffer that nobody drops.
fn kept() {
    let pool = PacketPool::new("packets", CONFIG);
    std::mem::forget(pool.take().expect("nobody has taken one yet"));
    pool.release();
}

#[test]
fn buffers_come_back_from_any_thread_in_any_order() {
    for (name, body) in [("crossing", crossing as fn()), ("released-meanwhile", released_meanwhile)] {
        for engine in [Engine::Loom, Engine::Shuttle] {
            let report = check(name, engine, body);
            assert_eq!(report.verdict, Verdict::Clean, "{name} on {engine}: {}", report.verdict);
            assert!(report.exhaustive || engine == Engine::Shuttle, "{name} on {engine}: {} schedules", report.schedules);
        }
    }
}

#[test]
fn a_buffer_that_is_kept_is_named() {
    for engine in [Engine::Loom, Engine::Shuttle] {
        let report = check("kept", engine, kept);
        assert_eq!(report.verdict.detector(), Some(Detector::Leak), "{engine}: {}", report.verdict);
        let said = report.verdict.to_string();
        assert!(said.contains("packet buffer") && said.contains("packet_pool.rs"), "{engine}: {said}");
    }
}
