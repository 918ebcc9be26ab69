//! What can be measured without booting.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use anyhow::{Context, Result};
use tare_image::Image;
use tare_image::progress::Progress;

use crate::figures::Figure;
use crate::host_root::{self, HostRoot};
use crate::results::Results;
use crate::systems::{Name, Systems};
use crate::zstd;

/// `st_blocks` counts in these.
const BLOCK: f64 = 512.0;

/// Measures disk images and what is on the hosts' root filesystems.
///
/// # Errors
/// A file cannot be read, or a tool fails.
#[expect(clippy::cast_precision_loss, reason = "no file has 2^53 bytes")]
pub(crate) fn measure(
    systems: &Systems,
    image: &Image,
    cache: &Path,
    progress: &Progress,
    results: &mut Results,
) -> Result<()> {
    progress.stage("sizes", |stage| {
        for (name, disk) in [
            (Name::Tare, &image.raw),
            (Name::Debian, &systems.debian.base.disk),
        ] {
            stage.message(&format!("compressing {}", name.label()));
            let file = fs::metadata(disk).with_context(|| format!("read {}", disk.display()))?;
            results.add(name, Figure::ImageRaw, file.blocks() as f64 * BLOCK);
            let compressed = zstd::size(disk, cache, stage)?;
            results.add(name, Figure::ImageZstd, compressed as f64);
        }
        let tare = host_root::of_tare(image, &systems.tools, cache, stage)?;
        add(results, Name::Tare, tare);
        add(
            results,
            Name::Debian,
            host_root::of_archive(&systems.debian.rootfs)?,
        );
        Ok(())
    })
}

fn add(results: &mut Results, name: Name, root: HostRoot) {
    results.add(name, Figure::Executables, root.executables);
    results.add(name, Figure::Setuid, root.setuid);
    if root.pid1 > 0.0 {
        results.add(name, Figure::Pid1Binary, root.pid1);
    }
}
