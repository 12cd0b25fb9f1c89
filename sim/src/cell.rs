//! A cell for data that no lock is meant to guard: the engines check that its accesses are ordered all the same.

#[cfg(feature = "model")]
use crate::engine::{Engine, current};
#[cfg(feature = "model")]
use crate::kernel;
#[cfg(feature = "model")]
use crate::run::{self, Nature, Obj, me, with};
#[cfg(feature = "model")]
use crate::trace::Op;
use std::fmt;
use std::panic::Location;

/// Data that the program claims to access in order. Under an engine an access that is not ordered with a write to the same cell
/// is a `race`. In production the claim is not believed: a lock keeps the access sound.
pub struct CheckedCell<T> {
    raw: RawCell,
    data: parking_lot::Mutex<T>,
}

enum RawCell {
    Real,
    #[cfg(feature = "model")]
    Simulated(Obj),
    /// Loom's cell has no data: it only sees the accesses. The lock makes it shareable, and is never held across a switch.
    #[cfg(feature = "loom")]
    Loom(Obj, parking_lot::Mutex<loom::cell::UnsafeCell<()>>),
}

impl<T> CheckedCell<T> {
    /// A cell that holds `value`.
    #[track_caller]
    pub fn new(value: T) -> Self {
        let data = parking_lot::Mutex::new(value);
        #[cfg(feature = "model")]
        {
            let site = Location::caller();
            match current() {
                Engine::Real => {}
                #[cfg(feature = "loom")]
                Engine::Loom => {
                    let obj = with(|run| run.create("CheckedCell", Nature::Primitive, site));
                    return CheckedCell {
                        raw: RawCell::Loom(obj, parking_lot::Mutex::new(loom::cell::UnsafeCell::new(()))),
                        data,
                    };
                }
                _ => {
                    let obj = with(|run| run.create("CheckedCell", Nature::Primitive, site));
                    return CheckedCell { raw: RawCell::Simulated(obj), data };
                }
            }
        }
        CheckedCell { raw: RawCell::Real, data }
    }

    /// Reads. `f` must not use this cell.
    #[track_caller]
    pub fn with<R>(&self, f: impl FnOnce(&T) -> R) -> R {
        self.check(false, Location::caller());
        f(&self.data.lock())
    }

    /// Writes. `f` must not use this cell.
    #[track_caller]
    pub fn with_mut<R>(&self, f: impl FnOnce(&mut T) -> R) -> R {
        self.check(true, Location::caller());
        f(&mut self.data.lock())
    }

    /// Replaces the value.
    #[track_caller]
    pub fn set(&self, value: T) {
        self.with_mut(|data| *data = value);
    }

    /// A copy of the value.
    #[track_caller]
    pub fn get(&self) -> T
    where
        T: Copy,
    {
        self.with(|data| *data)
    }

    fn check(&self, writes: bool, site: &'static Location<'static>) {
        #[cfg(feature = "model")]
        let op = if writes { Op::CellWrite } else { Op::CellRead };
        match &self.raw {
            RawCell::Real => {}
            #[cfg(feature = "model")]
            RawCell::Simulated(obj) => {
                kernel::point(op, Some(*obj), site);
                if let Some(race) = with(|run| run.access(me(), *obj, writes, site)) {
                    run::fail(race);
                }
            }
            #[cfg(feature = "loom")]
            RawCell::Loom(obj, cell) => {
                kernel::point(op, Some(*obj), site);
                // Loom panics on a race; what the run knows of the cell becomes the finding.
                with(|run| run.note_access(me(), *obj, writes, site));
                let cell = cell.lock();
                kernel::in_loom(|| if writes { cell.with_mut(|_| ()) } else { cell.with(|_| ()) });
            }
        }
        let _ = (writes, site);
    }
}

impl<T: fmt::Debug> fmt::Debug for CheckedCell<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Not an access: a debugger's look is no race.
        self.data.fmt(f)
    }
}
