//! The engines that can stand behind the facade, and what each of them cannot do.

use std::fmt;
use std::str::FromStr;

/// What runs the code under the facade. A primitive keeps the engine that was current on its thread when it was created.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Engine {
    /// Production: parking_lot locks, std threads, the machine's clock.
    Real,
    /// Exhaustive with weak memory, for kernels of two to four threads.
    Loom,
    /// Whole-stack runs: sampled schedules with virtual time and a virtual network.
    Shuttle,
    /// Tasks on the hosts of turmoil's network and clock: sampled faults, or every order of deliveries.
    Turmoil,
    /// No concurrency: [`crate::choose`] enumerates inputs.
    Cases,
}

impl Engine {
    /// Every engine, in the order of the support matrix.
    pub const ALL: [Engine; 5] = [Engine::Real, Engine::Loom, Engine::Shuttle, Engine::Turmoil, Engine::Cases];

    /// The name that tokens, tables and the command line use.
    pub const fn name(self) -> &'static str {
        match self {
            Engine::Real => "real",
            Engine::Loom => "loom",
            Engine::Shuttle => "shuttle",
            Engine::Turmoil => "turmoil",
            Engine::Cases => "cases",
        }
    }

    /// Whether this build of the crate contains the engine (the features `loom`, `shuttle` and `turmoil`).
    pub const fn is_built_in(self) -> bool {
        match self {
            Engine::Real => true,
            Engine::Loom => cfg!(feature = "loom"),
            Engine::Shuttle => cfg!(feature = "shuttle"),
            Engine::Turmoil => cfg!(feature = "turmoil"),
            Engine::Cases => cfg!(feature = "model"),
        }
    }

    /// Whether `primitive` works on this engine, or why not.
    ///
    /// # Errors
    /// [`Unsupported`] names the primitive, the engine and the reason.
    pub fn supports(self, primitive: Primitive) -> Result<(), Unsupported> {
        match primitive.limit_on(self) {
            None => Ok(()),
            Some(reason) => Err(Unsupported { primitive, engine: self, reason }),
        }
    }
}

impl fmt::Display for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Engine {
    type Err = UnknownEngine;

    fn from_str(name: &str) -> Result<Self, UnknownEngine> {
        Engine::ALL.into_iter().find(|engine| engine.name() == name).ok_or_else(|| UnknownEngine { got: name.to_owned() })
    }
}

/// A name that is no engine's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected an engine (real, loom, shuttle, turmoil or cases), got `{got}`")]
#[non_exhaustive]
pub struct UnknownEngine {
    /// The name that was given.
    pub got: String,
}

/// A primitive of the facade that some engine cannot run.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{engine} cannot run {primitive}: {reason}")]
#[non_exhaustive]
pub struct Unsupported {
    /// The primitive that was asked for.
    pub primitive: Primitive,
    /// The engine that was current.
    pub engine: Engine,
    /// Why the engine cannot run it.
    pub reason: &'static str,
}

macro_rules! primitives {
    ($($variant:ident $name:literal : real $real:tt, loom $loom:tt, shuttle $shuttle:tt, turmoil $turmoil:tt, cases $cases:tt;)*) => {
        /// The facade's primitives, as the support matrix lists them.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum Primitive {
            $(#[doc = $name] $variant,)*
        }

        impl Primitive {
            /// Every primitive, in the order of the support matrix.
            pub const ALL: &'static [Primitive] = &[$(Primitive::$variant,)*];

            /// The name that messages use.
            pub const fn name(self) -> &'static str {
                match self { $(Primitive::$variant => $name,)* }
            }

            fn limit_on(self, engine: Engine) -> Option<&'static str> {
                match (self, engine) {
                    $(
                        (Primitive::$variant, Engine::Real) => primitives!(@ $real),
                        (Primitive::$variant, Engine::Loom) => primitives!(@ $loom),
                        (Primitive::$variant, Engine::Shuttle) => primitives!(@ $shuttle),
                        (Primitive::$variant, Engine::Turmoil) => primitives!(@ $turmoil),
                        (Primitive::$variant, Engine::Cases) => primitives!(@ $cases),
                    )*
                }
            }
        }
    };
    (@ yes) => { None };
    (@ $reason:literal) => { Some($reason) };
}

