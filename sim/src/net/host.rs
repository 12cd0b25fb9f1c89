//! Hosts: machines on the network, with tasks of their own, that can crash and start again.

use super::link::Link;
#[cfg(feature = "model")]
use crate::engine::Engine;
use crate::engine::{Primitive, Unsupported, current};
#[cfg(feature = "model")]
use crate::run::{me, with};
use crate::task::{self, JoinHandle};
use crate::thread;
use std::fmt;
use std::future::Future;
use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

/// A machine on the network. Clones are the same machine.
///
/// Calls take no lock that is held while software starts or ends.
#[derive(Clone)]
pub struct Host(Arc<Shared>);

struct Shared {
    name: Arc<str>,
    address: IpAddr,
    /// Its number in the run; 0 in production.
    #[cfg_attr(not(feature = "model"), expect(dead_code, reason = "only a run numbers its hosts"))]
    number: u32,
    software: parking_lot::Mutex<Option<Software>>,
}

type Software = Arc<dyn Fn() -> Pin<Box<dyn Future<Output = ()> + Send>> + Send + Sync>;

impl Host {
    /// A new host with an address of its own.
    ///
    /// In production that is an address of the loopback network where the system has more than one of them (Linux), and 127.0.0.1
    /// elsewhere.
    ///
    /// # Panics
    /// Where the engine has no network, or the run more than 250 hosts.
    pub fn new(name: &str) -> Host {
        Host::try_new(name).unwrap_or_else(|error| panic!("{error}"))
    }

    /// As [`Host::new`].
    ///
    /// # Errors
    /// [`Unsupported`] where the engine has no network.
    ///
    /// # Panics
    /// If the run has more than 250 hosts.
    pub fn try_new(name: &str) -> Result<Host, Unsupported> {
        current().supports(Primitive::Host)?;
        let name: Arc<str> = name.into();
        #[cfg(feature = "model")]
        if current() != Engine::Real {
            let number = with(|run| run.net.add_host(Arc::clone(&name))).expect("a run has 250 hosts at the most");
            #[cfg(feature = "turmoil")]
            if current() == Engine::Turmoil {
                crate::explore::turmoil::add_host(number);
            }
            return Ok(Host::of_run(number));
        }
        Ok(Host::with(name, real_address(), 0))
    }

    /// The host that this runs on. In production that is always 127.0.0.1, as a thread belongs to no host there.
    pub fn current() -> Host {
        #[cfg(feature = "model")]
        if current().supports(Primitive::Host).is_ok() && current() != Engine::Real {
            return Host::of_run(with(|run| run.threads[me() as usize].host));
        }
        Host::with("main".into(), IpAddr::V4(Ipv4Addr::LOCALHOST), 0)
    }

    fn with(name: Arc<str>, address: IpAddr, number: u32) -> Host {
        Host(Arc::new(Shared { name, address, number, software: parking_lot::Mutex::new(None) }))
    }

    #[cfg(feature = "model")]
    fn of_run(number: u32) -> Host {
        let (name, address) = with(|run| {
            let host = &run.net.hosts[number as usize];
            (Arc::clone(&host.name), host.address)
        });
        Host::with(name, address, number)
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// Its address.
    pub fn address(&self) -> IpAddr {
        self.0.address
    }

    /// Runs `future` as a task of this host, which traces call `name`.
    ///
    /// # Panics
    /// Outside of [`task::block_on`].
    #[track_caller]
    pub fn spawn<F>(&self, name: &str, future: F) -> JoinHandle<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        #[cfg(feature = "model")]
        if current() != Engine::Real {
            return task::spawn_on(self.0.number, name, future);
        }
        task::try_spawn(name, future).unwrap_or_else(|error| panic!("{error}"))
    }

    /// Starts the host's software, and remembers it for [`Host::restart`].
    #[track_caller]
    pub fn run<F, R>(&self, software: F)
    where
        F: Fn() -> R + Send + Sync + 'static,
        R: Future<Output = ()> + Send + 'static,
    {
        let software: Software = Arc::new(move || Box::pin(software()));
        let first = software();
        *self.0.software.lock() = Some(software);
        self.spawn(self.name(), first);
    }

