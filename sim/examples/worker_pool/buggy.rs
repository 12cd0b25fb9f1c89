//! Each worker has a channel of its own for answers, as a connection has, and whoever has taken the worker reads from it.

use crate::square;
use sim::sync::Mutex;
use sim::sync::asynchronous::{Semaphore, mpsc};
use sim::task;
use sim::time::{self, Duration, Elapsed};

/// The pool with the bug: a worker is given back when its caller's time is up, though its answer is still to come. The next caller takes
/// that for the answer to its own question, and from then on every answer is one too late.
///
/// And another: a call that is dropped while it waits never gives its worker back.
pub(crate) struct Pool {
    idle: Mutex<Vec<Worker>>,
    /// As many as there are idle workers.
    permits: Semaphore,
}

struct Worker {
    numbers: mpsc::Sender<u64>,
    answers: mpsc::Receiver<u64>,
}

impl crate::Pool for Pool {
    fn new(workers: usize) -> Self {
        let idle = (0..workers).map(|_| Worker::start()).collect();
        Pool { idle: Mutex::new(idle), permits: Semaphore::new(workers) }
    }

    async fn call(&self, number: u64, within: Duration) -> Result<u64, Elapsed> {
        let _permit = self.permits.acquire().await.expect("it is never closed");
        let mut worker = self.idle.lock().pop().expect("there is a worker for each permit");
        let answer = time::timeout(within, worker.ask(number)).await;
        self.idle.lock().push(worker);
        answer
    }
}

impl Worker {
    fn start() -> Worker {
        let (numbers, mut asked) = mpsc::channel(1);
        let (answer, answers) = mpsc::channel(1);
        task::spawn(async move {
            while let Some(number) = asked.recv().await {
                if answer.send(square(number).await).await.is_err() {
                    return;
                }
            }
        });
        Worker { numbers, answers }
    }

    async fn ask(&mut self, number: u64) -> u64 {
        self.numbers.send(number).await.expect("the worker lives as long as its pool");
        self.answers.recv().await.expect("the worker lives as long as its pool")
    }
}
