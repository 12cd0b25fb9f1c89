//! Atomics. On loom with weak memory; on shuttle every access is sequentially consistent, but the `race` detector goes by the
//! ordering that is written.

#[cfg(feature = "model")]
use crate::engine::{Engine, current};
#[cfg(feature = "model")]
use crate::kernel;
#[cfg(feature = "model")]
use crate::run::{Nature, Obj, me, with};
#[cfg(feature = "model")]
use crate::trace::Op;
#[cfg(feature = "model")]
use std::panic::Location;
use std::sync::atomic as std_atomic;
pub use std::sync::atomic::Ordering;

#[cfg(feature = "model")]
fn acquires(order: Ordering) -> bool {
    matches!(order, Ordering::Acquire | Ordering::AcqRel | Ordering::SeqCst)
}

#[cfg(feature = "model")]
fn releases(order: Ordering) -> bool {
    matches!(order, Ordering::Release | Ordering::AcqRel | Ordering::SeqCst)
}

/// After an access: what it hands over and takes over. A plain load and store order what a counter's update does not: see the
/// lock-order graph.
#[cfg(feature = "model")]
fn accessed(obj: Obj, op: Op, order: Ordering) {
    with(|run| {
        if acquires(order) && op != Op::Store {
            run.acquire(me(), obj, op == Op::Load);
        }
        if releases(order) && op != Op::Load {
            run.release(me(), obj, op == Op::Store);
        }
    });
}

macro_rules! atomics {
    ($($name:ident($value:ty) [$($arithmetic:ident),*];)*) => { $(
        #[doc = concat!("An atomic `", stringify!($value), "`.")]
        #[derive(Debug)]
        pub struct $name(Raw<std_atomic::$name, LoomAtomic!($name)>);

        impl $name {
            /// An atomic of this value.
            #[track_caller]
            #[inline]
            pub fn new(value: $value) -> Self {
                #[cfg(feature = "model")]
                match current() {
                    Engine::Real => {}
                    engine => {
                        let site = Location::caller();
                        let obj = with(|run| run.create(stringify!($name), Nature::Primitive, site));
                        #[cfg(feature = "loom")]
                        if engine == Engine::Loom {
                            return $name(Raw::Loom(obj, loom::sync::atomic::$name::new(value)));
                        }
                        let _ = engine;
                        return $name(Raw::Simulated(obj, std_atomic::$name::new(value)));
                    }
                }
                $name(Raw::Real(std_atomic::$name::new(value)))
            }

            /// The value now.
            #[track_caller]
            #[inline]
            pub fn load(&self, order: Ordering) -> $value {
                access!(self, Load, atomic => atomic.load(order), _result => (Op::Load, order))
            }

            /// Replaces the value.
            #[track_caller]
            #[inline]
            pub fn store(&self, value: $value, order: Ordering) {
                access!(self, Store, atomic => atomic.store(value, order), _result => (Op::Store, order))
            }

            /// Replaces the value and returns the old one.
            #[track_caller]
            #[inline]
            pub fn swap(&self, value: $value, order: Ordering) -> $value {
                access!(self, ReadModifyWrite, atomic => atomic.swap(value, order), _result => (Op::ReadModifyWrite, order))
            }

            /// Replaces the value if it is `current`; returns what was there.
            ///
            /// # Errors
            /// The value, if it was another.
            #[track_caller]
            #[inline]
            pub fn compare_exchange(&self, current: $value, new: $value, success: Ordering, failure: Ordering) -> Result<$value, $value> {
                access!(self, ReadModifyWrite, atomic => atomic.compare_exchange(current, new, success, failure), result => match result {
                    Ok(_) => (Op::ReadModifyWrite, success),
                    Err(_) => (Op::Load, failure),
                })
            }

            /// As [`Self::compare_exchange`]. No engine has it fail though the value is `current`; some processors do.
            ///
            /// # Errors
            /// The value, if it was another, and in production now and then if it was not.
            #[track_caller]
            #[inline]
            pub fn compare_exchange_weak(&self, current: $value, new: $value, success: Ordering, failure: Ordering) -> Result<$value, $value> {
                access!(self, ReadModifyWrite, atomic => atomic.compare_exchange_weak(current, new, success, failure), result => match result {
                    Ok(_) => (Op::ReadModifyWrite, success),
                    Err(_) => (Op::Load, failure),
                })
            }

            /// Reads the value, asks `update` for the next, and puts that in if nobody was faster, or begins again. Returns the old one.
            ///
            /// # Errors
            /// The value, if `update` had none.
            #[track_caller]
            #[inline]
            pub fn fetch_update(
                &self,
                set_order: Ordering,
                fetch_order: Ordering,
                mut update: impl FnMut($value) -> Option<$value>,
            ) -> Result<$value, $value> {
                let mut before = self.load(fetch_order);
                while let Some(next) = update(before) {
                    match self.compare_exchange_weak(before, next, set_order, fetch_order) {
                        Ok(before) => return Ok(before),
                        Err(other) => before = other,
                    }
                }
                Err(before)
            }

            $(
                #[doc = concat!("`", stringify!($arithmetic), "`, as std's; returns the old value.")]
                #[track_caller]
                #[inline]
                pub fn $arithmetic(&self, value: $value, order: Ordering) -> $value {
                    access!(self, ReadModifyWrite, atomic => atomic.$arithmetic(value, order), _result => (Op::ReadModifyWrite, order))
                }
            )*
        }

        impl Default for $name {
            #[track_caller]
            fn default() -> Self {
                $name::new(<$value>::default())
            }
        }
    )* };
}

