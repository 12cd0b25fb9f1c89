//! Media: what happens at its own pace.

pub mod call;
pub mod clock;
pub mod codec;
pub mod description;
pub mod sound;
pub mod stream;
pub mod transport;
