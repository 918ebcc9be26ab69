//! `cargo image`: builds Tare's disk image.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use tare_image::kernel::Platform;
use tare_image::progress::Progress;
use tare_image::{BuildOptions, build, ensure_tools};

/// Build Tare's disk image: kernel, services, GPT disk with a verified root.
///
/// Nothing is built twice: a build without changes takes less than a second, and the cache
/// (TARE_CACHE, else XDG_CACHE_HOME/tare, else ~/.cache/tare) is shared by all clones.
/// Debian packages come from the mirror of this machine's apt configuration, or from
/// TARE_MIRROR, the URI of a Debian mirror.
#[derive(Debug, Parser)]
#[command(name = "tare-image", bin_name = "cargo image", version)]
struct Arguments {
    /// The kind of machine: `vm`, or `metal`, whose kernel has server drivers too and takes twice as long to compile
    #[arg(long = "for", value_name = "KIND", value_enum, default_value_t)]
    platform: Platform,

    /// Folder for the image and its manifest [default: target/image, target/image-metal]
    #[arg(long, value_name = "FOLDER")]
    output: Option<PathBuf>,

    /// Put the app of this Compose file and its container images into the image; may be repeated
    ///
    /// The app starts at the first boot, and nothing is pulled. Images come from their registries, or from
    /// `--bake-archive`.
    #[arg(long, value_name = "COMPOSE-FILE")]
    bake: Vec<PathBuf>,

    /// Put the container images of this file of `docker save` into the image; may be repeated
    #[arg(long, value_name = "FILE")]
    bake_archive: Vec<PathBuf>,

    /// Ask for Debian's package lists and for the images of `--bake` even if that was done less than a day ago
    #[arg(long)]
    refresh: bool,

    /// How many compilers and unpackers to run at a time [default: one for each CPU]
    #[arg(long, value_name = "N")]
    jobs: Option<usize>,

    /// Install missing tools with apt without asking
    #[arg(long)]
    yes: bool,
}

fn main() -> ExitCode {
    match run(Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: Arguments) -> anyhow::Result<()> {
    let mut options = BuildOptions {
        bake: arguments.bake,
        bake_archives: arguments.bake_archive,
        refresh: arguments.refresh,
        jobs: arguments.jobs.unwrap_or_default(),
        ..BuildOptions::default().on(arguments.platform)
    };
    let progress = Progress::new(&options.workspace.join("target/log"));
    if let Some(output) = arguments.output {
        options.output = std::path::absolute(output)?;
    }
    ensure_tools(arguments.yes, &progress)?;
    let image = build(&options, &progress)?;
    image.convert(&progress)?;
    println!("{}", image.raw.display());
    println!("{}", image.qcow2.display());
    Ok(())
}
