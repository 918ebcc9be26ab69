//! Inspects a machine's disk while it is off, and damages it.

use std::fs::File;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use gpt::GptConfig;
use gpt::disk::LogicalBlockSize;
use tare_image::host::find_command;
use tare_qemu::Machine;

/// The bytes of partition `name` on the raw disk `disk`.
///
/// # Errors
/// There is no valid partition table, or no such partition in it.
pub fn partition(disk: &Path, name: &str) -> Result<Range<u64>> {
    let table = GptConfig::new().writable(false).open(disk);
    let table = table.with_context(|| format!("partition table of {}", disk.display()))?;
    let found = table
        .partitions()
        .values()
        .find(|partition| partition.name == name);
    let found = found.with_context(|| format!("{} has no partition {name}", disk.display()))?;
    let start = found.bytes_start(LogicalBlockSize::Lb512)?;
    Ok(start..start + found.bytes_len(LogicalBlockSize::Lb512)?)
}

/// Checks that the state partition's file system was unmounted and has no errors.
///
/// # Errors
/// What e2fsck reports.
pub fn require_clean_state(machine: &Machine) -> Result<()> {
    let disk = machine.raw_disk()?;
    let state = partition(&disk, "state")?;
    require_clean(&format!("{}?offset={}", disk.display(), state.start))
}

/// Checks that the ext4 at `place`, as e2fsck names it, was unmounted and has no errors.
///
/// # Errors
/// What e2fsck reports.
pub fn require_clean(place: &str) -> Result<()> {
    let mut e2fsck = Command::new(find_command("e2fsck").context("e2fsck is not installed")?);
    let output = e2fsck.arg("-fn").arg(place).output()?;
    let said = String::from_utf8_lossy(&output.stdout);
    // e2fsck also exits with 0 if the journal needs a replay that it may not do.
    let unmounted = !said.contains("recover") && !said.contains("journal");
    ensure!(
        output.status.success() && unmounted,
        "e2fsck: {}\n{said}",
        output.status
    );
    Ok(())
}

/// Inverts one bit of the machine's disk, whose base is the raw disk `base`.
///
/// # Errors
/// The disk cannot be read or written.
pub fn flip_bit(machine: &Machine, base: &Path, offset: u64) -> Result<()> {
    let mut byte = [0];
    File::open(base)?.read_exact_at(&mut byte, offset)?;
    fill(machine, offset, 1, byte[0] ^ 1)
}

/// Writes `length` times `byte` to the machine's disk, `offset` bytes from its start.
///
/// # Errors
/// The disk cannot be written.
pub fn fill(machine: &Machine, offset: u64, length: u64, byte: u8) -> Result<()> {
    qemu_io(
        machine,
        &format!("write -P {byte} {offset} {length}"),
        length,
    )
}

/// Writes `bytes` to the machine's disk, `offset` bytes from its start.
///
/// # Errors
/// The disk cannot be written.
pub fn write(machine: &Machine, offset: u64, bytes: &[u8]) -> Result<()> {
    let content = machine.folder().join("written");
    std::fs::write(&content, bytes)?;
    let length = bytes.len() as u64;
    qemu_io(
        machine,
        &format!("write -s {} {offset} {length}", content.display()),
        length,
    )
}

fn qemu_io(machine: &Machine, command: &str, length: u64) -> Result<()> {
    let overlay = machine.folder().join(&machine.shape().disks[0].path);
    let output = Command::new("qemu-io")
        .args(["-c", command])
        .arg(overlay)
        .output()?;
    // qemu-io also exits with 0 after a failed write, but reports it.
    let said = String::from_utf8_lossy(&output.stdout);
    ensure!(
        said.contains(&format!("wrote {length}/{length} bytes")),
        "qemu-io {command}: {said}"
    );
    Ok(())
}

/// `length` bytes of the machine's disk, `offset` bytes from its start.
///
/// # Errors
/// The disk cannot be read.
pub fn read(machine: &Machine, offset: u64, length: usize) -> Result<Vec<u8>> {
    let mut bytes = vec![0; length];
    File::open(machine.raw_disk()?)?.read_exact_at(&mut bytes, offset)?;
    Ok(bytes)
}
