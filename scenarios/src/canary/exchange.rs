//! A request and response protocol over UDP, as a program would have it: requests are sent again until they are answered, the server
//! answers each once however often it comes, and what is done is counted. It runs unchanged for real, on shuttle and on turmoil, and
//! takes a flaw of each kind.

use sim::collections::HashMap;
use sim::invariant;
use sim::net::{self, Host, Link, UdpSocket};
use sim::sync::Arc;
use sim::sync::asynchronous::{Mutex, Notify, mpsc, oneshot};
use sim::task;
use sim::time::{self, Duration};
use std::net::SocketAddr;

/// What is wrong with the program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flaw {
    /// Nothing.
    None,
    /// Who waits for the second answer waits without looking whether it has come.
    LostWakeup,
    /// A local task waits while it holds a lock that blocks.
    LockAcrossAwait,
    /// A request is sent once.
    NotRetransmitted,
    /// The server does not look whether it has had a request before.
    DuplicateProcessedTwice,
    /// The books and the open requests are locked in both orders.
    LockInversion,
}

/// How the program is set.
#[derive(Clone, Copy, Debug)]
pub struct Setting {
    /// What is wrong with it.
    pub flaw: Flaw,
    /// How many tasks make requests at once.
    pub workers: u32,
    /// How many requests each of them makes, one after the other.
    pub each: u32,
}

const PORT: u16 = 5_000;
/// After so long without an answer a request is sent again.
const RETRANSMIT: Duration = Duration::from_millis(200);
/// So often it is sent before the program gives up: at the loss of the tests that is one request in a hundred million.
const SENDS_MAX: u32 = 32;
/// What an exchange allows itself.
const EXCHANGE_DEADLINE: Duration = Duration::from_secs(20);
const MESSAGE_BYTES: usize = 8;

/// Runs the program to its end.
pub fn run(setting: Setting, link: Option<Link>) {
    if let Some(link) = link {
        // In production the network is what it is.
        let _ = net::set_link(&link);
    }
    task::block_on(async move {
        let server = Host::new("server");
        let at = SocketAddr::new(server.address(), PORT);
        let (ready, mut is_ready) = oneshot::channel();
        let executed = Arc::new(Mutex::new(HashMap::default()));
        let theirs = Arc::clone(&executed);
        server.spawn("server", serve(at, setting.flaw, theirs, ready));
        is_ready.recv().await.expect("the server binds its port");
        let client = Arc::new(Client::open(at, setting.flaw).await);
        let receiver = {
            let client = Arc::clone(&client);
            task::try_spawn("receiver", async move { client.receive().await }).expect("the engine has tasks")
        };
        if setting.flaw == Flaw::LockInversion {
            let client = Arc::clone(&client);
            task::try_spawn("auditor", async move { client.audit().await }).expect("the engine has tasks");
        }
        if setting.flaw == Flaw::LockAcrossAwait {
            client.flush_locally().await;
        }
        if setting.flaw == Flaw::NotRetransmitted {
            task::try_spawn("keepalive", async {
                loop {
                    time::sleep_for(Duration::from_secs(5)).await;
                }
            })
            .expect("the engine has tasks");
        }
        client.exchange_all(setting.workers, setting.each).await;
        let total = setting.workers * setting.each;
        let books = *client.books.lock().await;
        invariant!(books == total, "{books} of {total} requests are in the books");
        let executed = executed.lock().await;
        invariant!(executed.len() as u32 == total, "{} of {total} requests were executed", executed.len());
        receiver.abort();
    });
}

/// The server: executes each request once, and answers it whenever it comes.
async fn serve(at: SocketAddr, flaw: Flaw, executed: Arc<Mutex<HashMap<u32, u32>>>, ready: oneshot::Sender<()>) {
    let socket = UdpSocket::bind(at).await.expect("nobody else has this port");
    // Who asked may have gone.
    let _ = ready.send(());
    let mut buffer = [0; 64];
    loop {
        let Ok((length, from)) = socket.recv_from(&mut buffer).await else { continue };
        let Some(number) = read(&buffer[..length]) else { continue };
        {
            let mut executed = executed.lock().await;
            let times = executed.entry(number).or_insert(0);
            if *times == 0 || flaw == Flaw::DuplicateProcessedTwice {
                *times += 1;
            }
            invariant!(*times == 1, "a request was executed again");
        }
        // A lost answer is asked for again.
        let _ = socket.send_to(&write(number), from).await;
    }
}

