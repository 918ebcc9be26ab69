//! A machine between boots: its disk, firmware variables and seeds.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread;

use anyhow::{Context, Result, bail};

use crate::argv::{QEMU, QMP_SOCKET};
use crate::builder::{Base, Builder, OVERLAY, OVMF_VARS, USER_DATA, VARS};
use crate::paths::target;
use crate::qmp::is_open;
use crate::seed::{Seed, run};
use crate::shape::{DiskFormat, Firmware, Shape};
use crate::ssh::Key;
use crate::vm::Vm;

/// Names the base that a kept overlay belongs to.
const BASE_STAMP: &str = "disk.base";

/// A machine. It can be booted repeatedly, one boot at a time, and keeps its disk. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Machine {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    folder: PathBuf,
    kept: bool,
    shape: Shape,
    key: Key,
    tolerated: Vec<String>,
    boots: AtomicU32,
    /// An error has named one of its files.
    cited: Arc<AtomicBool>,
}

impl Machine {
    pub(crate) fn create(mut builder: Builder) -> Result<Self> {
        let kept = builder.folder.is_some();
        let folder = builder.folder.take().unwrap_or_else(fresh_folder);
        fs::create_dir_all(&folder).with_context(|| format!("create {}", folder.display()))?;
        if is_open(&folder, QMP_SOCKET) {
            bail!("the machine in {} is running already", folder.display());
        }
        make_overlay(&folder, &builder.base, builder.disk_size)?;
        make_variables(&folder, &builder.shape.firmware)?;
        if let Some(user_data) = &builder.user_data {
            fs::write(folder.join(USER_DATA), user_data)?;
        }
        let mut shape = builder.shape;
        for (seed, user_data) in &builder.seeds {
            shape.disks.push(seed.create(&folder, user_data)?);
        }
        let inner = Inner {
            folder,
            kept,
            shape,
            key: builder.key.context("the builder has not made a key")?,
            tolerated: builder.tolerated,
            boots: AtomicU32::new(0),
            cited: Arc::default(),
        };
        Ok(Self {
            inner: Arc::new(inner),
        })
    }

    /// Starts it.
    ///
    /// # Errors
    /// QEMU does not start; with its error output.
    pub fn boot(&self) -> Result<Vm> {
        Vm::start(self.clone())
    }

    /// QEMU's command, to be started in the machine's folder, and the path of the console's log.
    pub fn command(&self) -> (Command, PathBuf) {
        let boot = self.inner.boots.fetch_add(1, Ordering::Relaxed) + 1;
        let log = self.inner.folder.join(format!("console-{boot}.log"));
        let mut cmd = Command::new(QEMU);
        cmd.current_dir(&self.inner.folder)
            .args(self.inner.shape.argv(&log));
        (cmd, log)
    }

    /// Where its files are.
    pub fn folder(&self) -> &Path {
        &self.inner.folder
    }

    /// What it is made of.
    pub fn shape(&self) -> &Shape {
        &self.inner.shape
    }

    /// The key for logging in.
    pub fn key(&self) -> &Key {
        &self.inner.key
    }

    pub(crate) fn cited(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.inner.cited)
    }

    pub(crate) fn tolerated(&self) -> &[String] {
        &self.inner.tolerated
    }

    /// Replaces what the next boot finds in fw_cfg.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn set_fw_cfg(&self, user_data: impl AsRef<[u8]>) -> Result<()> {
        Ok(fs::write(self.inner.folder.join(USER_DATA), user_data)?)
    }

    /// Replaces what the next boot finds on its NoCloud disk of this form.
    ///
    /// # Errors
    /// The disk cannot be made.
    pub fn set_nocloud(&self, seed: Seed, user_data: &[u8]) -> Result<()> {
        seed.create(&self.inner.folder, user_data).map(drop)
    }

    /// The boot disk as it is now, as a sparse raw file in the machine's folder, for inspection while the machine is
    /// off.
    ///
    /// # Errors
    /// The disk is in use or damaged.
    pub fn raw_disk(&self) -> Result<PathBuf> {
        let raw = self.inner.folder.join("disk.raw");
        let overlay = self.inner.folder.join(OVERLAY);
        run(Command::new("qemu-img").args(["check", "-q"]).arg(&overlay))?;
        run(Command::new("qemu-img")
            .args(["convert", "-O", "raw"])
            .arg(&overlay)
            .arg(&raw))?;
        Ok(raw)
    }
}

impl Drop for Inner {
    /// Keeps the files that explain a failed test.
    fn drop(&mut self) {
        if self.kept {
            return;
        }
        if thread::panicking() || self.cited.load(Ordering::Relaxed) {
            eprintln!("the machine's files are left in {}", self.folder.display());
        } else if let Err(error) = fs::remove_dir_all(&self.folder) {
            eprintln!("remove {}: {error}", self.folder.display());
        }
    }
}

fn fresh_folder() -> PathBuf {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    target()
        .join("vm")
        .join(format!("{}-{number}", std::process::id()))
}

/// The machine's own copy of OVMF's variables.
fn make_variables(folder: &Path, firmware: &Firmware) -> Result<()> {
    if matches!(firmware, Firmware::Uefi { .. }) && !folder.join(VARS).exists() {
        fs::copy(OVMF_VARS, folder.join(VARS)).with_context(|| format!("copy {OVMF_VARS}"))?;
    }
    Ok(())
}

/// Recreates the overlay unless the existing one has the same base.
fn make_overlay(folder: &Path, base: &Base, size: Option<u64>) -> Result<()> {
    let (overlay, stamp) = (folder.join(OVERLAY), folder.join(BASE_STAMP));
    let wanted = base_stamp(base)?;
    if overlay.exists() && fs::read_to_string(&stamp).is_ok_and(|have| have == wanted) {
        return Ok(());
    }
    // A new disk is a new machine: other boot variables, other host keys.
    for stale in [VARS, "known_hosts"] {
        let _ = fs::remove_file(folder.join(stale));
    }
    let format = match base.format {
        DiskFormat::Raw => "raw",
        DiskFormat::Qcow2 => "qcow2",
    };
    let disk =
        fs::canonicalize(&base.disk).with_context(|| format!("disk {}", base.disk.display()))?;
    let mut create = Command::new("qemu-img");
    create
        .args(["create", "-q", "-f", "qcow2", "-F", format, "-b"])
        .arg(disk)
        .arg(&overlay);
    run(create.args(size.map(|bytes| bytes.to_string())))?;
    fs::write(stamp, wanted)?;
    Ok(())
}

/// Changes whenever the base's bytes may have changed, because an overlay over other bytes is garbage.
fn base_stamp(base: &Base) -> Result<String> {
    let disk = fs::metadata(&base.disk).with_context(|| format!("disk {}", base.disk.display()))?;
    Ok(format!(
        "{}:{} {} bytes {}.{:09}\n",
        disk.dev(),
        disk.ino(),
        disk.size(),
        disk.mtime(),
        disk.mtime_nsec()
    ))
}
