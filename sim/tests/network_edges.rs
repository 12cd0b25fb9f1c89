//! The edges of the network, of tasks and of turmoil: what a review found wrong, each case once.

#![cfg(all(feature = "shuttle", feature = "turmoil"))]

use sim::explore::Check;
use sim::net::{self, Host, Link, UdpSocket};
use sim::sync::Arc;
use sim::sync::asynchronous::{Mutex, Notify, oneshot};
use sim::sync::atomic::{AtomicBool, Ordering::SeqCst};
use sim::task;
use sim::time::{self, Duration, Instant};
use sim::verdict::{Detector, Verdict};
use sim::{Engine, StrategyName, invariant};
use std::future::{Future, pending, poll_fn};
use std::io::Write as _;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::Poll;

fn at(host: &Host, port: u16) -> SocketAddr {
    (host.address(), port).into()
}

async fn socket() -> UdpSocket {
    UdpSocket::bind(at(&Host::current(), 0)).await.unwrap()
}

/// Clean on these engines, in 300 random schedules.
fn clean(name: &str, engines: &[Engine], body: fn()) {
    for engine in engines {
        let check = Check::new(name, "body", *engine);
        let schedules = if *engine == Engine::Real { 3 } else { 300 };
        let report = check.strategy(StrategyName::Random).schedules(schedules).run(body);
        assert_eq!(report.verdict, Verdict::Clean, "{name} on {engine}: {}", report.verdict);
    }
}

const EACH: [Engine; 3] = [Engine::Real, Engine::Shuttle, Engine::Turmoil];
const SIMULATING: [Engine; 2] = [Engine::Shuttle, Engine::Turmoil];
const TURMOIL: [Engine; 1] = [Engine::Turmoil];

#[test]
fn two_tasks_that_receive_get_a_packet_each() {
    clean("two-receivers", &EACH, || {
        task::block_on(async {
            let receiving = Arc::new(socket().await);
            let to = receiving.local_addr().unwrap();
            let tasks: Vec<_> = (0..2)
                .map(|_| {
                    let receiving = Arc::clone(&receiving);
                    task::spawn(async move { receiving.recv_from(&mut [0; 4]).await.unwrap() })
                })
                .collect();
            let sending = socket().await;
            sending.send_to(b"a", to).await.unwrap();
            task::yield_now().await;
            sending.send_to(b"b", to).await.unwrap();
            for task in tasks {
                task.await.unwrap();
            }
        });
    });
}

#[test]
fn what_a_runtime_leaves_ends_though_it_spawns() {
    struct Spawns;
    impl Drop for Spawns {
        fn drop(&mut self) {
            task::spawn(pending::<()>());
        }
    }
    clean("nested", &EACH, || {
        task::block_on(async {
            task::spawn(async {
                task::spawn(pending::<()>());
            });
        });
    });
    clean("in-drop", &SIMULATING, || {
        task::block_on(async {
            task::spawn(async {
                let _spawns = Spawns;
                pending::<()>().await;
            });
            task::yield_now().await;
        });
    });
}

#[test]
fn a_task_of_a_host_that_crashes_is_told_nothing() {
    clean("crash-in-recv", &SIMULATING, || {
        task::block_on(async {
            let host = Host::new("host");
            let address = at(&host, 7000);
            host.spawn("receiver", async move {
                let socket = UdpSocket::bind(address).await.unwrap();
                loop {
                    socket.recv_from(&mut [0; 64]).await.unwrap();
                }
            });
            time::sleep_for(Duration::from_millis(1)).await;
            host.crash().unwrap();
        });
    });
}

#[test]
fn hosts_crash_from_within_while_they_spawn_and_before_they_run() {
    clean("own", &SIMULATING, || {
        task::block_on(async {
            let server = Host::new("server");
            let own = server.clone();
            let ends = server.spawn("ends", async move {
                own.crash().unwrap();
                pending::<()>().await;
            });
            invariant!(ends.await.is_err(), "it ended with its host");
        });
    });
    clean("spawning", &SIMULATING, || {
        task::block_on(async {
            let server = Host::new("server");
            server.spawn("spawner", async {
                for _ in 0..3 {
                    task::spawn(async {});
                    task::yield_now().await;
                }
            });
            task::yield_now().await;
            let crashed = server.crash();
            invariant!(crashed.is_ok(), "it has tasks only: {crashed:?}");
        });
    });
    clean("new", &SIMULATING, || {
        task::block_on(async {
            let server = Host::new("server");
            server.crash().unwrap();
            let nothing = time::timeout(Duration::from_millis(500), server.spawn("never", async { 1 })).await;
            invariant!(!matches!(nothing, Ok(Ok(1))), "a host without power runs nothing");
        });
    });
    clean("unstarted", &SIMULATING, || {
        task::block_on(async {
            let (socket, server) = (socket().await, Host::new("server"));
            server.spawn("unstarted", async move { socket.recv_from(&mut [0; 4]).await.map(|_| ()) });
            server.crash().unwrap();
        });
    });
}

