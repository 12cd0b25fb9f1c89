//! The loop thread's side: a run, from connecting to the end.

use super::super::stream::End;
use super::super::thread_loop::{Ends, LoopGuard, Source};
use super::bell::Bell;
use super::directory::{Dying, Ending};
use super::server::Server;
use super::{Connection, PipeWireShared};
use sim::sync::{Arc, Weak};

/// A run's connection, and all of PipeWire's objects.
pub(super) struct PipeWireSource {
    bell: Arc<Bell>,
    /// Not there if nobody has the backend any more.
    shared: Option<Arc<PipeWireShared>>,
    state: State,
    /// The loop knows of PipeWire's data thread.
    has_data_thread: bool,
}

enum State {
    /// To be told to the loop at the first dispatch.
    Made(Result<Box<Server>, String>),
    Connected(Box<Server>),
    /// It is lost, and there are streams whose processes go on.
    Ending(Box<Server>),
    Absent,
}

impl PipeWireSource {
    pub(super) fn new(shared: Option<Arc<PipeWireShared>>, bell: &Arc<Bell>) -> Self {
        let mut has_data_thread = false;
        let state = match &shared {
            None => State::Absent,
            Some(shared) => State::Made({
                let object = Arc::downgrade(shared) as Weak<dyn Ends>;
                match shared.of.data_thread_begins(object) {
                    Err(error) => Err(error.to_string()),
                    Ok(()) => {
                        has_data_thread = true;
                        Server::connect(shared).map(Box::new)
                    }
                }
            }),
        };
        bell.ring();
        PipeWireSource { bell: Arc::clone(bell), shared, state, has_data_thread }
    }

    fn begin(&mut self, shared: &Arc<PipeWireShared>, guard: &LoopGuard<'_>) {
        match std::mem::replace(&mut self.state, State::Absent) {
            State::Made(Ok(server)) => {
                let _ = shared.directory.with(guard, |directory| directory.connection = Connection::Beginning);
                guard.signal();
                self.state = State::Connected(server);
            }
            State::Made(Err(why)) => forget(shared, guard, &Ending::Because(why)),
            other => self.state = other,
        }
    }
}

/// Nothing is known of the daemon any more, and streams that it was not told of end.
fn forget(shared: &Arc<PipeWireShared>, guard: &LoopGuard<'_>, why: &Ending) {
    let reason = match why {
        Ending::Because(why) => why.clone(),
        Ending::As(_) => "the loop was destroyed".to_owned(),
    };
    let forgotten = shared.directory.with(guard, |directory| (directory.clear(reason), std::mem::take(&mut directory.opening)));
    if let Ok((tells, opening)) = forgotten {
        opening.into_iter().for_each(|opening| Dying::later(guard, opening.strand, why.clone()));
        if tells {
            shared.rouse();
        }
    }
    guard.signal();
}

impl Source for PipeWireSource {
    fn wait(&mut self) {
        let server = match &self.state {
            State::Connected(server) | State::Ending(server) => Some(server.descriptor()),
            State::Made(_) | State::Absent => None,
        };
        self.bell.wait(server);
    }

    fn dispatch(&mut self, guard: &mut LoopGuard<'_>) {
        let Some(shared) = self.shared.clone() else { return };
        self.begin(&shared, guard);
        if let State::Connected(server) = &mut self.state
            && let Err(why) = server.serve(guard)
        {
            let why = Ending::Because(why);
            server.end_all(&why);
            forget(&shared, guard, &why);
            if let State::Connected(server) = std::mem::replace(&mut self.state, State::Absent) {
                self.state = State::Ending(server);
            }
        }
        if let State::Ending(server) = &mut self.state
            && server.sweep(guard)
        {
            self.state = State::Absent;
        }
    }
}

impl Drop for PipeWireSource {
    fn drop(&mut self) {
        let Some(shared) = &self.shared else { return };
        {
            // Held already, by the loop thread.
            let guard = shared.of.lock();
            let why = match shared.of.is_destroyed() {
                true => Ending::As(End::Destroyed),
                false => Ending::Because("the loop was stopped".to_owned()),
            };
            forget(shared, &guard, &why);
            match std::mem::replace(&mut self.state, State::Absent) {
                State::Connected(mut server) | State::Ending(mut server) | State::Made(Ok(mut server)) => {
                    server.end(&guard, &why)
                }
                State::Made(Err(_)) | State::Absent => {}
            }
        }
        if self.has_data_thread {
            shared.of.data_thread_ends();
        }
    }
}
