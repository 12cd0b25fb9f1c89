//! Workers that answer questions, and callers that wait for an answer only so long: `buggy.rs` as it is often written, `fixed.rs` as it
//! should be.
//!
//! `cargo run -p glare-sim --example worker_pool` runs the fixed one for real, on tokio. With `-- buggy` at its end it runs the other one.
//! The checks are in `checks.rs`, and `cargo test -p glare-sim --features shuttle --example worker_pool` runs them.

mod buggy;
#[cfg(all(test, feature = "shuttle"))]
mod checks;
mod fixed;

use sim::sync::Arc;
use sim::task;
use sim::time::{self, Duration, Elapsed};
use std::future::Future;

/// What both versions can do.
trait Pool: Send + Sync + 'static {
    /// So many workers, each a task.
    fn new(workers: usize) -> Self;

    /// The square of `number`, if a worker has it in time.
    fn call(&self, number: u64, within: Duration) -> impl Future<Output = Result<u64, Elapsed>> + Send;
}

/// What the workers do. It takes 10 ms, and four times that for every fifth number.
async fn square(number: u64) -> u64 {
    let takes_ms = if number.is_multiple_of(5) { 40 } else { 10 };
    time::sleep_for(Duration::from_millis(takes_ms)).await;
    number * number
}

fn main() {
    let (right, wrong, late) = match std::env::args().nth(1).as_deref() {
        None => task::block_on(run::<fixed::Pool>()),
        Some("buggy") => task::block_on(run::<buggy::Pool>()),
        Some(other) => {
            eprintln!("expected nothing or `buggy`, got `{other}`");
            std::process::exit(2);
        }
    };
    println!("{right} right answers, {wrong} wrong ones, {late} too late");
}

/// Two callers with ten questions each: how many answers were right, how many wrong, and how many too late.
async fn run<P: Pool>() -> (u64, u64, u64) {
    let pool = Arc::new(P::new(2));
    let callers: Vec<_> = (0..2)
        .map(|caller| {
            let pool = Arc::clone(&pool);
            task::spawn(async move {
                let (mut right, mut wrong, mut late) = (0, 0, 0);
                for number in caller * 10 + 1..=caller * 10 + 10 {
                    match pool.call(number, Duration::from_millis(35)).await {
                        Ok(answer) if answer == number * number => right += 1,
                        Ok(_) => wrong += 1,
                        Err(Elapsed { .. }) => late += 1,
                    }
                }
                (right, wrong, late)
            })
        })
        .collect();
    let mut sum = (0, 0, 0);
    for caller in callers {
        let (right, wrong, late) = caller.await.expect("a caller does not panic");
        sum = (sum.0 + right, sum.1 + wrong, sum.2 + late);
    }
    sum
}
