//! The schedules of `pjsua-lock-order`: each byte answers one choice. The code stands in `scenarios`.

#![no_main]

glare_fuzz::schedules!(scenarios::pjsua_lock_order::exhibit);
