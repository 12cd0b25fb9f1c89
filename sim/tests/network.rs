//! Hosts, sockets and links: the virtual network on shuttle and turmoil, and the machine's own.

#![cfg(all(feature = "shuttle", feature = "turmoil"))]

use sim::explore::{Check, Report};
use sim::net::{self, Host, Link, UdpSocket};
use sim::sync::Arc;
use sim::sync::asynchronous::oneshot;
use sim::task;
use sim::time::{self, Duration, Instant};
use sim::verdict::{Detector, Verdict};
use sim::{Engine, StrategyName, invariant};
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

/// What a hundred thousand packets met, seen from outside: by number, how often each arrived, and in which order.
#[derive(Default)]
struct Seen {
    sent: u64,
    sent_at: Vec<Instant>,
    /// How long the slowest took.
    slowest: Duration,
    arrivals: Vec<u64>,
    damaged: u64,
    short: u64,
}

/// Sends so many numbered packets, one each interval, and notes what arrives.
fn measure(engine: Engine, link: Link, packets: u64, interval_ms: u64) -> Seen {
    let seen = Arc::new(std::sync::Mutex::new(Seen::default()));
    let noted = Arc::clone(&seen);
    let check = Check::new("statistics", "body", engine).strategy(StrategyName::Random).schedules(1).seed(11);
    let report = check.detectors(sim::Detectors { determinism: false, ..sim::Detectors::ON }).run(move || {
        let (noted, link) = (Arc::clone(&noted), link.clone());
        task::block_on(async move {
            net::set_link(&link).unwrap();
            let receiver = Host::new("receiver");
            let there = at(&receiver, 4000);
            let seen = Arc::clone(&noted);
            receiver.spawn("receiver", async move {
                let socket = UdpSocket::bind(there).await.unwrap();
                let mut buffer = [0; 64];
                loop {
                    let (length, _) = socket.recv_from(&mut buffer).await.unwrap();
                    let mut seen = seen.lock().unwrap();
                    let copies: Vec<u64> =
                        buffer[..length].chunks_exact(8).map(|copy| u64::from_be_bytes(copy.try_into().unwrap())).collect();
                    // Six copies of the number, so that one that is damaged is known.
                    let number = copies.iter().find(|number| copies.iter().filter(|other| other == number).count() >= 4);
                    let Some(&number) = number.filter(|_| copies.len() == 6 && length == 48) else {
                        seen.short += 1;
                        continue;
                    };
                    seen.damaged += u64::from(copies.iter().any(|other| *other != number));
                    let took = Instant::now() - seen.sent_at[number as usize];
                    seen.slowest = seen.slowest.max(took);
                    seen.arrivals.push(number);
                }
            });
            let socket = UdpSocket::bind(at(&Host::current(), 4000)).await.unwrap();
            let began = Instant::now();
            for number in 0..packets {
                time::sleep_until(began + Duration::from_millis((number + 1) * interval_ms)).await;
                noted.lock().unwrap().sent_at.push(Instant::now());
                socket.send_to(&number.to_be_bytes().repeat(6), there).await.unwrap();
                noted.lock().unwrap().sent += 1;
            }
            time::sleep_for(Duration::from_secs(5)).await;
        });
    });
    assert_eq!(report.verdict, Verdict::Clean, "{}", report.verdict);
    let seen = std::mem::take(&mut *seen.lock().unwrap());
    assert_eq!(seen.sent, packets);
    seen
}

impl Seen {
    /// Which packets never came.
    fn lost(&self) -> Vec<bool> {
        let mut lost = vec![true; self.sent as usize];
        self.arrivals.iter().for_each(|number| lost[*number as usize] = false);
        lost
    }

    fn lost_share(&self) -> f64 {
        self.lost().iter().filter(|lost| **lost).count() as f64 / self.sent as f64
    }

    fn duplicate_share(&self) -> f64 {
        let mut times = vec![0u32; self.sent as usize];
        self.arrivals.iter().for_each(|number| times[*number as usize] += 1);
        let arrived = times.iter().filter(|times| **times > 0).count() as f64;
        times.iter().filter(|times| **times > 1).count() as f64 / arrived
    }

