//! Streams: what the application holds, what runs on the data path, and what lies between them.

mod cycle;
mod flow;
mod handle;
mod queue;

pub use cycle::{Cycle, StreamBuffer};
pub use handle::{Closing, Stream};

#[cfg(feature = "pipewire")]
pub(super) use cycle::Port;
pub(super) use cycle::Strand;
pub(super) use flow::End;
pub(super) use handle::{Attention, StreamShared};
pub(super) use queue::BufferQueue;

use super::AudioError;

/// What a stream calls on the data path, once a period. It has no lock, must not wait, and must not call what waits: see
/// [`super::thread_loop`]. A panic ends the stream, and no other.
pub type Process = Box<dyn FnMut(&mut Cycle<'_>) + Send>;

/// What a stream carries: signed 16-bit samples, interleaved by channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StreamConfig {
    /// Samples a second and channel.
    pub rate_hz: u32,
    /// Channels.
    pub channels: u16,
    /// Samples of each channel from one call of the process to the next. The null device keeps to it; others try to.
    pub samples_per_period: u32,
}

const RATE_HZ_MIN: u32 = 1_000;
const RATE_HZ_MAX: u32 = 384_000;
const CHANNELS_MAX: u16 = 32;
const SAMPLES_PER_PERIOD_MAX: u32 = 16_384;

impl Default for StreamConfig {
    /// 20 ms of 48 kHz mono.
    fn default() -> Self {
        StreamConfig { rate_hz: 48_000, channels: 1, samples_per_period: 960 }
    }
}

impl StreamConfig {
    /// The samples of all channels in a period.
    pub const fn buffer_samples(&self) -> usize {
        self.channels as usize * self.samples_per_period as usize
    }

    /// Whether a device can play or record like this.
    ///
    /// # Errors
    /// [`AudioError::Config`].
    pub fn validate(&self) -> Result<(), AudioError> {
        let is_fit = (RATE_HZ_MIN..=RATE_HZ_MAX).contains(&self.rate_hz)
            && (1..=CHANNELS_MAX).contains(&self.channels)
            && (1..=SAMPLES_PER_PERIOD_MAX).contains(&self.samples_per_period);
        match is_fit {
            true => Ok(()),
            false => Err(AudioError::Config {
                got: *self,
                rate_hz_min: RATE_HZ_MIN,
                rate_hz_max: RATE_HZ_MAX,
                channels_max: CHANNELS_MAX,
                samples_per_period_max: SAMPLES_PER_PERIOD_MAX,
            }),
        }
    }
}

/// What a stream does.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum StreamState {
    /// It is being set up: its process was not called yet.
    Connecting,
    /// It is set up, and the device gives no periods now.
    Paused,
    /// Its process is called.
    Streaming,
    /// It was closed: its process was dropped. The last state.
    Closed,
    /// It has failed, and its process was dropped. The last state.
    Failed(StreamFailure),
}

impl StreamState {
    /// Whether nothing comes after it.
    pub fn is_last(&self) -> bool {
        matches!(self, StreamState::Closed | StreamState::Failed(_))
    }
}

/// Why a stream has failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StreamFailure {
    /// The process panicked.
    #[error("the process panicked")]
    ProcessPanicked,
    /// The device has gone.
    #[error("the device has gone")]
    DeviceRemoved,
    /// The loop was destroyed.
    #[error("the loop was destroyed")]
    LoopDestroyed,
    /// The backend's server says so.
    #[error("the backend says: {why}")]
    Backend {
        /// What it says.
        why: String,
    },
}

/// What a stream has counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StreamCounters {
    /// Calls of the process.
    pub cycles: u64,
    /// Periods of playback for which the process had queued no buffer: silence was played.
    pub underruns: u64,
    /// Periods of capture for which no buffer was free: their samples are lost.
    pub overruns: u64,
    /// Buffers that the process kept from their drop, and the stream has queued in its place.
    pub reclaimed: u64,
}
