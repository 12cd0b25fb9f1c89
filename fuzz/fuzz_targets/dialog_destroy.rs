//! The schedules of `dialog-destroy`: each byte answers one choice. The code stands in `scenarios`.

#![no_main]

glare_fuzz::schedules!(scenarios::dialog_destroy::exhibit);
