//! What holds of any session: fuzz targets, property tests, corpus tests and exhibits share these bodies.

mod model;
mod orders;

pub use model::any_events;
pub use orders::{Behaviour, every_order};