primitives! {
    Mutex "sync::Mutex": real yes, loom yes, shuttle yes, turmoil yes, cases yes;
    MutexTryLockFor "sync::Mutex::try_lock_for": real yes, loom yes, shuttle yes,
        turmoil "a blocked thread would block every task; await `sync::asynchronous`, or use shuttle", cases yes;
    ReentrantMutex "sync::ReentrantMutex": real yes, loom yes, shuttle yes, turmoil yes, cases yes;
    RwLock "sync::RwLock": real yes, loom yes, shuttle yes, turmoil yes, cases yes;
    Condvar "sync::Condvar": real yes, loom yes, shuttle yes,
        turmoil "a blocked thread would block every task; await `sync::asynchronous`, or use shuttle", cases yes;
    CondvarWaitFor "sync::Condvar::wait_for": real yes, loom yes, shuttle yes,
        turmoil "a blocked thread would block every task; await `sync::asynchronous`, or use shuttle", cases yes;
    ReentrantCondvar "sync::ReentrantCondvar": real yes, loom yes, shuttle yes,
        turmoil "a blocked thread would block every task; await `sync::asynchronous`, or use shuttle", cases yes;
    Once "sync::Once and OnceLock": real yes, loom yes, shuttle yes, turmoil yes, cases yes;
    Atomic "sync::atomic": real yes, loom yes, shuttle yes, turmoil yes, cases yes;
    RelaxedMemory "weak memory orderings": real yes, loom yes,
        shuttle "every atomic access is sequentially consistent there; use loom",
        turmoil "there is one thread; use loom",
        cases "there is one thread; use loom";
    CheckedCell "cell::CheckedCell": real yes, loom yes, shuttle yes, turmoil yes, cases yes;
    Channel "sync::channel": real yes, loom yes, shuttle yes,
        turmoil "a blocked thread would block every task; await `sync::asynchronous`, or use shuttle", cases yes;
    Spawn "thread::spawn": real yes, loom yes, shuttle yes,
        turmoil "there is one thread; use shuttle", cases "there is one thread; use shuttle";
    Park "thread::park": real yes, loom yes, shuttle yes,
        turmoil "there is one thread; use shuttle", cases "there is one thread; use shuttle";
    ThreadLocal "thread_local!": real yes, loom yes, shuttle yes, turmoil yes, cases yes;
    Task "task::spawn and what is awaited": real yes,
        loom "tokio's primitives are not loom's; use shuttle",
        shuttle yes, turmoil yes,
        cases "there is one thread; use shuttle";
    LocalTask "task::spawn_local": real yes,
        loom "tokio's primitives are not loom's; use shuttle",
        shuttle yes, turmoil yes,
        cases "there is one thread; use shuttle";
    Sleep "time::sleep, blocking": real yes, loom yes, shuttle yes,
        turmoil "a blocked thread would block every task; await `time::sleep_for`, or use shuttle", cases yes;
    TimeOrder "time that orders threads": real yes,
        loom "a timed wait may end at any moment there, and `now` follows causality only; use shuttle",
        shuttle yes, turmoil yes, cases yes;
    WallClockStep "time::step_wall_clock": real "production does not set the machine's clock", loom yes, shuttle yes, turmoil yes,
        cases yes;
    Host "net::Host and net::UdpSocket": real yes,
        loom "loom has no network; use shuttle or turmoil", shuttle yes, turmoil yes,
        cases "there is one thread; use shuttle or turmoil";
    BlockingSocket "net::blocking::UdpSocket": real yes,
        loom "loom has no network; use shuttle", shuttle yes,
        turmoil "a blocked thread would block every task; use `net::UdpSocket`, or shuttle",
        cases "there is one thread; use shuttle";
    HostThread "net::Host::thread": real yes,
        loom "loom has no network; use shuttle", shuttle yes, turmoil "there is one thread; use shuttle",
        cases "there is one thread; use shuttle";
    HostCrash "net::Host::crash": real "a process does not lose its power and go on; use shuttle or turmoil",
        loom "loom has no network; use shuttle or turmoil", shuttle yes, turmoil yes,
        cases "there is one thread; use shuttle or turmoil";
    SetFragments "net::UdpSocket::set_fragments": real "std and tokio have no call for the system's option; use shuttle or turmoil",
        loom "loom has no network; use shuttle or turmoil", shuttle yes, turmoil yes,
        cases "there is one thread; use shuttle or turmoil";
    PacketFaults "packet faults, partitions and bandwidth": real "the machine's loopback is what it is; use shuttle or turmoil",
        loom "loom has no network; use shuttle or turmoil", shuttle yes, turmoil yes,
        cases "there is one thread; use shuttle or turmoil";
    Random "rand, explored": real yes,
        loom "loom has no choice of data: a fixed sequence is given; use shuttle or cases",
        shuttle yes, turmoil yes, cases yes;
    Deadline "operation deadlines (the `hang` detector)": real "deadlines are not watched in production",
        loom "time does not pass by itself there; use shuttle",
        shuttle yes, turmoil yes, cases yes;
}

impl fmt::Display for Primitive {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(feature = "model")]
mod current {
    use super::Engine;
    use std::cell::Cell;

