//! The socket's key and the end of a stream as they were, rewritten small.

use super::{Device, Media};
use sim::sync::{Arc, Mutex};
use sim::time::{self, Duration};
use std::cell::Cell;

/// How the end is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// As it shipped: the callback is taken away.
    AtOnce,
    /// The mended version of that: the callback is called under the lock.
    UnderLock,
    /// 337a71f: callbacks are counted, and the end polls so often.
    GivesUp,
    /// The mended version of that: it says that it has given up.
    SaysSo,
}

thread_local! {
    static END: Cell<End> = const { Cell::new(End::AtOnce) };
}

/// Which version the next stream is.
pub(super) fn choose(end: End) {
    END.set(end);
}

/// How often the end looks, and how long it waits in between.
const LOOKS_MAX: u32 = 100;
const PAUSE: Duration = Duration::from_millis(10);

pub(super) struct Historic {
    version: End,
    key: Mutex<Key>,
}

struct Key {
    /// `rtp_cb`.
    callback: Option<Device>,
    /// How many of them go on.
    calls: u32,
}

impl Media for Historic {
    async fn open(device: Device) -> Arc<Self> {
        Arc::new(Historic { version: END.get(), key: Mutex::new(Key { callback: Some(device), calls: 0 }) })
    }

    fn packet(&self) {
        let mut key = self.key.lock();
        let Some(callback) = key.callback else { return };
        key.calls += 1;
        let held = (self.version == End::UnderLock).then_some(key);
        callback.play();
        drop(held);
        self.key.lock().calls -= 1;
    }

    async fn end(&self) -> bool {
        self.key.lock().callback = None;
        if matches!(self.version, End::AtOnce | End::UnderLock) {
            return true;
        }
        for _ in 0..LOOKS_MAX {
            if self.key.lock().calls == 0 {
                return true;
            }
            time::sleep(PAUSE);
        }
        self.version == End::GivesUp
    }
}