#[test]
fn a_crash_frees_ports_at_once_and_kills_sockets_that_others_hold() {
    clean("at-once", &SIMULATING, || {
        task::block_on(async {
            net::set_link(&Link::in_order()).unwrap();
            let server = Host::new("server");
            let address = at(&server, 7000);
            server.run(move || async move {
                let socket = UdpSocket::bind(address).await.unwrap();
                let mut buffer = [0; 8];
                loop {
                    let (length, from) = socket.recv_from(&mut buffer).await.unwrap();
                    socket.send_to(&buffer[..length], from).await.unwrap();
                }
            });
            let socket = socket().await;
            time::sleep_for(Duration::from_millis(50)).await;
            server.crash().unwrap();
            server.restart();
            for _ in 0..100 {
                socket.send_to(b"?", address).await.unwrap();
                if time::timeout(Duration::from_secs(1), socket.recv_from(&mut [0; 8])).await.is_ok() {
                    return;
                }
            }
            sim::violated("the restarted server does not answer".to_owned());
        });
    });
    clean("held", &SIMULATING, || {
        task::block_on(async {
            let server = Host::new("server");
            let address = at(&server, 7000);
            let (give, mut given) = oneshot::channel();
            server.spawn("first", async move {
                assert!(give.send(UdpSocket::bind(address).await.unwrap()).is_ok());
                pending::<()>().await;
            });
            let held = given.recv().await.unwrap();
            server.crash().unwrap();
            time::sleep_for(Duration::from_millis(50)).await;
            server.restart();
            let again = server.spawn("second", async move { UdpSocket::bind(address).await.map(|_| ()) }).await.unwrap();
            invariant!(again.is_ok(), "its port is free: {again:?}");
            invariant!(held.send_to(b"?", address).await.is_err(), "the old socket is dead");
        });
    });
}

#[test]
fn an_error_before_a_packet_loses_neither() {
    clean("error-then-packet", &SIMULATING, || {
        task::block_on(async {
            net::set_link(&Link::in_order()).unwrap();
            let server = Host::new("server");
            let address = at(&server, 7000);
            let client = socket().await;
            client.connect(address).await.unwrap();
            let to = client.local_addr().unwrap();
            let sends = server.spawn("server", async move {
                let socket = UdpSocket::bind(address).await.unwrap();
                socket.send_to(b"data", to).await.unwrap();
            });
            sends.await.unwrap();
            time::sleep_for(Duration::from_millis(50)).await;
            client.send(b"too late").await.unwrap();
            time::sleep_for(Duration::from_millis(50)).await;
            let (mut got, mut refused) = (false, false);
            let mut buffer = [0; 8];
            while !(got && refused) {
                match client.recv(&mut buffer).await {
                    Ok(length) => {
                        invariant!(&buffer[..length] == b"data", "{:?}", &buffer[..length]);
                        got = true;
                    }
                    Err(_) => refused = true,
                }
            }
        });
    });
}

#[test]
fn a_sleep_that_nobody_awaits_any_more_hides_nothing() {
    for engine in SIMULATING {
        let report = Check::new("stale", "sleep", engine).run(|| {
            task::block_on(async {
                let (_sender, mut receiver) = oneshot::channel::<u8>();
                let mut sleep = Box::pin(time::sleep_for(Duration::from_millis(10)));
                poll_fn(|context| Poll::Ready(sleep.as_mut().poll(context))).await.is_ready();
                let _ = receiver.recv().await;
                drop(sleep);
            });
        });
        assert_eq!(report.verdict.detector(), Some(Detector::LostWakeup), "{engine}: {}", report.verdict);
    }
}

#[test]
fn who_yields_and_joins_is_no_deadlock_and_no_livelock() {
    clean("join-and-yield", &EACH, || {
        task::block_on(async {
            let lock = Arc::new(Mutex::new(0));
            let mut held = Some(lock.lock().await);
            let theirs = Arc::clone(&lock);
            let mut waits = task::spawn(async move { *theirs.lock().await += 1 });
            let mut yields = Box::pin(async {
                for _ in 0..3 {
                    task::yield_now().await;
                }
            });
            let joined = poll_fn(|context| {
                if held.is_some() && yields.as_mut().poll(context).is_ready() {
                    held = None;
                }
                Pin::new(&mut waits).poll(context)
            });
            joined.await.unwrap();
        });
    });
    clean("own-yield", &EACH, || {
        task::block_on(async {
            let flag = Arc::new(AtomicBool::new(false));
            let theirs = Arc::clone(&flag);
            let spins = task::spawn(poll_fn(move |context| match theirs.load(SeqCst) {
                true => Poll::Ready(()),
                false => {
                    context.waker().wake_by_ref();
                    Poll::Pending
                }
            }));
            flag.store(true, SeqCst);
            spins.await.unwrap();
        });
    });
    clean("busy", &EACH, || {
        task::block_on(async {
            let end = Instant::now() + Duration::from_millis(20);
            while Instant::now() < end {
                task::yield_now().await;
            }
        });
    });
}

#[test]
fn a_notification_of_all_is_heard_from_the_call_on() {
    clean("notified", &EACH, || {
        task::block_on(async {
            let notify = Notify::new();
            let waits = notify.notified();
            notify.notify_waiters();
            waits.await;
        });
    });
}