    std::thread_local! {
        static CURRENT: Cell<Engine> = const { Cell::new(Engine::Real) };
    }

    /// Makes `engine` current on this OS thread until it ends. Engine threads belong to one run each, so nothing restores it.
    pub(crate) fn enter(engine: Engine) {
        CURRENT.set(engine);
    }

    pub(super) fn replace(engine: Engine) -> Engine {
        CURRENT.replace(engine)
    }

    /// The engine that is current on this OS thread.
    #[inline]
    pub fn current() -> Engine {
        CURRENT.get()
    }
}

#[cfg(not(feature = "model"))]
mod current {
    use super::Engine;

    /// The engine that is current on this OS thread: always [`Engine::Real`] in a build without engines.
    #[inline]
    pub const fn current() -> Engine {
        Engine::Real
    }
}

pub use current::current;

/// Runs `f` as in production, in the middle of a run: what it makes is real, and a panic in it ends the run as any other. For code in
/// which nothing happens at once and nothing is drawn, such as the body of a property of any bytes.
///
/// `f` must not use what the run has made.
pub fn in_production<R>(f: impl FnOnce() -> R) -> R {
    #[cfg(feature = "model")]
    let _back = Back(current::replace(Engine::Real));
    f()
}

/// The engine that is to be current again, also if there is a panic.
#[cfg(feature = "model")]
struct Back(Engine);

#[cfg(feature = "model")]
impl Drop for Back {
    fn drop(&mut self) {
        current::replace(self.0);
    }
}
#[cfg(feature = "model")]
pub(crate) use current::enter;

#[cfg(test)]
mod tests {
    use super::*;

    /// The page `SUPPORT.md`, from the code.
    #[cfg(feature = "model")]
    fn support_page() -> String {
        use crate::verdict::Detector;
        let mut notes: Vec<&str> = Vec::new();
        let mut cell = |reason: Option<&'static str>| match reason {
            None => " yes |".to_owned(),
            Some(reason) => {
                let known = notes.iter().position(|note| *note == reason).unwrap_or_else(|| {
                    notes.push(reason);
                    notes.len() - 1
                });
                format!(" no ({}) |", known + 1)
            }
        };
        let names: Vec<&str> = Engine::ALL.iter().map(|engine| engine.name()).collect();
        let heading = |what: &str| format!("| {what} | {} |\n|---{}|\n", names.join(" | "), "|---".repeat(names.len()));
        let mut page = "# What each engine can run and see\n\n".to_owned();
        page.push_str("A test keeps this page in step with the code. Numbers refer to the notes below.\n\n");
        page.push_str(&heading("primitive"));
        for &primitive in Primitive::ALL {
            page.push_str(&format!("| {primitive} |"));
            Engine::ALL.iter().for_each(|engine| page.push_str(&cell(primitive.limit_on(*engine))));
            page.push('\n');
        }
        page.push_str(
            "\nWhere a detector sees, a canary shows it (`glare run canary`), and a check fails if one goes unseen.\n\n",
        );
        page.push_str(&heading("detector"));
        for detector in Detector::ALL {
            page.push_str(&format!("| {} |", detector.name()));
            Engine::ALL.iter().for_each(|engine| page.push_str(&cell(detector.blind_on(*engine))));
            page.push('\n');
        }
        page.push('\n');
        for (number, note) in notes.iter().enumerate() {
            page.push_str(&format!("{}. {note}\n", number + 1));
        }
        page
    }

    #[cfg(feature = "model")]
    #[test]
    fn the_support_page_is_in_step() {
        let written = include_str!("../SUPPORT.md");
        // Write it anew with GLARE_WRITE_SUPPORT=1.
        if std::env::var_os("GLARE_WRITE_SUPPORT").is_some() {
            std::fs::write(concat!(env!("CARGO_MANIFEST_DIR"), "/SUPPORT.md"), support_page()).unwrap();
            return;
        }
        assert_eq!(written, support_page());
    }

    #[test]
    fn every_limit_names_primitive_and_engine() {
        let mut limits = 0;
        for engine in Engine::ALL {
            for &primitive in Primitive::ALL {
                if let Err(unsupported) = engine.supports(primitive) {
                    limits += 1;
                    let message = unsupported.to_string();
                    assert!(message.contains(engine.name()) && message.contains(primitive.name()), "{message}");
                }
            }
        }
        assert!(limits > 0, "an empty matrix shows nothing");
    }

    #[test]
    fn names_parse_back() {
        for engine in Engine::ALL {
            assert_eq!(engine.name().parse(), Ok(engine));
        }
        assert!("loon".parse::<Engine>().is_err());
    }
}
