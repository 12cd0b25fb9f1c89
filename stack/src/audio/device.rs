use std::fmt;

/// Names a device of a backend. A device that comes back has another name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DeviceId(pub(super) u32);

impl fmt::Display for DeviceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "device {}", self.0)
    }
}

/// Which way samples go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Direction {
    /// From the application into the device.
    Playback,
    /// From the device to the application.
    Capture,
}

impl fmt::Display for Direction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Direction::Playback => "playback",
            Direction::Capture => "capture",
        })
    }
}

/// A device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceInfo {
    /// Names it.
    pub id: DeviceId,
    /// What people call it.
    pub name: String,
    /// What may be opened on it.
    pub direction: Direction,
    /// The device whose playback is captured here, if it is a monitor.
    pub monitor_of: Option<DeviceId>,
}

/// What listeners of a backend are told.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum DeviceEvent {
    /// A device has come.
    Added(DeviceInfo),
    /// A device has gone; its streams have failed.
    Removed(DeviceInfo),
    /// So many events before this one were dropped, as the loop thread did not come to tell them: list the devices anew.
    Missed(u64),
}

/// Names a listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ListenerId(pub(super) u64);
