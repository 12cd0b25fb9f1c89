use super::thread_loop::LoopError;
use super::{DeviceId, Direction, StreamConfig};

/// Why a backend did not do as it was told. Nothing has changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AudioError {
    /// The loop refuses: its guard is another's, or it was destroyed.
    #[error(transparent)]
    Loop(#[from] LoopError),
    /// There is no such device, or no longer.
    #[error("expected a device that is there, got {got}")]
    NoSuchDevice {
        /// What was asked for.
        got: DeviceId,
    },
    /// The device is for the other direction.
    #[error("expected a device for {expected}, got {device}, which is for {got}")]
    WrongDirection {
        /// What was asked for.
        device: DeviceId,
        /// What it was asked for.
        expected: Direction,
        /// What it does.
        got: Direction,
    },
    /// No device plays or records like this.
    #[error(
        "expected {rate_hz_min} to {rate_hz_max} Hz, 1 to {channels_max} channels and 1 to {samples_per_period_max} samples a period, got {got:?}"
    )]
    Config {
        /// What was asked for.
        got: StreamConfig,
        /// The lowest rate.
        rate_hz_min: u32,
        /// The highest rate.
        rate_hz_max: u32,
        /// The most channels.
        channels_max: u16,
        /// The longest period.
        samples_per_period_max: u32,
    },
    /// The device runs, and not like this. It converts nothing.
    #[error("expected the format that the device runs with, {expected:?}, got {got:?}")]
    FormatMismatch {
        /// What the device runs with.
        expected: StreamConfig,
        /// What was asked for.
        got: StreamConfig,
    },
    /// The device has as many streams as it takes.
    #[error("expected fewer than {max} streams on a device, got {max}")]
    TooManyStreams {
        /// How many it takes.
        max: usize,
    },
    /// There are as many devices as a backend has.
    #[error("expected fewer than {max} devices, got {max}")]
    TooManyDevices {
        /// How many it has.
        max: usize,
    },
    /// As many listen as may.
    #[error("expected fewer than {max} listeners, got {max}")]
    TooManyListeners {
        /// How many may.
        max: usize,
    },
    /// The stream was closed, or has failed.
    #[error("expected a stream that goes on, got one that has ended")]
    StreamEnded,
    /// The backend is not connected to its server.
    #[error("expected a backend that is connected: {why}")]
    Disconnected {
        /// What it knows of that.
        why: String,
    },
    /// The system made no thread for the data path.
    #[error("a thread for the data path could not be made: {why}")]
    Thread {
        /// The system's reason.
        why: String,
    },
}
