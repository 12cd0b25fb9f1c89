//! Audio devices: a loop thread and its lock, what a backend is, and the backends.
//!
//! A [`Backend`] lists devices and opens streams to them. Its objects belong to a [loop](thread_loop): every call takes the loop's guard,
//! what it has to tell (a device that came or went, a stream that failed) comes as a callback on the loop thread, with the lock held.
//! Samples go the other way: a stream's process runs on the data path, without that lock, and never waits for it.
//!
//! [`null::NullBackend`] needs no hardware: what is played into a sink can be recorded from its monitor.
//! With the feature `pipewire`, `pipewire::PipeWireBackend` has the devices of a PipeWire daemon.

mod device;
mod error;
pub mod null;
#[cfg(feature = "pipewire")]
pub mod pipewire;
mod stream;
pub mod thread_loop;

pub use device::{DeviceEvent, DeviceId, DeviceInfo, Direction, ListenerId};
pub use error::AudioError;
pub use stream::{Closing, Cycle, Process, Stream, StreamBuffer, StreamConfig, StreamCounters, StreamFailure, StreamState};

use thread_loop::{LoopCallback, LoopGuard};

/// Where devices come from. Its objects belong to one loop, and a guard of another is [`thread_loop::LoopError::WrongLoop`].
pub trait Backend {
    /// The devices that there are now.
    ///
    /// # Errors
    /// [`AudioError::Loop`].
    fn devices(&self, guard: &LoopGuard<'_>) -> Result<Vec<DeviceInfo>, AudioError>;

    /// Has `listener` told, on the loop thread with the lock held, of each device that comes or goes from now on.
    ///
    /// # Errors
    /// [`AudioError::TooManyListeners`], [`AudioError::Loop`].
    fn subscribe(&self, guard: &LoopGuard<'_>, listener: LoopCallback<DeviceEvent>) -> Result<ListenerId, AudioError>;

    /// Tells a listener nothing more, and drops it when the lock is given back. It may unsubscribe itself. False if there is none of this
    /// name: it was unsubscribed, or has panicked.
    ///
    /// # Errors
    /// [`AudioError::Loop`].
    fn unsubscribe(&self, guard: &LoopGuard<'_>, listener: ListenerId) -> Result<bool, AudioError>;

    /// Opens a stream that plays into a device. `process` is called on the data path once a period, and fills buffers.
    ///
    /// # Errors
    /// [`AudioError`]; `process` is dropped when the lock is given back.
    fn open_playback(
        &self,
        guard: &LoopGuard<'_>,
        device: DeviceId,
        config: StreamConfig,
        process: Process,
    ) -> Result<Stream, AudioError>;

    /// Opens a stream that records from a device. `process` is called on the data path once a period, and reads buffers.
    ///
    /// # Errors
    /// As [`Backend::open_playback`].
    fn open_capture(
        &self,
        guard: &LoopGuard<'_>,
        device: DeviceId,
        config: StreamConfig,
        process: Process,
    ) -> Result<Stream, AudioError>;
}
