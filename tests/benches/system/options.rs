//! The command line, after cargo's own arguments.

use std::path::PathBuf;

use clap::Parser;

use crate::systems::Name;

/// Measures Tare beside Debian and beside a bare init. The host should have nothing else to do.
#[derive(Debug, Parser)]
#[command(name = "cargo bench --bench system --")]
pub(crate) struct Options {
    /// How often each system is booted, after one boot that does not count
    #[arg(long, default_value_t = 5, value_parser = at_least_one)]
    pub(crate) runs: usize,
    /// Put the figures into docs/benchmarks.md
    #[arg(long)]
    pub(crate) write: bool,
    /// Boot only these systems; what compares with others is left out
    #[arg(long, value_delimiter = ',', value_name = "SYSTEM")]
    pub(crate) only: Vec<Name>,
    /// What `cargo bench` says, and `cargo test --all-targets` does not
    #[arg(long, hide = true)]
    pub(crate) bench: bool,
    /// Inside a guest: start this bundle by every means, `runs` times each
    #[arg(long, hide = true, value_name = "BUNDLE")]
    pub(crate) launch: Option<PathBuf>,
    /// Inside a container: let Tare's log and rsyslog take lines in turn
    #[arg(long, hide = true)]
    pub(crate) log: bool,
}

impl Options {
    /// Whether `name` is to be booted.
    pub(crate) fn wants(&self, name: Name) -> bool {
        self.only.is_empty() || self.only.contains(&name)
    }
}

fn at_least_one(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(0) => Err("nothing is measured in no boots".to_owned()),
        Ok(runs) => Ok(runs),
        Err(error) => Err(format!("{error}")),
    }
}
