//! The `tare` command: see [`tare_cli`].

use clap::Parser;
use std::process::ExitCode;
use tare_cli::args::Arguments;

fn main() -> ExitCode {
    match tare_cli::run(&Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failed) => failed.report(),
    }
}
