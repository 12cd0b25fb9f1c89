//! Threads with names, ids, locals and park, as std's.

#[cfg(feature = "model")]
use crate::engine::Engine;
use crate::engine::{Primitive, current};
#[cfg(feature = "model")]
use crate::kernel;
#[cfg(feature = "model")]
use crate::run::{self, WaitFor, me, with};
use crate::sync::Arc;
#[cfg(feature = "model")]
use crate::sync::{Condvar, Mutex};
#[cfg(feature = "model")]
use crate::trace::Op;
use std::io;
#[cfg(feature = "model")]
use std::panic::Location;
use std::time::Duration;

pub use crate::time::sleep;

/// Tells threads apart, within a run or a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ThreadId(Id);

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Id {
    Real(std::thread::ThreadId),
    #[cfg(feature = "model")]
    Modelled(u32),
}

/// A thread, to name, compare or unpark.
#[derive(Clone, Debug)]
pub struct Thread {
    id: Id,
    name: Option<Arc<str>>,
    parker: Parker,
}

#[derive(Clone, Debug)]
enum Parker {
    Real(std::thread::Thread),
    #[cfg(feature = "model")]
    Modelled(Arc<(Mutex<bool>, Condvar)>),
}

impl Thread {
    /// What tells it apart.
    pub fn id(&self) -> ThreadId {
        ThreadId(self.id)
    }

    /// Its name, if it was given one.
    pub fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    /// Lets its next, or present, [`park`] return.
    #[track_caller]
    pub fn unpark(&self) {
        match &self.parker {
            Parker::Real(thread) => thread.unpark(),
            #[cfg(feature = "model")]
            Parker::Modelled(parker) => {
                *parker.0.lock() = true;
                parker.1.notify_one();
            }
        }
    }
}

/// The thread that runs this.
#[track_caller]
pub fn current_thread() -> Thread {
    #[cfg(feature = "model")]
    if current() != Engine::Real {
        let parker = parker_of_current();
        let name = with(|run| run.threads[me() as usize].name.clone());
        return Thread { id: Id::Modelled(me()), name, parker: Parker::Modelled(parker) };
    }
    let thread = std::thread::current();
    Thread { id: Id::Real(thread.id()), name: thread.name().map(Arc::from), parker: Parker::Real(thread) }
}

#[cfg(feature = "model")]
type ModelledParker = Arc<(Mutex<bool>, Condvar)>;

#[cfg(feature = "model")]
crate::thread_local! {
    static PARKER: ModelledParker = Arc::new((Mutex::ordering_for_park(), Condvar::new()));
}

#[cfg(feature = "model")]
fn parker_of_current() -> ModelledParker {
    PARKER.with(Arc::clone)
}

/// Waits until somebody unparks this thread. Does not wait if that has happened since the last park.
#[track_caller]
pub fn park() {
    #[cfg(feature = "model")]
    if current() != Engine::Real {
        let parker = parker_of_current();
        let mut token = parker.0.lock();
        while !*token {
            parker.1.wait(&mut token);
        }
        *token = false;
        return;
    }
    std::thread::park();
}

/// Like [`park`], for `timeout` at most.
#[track_caller]
pub fn park_timeout(timeout: Duration) {
    #[cfg(feature = "model")]
    if current() != Engine::Real {
        let parker = parker_of_current();
        let mut token = parker.0.lock();
        if !*token {
            parker.1.wait_for(&mut token, timeout);
        }
        *token = false;
        return;
    }
    std::thread::park_timeout(timeout);
}

/// Lets other threads run. Under an engine this thread does not run again before another has done something or time has passed.
#[track_caller]
pub fn yield_now() {
    #[cfg(feature = "model")]
    if current() != Engine::Real {
        return kernel::yield_now(Location::caller());
    }
    std::thread::yield_now();
}

/// Runs `f` on a new thread.
///
/// # Panics
/// If the system or the engine cannot make one; see [`Builder::spawn`].
#[track_caller]
pub fn spawn<F, T>(f: F) -> JoinHandle<T>
where
    F: FnOnce() -> T + Send + 'static,
    T: Send + 'static,
{
    Builder::new().spawn(f).expect("a thread could not be made")
}

/// What a new thread is given.
#[derive(Clone, Debug, Default)]
pub struct Builder {
    name: Option<String>,
    stack_size_bytes: Option<usize>,
}

impl Builder {
    /// A thread without a name, with the default stack.
    pub fn new() -> Self {
        Builder::default()
    }

    /// Names the thread.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// Gives the thread a stack of this size, in bytes.
    pub fn stack_size(mut self, bytes: usize) -> Self {
        self.stack_size_bytes = Some(bytes);
        self
    }