    /// The share of packets that come after one with a higher number (RFC 4737 section 3).
    fn reordered_share(&self) -> f64 {
        let (mut next, mut reordered, mut known) = (0, 0, vec![false; self.sent as usize]);
        for &number in &self.arrivals {
            // A copy is no packet of its own.
            if std::mem::replace(&mut known[number as usize], true) {
                continue;
            }
            if number < next {
                reordered += 1;
            } else {
                next = number + 1;
            }
        }
        reordered as f64 / known.iter().filter(|known| **known).count() as f64
    }

    /// The mean length of bursts, and how often a lost packet is followed by another.
    fn bursts(&self) -> (f64, f64) {
        let lost = self.lost();
        let count = lost.iter().filter(|lost| **lost).count() as f64;
        let followed = lost.windows(2).filter(|pair| pair[0] && pair[1]).count() as f64;
        (count / (count - followed), followed / count)
    }
}

const PACKETS: u64 = 100_000;

/// Within one in a hundred, absolutely.
fn close(what: &str, engine: Engine, asked: f64, measured: f64) {
    println!("{engine}: {what} asked {asked:.4} measured {measured:.4}");
    assert!((asked - measured).abs() < 0.01, "{what} on {engine}: asked {asked}, measured {measured}");
}

#[test]
fn the_network_does_what_was_asked() {
    let ms = Duration::from_millis;
    let timed = || Link::timed(ms(5), ms(5)).unwrap();
    for engine in SIMULATING {
        let seen = measure(engine, timed().loss(0.1).unwrap().duplicate(0.05).unwrap().reorder(0.08).unwrap(), PACKETS, 1);
        close("loss", engine, 0.1, seen.lost_share());
        close("duplication", engine, 0.05, seen.duplicate_share());
        close("reordering", engine, 0.08, seen.reordered_share());
        // Overtaken by one of the next, and no later. (On shuttle the processor may be slow.)
        assert!(seen.slowest < ms(50) || engine == Engine::Shuttle, "the slowest took {:?} on {engine}", seen.slowest);
        let seen = measure(engine, Link::timed(ms(1), ms(50)).unwrap(), 5_000, 1);
        close("reordering by jitter", engine, 0.0, seen.reordered_share());
        assert!(seen.reordered_share() == 0.0 && seen.lost_share() < 0.01, "jitter alone reorders nothing on {engine}");
        // Two fragments, each lost by itself.
        let seen = measure(engine, timed().loss(0.1).and_then(|link| link.mtu_bytes(68)).unwrap(), PACKETS, 1);
        close("loss of two fragments", engine, 0.19, seen.lost_share());
        let seen = measure(engine, timed().loss_in_bursts(0.2, 4.0).unwrap(), PACKETS, 1);
        let (mean, goes_on) = seen.bursts();
        close("loss in bursts", engine, 0.2, seen.lost_share());
        close("a burst goes on", engine, 0.75, goes_on);
        println!("{engine}: mean burst length asked 4.0 measured {mean:.3}");
        assert!((mean / 4.0 - 1.0).abs() < 0.02, "bursts of {mean} on {engine}");
        let seen = measure(engine, timed().loss_by_state(0.02, 0.1, 0.01, 0.5).unwrap(), PACKETS, 1);
        // One in six packets meets the bad state.
        close("loss by state", engine, 0.01 * 5.0 / 6.0 + 0.5 / 6.0, seen.lost_share());
        let seen = measure(engine, timed().corrupt(0.07).unwrap().truncate(0.03).unwrap(), PACKETS, 1);
        close("corruption", engine, 0.07, seen.damaged as f64 / seen.arrivals.len() as f64);
        close("truncation", engine, 0.03, seen.short as f64 / PACKETS as f64);
    }
}

/// Sends until an answer comes, as a slow processor may let a second pass before it looks: what the answer says.
async fn ask(socket: &UdpSocket, to: SocketAddr, question: &[u8]) -> Vec<u8> {
    let mut buffer = [0; 64];
    for _ in 0..100 {
        socket.send_to(question, to).await.unwrap();
        if let Some(length) = within_a_second(socket, &mut buffer).await {
            return buffer[..length].to_vec();
        }
    }
    sim::violated("no answer to a hundred questions".to_owned())
}