#[cfg(feature = "loom")]
macro_rules! LoomAtomic {
    ($name:ident) => {
        loom::sync::atomic::$name
    };
}
#[cfg(not(feature = "loom"))]
macro_rules! LoomAtomic {
    ($name:ident) => {
        ()
    };
}

#[derive(Debug)]
enum Raw<Std, Loom> {
    Real(Std),
    #[cfg(feature = "model")]
    Simulated(Obj, Std),
    #[cfg(feature = "loom")]
    Loom(Obj, Loom),
    /// Keeps the parameter in use in every build. Never made.
    #[cfg(not(feature = "loom"))]
    #[allow(dead_code, reason = "it stands for the parameter")]
    Never(std::marker::PhantomData<Loom>, std::convert::Infallible),
}

macro_rules! access {
    ($self:ident, $op:ident, $atomic:ident => $run:expr, $result:ident => $effect:expr) => {
        match &$self.0 {
            Raw::Real($atomic) => {
                #[cfg(feature = "model")]
                super::refuse_if_in_a_run("an atomic", Location::caller());
                $run
            }
            #[cfg(feature = "model")]
            Raw::Simulated(obj, $atomic) => {
                kernel::point(Op::$op, Some(*obj), Location::caller());
                let $result = $run;
                let (op, order) = $effect;
                accessed(*obj, op, order);
                $result
            }
            #[cfg(feature = "loom")]
            Raw::Loom(obj, $atomic) => {
                kernel::point(Op::$op, Some(*obj), Location::caller());
                // Loom lets others run before the access, and not between it and what follows.
                let $result = kernel::in_loom(|| $run);
                let (op, order) = $effect;
                accessed(*obj, op, order);
                $result
            }
            #[cfg(not(feature = "loom"))]
            Raw::Never(_, never) => match *never {},
        }
    };
}

atomics! {
    AtomicBool(bool) [fetch_and, fetch_or, fetch_xor];
    AtomicU8(u8) [fetch_add, fetch_sub, fetch_and, fetch_or, fetch_xor, fetch_max, fetch_min];
    AtomicU16(u16) [fetch_add, fetch_sub, fetch_and, fetch_or, fetch_xor, fetch_max, fetch_min];
    AtomicU32(u32) [fetch_add, fetch_sub, fetch_and, fetch_or, fetch_xor, fetch_max, fetch_min];
    AtomicU64(u64) [fetch_add, fetch_sub, fetch_and, fetch_or, fetch_xor, fetch_max, fetch_min];
    AtomicUsize(usize) [fetch_add, fetch_sub, fetch_and, fetch_or, fetch_xor, fetch_max, fetch_min];
    AtomicI8(i8) [fetch_add, fetch_sub, fetch_and, fetch_or, fetch_xor, fetch_max, fetch_min];
    AtomicI16(i16) [fetch_add, fetch_sub, fetch_and, fetch_or, fetch_xor, fetch_max, fetch_min];
    AtomicI32(i32) [fetch_add, fetch_sub, fetch_and, fetch_or, fetch_xor, fetch_max, fetch_min];
    AtomicI64(i64) [fetch_add, fetch_sub, fetch_and, fetch_or, fetch_xor, fetch_max, fetch_min];
    AtomicIsize(isize) [fetch_add, fetch_sub, fetch_and, fetch_or, fetch_xor, fetch_max, fetch_min];
}
