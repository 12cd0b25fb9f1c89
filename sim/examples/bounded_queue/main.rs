//! A queue of bounded length between threads, with an end: `buggy.rs` as it is often written, `fixed.rs` as it should be.
//!
//! `cargo run -p glare-sim --example bounded_queue` runs the fixed one for real, on the machine's own threads. With `-- buggy` at its end
//! it runs the other one, which may hang and hardly ever does: that is why there are checks. They are in `checks.rs`, and
//! `cargo test -p glare-sim --features loom,shuttle --example bounded_queue` runs them.

mod buggy;
#[cfg(all(test, feature = "shuttle"))]
mod checks;
mod fixed;

use sim::sync::Arc;
use sim::thread;
use sim::time::Instant;

/// What both versions can do.
trait BoundedQueue: Send + Sync + 'static {
    /// An empty queue for `capacity` items.
    fn new(capacity: usize) -> Self;

    /// Waits for room and puts the item in. Gives it back if the queue was closed.
    fn push(&self, item: u64) -> Result<(), u64>;

    /// Waits for an item. `None` once the queue was closed and what was in it is taken.
    fn pop(&self) -> Option<u64>;

    /// Ends it: no more goes in, and who waits is told.
    fn close(&self);
}

const PRODUCERS: u64 = 3;
const CONSUMERS: u64 = 4;
const ITEMS_EACH: u64 = 10_000;

fn main() {
    let (began, (count, sum)) = match std::env::args().nth(1).as_deref() {
        None => (Instant::now(), run::<fixed::Queue>()),
        Some("buggy") => (Instant::now(), run::<buggy::Queue>()),
        Some(other) => {
            eprintln!("expected nothing or `buggy`, got `{other}`");
            std::process::exit(2);
        }
    };
    println!("{PRODUCERS} producers and {CONSUMERS} consumers: {count} items, their sum {sum}, in {:?}", began.elapsed());
}

/// How many items went through the queue, and their sum.
fn run<Q: BoundedQueue>() -> (u64, u64) {
    let queue = Arc::new(Q::new(4));
    let producers: Vec<_> = (0..PRODUCERS)
        .map(|producer| {
            let queue = Arc::clone(&queue);
            thread::spawn(move || {
                for item in producer * ITEMS_EACH..(producer + 1) * ITEMS_EACH {
                    queue.push(item).expect("it is closed after the last item");
                }
            })
        })
        .collect();
    let consumers: Vec<_> = (0..CONSUMERS)
        .map(|_| {
            let queue = Arc::clone(&queue);
            thread::spawn(move || {
                let (mut count, mut sum) = (0, 0);
                while let Some(item) = queue.pop() {
                    count += 1;
                    sum += item;
                }
                (count, sum)
            })
        })
        .collect();
    producers.into_iter().for_each(|producer| producer.join().expect("a producer does not panic"));
    queue.close();
    consumers
        .into_iter()
        .map(|consumer| consumer.join().expect("a consumer does not panic"))
        .fold((0, 0), |(count, sum), (its_count, its_sum)| (count + its_count, sum + its_sum))
}