struct Client {
    socket: UdpSocket,
    server: SocketAddr,
    flaw: Flaw,
    /// The requests that are open, and who waits for each.
    open: Mutex<HashMap<u32, oneshot::Sender<()>>>,
    /// How many were answered.
    books: Mutex<u32>,
    second_is_done: Notify,
}

impl Client {
    async fn open(server: SocketAddr, flaw: Flaw) -> Client {
        let here = SocketAddr::new(Host::current().address(), 0);
        let socket = UdpSocket::bind(here).await.expect("there is a free port");
        let (open, books) = (Mutex::new(HashMap::default()), Mutex::new(0));
        Client { socket, server, flaw, open, books, second_is_done: Notify::new() }
    }

    /// Has `workers` tasks make `each` exchanges, and returns when all were answered.
    async fn exchange_all(self: &Arc<Self>, workers: u32, each: u32) {
        let (done, mut all_done) = mpsc::channel(workers.max(1) as usize);
        let mut tasks = Vec::new();
        for worker in 0..workers {
            let (client, done) = (Arc::clone(self), done.clone());
            let work = async move {
                for round in 0..each {
                    let number = round * workers + worker;
                    client.exchange(number).await;
                    done.send(number).await.expect("its receiver waits for all");
                }
                if worker == 1 {
                    client.second_is_done.notify_waiters();
                }
            };
            tasks.push(task::try_spawn("worker", work).expect("the engine has tasks"));
        }
        drop(done);
        if self.flaw == Flaw::LostWakeup && workers == 2 {
            tasks.remove(0).await.expect("nothing aborts it");
            self.second_is_done.notified().await;
            return;
        }
        let mut answered = 0;
        while all_done.recv().await.is_some() {
            answered += 1;
        }
        invariant!(answered == workers * each, "{answered} of {} requests were answered", workers * each);
        for task in tasks {
            task.await.expect("nothing aborts it");
        }
    }

    /// One request, sent again until its answer comes.
    async fn exchange(&self, number: u32) {
        let _operation = sim::operation("exchange", EXCHANGE_DEADLINE);
        let (answer, mut answered) = oneshot::channel();
        self.open.lock().await.insert(number, answer);
        for _ in 0..SENDS_MAX {
            self.socket.send_to(&write(number), self.server).await.expect("the server's host has an address");
            if self.flaw == Flaw::NotRetransmitted {
                answered.recv().await.expect("it is kept until it is answered");
                return;
            }
            match time::timeout(RETRANSMIT, answered.recv()).await {
                Ok(answer) => return answer.expect("it is kept until it is answered"),
                Err(_) => continue,
            }
        }
        sim::violated(format!("no answer to {SENDS_MAX} requests"));
    }

    /// Hands each answer to who waits for it.
    async fn receive(&self) {
        let mut buffer = [0; 64];
        loop {
            let Ok((length, _)) = self.socket.recv_from(&mut buffer).await else { continue };
            let Some(number) = read(&buffer[..length]) else { continue };
            let mut open = self.open.lock().await;
            // The second answer to a request that was sent twice finds nobody.
            if let Some(waits) = open.remove(&number) {
                if self.flaw != Flaw::LockInversion {
                    drop(open);
                }
                *self.books.lock().await += 1;
                // Who waited may have been aborted.
                let _ = waits.send(());
            }
        }
    }

    /// The flaw of the two orders: the books first, and, a moment later, the open requests.
    async fn audit(&self) {
        let books = self.books.lock().await;
        time::sleep_for(Duration::from_millis(50)).await;
        let open = self.open.lock().await;
        invariant!(*books < u32::MAX && open.len() < usize::MAX, "the books can be read");
    }

    /// The flaw of the lock that blocks: the guard lives on while the task waits.
    async fn flush_locally(self: &Arc<Self>) {
        let log = std::rc::Rc::new(sim::sync::Mutex::new(Vec::new()));
        let theirs = std::rc::Rc::clone(&log);
        let client = Arc::clone(self);
        let flush = task::spawn_local(async move {
            let mut log = theirs.lock();
            log.push(*client.books.lock().await);
            if client.open.lock().await.is_empty() {
                task::yield_now().await;
            }
        });
        log.lock().push(0);
        flush.await.expect("nothing aborts it");
    }
}

fn write(number: u32) -> [u8; MESSAGE_BYTES] {
    let mut message = *b"glar\0\0\0\0";
    message[4..].copy_from_slice(&number.to_be_bytes());
    message
}

/// The number in a message; `None` of what is none.
fn read(message: &[u8]) -> Option<u32> {
    let number = message.strip_prefix(b"glar")?;
    Some(u32::from_be_bytes(number.try_into().ok()?))
}