    /// Runs `f` on a new thread.
    ///
    /// # Errors
    /// The system's error, or [`crate::Unsupported`] inside an `io::Error` where the engine has no threads.
    #[track_caller]
    pub fn spawn<F, T>(self, f: F) -> io::Result<JoinHandle<T>>
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        let engine = current();
        engine.supports(Primitive::Spawn).map_err(io::Error::other)?;
        #[cfg(feature = "model")]
        if engine != Engine::Real {
            return Ok(self.spawn_modelled(f, |_, _| (), Location::caller()));
        }
        let mut builder = std::thread::Builder::new();
        if let Some(name) = self.name {
            builder = builder.name(name);
        }
        if let Some(bytes) = self.stack_size_bytes {
            builder = builder.stack_size(bytes);
        }
        Ok(JoinHandle(RawHandle::Real(builder.spawn(f)?)))
    }

    /// As [`Builder::spawn`] under an engine with threads, prepared before the thread can take a step.
    #[cfg(feature = "model")]
    #[track_caller]
    pub(crate) fn spawn_prepared<F, T>(self, f: F, prepare: impl FnOnce(&mut run::Run, u32)) -> JoinHandle<T>
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        self.spawn_modelled(f, prepare, Location::caller())
    }

    #[cfg(feature = "model")]
    fn spawn_modelled<F, T>(
        self,
        f: F,
        prepare: impl FnOnce(&mut run::Run, u32),
        site: &'static Location<'static>,
    ) -> JoinHandle<T>
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        let slot = Arc::new(parking_lot::Mutex::new(None));
        let thread = with(|run| {
            let thread = run.spawn(self.name.clone().map(Arc::from));
            prepare(run, thread);
            thread
        });
        let body = {
            let slot = Arc::clone(&slot);
            move || {
                run::set_me(thread);
                crate::explore::carry(thread, move || {
                    let value = f();
                    *slot.lock() = Some(value);
                });
            }
        };
        let native = crate::explore::start(thread, self.stack_size_bytes, Box::new(body));
        kernel::thread_point(Op::Spawn, thread, site);
        JoinHandle(RawHandle::Modelled { thread, slot, _native: native })
    }
}

/// A thread that can be joined. Dropping it lets the thread go on alone.
#[derive(Debug)]
pub struct JoinHandle<T>(RawHandle<T>);

#[derive(Debug)]
enum RawHandle<T> {
    Real(std::thread::JoinHandle<T>),
    #[cfg(feature = "model")]
    Modelled {
        thread: u32,
        slot: Arc<parking_lot::Mutex<Option<T>>>,
        _native: crate::explore::Native,
    },
}

impl<T> JoinHandle<T> {
    /// Waits for the thread's end and returns what it returned.
    ///
    /// # Errors
    /// The thread's panic, in production. Under an engine a panic that nothing catches ends the run.
    #[track_caller]
    pub fn join(self) -> std::thread::Result<T> {
        match self.0 {
            RawHandle::Real(handle) => handle.join(),
            #[cfg(feature = "model")]
            RawHandle::Modelled { thread, slot, _native } => {
                let site = Location::caller();
                kernel::thread_point(Op::Join, thread, site);
                let ended = with(|run| run.threads[thread as usize].state == run::State::Finished);
                if !ended {
                    kernel::block(WaitFor::Thread(thread), None, site);
                    if !_native.join_engine() {
                        kernel::park();
                    }
                } else {
                    _native.join_engine();
                }
                with(|run| run.learn_from(thread));
                let value = slot.lock().take();
                Ok(value.expect("a thread that has ended has left its value"))
            }
        }
    }

    /// Whether the thread has ended.
    #[track_caller]
    pub fn is_finished(&self) -> bool {
        match &self.0 {
            RawHandle::Real(handle) => handle.is_finished(),
            #[cfg(feature = "model")]
            RawHandle::Modelled { thread, .. } => {
                kernel::point(Op::Load, None, Location::caller());
                #[cfg(feature = "loom")]
                crate::explore::loom::make_end_visible(*thread, false);
                with(|run| run.threads[*thread as usize].state == run::State::Finished)
            }
        }
    }

    /// What tells the thread apart.
    pub fn id(&self) -> ThreadId {
        ThreadId(match &self.0 {
            RawHandle::Real(handle) => Id::Real(handle.thread().id()),
            #[cfg(feature = "model")]
            RawHandle::Modelled { thread, .. } => Id::Modelled(*thread),
        })
    }
}

/// What tells the thread that runs this apart.
#[inline]
pub fn id() -> ThreadId {
    #[cfg(feature = "model")]
    if current() != Engine::Real {
        return ThreadId(Id::Modelled(me()));
    }
    ThreadId(Id::Real(std::thread::current().id()))
}

/// A value for each thread; made by [`crate::thread_local!`].
#[derive(Debug)]
pub struct LocalKey<T: 'static> {
    #[doc(hidden)]
    pub real: &'static std::thread::LocalKey<T>,
    #[doc(hidden)]
    pub init: fn() -> T,
}

impl<T: 'static> LocalKey<T> {
    /// Looks at this thread's value; the first look makes it.
    pub fn with<R>(&'static self, f: impl FnOnce(&T) -> R) -> R {
        #[cfg(feature = "model")]
        if current() != Engine::Real {
            let key = std::ptr::from_ref(self) as usize;
            let find = |run: &mut run::Run| {
                run.threads[me() as usize]
                    .locals
                    .iter()
                    .find(|(other, _)| *other == key)
                    .map(|(_, value)| std::rc::Rc::clone(value))
            };
            let value = with(find).unwrap_or_else(|| {
                let value: std::rc::Rc<dyn std::any::Any> = std::rc::Rc::new((self.init)());
                with(|run| run.threads[me() as usize].locals.push((key, std::rc::Rc::clone(&value))));
                value
            });
            return f(value.downcast_ref().expect("the key's address stands for its type"));
        }
        self.real.with(f)
    }
}

/// Declares a value for each thread, as std's macro of this name: `thread_local! { static NAME: Type = value; }`.
#[macro_export]
macro_rules! thread_local {
    ($($(#[$meta:meta])* $visibility:vis static $name:ident : $type:ty = $value:expr;)*) => { $(
        $(#[$meta])*
        $visibility static $name: $crate::thread::LocalKey<$type> = {
            fn init() -> $type { $value }
            ::std::thread_local! { static REAL: $type = init(); }
            $crate::thread::LocalKey { real: &REAL, init }
        };
    )* };
}
