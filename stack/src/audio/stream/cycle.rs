use super::super::thread_loop::{DataPath, forget_panic, let_go};
use super::Process;
use super::flow::End;
use super::handle::StreamShared;
use sim::ledger;
use sim::sync::Arc;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Where the buffers of a period come from and go to: a buffer at a time.
pub(in super::super) trait Port {
    /// Lends the next buffer. False if there is none.
    fn dequeue(&mut self) -> bool;
    /// The samples of the buffer that is lent.
    fn samples(&mut self) -> &mut [i16];
    /// Gives back the buffer that is lent. False if none is.
    fn queue(&mut self) -> bool;
}

/// One call of a process: its way to the buffers.
pub struct Cycle<'a> {
    index: u64,
    reclaimed: u64,
    port: &'a mut dyn Port,
}

impl Cycle<'_> {
    /// Which call of this process it is, from 0.
    pub fn index(&self) -> u64 {
        self.index
    }

    /// The next buffer: one to fill, silent so far, or one to read, the oldest first; nothing if there is none. It is queued again when
    /// it is dropped, on whichever way the process leaves.
    pub fn dequeue(&mut self) -> Option<StreamBuffer<'_>> {
        self.reclaim();
        self.port.dequeue().then_some(StreamBuffer { port: self.port })
    }

    /// One buffer is lent at a time, and none beyond the call, so what is lent here was kept from its drop.
    fn reclaim(&mut self) {
        self.reclaimed += u64::from(self.port.queue());
    }
}

impl fmt::Debug for Cycle<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cycle").field("index", &self.index).finish_non_exhaustive()
    }
}

/// A buffer of interleaved samples: those to play, or those that were recorded. Dropped, it is queued.
pub struct StreamBuffer<'a> {
    port: &'a mut dyn Port,
}

impl StreamBuffer<'_> {
    /// The samples.
    pub fn samples(&mut self) -> &mut [i16] {
        self.port.samples()
    }
}

impl Drop for StreamBuffer<'_> {
    fn drop(&mut self) {
        self.port.queue();
    }
}

impl fmt::Debug for StreamBuffer<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("StreamBuffer")
    }
}

/// The data path's side of a stream.
pub(in super::super) struct Strand {
    process: Option<Process>,
    index: u64,
    stream: Arc<StreamShared>,
}

impl Strand {
    pub(in super::super) fn new(process: Process, stream: Arc<StreamShared>) -> Self {
        Strand { process: Some(process), index: 0, stream }
    }

    pub(in super::super) fn stream(&self) -> &Arc<StreamShared> {
        &self.stream
    }

    /// Calls the process for a period. False if the stream is to end, or has ended.
    pub(in super::super) fn run(&mut self, port: &mut dyn Port) -> bool {
        if self.process.is_none() {
            return false;
        }
        match self.stream.flow().begin_call() {
            None => return false,
            Some(false) => {}
            Some(true) => StreamShared::rouse(&self.stream),
        }
        let mut cycle = Cycle { index: self.index, reclaimed: 0, port };
        self.index += 1;
        ledger::touch(self.stream.resource());
        let returned = {
            let _here = DataPath::enter();
            let _operation = sim::operation("stream.process", None);
            catch_unwind(AssertUnwindSafe(|| self.process.as_mut().map(|process| process(&mut cycle))))
        };
        cycle.reclaim();
        self.stream.count_cycle(cycle.reclaimed);
        let closes = self.stream.flow().end_call();
        match returned {
            Ok(_) => !closes,
            Err(payload) => {
                {
                    let _here = DataPath::enter();
                    forget_panic(payload);
                }
                self.end(End::Panicked);
                false
            }
        }
    }

    /// Drops the process, and says so. Once.
    pub(in super::super) fn end(&mut self, why: End) {
        let Some(process) = self.process.take() else { return };
        {
            let _here = DataPath::enter();
            if !let_go(process) {
                self.stream.count_panic();
            }
        }
        StreamShared::ended(&self.stream, why);
    }
}

impl Drop for Strand {
    fn drop(&mut self) {
        self.end(End::Closed);
    }
}
