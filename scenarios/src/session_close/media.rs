//! The engine's file and the media thread that writes it, as they were, rewritten small.

use super::{Operation, Server, TICK};
use sim::ledger::{self, ResourceId};
use sim::sync::channel::{self, Receiver, Sender, TryRecvError};
use sim::sync::{Arc, Mutex};
use sim::thread::{self, JoinHandle};

/// How many frames there are to write at the most.
const FRAMES_MAX: u32 = 3;

/// `MEDIA_FIRST` is the mended version.
pub(super) struct Recorder<const MEDIA_FIRST: bool> {
    /// The engine's, which its stream in the media thread writes.
    file: ResourceId,
    requests: Sender<()>,
    subtracted: Receiver<()>,
    media: Mutex<Option<JoinHandle<()>>>,
    is_hung_up: Mutex<bool>,
}

impl<const MEDIA_FIRST: bool> Recorder<MEDIA_FIRST> {
    /// The engine is closed, and closes its file.
    fn close_engine(&self) {
        ledger::release(self.file);
    }

    /// The session's termination is taken out of the media thread, which answers when it has done that.
    fn subtract_media(&self) {
        self.requests.send(()).expect("media runs until it is told");
        self.subtracted.recv().expect("media answers");
    }
}

impl<const MEDIA_FIRST: bool> Server for Recorder<MEDIA_FIRST> {
    fn open() -> Arc<Self> {
        let file = ledger::register("recording");
        let ((requests, requested), (answers, subtracted)) = (channel::bounded(1), channel::bounded(1));
        let media = move || {
            for _ in 0..FRAMES_MAX {
                match requested.recv_timeout(TICK) {
                    Err(TryRecvError::Empty) => ledger::touch(file),
                    Ok(()) | Err(TryRecvError::Disconnected) => return answers.send(()).expect("its answer is waited for"),
                }
            }
            // The caller says no more, and there is nothing to write.
            requested.recv().expect("it is told to end");
            answers.send(()).expect("its answer is waited for");
        };
        let media = thread::Builder::new().name("media").spawn(media).expect("the engine makes threads");
        Arc::new(Recorder { file, requests, subtracted, media: Mutex::new(Some(media)), is_hung_up: Mutex::new(false) })
    }

    fn perform(&self, _operation: Operation) {
        if std::mem::replace(&mut *self.is_hung_up.lock(), true) {
            return;
        }
        if MEDIA_FIRST {
            self.subtract_media();
            self.close_engine();
        } else {
            self.close_engine();
            self.subtract_media();
        }
    }

    fn wait_modified(&self) {}

    fn wait_ended(&self) {}

    fn finish(&self) {
        let media = self.media.lock().take();
        if let Some(media) = media {
            media.join().expect("a panic ends the run");
        }
    }
}