/// Receives within a second, or says that nothing came.
async fn within_a_second(socket: &UdpSocket, buffer: &mut [u8]) -> Option<usize> {
    let received = time::timeout(Duration::from_secs(1), socket.recv_from(buffer)).await;
    received.ok().map(|received| received.unwrap().0)
}

#[test]
fn a_partition_is_one_way_and_heals() {
    fn body() {
        task::block_on(async {
            net::set_link(&Link::lan()).unwrap();
            let (here, there) = (Host::current(), Host::new("there"));
            let echo = at(&there, 7);
            there.spawn("echo", async move {
                let socket = UdpSocket::bind(echo).await.unwrap();
                let mut buffer = [0; 8];
                loop {
                    let (length, from) = socket.recv_from(&mut buffer).await.unwrap();
                    socket.send_to(&buffer[..length], from).await.unwrap();
                }
            });
            let socket = UdpSocket::bind(at(&here, 0)).await.unwrap();
            let mut buffer = [0; 8];
            ask(&socket, echo, b"1").await;
            while within_a_second(&socket, &mut buffer).await.is_some() {}
            for (from, to) in [(&here, &there), (&there, &here)] {
                let before = net::counters();
                net::partition(from, to).unwrap();
                socket.send_to(b"22", echo).await.unwrap();
                invariant!(within_a_second(&socket, &mut buffer).await.is_none(), "one way is closed");
                // The echo may not have had the processor yet.
                while net::counters().dark == before.dark {
                    time::sleep_for(Duration::from_millis(1)).await;
                }
                net::heal(from, to).unwrap();
                let after = net::counters();
                invariant!(after.dark == before.dark + 1, "one packet was lost to it: {after:?}");
                let echoed = u64::from(from.address() == there.address());
                invariant!(after.arrived == before.arrived + echoed, "the other way was open: {after:?}");
                ask(&socket, echo, b"333").await;
                while within_a_second(&socket, &mut buffer).await.is_some() {}
            }
        });
    }
    for engine in SIMULATING {
        let report = check("partition", engine, 100, body);
        assert_eq!(report.verdict, Verdict::Clean, "{engine}: {}", report.verdict);
    }
}

#[test]
fn a_host_that_crashes_loses_all_and_starts_anew() {
    fn body() {
        task::block_on(async {
            net::set_link(&Link::lan()).unwrap();
            let server = Host::new("server");
            let (counter, starts) = (at(&server, 9), Arc::new(sim::sync::atomic::AtomicU32::new(0)));
            let counted = Arc::clone(&starts);
            server.run(move || {
                let counted = Arc::clone(&counted);
                async move {
                    counted.fetch_add(1, sim::sync::atomic::Ordering::SeqCst);
                    let socket = UdpSocket::bind(counter).await.unwrap();
                    let mut seen = 0u8;
                    let mut buffer = [0; 8];
                    loop {
                        let (_, from) = socket.recv_from(&mut buffer).await.unwrap();
                        seen += 1;
                        // A nested task belongs to the host too.
                        task::spawn(async { time::sleep_for(Duration::from_secs(3600)).await });
                        socket.send_to(&[seen], from).await.unwrap();
                    }
                }
            });
            let socket = UdpSocket::bind(at(&Host::current(), 0)).await.unwrap();
            let mut buffer = [0; 8];
            ask(&socket, counter, b"count").await;
            invariant!(ask(&socket, counter, b"count").await[0] >= 2, "it remembers");
            while within_a_second(&socket, &mut buffer).await.is_some() {}
            server.crash().unwrap();
            socket.send_to(b"count", counter).await.unwrap();
            invariant!(within_a_second(&socket, &mut buffer).await.is_none(), "it is down");
            server.crash().unwrap();
            server.restart();
            server.restart();
            invariant!(ask(&socket, counter, b"count").await == [1], "it has forgotten");
            invariant!(starts.load(sim::sync::atomic::Ordering::SeqCst) == 2, "it was started twice");
            invariant!(Host::current().crash().is_err(), "the body's own host does not crash");
        });
    }
    for engine in SIMULATING {
        let report = check("crash", engine, 100, body);
        assert_eq!(report.verdict, Verdict::Clean, "{engine}: {}", report.verdict);
    }
}

