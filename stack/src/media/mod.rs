//! Media: what happens at its own pace.

pub mod clock;
pub mod description;
