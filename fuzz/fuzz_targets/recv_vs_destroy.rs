//! The schedules of `recv-vs-destroy`: each byte answers one choice. The code stands in `scenarios`.

#![no_main]

glare_fuzz::schedules!(scenarios::recv_vs_destroy::exhibit);
