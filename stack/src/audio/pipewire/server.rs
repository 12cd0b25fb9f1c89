//! PipeWire's objects, on the loop thread.

use super::super::stream::End;
use super::super::thread_loop::LoopGuard;
use super::directory::{Dying, Ending, NodeFacts, Opening, Target};
use super::stream::LiveStream;
use super::{Connection, Links, PipeWireShared};
use ::pipewire as pw;
use pw::registry::GlobalObject;
use pw::spa::utils::dict::DictRef;
use pw::types::ObjectType;
use rustix::fd::BorrowedFd;
use sim::sync::Arc;
use std::cell::RefCell;
use std::fmt::Display;
use std::rc::Rc;

/// How many ports of all nodes are known at the most.
const PORTS_MAX: usize = 4_096;
/// How often PipeWire's loop is iterated before our own work has its turn.
const ITERATIONS_MAX: usize = 16;

/// What PipeWire has called back with, to be looked at when its loop has returned.
pub(super) enum Heard {
    Node(NodeFacts),
    Port(PortFacts),
    Gone(u32),
    Done(i32),
    Error { object: u32, why: String },
    Stream { number: u64, state: pw::stream::StreamState },
    Link { number: u64, why: String },
}

/// A port of a node.
#[derive(Clone, Debug)]
pub(super) struct PortFacts {
    pub(super) global: u32,
    pub(super) node: u32,
    pub(super) index: u32,
    pub(super) is_output: bool,
    pub(super) is_monitor: bool,
}

/// The end of PipeWire's callbacks: they write down what they were told, and nothing else.
pub(super) type Ear = Rc<RefCell<Vec<Heard>>>;

/// A connection. Fields are dropped in this order: what PipeWire calls goes before what it calls from.
pub(super) struct Server {
    streams: Vec<LiveStream>,
    ports: Vec<PortFacts>,
    next_number: u64,
    awaited: i32,
    heard: Ear,
    shared: Arc<PipeWireShared>,
    _of_registry: pw::registry::Listener,
    _registry: pw::registry::RegistryRc,
    _of_core: pw::core::Listener,
    core: pw::core::CoreRc,
    main_loop: pw::main_loop::MainLoopRc,
}

impl Server {
    /// Connects, and asks for all that there is.
    pub(super) fn connect(shared: &Arc<PipeWireShared>) -> Result<Self, String> {
        pw::init();
        let told = |error: pw::Error| error.to_string();
        let main_loop = pw::main_loop::MainLoopRc::new(None).map_err(told)?;
        let context = pw::context::ContextRc::new(&main_loop, None).map_err(told)?;
        let mut properties = pw::properties::properties! { *pw::keys::APP_NAME => "glare" };
        if let Some(remote) = &shared.config.remote {
            if remote.contains('\0') {
                return Err(format!("expected the name of a socket, got {remote:?}"));
            }
            properties.insert(*pw::keys::REMOTE_NAME, remote.as_str());
        }
        // The crate does not hand over the reason, which the system has.
        let core = context.connect_rc(Some(properties)).map_err(|_| std::io::Error::last_os_error().to_string())?;
        let heard = Ear::default();
        let of_core = {
            let (done, error) = (Rc::clone(&heard), Rc::clone(&heard));
            let listener = core.add_listener_local();
            let listener = listener.done(move |_, seq| done.borrow_mut().push(Heard::Done(seq.seq())));
            let listener = listener.error(move |object, _, code, why| {
                let why = format!("{why} ({})", std::io::Error::from_raw_os_error(code.wrapping_neg()));
                error.borrow_mut().push(Heard::Error { object, why });
            });
            listener.register()
        };
        let registry = core.get_registry_rc().map_err(told)?;
        let of_registry = {
            let (came, went) = (Rc::clone(&heard), Rc::clone(&heard));
            let listener = registry.add_listener_local();
            let listener = listener.global(move |global| came.borrow_mut().extend(facts(global)));
            listener.global_remove(move |global| went.borrow_mut().push(Heard::Gone(global))).register()
        };
        let awaited = core.sync(0).map_err(|error| error.to_string())?.seq();
        Ok(Server {
            streams: Vec::new(),
            ports: Vec::new(),
            next_number: 0,
            awaited,
            heard,
            shared: Arc::clone(shared),
            _of_registry: of_registry,
            _registry: registry,
            _of_core: of_core,
            core,
            main_loop,
        })
    }