#[test]
fn a_socket_of_a_host_that_crashed_is_down() {
    fn body() {
        task::block_on(async {
            let (host, here) = (Host::new("host"), Host::current());
            let address = at(&host, 9);
            let (give, mut given) = oneshot::channel();
            host.spawn("binder", async move {
                // Somebody outside has it when the host goes.
                assert!(give.send(UdpSocket::bind(address).await.unwrap()).is_ok());
            });
            let socket = given.recv().await.unwrap();
            host.crash().unwrap();
            let sent = socket.send_to(b"?", at(&here, 9)).await.unwrap_err();
            let received = socket.recv_from(&mut [0; 8]).await.unwrap_err();
            let down = |error: &io::Error| error.raw_os_error() == Some(100) || !cfg!(target_os = "linux");
            invariant!(down(&sent) && down(&received), "ENETDOWN: {sent}, {received}");
        });
    }
    for engine in SIMULATING {
        let report = check("down", engine, 100, body);
        assert_eq!(report.verdict, Verdict::Clean, "{engine}: {}", report.verdict);
    }
}

#[test]
fn a_connected_socket_hears_its_peer_only_and_learns_of_refusals() {
    on_each("connected", || {
        task::block_on(async {
            let peer = Host::new("peer");
            let own = UdpSocket::bind(at(&Host::current(), 0)).await.unwrap();
            let address = own.local_addr().unwrap();
            // A port that nobody has.
            let nobody = (peer.address(), 9).into();
            own.connect(nobody).await.unwrap();
            own.send(b"anybody?").await.unwrap();
            let refused = own.recv(&mut [0; 8]).await.unwrap_err();
            invariant!(refused.kind() == io::ErrorKind::ConnectionRefused, "{refused}");
            let (ready, mut is_ready) = oneshot::channel();
            let here = peer.address();
            let speak = peer.spawn("speaker", async move {
                let wanted = UdpSocket::bind((here, 0).into()).await.unwrap();
                let other = UdpSocket::bind((here, 0).into()).await.unwrap();
                ready.send(wanted.local_addr().unwrap()).unwrap();
                let mut buffer = [0; 8];
                let (_, from) = wanted.recv_from(&mut buffer).await.unwrap();
                other.send_to(b"not me", from).await.unwrap();
                wanted.send_to(b"me", from).await.unwrap();
            });
            own.connect(is_ready.recv().await.unwrap()).await.unwrap();
            own.send(b"speak").await.unwrap();
            let mut buffer = [0; 8];
            let length = own.recv(&mut buffer).await.unwrap();
            invariant!(&buffer[..length] == b"me", "{:?} came to {address}", &buffer[..length]);
            speak.await.unwrap();
        });
    });
}

#[test]
fn what_is_longer_than_the_link_takes_goes_in_fragments_or_not_at_all() {
    fn body() {
        task::block_on(async {
            let link = Link::lan().mtu_bytes(576).unwrap();
            net::set_link(&link).unwrap();
            let there = Host::new("there");
            let address = at(&there, 7);
            let (give, mut given) = oneshot::channel();
            let (ready, mut is_ready) = oneshot::channel();
            there.spawn("receiver", async move {
                let socket = UdpSocket::bind(address).await.unwrap();
                ready.send(()).unwrap();
                let mut buffer = vec![0; 65_535];
                let mut lengths = Vec::new();
                for _ in 0..3 {
                    lengths.push(socket.recv_from(&mut buffer).await.unwrap().0);
                }
                give.send(lengths).unwrap();
            });
            is_ready.recv().await.unwrap();
            let socket = UdpSocket::bind(at(&Host::current(), 0)).await.unwrap();
            socket.set_fragments(false).unwrap();
            let refused = socket.send_to(&[0; 549], address).await.unwrap_err();
            invariant!(refused.raw_os_error() == Some(90) || !cfg!(target_os = "linux"), "EMSGSIZE: {refused}");
            socket.send_to(&[0; 548], address).await.unwrap();
            time::sleep_for(Duration::from_millis(10)).await;
            socket.set_fragments(true).unwrap();
            socket.send_to(&[0; 549], address).await.unwrap();
            time::sleep_for(Duration::from_millis(10)).await;
            socket.send_to(&[0; 65_507], address).await.unwrap();
            invariant!(given.recv().await.unwrap() == [548, 549, 65_507], "fragments come together again");
        });
    }
    for engine in SIMULATING {
        let report = check("mtu", engine, 50, body);
        assert_eq!(report.verdict, Verdict::Clean, "{engine}: {}", report.verdict);
    }
}

