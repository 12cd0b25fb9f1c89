//! The schedules of `stop-acceptor`: each byte answers one choice. The code stands in `scenarios`.

#![no_main]

glare_fuzz::schedules!(scenarios::stop_acceptor::exhibit);
