//! `cargo boot`: builds Tare's disk image and boots it in QEMU.

mod check;
mod options;
mod session;

use std::path::Path;
use std::process::ExitCode;
use std::time::Instant;

use anyhow::Result;
use clap::Parser;
use tare_image::BuildOptions;
use tare_image::host::{self, Group};
use tare_image::progress::Progress;
use tare_qemu::{Base, DiskFormat, target};

use options::Options;

/// Gives a machine a name, this checkout's key, and the demo app.
const DEFAULT_USER_DATA: &str = include_str!("../default-user-data.toml");

fn main() -> ExitCode {
    match run(&Options::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("tare-boot: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(options: &Options) -> Result<()> {
    let started = Instant::now();
    let base = match &options.image {
        Some(disk) => foreign(options, disk)?,
        None => built(options)?,
    };
    if options.check {
        return check::run(options, base, started.elapsed());
    }
    session::run(options, base)
}

/// Tare's image, built from this checkout.
fn built(options: &Options) -> Result<Base> {
    let progress = Progress::new(&target().join("log"));
    host::ensure(
        &[Group::Kernel, Group::Image, Group::Qemu],
        options.yes,
        &progress,
    )?;
    let image = tare_image::build(&BuildOptions::default(), &progress)?;
    Ok(Base::from(&image))
}

/// A disk image built elsewhere.
fn foreign(options: &Options, disk: &Path) -> Result<Base> {
    let progress = Progress::new(&target().join("log"));
    host::ensure(&[Group::Qemu], options.yes, &progress)?;
    let is_qcow2 = disk
        .extension()
        .is_some_and(|extension| extension == "qcow2");
    let format = if is_qcow2 {
        DiskFormat::Qcow2
    } else {
        DiskFormat::Raw
    };
    Ok(Base {
        disk: disk.to_owned(),
        format,
        size: None,
        direct: None,
    })
}
