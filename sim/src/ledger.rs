//! The ledger of resources: who was released twice, used after, or never released.
//!
//! Safe Rust cannot free twice or use after free, but it can hang up a call twice and use a session that has ended. What has an
//! end registers here and gets an id that can be copied and outlive it. In production an id is empty and the calls do nothing.

#[cfg(feature = "model")]
use crate::engine::{Engine, current};
#[cfg(feature = "model")]
use crate::kernel;
#[cfg(feature = "model")]
use crate::run::{self, Obj, me, with};
#[cfg(feature = "model")]
use crate::trace::Op;
use std::panic::Location;

/// Names a resource in the ledger of the run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ResourceId {
    #[cfg(feature = "model")]
    obj: Option<Obj>,
}

/// Enters a resource of this kind ("pool", "session"). Until [`release`] it is live; left so at the end of a run it is a `leak`.
#[track_caller]
#[inline]
pub fn register(kind: &'static str) -> ResourceId {
    #[cfg(feature = "model")]
    if current() != Engine::Real {
        let site = Location::caller();
        let obj = with(|run| run.register(kind, site));
        #[cfg(feature = "loom")]
        crate::explore::loom::make_visible(obj);
        with(|run| run.record(me(), Op::Register, Some(obj), site));
        return ResourceId { obj: Some(obj) };
    }
    let _ = (kind, Location::caller());
    ResourceId {
        #[cfg(feature = "model")]
        obj: None,
    }
}

/// Uses the resource. After its release that is a `use-after-release`.
#[track_caller]
#[inline]
pub fn touch(resource: ResourceId) {
    #[cfg(feature = "model")]
    enter(resource, false, Location::caller());
    let _ = resource;
}

/// Releases the resource. A second time that is a `double-release`.
#[track_caller]
#[inline]
pub fn release(resource: ResourceId) {
    #[cfg(feature = "model")]
    enter(resource, true, Location::caller());
    let _ = resource;
}

#[cfg(feature = "model")]
fn enter(resource: ResourceId, releases: bool, site: &'static Location<'static>) {
    let Some(obj) = resource.obj else { return };
    kernel::point(if releases { Op::Release } else { Op::Use }, Some(obj), site);
    #[cfg(feature = "loom")]
    crate::explore::loom::make_visible_access(obj, releases);
    if let Err(finding) = with(|run| run.use_resource(me(), obj, releases, site)) {
        run::fail(finding);
    }
}