    /// Has something to read when PipeWire's loop has something to do.
    pub(super) fn descriptor(&self) -> BorrowedFd<'_> {
        self.main_loop.loop_().fd()
    }

    /// Does what is due, with the lock.
    ///
    /// # Errors
    /// The connection is lost, and why.
    pub(super) fn serve(&mut self, guard: &LoopGuard<'_>) -> Result<(), String> {
        self.iterate();
        let shared = Arc::clone(&self.shared);
        // What is asked of PipeWire below may be answered at once.
        let mut lost = self.hear(guard, &shared);
        let opening = shared.directory.with(guard, |directory| std::mem::take(&mut directory.opening));
        for opening in opening.unwrap_or_default() {
            self.open(guard, opening);
        }
        if shared.config.links == Links::Backend {
            self.link();
        }
        lost = self.hear(guard, &shared).or(lost);
        if let Some(why) = lost {
            return Err(why);
        }
        self.sweep(guard);
        Ok(())
    }

    /// Has all streams end. What PipeWire said of each, when all went, is less than the reason for it.
    pub(super) fn end_all(&mut self, why: &Ending) {
        self.streams.iter_mut().for_each(|stream| stream.end_with_all(why.clone()));
    }

    /// Takes streams apart that are to end and whose process does not run now. True if none are left.
    pub(super) fn sweep(&mut self, guard: &LoopGuard<'_>) -> bool {
        let mut position = 0;
        while position < self.streams.len() {
            match self.streams[position].is_over() {
                true => self.take_apart(guard, position),
                false => position += 1,
            }
        }
        self.streams.is_empty()
    }

    /// Ends all, and waits for processes to return.
    pub(super) fn end(&mut self, guard: &LoopGuard<'_>, why: &Ending) {
        self.end_all(why);
        while !self.streams.is_empty() {
            self.take_apart(guard, 0);
        }
    }

    fn take_apart(&mut self, guard: &LoopGuard<'_>, position: usize) {
        let stream = self.streams.swap_remove(position);
        // Of the loop whose thread does this, and nobody is in a call on it.
        let _ = self.shared.directory.with(guard, |directory| directory.uncount(stream.device()));
        stream.take_apart(guard);
    }

    fn iterate(&self) {
        for _ in 0..ITERATIONS_MAX {
            if self.main_loop.loop_().iterate(pw::loop_::Timeout::None) <= 0 {
                break;
            }
        }
    }

    /// Looks at what was heard. The reason, if the connection is lost.
    fn hear(&mut self, guard: &LoopGuard<'_>, shared: &Arc<PipeWireShared>) -> Option<String> {
        let mut lost = None;
        let mut tells = false;
        let all = std::mem::take(&mut *self.heard.borrow_mut());
        for heard in all {
            match heard {
                Heard::Node(facts) => tells |= shared.directory.with(guard, |directory| directory.add(facts)) == Ok(true),
                Heard::Port(_) if self.ports.len() >= PORTS_MAX => {
                    let _ = shared.directory.with(guard, |directory| directory.counters.ports_ignored += 1);
                }
                Heard::Port(port) => self.ports.push(port),
                Heard::Gone(global) => {
                    self.ports.retain(|port| port.global != global);
                    if let Ok((devices, is_told)) = shared.directory.with(guard, |directory| directory.remove(global)) {
                        tells |= is_told;
                        let gone = self.streams.iter_mut().filter(|stream| devices.contains(&stream.device()));
                        gone.for_each(|stream| stream.end(Ending::As(End::Removed)));
                    }
                }
                Heard::Done(seq) => {
                    if seq == self.awaited {
                        let _ = shared.directory.with(guard, |directory| directory.connection = Connection::Ready);
                        guard.signal();
                    }
                }
                Heard::Error { object: pw::core::PW_ID_CORE, why } => lost = Some(why),
                Heard::Error { .. } => {
                    let _ = shared.directory.with(guard, |directory| directory.counters.errors += 1);
                }
                Heard::Stream { number, state } => self.with_stream(number, |stream| stream.comes_to(guard, state)),
                Heard::Link { number, why } => self.with_stream(number, |stream| stream.end(Ending::Because(why))),
            }
        }
        if tells {
            shared.rouse();
        }
        lost
    }

    fn with_stream(&mut self, number: u64, f: impl FnOnce(&mut LiveStream)) {
        if let Some(stream) = self.streams.iter_mut().find(|stream| stream.number() == number) {
            f(stream);
        }
    }

    fn open(&mut self, guard: &LoopGuard<'_>, opening: Opening) {
        let device = opening.device;
        let target = self.shared.directory.with(guard, |directory| directory.target(device)).ok().flatten();
        let number = self.next_number;
        self.next_number += 1;
        let opened = match target {
            None => Err((opening.strand, Ending::As(End::Removed))),
            Some(target) => LiveStream::open(&self.core, &self.shared, &self.heard, number, target, opening),
        };
        match opened {
            Ok(stream) => self.streams.push(stream),
            Err((strand, why)) => {
                let _ = self.shared.directory.with(guard, |directory| directory.uncount(device));
                Dying::later(guard, strand, why);
            }
        }
    }

    fn link(&mut self) {
        for stream in &mut self.streams {
            if let Err(why) = stream.link(&self.core, &self.ports, &self.heard) {
                stream.end(Ending::Because(why));
            }
        }
    }
}

/// What is to be known of a global object, if it is of a kind that is.
fn facts(global: &GlobalObject<&DictRef>) -> Option<Heard> {
    let properties = global.props?;
    let number = |key: &str| properties.get(key).and_then(|value| value.parse().ok());
    match global.type_ {
        ObjectType::Node => {
            let text = |keys: &[&str]| keys.iter().find_map(|key| properties.get(key)).unwrap_or_default().to_owned();
            let name = or(text(&[*pw::keys::OBJECT_SERIAL, *pw::keys::NODE_NAME]), global.id);
            Some(Heard::Node(NodeFacts {
                target: Target { global: global.id, name },
                class: text(&[*pw::keys::MEDIA_CLASS]),
                description: or(text(&[*pw::keys::NODE_DESCRIPTION, *pw::keys::NODE_NICK, *pw::keys::NODE_NAME]), global.id),
            }))
        }
        ObjectType::Port => Some(Heard::Port(PortFacts {
            global: global.id,
            node: number(*pw::keys::NODE_ID)?,
            index: number(*pw::keys::PORT_ID)?,
            is_output: properties.get(*pw::keys::PORT_DIRECTION) == Some("out"),
            is_monitor: properties.get(*pw::keys::PORT_MONITOR) == Some("true"),
        })),
        _ => None,
    }
}

fn or(text: String, otherwise: impl Display) -> String {
    if text.is_empty() { otherwise.to_string() } else { text }
}
