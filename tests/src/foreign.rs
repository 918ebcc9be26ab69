//! A guest other than Tare: our kernel with Debian's OCI runtimes, to run our bundles as any user could.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use tare_image::Image;
use tare_image::host::find_command;
use tare_image::progress::Progress;
use tare_qemu::{Base, Builder, Disk, DiskBus, DiskFormat, Firmware, Vm, target};

use crate::debian;

/// The runtimes, and a shell with tools in one static file.
const PACKAGES: [&str; 3] = ["busybox-static", "crun", "runc"];
/// libc6 needs this only to ask questions during upgrades.
const ASSUMED: [&str; 1] = ["debconf"];

/// Size of its disk, which is sparse.
const SIZE: &str = "256M";

/// Its PID 1: runs every bundle of the system on the second disk under every runtime.
const INIT: &str = include_str!("foreign/init.sh");

/// Nothing is verified here: the root is the first disk. Its PID 1 writes to the kernel's log, which keeps lines
/// whole, without timestamps and without a rate limit.
const CMDLINE: &str = "console=ttyS0 loglevel=4 printk.time=0 printk.devkmsg=on panic=-1 \
                       root=/dev/vda rootfstype=ext4 ro init=/init";

/// The guest, with its disk made in `folder`.
///
/// # Errors
/// The packages cannot be downloaded, or the disk cannot be made.
pub fn guest(image: &Image, folder: &Path) -> Result<Builder> {
    let direct = Firmware::Direct {
        kernel: image.kernel.clone(),
        initrd: None,
        cmdline: CMDLINE.to_owned(),
    };
    let base = Base {
        disk: root_disk(folder)?,
        format: DiskFormat::Raw,
        size: None,
        direct: Some(direct),
    };
    let system = Disk {
        path: image.system.clone(),
        format: DiskFormat::Raw,
        bus: DiskBus::Virtio,
        read_only: true,
    };
    Ok(Vm::of(base).direct().disk(system))
}

fn root_disk(folder: &Path) -> Result<PathBuf> {
    let (root, disk) = (folder.join("root"), folder.join("root.ext4"));
    let progress = Progress::new(&target().join("log"));
    progress.stage("OCI runtimes", |stage| {
        debian::unpack(&root, &PACKAGES, &ASSUMED, stage)?;
        add_init(&root)?;
        let mut mkfs = Command::new(find_command("mke2fs").context("mke2fs is not installed")?);
        stage.run(
            mkfs.args(["-q", "-t", "ext4", "-d"])
                .arg(&root)
                .arg(&disk)
                .arg(SIZE),
        )
    })?;
    Ok(disk)
}

fn add_init(root: &Path) -> Result<()> {
    for name in ["dev", "proc", "sys", "run", "tmp", "state", "mnt"] {
        fs::create_dir_all(root.join(name))?;
    }
    // Bundles name files of the host's root.
    for path in ["usr/share/tare", "usr/lib/modules"] {
        symlink(Path::new("/mnt").join(path), root.join(path))?;
    }
    let init = root.join("init");
    fs::write(&init, INIT)?;
    Ok(fs::set_permissions(
        &init,
        fs::Permissions::from_mode(0o755),
    )?)
}
