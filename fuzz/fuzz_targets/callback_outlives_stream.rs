//! The schedules of `callback-outlives-stream`: each byte answers one choice. The code stands in `scenarios`.

#![no_main]

glare_fuzz::schedules!(scenarios::callback_outlives_stream::exhibit);
