//! Each question brings the channel for its answer.

use crate::square;
use sim::sync::Arc;
use sim::sync::asynchronous::{Mutex, mpsc, oneshot};
use sim::task;
use sim::time::{self, Duration, Elapsed};

/// The pool without the bugs: an answer that comes too late goes into a channel that nobody reads any more. Nobody takes a worker, so there
/// is none to give back.
pub(crate) struct Pool {
    questions: mpsc::Sender<Question>,
}

struct Question {
    number: u64,
    answer: oneshot::Sender<u64>,
}

impl crate::Pool for Pool {
    fn new(workers: usize) -> Self {
        let (questions, asked) = mpsc::channel(1);
        let asked = Arc::new(Mutex::new(asked));
        for _ in 0..workers {
            let asked = Arc::clone(&asked);
            task::spawn(async move {
                loop {
                    // The lock is held while this worker waits, and given back before it works.
                    let next = asked.lock().await.recv().await;
                    let Some(Question { number, answer }) = next else { return };
                    // Whoever asked may have gone.
                    let _ = answer.send(square(number).await);
                }
            });
        }
        Pool { questions }
    }

    async fn call(&self, number: u64, within: Duration) -> Result<u64, Elapsed> {
        let (answer, mut answered) = oneshot::channel();
        time::timeout(within, async move {
            let asked = self.questions.send(Question { number, answer }).await;
            asked.unwrap_or_else(|_| panic!("the workers live as long as their pool"));
            answered.recv().await.expect("a worker answers each question")
        })
        .await
    }
}
