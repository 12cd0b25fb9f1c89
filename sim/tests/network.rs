//! Hosts, sockets and links: the virtual network on shuttle and turmoil, and the machine's own.

#![cfg(all(feature = "shuttle", feature = "turmoil"))]

use sim::explore::{Check, Report};
use sim::net::{self, Host, Link, UdpSocket};
use sim::sync::Arc;
use sim::sync::asynchronous::{Notify, mpsc, oneshot};
use sim::task;
use sim::time::{self, Duration, Instant};
use sim::verdict::{Detector, Verdict};
use sim::{Bounds, Engine, StrategyName, invariant};
use std::io;
use std::net::SocketAddr;

const SIMULATING: [Engine; 2] = [Engine::Shuttle, Engine::Turmoil];

fn at(host: &Host, port: u16) -> SocketAddr {
    (host.address(), port).into()
}

fn check(name: &str, engine: Engine, schedules: u64, body: fn()) -> Report {
    Check::new(name, "body", engine).strategy(StrategyName::Random).schedules(schedules).run(body)
}

/// Runs `body` for real and on each engine that simulates a network.
fn on_each(name: &str, body: fn()) {
    let real = Check::new(name, "body", Engine::Real).schedules(3).run(body);
    assert_eq!(real.verdict, Verdict::Clean, "{name} for real: {}", real.verdict);
    for engine in SIMULATING {
        let report = check(name, engine, 200, body);
        assert_eq!(report.verdict, Verdict::Clean, "{name} on {engine}: {}", report.verdict);
        let report = Check::new(name, "body", engine).strategy(StrategyName::Pct).schedules(100).run(body);
        assert_eq!(report.verdict, Verdict::Clean, "{name} on {engine} with pct: {}", report.verdict);
    }
}

#[test]
fn a_datagram_goes_there_and_back() {
    on_each("echo", || {
        task::block_on(async {
            let server = Host::new("server");
            let address = server.address();
            let (at_port, mut port) = oneshot::channel();
            let echo = server.spawn("echo", async move {
                let socket = UdpSocket::bind((address, 0).into()).await.unwrap();
                at_port.send(socket.local_addr().unwrap()).unwrap();
                let mut buffer = [0; 64];
                let (length, from) = socket.recv_from(&mut buffer).await.unwrap();
                assert_eq!(socket.send_to(&buffer[..length], from).await.unwrap(), length);
            });
            let server = port.recv().await.unwrap();
            let socket = UdpSocket::bind(at(&Host::current(), 0)).await.unwrap();
            socket.send_to(b"hello", server).await.unwrap();
            let mut buffer = [0; 3];
            let (length, from) = socket.recv_from(&mut buffer).await.unwrap();
            invariant!(length == 3 && &buffer == b"hel" && from == server, "what does not fit is cut off");
            echo.await.unwrap();
        });
    });
}

#[test]
fn errors_are_those_of_linux() {
    on_each("errors", || {
        task::block_on(async {
            let here = Host::current();
            let first = UdpSocket::bind(at(&here, 0)).await.unwrap();
            let taken = first.local_addr().unwrap();
            let again = UdpSocket::bind(taken).await.unwrap_err();
            invariant!(again.kind() == io::ErrorKind::AddrInUse, "{again}");
            let wide = UdpSocket::bind(([0, 0, 0, 0], taken.port()).into()).await.unwrap_err();
            invariant!(wide.kind() == io::ErrorKind::AddrInUse, "{wide}");
            let foreign = UdpSocket::bind(([198, 51, 100, 7], 0).into()).await.unwrap_err();
            invariant!(foreign.kind() == io::ErrorKind::AddrNotAvailable, "{foreign}");
            let too_long = first.send_to(&[0; 65_508], taken).await.unwrap_err();
            invariant!(too_long.raw_os_error() == Some(90) || !cfg!(target_os = "linux"), "{too_long}");
            let not_connected = first.send(b"whom?").await.unwrap_err();
            invariant!(not_connected.raw_os_error() == Some(89) || !cfg!(target_os = "linux"), "{not_connected}");
            drop(first);
            let socket = UdpSocket::bind(taken).await.unwrap();
            invariant!(socket.local_addr().unwrap() == taken, "a dropped socket gives its port back");
        });
    });
}

/// Two hosts send each other messages at once; notes the order in which they arrive at both.
fn crossing(there: u8, back: u8, link: Link, orders: &Arc<std::sync::Mutex<Vec<Vec<u8>>>>) {
    let orders = Arc::clone(orders);
    task::block_on(async move {
        net::set_link(&link).unwrap();
        let arrived = Arc::new(std::sync::Mutex::new(Vec::new()));
        let hosts = [Host::new("left"), Host::new("right")];
        let tasks: Vec<_> = [(0, there, back), (1, back, there)]
            .into_iter()
            .map(|(side, sends, receives)| {
                let (arrived, here, other) = (Arc::clone(&arrived), hosts[side].clone(), at(&hosts[1 - side], 5000));
                hosts[side].spawn("side", async move {
                    let socket = UdpSocket::bind(at(&here, 5000)).await.unwrap();
                    for number in 0..sends {
                        socket.send_to(&[side as u8 * 100 + number], other).await.unwrap();
                    }
                    for _ in 0..receives {
                        let mut message = [0];
                        socket.recv_from(&mut message).await.unwrap();
                        arrived.lock().unwrap().push(message[0]);
                    }
                })
            })
            .collect();
        for task in tasks {
            task.await.unwrap();
        }
        orders.lock().unwrap().push(arrived.lock().unwrap().clone());
    });
}

fn factorial(n: u64) -> u64 {
    (1..=n).product()
}

/// How many runs turmoil has, and how many different orders they show.
fn count_orders(there: u8, back: u8, link: Link) -> (u64, u64) {
    let orders = Arc::new(std::sync::Mutex::new(Vec::new()));
    let seen = Arc::clone(&orders);
    let check = Check::new("crossing", "body", Engine::Turmoil);
    let report = check.run(move || crossing(there, back, link.clone(), &seen));
    assert_eq!(report.verdict, Verdict::Clean, "{there} and {back}: {}", report.verdict);
    assert!(report.exhaustive && report.bounds.is_some(), "turmoil enumerates, within bounds that it states");
    let mut orders = orders.lock().unwrap().clone();
    // One run in a hundred is run twice.
    let runs = orders.len() as u64;
    assert!(runs >= report.schedules, "{runs} runs, {} schedules", report.schedules);
    orders.sort();
    orders.dedup();
    (report.schedules, orders.len() as u64)
}

#[test]
fn turmoil_has_every_order_of_crossing_messages_once() {
    for k in 0..=5u8 {
        // k messages in flight, in every split between the two directions: any order of them.
        for there in 0..=k {
            let expected = factorial(u64::from(k));
            assert_eq!(count_orders(there, k - there, Link::any_order()), (expected, expected), "{there} there of {k}");
        }
        // k each way over links that keep their order: which side's next one is next.
        let n = u64::from(k);
        let expected = factorial(2 * n) / factorial(n) / factorial(n);
        assert_eq!(count_orders(k, k, Link::in_order()), (expected, expected), "{k} each way, in order");
    }
    // 3 each way in any order.
    assert_eq!(count_orders(3, 3, Link::any_order()), (720, 720));
}
