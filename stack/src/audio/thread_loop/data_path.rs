//! Which threads are on the data path now.

use std::cell::Cell;

sim::thread_local! {
    static ON_DATA_PATH: Cell<bool> = Cell::new(false);
}

/// This thread is on the data path until this is dropped.
pub(crate) struct DataPath {
    was: bool,
}

impl DataPath {
    pub(crate) fn enter() -> DataPath {
        DataPath { was: ON_DATA_PATH.with(|flag| flag.replace(true)) }
    }

    /// Whether the current thread is on it.
    pub(super) fn is_here() -> bool {
        ON_DATA_PATH.with(Cell::get)
    }
}

impl Drop for DataPath {
    fn drop(&mut self) {
        ON_DATA_PATH.with(|flag| flag.set(self.was));
    }
}