#[test]
fn a_bottleneck_takes_its_time_and_drops_what_its_queue_cannot_hold() {
    fn body() {
        task::block_on(async {
            // 100 bytes and headers are 1,024 bits: at 102,400 bit/s ten milliseconds each.
            let link = Link::timed(Duration::ZERO, Duration::ZERO).and_then(|link| link.bandwidth(102_400, 1_600)).unwrap();
            net::set_link(&link).unwrap();
            let there = Host::new("there");
            let address = at(&there, 7);
            let (give, mut given) = oneshot::channel();
            let (ready, mut is_ready) = oneshot::channel();
            there.spawn("receiver", async move {
                let socket = UdpSocket::bind(address).await.unwrap();
                ready.send(()).unwrap();
                let mut times = Vec::new();
                while let Some(100) = within_a_second(&socket, &mut [0; 200]).await {
                    times.push(Instant::now().since_origin());
                }
                give.send(times).unwrap();
            });
            is_ready.recv().await.unwrap();
            let socket = UdpSocket::bind(at(&Host::current(), 0)).await.unwrap();
            for _ in 0..20 {
                socket.send_to(&[0; 100], address).await.unwrap();
            }
            let times = given.recv().await.unwrap();
            // On a slow processor some leave the queue before the last are sent, and who receives gives up early.
            if time::has_run_ahead() {
                return;
            }
            invariant!(times.len() == 12, "the queue holds 12 of them, got {}", times.len());
            invariant!(net::counters().dropped == 8, "the others were dropped: {:?}", net::counters());
            let took = times[11] - times[0];
            invariant!(
                took == Duration::from_millis(110),
                "eleven times ten milliseconds lie between the first and the last, got {took:?}"
            );
        });
    }
    for engine in SIMULATING {
        let report = check("bandwidth", engine, 50, body);
        assert_eq!(report.verdict, Verdict::Clean, "{engine}: {}", report.verdict);
    }
}

#[test]
fn every_profile_carries_a_call_of_packets() {
    for (name, link) in Link::PROFILES {
        for engine in SIMULATING {
            let seen = measure(engine, link(), 2_000, 20);
            println!(
                "{name} on {engine}: lost {:.3}, duplicated {:.3}, reordered {:.3}",
                seen.lost_share(),
                seen.duplicate_share(),
                seen.reordered_share()
            );
            let (least, most) = match name {
                "lan" => (0.0, 0.0),
                "hostile" => (0.2, 0.6),
                _ => (0.0, 0.1),
            };
            assert!((least..=most).contains(&seen.lost_share()), "{name} on {engine} loses {}", seen.lost_share());
        }
    }
}

