//! Media: what happens at its own pace.

pub mod clock;
pub mod codec;
pub mod description;
pub mod sound;