#[test]
fn a_port_that_is_bound_again_gets_no_packet_of_before() {
    // On shuttle a processor may be slow, and the times with it.
    clean("rebound", &TURMOIL, || {
        task::block_on(async {
            let ms = Duration::from_millis;
            net::set_link(&Link::timed(ms(5), ms(5)).unwrap()).unwrap();
            let here = at(&Host::current(), 7000);
            let first = UdpSocket::bind(here).await.unwrap();
            for name in ["one", "two"] {
                let host = Host::new(name);
                let from = at(&host, 0);
                host.spawn(name, async move {
                    let socket = UdpSocket::bind(from).await.unwrap();
                    for (at_ms, message) in [(20, &b"early"[..]), (100, b"late")] {
                        time::sleep_until(Instant::from_origin(ms(at_ms))).await;
                        socket.send_to(message, here).await.unwrap();
                    }
                });
            }
            let mut buffer = [0; 16];
            first.recv_from(&mut buffer).await.unwrap();
            drop(first);
            let second = UdpSocket::bind(here).await.unwrap();
            time::sleep_for(ms(30)).await;
            for _ in 0..2 {
                let (length, _) = second.recv_from(&mut buffer).await.unwrap();
                invariant!(&buffer[..length] == b"late", "{:?}", &buffer[..length]);
            }
        });
    });
}

#[test]
fn one_block_on_after_another_goes_on_in_time() {
    clean("twice", &EACH, || {
        let first = task::block_on(async {
            time::sleep_for(Duration::from_millis(5)).await;
            Instant::now()
        });
        let second = task::block_on(async {
            let socket = socket().await;
            socket.send_to(b"to itself", socket.local_addr().unwrap()).await.unwrap();
            socket.recv_from(&mut [0; 16]).await.unwrap();
            Instant::now()
        });
        invariant!(second >= first, "{second:?} comes before {first:?}");
    });
}

#[test]
fn addresses_mean_what_they_mean_on_linux() {
    if !cfg!(target_os = "linux") {
        _ = writeln!(std::io::stderr(), "SKIPPED addresses: this system has its own rules");
        return;
    }
    clean("addresses", &EACH, || {
        task::block_on(async {
            let own = socket().await;
            let nowhere = own.send_to(b"x", at(&Host::current(), 0)).await;
            invariant!(nowhere.is_err(), "port 0 is none");
            let anywhere = UdpSocket::bind(([0, 0, 0, 0], 0).into()).await.unwrap();
            let port = anywhere.local_addr().unwrap().port();
            anywhere.send_to(b"x", ([0, 0, 0, 0], port).into()).await.unwrap();
            anywhere.recv_from(&mut [0; 4]).await.unwrap();
            anywhere.connect(own.local_addr().unwrap()).await.unwrap();
            invariant!(anywhere.local_addr().unwrap().ip() == Host::current().address(), "a connected socket has an address");
            // One that listens to another refuses.
            let (deaf, asks) = (socket().await, socket().await);
            deaf.connect(own.local_addr().unwrap()).await.unwrap();
            asks.connect(deaf.local_addr().unwrap()).await.unwrap();
            asks.send(b"x").await.unwrap();
            invariant!(asks.recv(&mut [0; 4]).await.is_err(), "refused");
        });
    });
    clean("loopback", &SIMULATING, || {
        task::block_on(async {
            let other = Host::new("other");
            let inner = UdpSocket::bind(([127, 0, 0, 1], 0).into()).await.unwrap();
            let sent = inner.send_to(b"x", at(&other, 7000)).await;
            invariant!(sent.is_err(), "loopback leads to no other host");
        });
    });
}

#[test]
fn a_sleep_goes_on_where_its_first_host_is_gone() {
    clean("sleep-moves", &SIMULATING, || {
        task::block_on(async {
            let host = Host::new("host");
            let (give, mut given) = oneshot::channel();
            host.spawn("first", async move {
                let mut sleep = Box::pin(time::sleep_for(Duration::from_millis(50)));
                poll_fn(|context| Poll::Ready(sleep.as_mut().poll(context))).await.is_ready();
                assert!(give.send(sleep).is_ok());
                pending::<()>().await;
            });
            let sleep = given.recv().await.unwrap();
            time::sleep_for(Duration::from_millis(5)).await;
            host.crash().unwrap();
            sleep.await;
        });
    });
}

#[test]
fn a_datagram_is_sent_at_once_by_a_socket_that_was_just_bound() {
    // tokio learns later that a socket can be written to; the system takes the datagram all the same.
    task::block_on(async {
        for _ in 0..200 {
            let (one, other) = (UdpSocket::bind(loopback()).await.unwrap(), UdpSocket::bind(loopback()).await.unwrap());
            let to = other.local_addr().unwrap();
            assert_eq!(one.try_send_to(b"at once", to).unwrap(), 7);
            let mut wire = [0; 16];
            assert_eq!(other.recv(&mut wire).await.unwrap(), 7);
        }
    });
}

fn loopback() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 0))
}
