use super::LoopGuard;

/// Somebody else's event loop, which a loop thread serves beside its own tasks: PipeWire's.
///
/// It is made on the loop thread when a run begins, lives there, and is dropped there, with the lock held, when the run ends. It need
/// not be [`Send`].
pub trait Source {
    /// Waits, without the lock, until there is something to dispatch or the loop's [`Wake`] was used since the last wait began. It
    /// may return for no reason.
    fn wait(&mut self);

    /// Does what is due, with the lock, and without waiting.
    fn dispatch(&mut self, guard: &mut LoopGuard<'_>);
}

/// Ends the [`Source::wait`] that goes on, or else the next. It is called from any thread, and waits for nobody.
pub trait Wake: Send + Sync {
    /// Ends it.
    fn wake(&self);
}

/// Makes the source of a run.
pub(super) type MakeSource = Box<dyn FnMut() -> Box<dyn Source> + Send>;

/// What a loop serves, if it serves anything.
pub(super) struct Served {
    pub(super) wake: Box<dyn Wake>,
    pub(super) make: sim::sync::Mutex<Option<MakeSource>>,
}