#[test]
fn what_turmoil_cannot_run_is_said_by_name() {
    let caught = |body: fn()| {
        let report = Check::new("unsupported", "body", Engine::Turmoil).run(body);
        report.verdict.to_string()
    };
    for (body, says) in [
        ((|| drop(sim::thread::Builder::new().spawn(|| ()).map_err(|error| panic!("{error}")))) as fn(), "thread::spawn"),
        (|| time::sleep(Duration::from_millis(1)), "time::sleep"),
        (
            || {
                let lock = sim::sync::Mutex::new(());
                let _held = lock.lock();
                drop(lock.try_lock_for(Duration::from_millis(1)));
            },
            "sync::Mutex::try_lock_for",
        ),
        (
            || {
                let (lock, condvar) = (sim::sync::Mutex::new(()), sim::sync::Condvar::new());
                condvar.wait(&mut lock.lock());
            },
            "sync::Condvar",
        ),
        (|| drop(net::blocking::UdpSocket::bind(([127, 0, 0, 1], 0).into()).map_err(|error| panic!("{error}"))), "net::blocking"),
        (|| drop(Host::current().thread("t", || ()).map_err(|error| panic!("{error}"))), "net::Host::thread"),
    ] {
        let verdict = caught(body);
        assert!(verdict.contains("turmoil cannot run") && verdict.contains(says), "{says}: {verdict}");
    }
    // And what loom and the engine for inputs cannot.
    for engine in [Engine::Loom, Engine::Cases] {
        let unsupported = engine.supports(sim::Primitive::Host).unwrap_err();
        assert!(
            unsupported.to_string().contains(engine.name()) && unsupported.to_string().contains("net::Host"),
            "{unsupported}"
        );
    }
    // Production harms no packets.
    assert!(net::set_link(&Link::hostile()).unwrap_err().to_string().contains("real cannot run packet faults"));
    assert!(Host::new("h").crash().unwrap_err().to_string().contains("real cannot run net::Host::crash"));
}

#[test]
fn a_lock_that_cannot_be_had_is_held_across_an_await() {
    for engine in SIMULATING {
        let report = Check::new("wanted", "lock", engine).run(|| {
            let lock = Arc::new(sim::sync::Mutex::new(()));
            let _held = lock.lock();
            let wanted = Arc::clone(&lock);
            task::block_on(async move {
                task::spawn(async move { drop(wanted.lock()) }).await.unwrap();
            });
        });
        assert_eq!(report.verdict.detector(), Some(Detector::LockAcrossAwait), "{engine}: {}", report.verdict);
    }
    let again = Check::new("wanted", "twice", Engine::Turmoil).run(|| {
        let lock = sim::sync::Mutex::new(());
        let _held = lock.lock();
        drop(lock.lock());
    });
    assert_eq!(again.verdict.detector(), Some(Detector::Deadlock), "{}", again.verdict);
}

#[test]
fn a_partition_loses_what_is_on_its_way() {
    fn body() {
        task::block_on(async {
            let ms = Duration::from_millis;
            net::set_link(&Link::timed(ms(50), ms(50)).unwrap()).unwrap();
            let (here, there) = (Host::current(), Host::new("there"));
            let socket = UdpSocket::bind(at(&here, 0)).await.unwrap();
            socket.send_to(b"gone", at(&there, 9)).await.unwrap();
            net::partition(&here, &there).unwrap();
            time::sleep_for(ms(100)).await;
            invariant!(net::counters().dark == 1 || time::has_run_ahead(), "it was on its way: {:?}", net::counters());
        });
    }
    for engine in SIMULATING {
        let report = check("on-its-way", engine, 50, body);
        assert_eq!(report.verdict, Verdict::Clean, "{engine}: {}", report.verdict);
    }
}

#[test]
fn what_was_written_before_a_packet_is_read_after_it() {
    let report = Check::new("packet", "orders", Engine::Shuttle).run(|| {
        task::block_on(async {
            let cell = Arc::new(sim::cell::CheckedCell::new(0));
            let (theirs, there) = (Arc::clone(&cell), Host::new("there"));
            let address = at(&there, 9);
            let (ready, mut is_ready) = oneshot::channel();
            let reader = there.spawn("reader", async move {
                let socket = UdpSocket::bind(address).await.unwrap();
                ready.send(()).unwrap();
                socket.recv_from(&mut [0; 8]).await.unwrap();
                theirs.get()
            });
            is_ready.recv().await.unwrap();
            cell.set(7);
            let socket = UdpSocket::bind(at(&Host::current(), 0)).await.unwrap();
            socket.send_to(b"written", address).await.unwrap();
            invariant!(reader.await == Ok(7), "the packet came after the write");
        });
    });
    assert_eq!(report.verdict, Verdict::Clean, "{}", report.verdict);
}