    /// Runs `f` on a thread of this host.
    ///
    /// # Errors
    /// The system's, or [`Unsupported`] inside an `io::Error`.
    #[track_caller]
    pub fn thread<F, T>(&self, name: &str, f: F) -> io::Result<thread::JoinHandle<T>>
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        current().supports(Primitive::HostThread).map_err(io::Error::other)?;
        let builder = thread::Builder::new().name(name);
        #[cfg(feature = "model")]
        if current() != Engine::Real {
            let number = self.0.number;
            return Ok(builder.spawn_prepared(f, |run, thread| run.threads[thread as usize].host = number));
        }
        builder.spawn(f)
    }

    /// The host loses power: its tasks end where they wait, its sockets and what they had received are gone, and packets to it are
    /// lost. What it has sent is on its way. A host that is down stays so.
    ///
    /// # Errors
    /// [`Unsupported`] in production, for the host of the body itself, and where the host has threads: a thread cannot be ended from
    /// outside.
    #[track_caller]
    pub fn crash(&self) -> Result<(), Unsupported> {
        current().supports(Primitive::HostCrash)?;
        #[cfg(feature = "model")]
        self.crash_modelled()?;
        Ok(())
    }

    #[cfg(feature = "model")]
    #[track_caller]
    fn crash_modelled(&self) -> Result<(), Unsupported> {
        let number = self.0.number;
        let has_threads = with(|run| {
            let lives = |thread: &crate::run::Thread| thread.state != crate::run::State::Finished && thread.host == number;
            run.threads.iter().any(|thread| lives(thread) && thread.control.is_none() && current() != Engine::Turmoil)
        });
        if number == 0 || has_threads {
            let reason = "a host that has threads cannot crash, nor the body's own: run what is to crash as tasks of another";
            return Err(Unsupported { primitive: Primitive::HostCrash, engine: current(), reason });
        }
        crate::kernel::point(crate::trace::Op::Store, None, std::panic::Location::caller());
        with(|run| run.crash(number));
        let tasks = with(|run| run.tasks_of(|thread| thread.host == number));
        tasks.iter().for_each(|(_, control)| control.abort());
        #[cfg(feature = "turmoil")]
        if current() == Engine::Turmoil {
            crate::explore::turmoil::crash(number);
        }
        Ok(())
    }

    /// A host that is down comes up again, and its software, if [`Host::run`] gave it one, begins anew. One that is up goes on as it
    /// does.
    #[track_caller]
    pub fn restart(&self) {
        #[cfg(feature = "model")]
        if current() != Engine::Real {
            let was_up = with(|run| std::mem::replace(&mut run.net.hosts[self.0.number as usize].is_up, true));
            let software = self.0.software.lock().clone();
            if let Some(software) = software.filter(|_| !was_up) {
                self.spawn(self.name(), software());
            }
        }
    }
}

impl fmt::Debug for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Host").field("name", &self.0.name).field("address", &self.0.address).finish_non_exhaustive()
    }
}

/// An address for a host of this process alone, where loopback is a whole network.
fn real_address() -> IpAddr {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    if !cfg!(target_os = "linux") {
        return IpAddr::V4(Ipv4Addr::LOCALHOST);
    }
    let (number, process) = (NEXT.fetch_add(1, Ordering::Relaxed), std::process::id());
    // Neither 0 nor 255 in the last place, and not 127.0: that is where everybody else is.
    let [_, _, high, low] = process.to_be_bytes();
    IpAddr::V4(Ipv4Addr::new(127, 1 | high, low, (number % 254 + 1) as u8))
}

/// Sets the link between every two hosts that have none of their own, both ways.
///
/// # Errors
/// [`Unsupported`] in production and where the engine has no network.
pub fn set_link(link: &Link) -> Result<(), Unsupported> {
    current().supports(Primitive::PacketFaults)?;
    #[cfg(feature = "model")]
    with(|run| run.net.set_default_link(link.clone()));
    let _ = link;
    Ok(())
}

/// Sets the link from one host to another, one way.
///
/// # Errors
/// As [`set_link`].
pub fn set_link_between(from: &Host, to: &Host, link: &Link) -> Result<(), Unsupported> {
    current().supports(Primitive::PacketFaults)?;
    #[cfg(feature = "model")]
    with(|run| run.net.set_link(from.0.number, to.0.number, link.clone()));
    let _ = (from, to, link);
    Ok(())
}

/// Loses every packet from one host to another from now on, those on their way included, until [`heal`]. The other way is not touched.
///
/// # Errors
/// As [`set_link`].
pub fn partition(from: &Host, to: &Host) -> Result<(), Unsupported> {
    set_partitioned(from, to, true)
}

/// Ends a [`partition`].
///
/// # Errors
/// As [`set_link`].
pub fn heal(from: &Host, to: &Host) -> Result<(), Unsupported> {
    set_partitioned(from, to, false)
}

#[track_caller]
fn set_partitioned(from: &Host, to: &Host, is_partitioned: bool) -> Result<(), Unsupported> {
    current().supports(Primitive::PacketFaults)?;
    #[cfg(feature = "model")]
    {
        crate::kernel::point(crate::trace::Op::Store, None, std::panic::Location::caller());
        with(|run| run.partition(from.0.number, to.0.number, is_partitioned));
    }
    let _ = (from, to, is_partitioned);
    Ok(())
}
