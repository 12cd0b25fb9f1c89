//! The `glare` program.

use std::process::ExitCode;

fn main() -> ExitCode {
    scenarios::program::main()
}
