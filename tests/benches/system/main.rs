//! `cargo bench`: compares Tare with what a user would pick instead, and with the minimum that could do the same
//! work, in one run on one machine.
//!
//! Three systems are booted in turn by the same QEMU: Tare (without and with firmware); Debian with systemd, OpenSSH
//! and Docker; and the floor, which is the same Debian packages on Tare's kernel under a shell script. Timings never
//! fail the run; the report says which targets are met.

mod answers;
mod bare;
mod boots;
mod containers;
mod crowd;
mod debian;
mod disk;
mod extras;
mod figures;
mod floor;
mod guest;
mod host_root;
mod launcher;
mod logging;
mod machine;
mod options;
mod report;
mod results;
mod sizes;
mod spread;
mod supervision;
mod systems;
mod tables;
mod targets;
mod tools;
mod zstd;

use std::process::ExitCode;

use anyhow::Result;
use clap::Parser;
use tare_image::host::{self, Group};
use tare_image::progress::Progress;
use tare_image::{BuildOptions, cache};
use tare_qemu::target;

use options::Options;
use results::Results;
use systems::Systems;

fn main() -> ExitCode {
    let options = Options::parse();
    let result = match &options.launch {
        Some(bundle) => launcher::run(bundle, options.runs),
        None if options.log => logging::run(),
        None if options.bench => bench(&options),
        None => {
            println!("nothing to test here: this is the benchmark, run it with `cargo bench`");
            Ok(())
        }
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn bench(options: &Options) -> Result<()> {
    let progress = Progress::new(&target().join("log"));
    let groups = [Group::Kernel, Group::Image, Group::Qemu, Group::Bench];
    host::ensure(&groups, false, &progress)?;
    let image = tare_image::build(&BuildOptions::default(), &progress)?;
    let cache = cache::root()?.join("bench");
    std::fs::create_dir_all(&cache)?;
    // Two runs at once would distort each other.
    let _lock = cache::lock(&cache.join("lock"))?;
    let systems = Systems::make(&image, &cache, &progress)?;
    let mut results = Results::default();
    sizes::measure(&systems, &image, &cache, &progress, &mut results)?;
    boots::measure(&systems, options, &mut results)?;
    let parts = inside(options, &systems, &mut results);
    let report = report::text(&results, &machine::describe(&systems)?);
    println!("\n{report}");
    if options.write {
        report::write(&report)?;
    }
    parts
}

/// Measurements with machines of their own. If one fails, the report still contains the others.
fn inside(options: &Options, systems: &Systems, results: &mut Results) -> Result<()> {
    let mut parts = Vec::new();
    if options.wants(systems::Name::Floor) {
        parts.push(containers::measure(systems, results));
    }
    if options.wants(systems::Name::Tare) {
        parts.push(logging::measure(&systems.tare, results));
        parts.push(supervision::measure(systems, options.runs, results));
    }
    for name in [systems::Name::Tare, systems::Name::Debian] {
        if options.wants(name) {
            parts.push(crowd::measure(systems, name, results));
        }
    }
    for error in parts.iter().filter_map(|part| part.as_ref().err()) {
        eprintln!("bench: {error:#}");
    }
    parts.into_iter().collect()
}
