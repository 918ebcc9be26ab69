//! The programs of e2fsprogs. Their output goes to the log.

use crate::ext4::{self, Backup};
use std::io;
use std::path::Path;
use std::process::{Command, ExitStatus};

/// Exit status of `e2fsck(8)`, a sum of bits: nothing to do, corrected, corrected and must be
/// mounted anew. Above: errors are left, or it could not work.
const CORRECTED: i32 = 3;

/// Makes an ext4 labelled `state`.
///
/// # Errors
/// When `mkfs.ext4` fails.
pub(crate) fn make(device: &Path) -> io::Result<()> {
    let mut mkfs = Command::new("/usr/sbin/mkfs.ext4");
    mkfs.args(["-q", "-F", "-L", "state"])
        // Nothing is set aside for root: whoever writes there is root.
        .args(["-m", "0"])
        // As for a large disk, whatever size it has now: it may grow.
        .args(["-b", "4096", "-i", "16384"])
        .args(["-e", "remount-ro"])
        // The kernel zeroes inode tables later, in the background. Old blocks in the journal fail
        // their checksum. A partition full of zeros needs no discard.
        .args(["-E", "lazy_itable_init=1,lazy_journal_init=1,nodiscard"]);
    let status = run(mkfs.arg(device))?;
    match status.success() {
        true => Ok(()),
        false => Err(io::Error::other(format!("mkfs.ext4: {status}"))),
    }
}

/// Corrects what can be corrected without a doubt, then, as nobody is there to ask, the rest.
///
/// # Errors
/// When the file system is not clean afterwards.
pub(crate) fn check(device: &Path) -> io::Result<()> {
    match e2fsck(device, &["-p"]) {
        Ok(()) => sound(device),
        Err(error) => {
            eprintln!("{error}; correcting all that it can");
            repair(device, None)
        }
    }
}

/// Corrects whatever can be corrected, from `backup` if there is one.
///
/// # Errors
/// When the file system is not clean afterwards.
pub(crate) fn repair(device: &Path, backup: Option<Backup>) -> io::Result<()> {
    match backup {
        None => e2fsck(device, &["-y"])?,
        Some(backup) => {
            let (block, size) = (backup.block.to_string(), backup.block_size.to_string());
            eprintln!("the superblock is damaged: taking the backup at block {block}");
            e2fsck(device, &["-y", "-b", &block, "-B", &size])?;
        }
    }
    sound(device)
}

fn e2fsck(device: &Path, options: &[&str]) -> io::Result<()> {
    let status = run(Command::new("/usr/sbin/e2fsck").args(options).arg(device))?;
    match status.code() {
        Some(code) if code <= CORRECTED => Ok(()),
        _ => Err(io::Error::other(format!(
            "e2fsck {}: {status}",
            options.join(" ")
        ))),
    }
}

fn sound(device: &Path) -> io::Result<()> {
    match ext4::superblock(device)? {
        Some(found) if found.clean => Ok(()),
        _ => Err(io::Error::other("e2fsck leaves it unclean")),
    }
}

fn run(command: &mut Command) -> io::Result<ExitStatus> {
    command
        .status()
        .map_err(|error| io::Error::other(format!("{}: {error}", command.get_program().display())))
}
