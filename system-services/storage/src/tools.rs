//! The programs of e2fsprogs.

use crate::ext4::{self, Backup, LABEL};
use crate::output::{Line, Output};
use crate::say::{note, say};
use rustix::pipe::{PipeFlags, pipe_with};
use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};
use std::time::Instant;
use tare_config::machine::FileSystem;

/// Exit status of `e2fsck(8)`, a sum of bits: 1 for corrected errors, 2 if the system must be rebooted, which is for a
/// mounted file system. Above this, errors remain or it could not run.
const CORRECTED: i32 = 3;

/// Makes an ext4 with our label.
///
/// # Errors
/// When `mkfs.ext4` fails.
pub(crate) fn make(device: &Path) -> io::Result<()> {
    let size = ext4::size(&File::open(device)?)?;
    let mut mkfs = Command::new("/usr/sbin/mkfs.ext4");
    mkfs.args(["-q", "-F", "-L", LABEL])
        // Reserved for processes with CAP_SYS_RESOURCE; PID 1 mounts it so that the reserve is not root's.
        .args(["-m", &reserved_percent(size).to_string()])
        // As for a large disk, because a small one may grow.
        .args(["-b", "4096", "-i", &bytes_per_inode(size).to_string()])
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

/// Makes a file system on a second disk, all of it for its user.
///
/// # Errors
/// When `mkfs` fails.
pub(crate) fn make_second(device: &Path, kind: FileSystem, label: Option<&str>) -> io::Result<()> {
    let size = ext4::size(&File::open(device)?)?;
    let name = kind.name();
    let mut mkfs = Command::new(format!("/usr/sbin/mkfs.{name}"));
    match kind {
        FileSystem::Ext4 => mkfs
            .args(["-q", "-F", "-m", "0", "-e", "remount-ro"])
            // As for a large disk, because a small one may grow.
            .args(["-b", "4096", "-i", &bytes_per_inode(size).to_string()])
            .args(["-E", "lazy_itable_init=1,lazy_journal_init=1,nodiscard"]),
        // It refuses a device on which it finds anything.
        FileSystem::Xfs => mkfs.args(["-q", "-K"]),
    };
    mkfs.args(label.iter().flat_map(|label| ["-L", label]));
    let status = run(mkfs.arg(device))?;
    match status.success() {
        true => Ok(()),
        false => Err(io::Error::other(format!("mkfs.{name}: {status}"))),
    }
}

/// Corrects what can be corrected safely, and leaves the rest to a person.
///
/// # Errors
/// When errors remain, or `e2fsck` cannot be run.
pub(crate) fn preen(device: &Path) -> io::Result<()> {
    e2fsck(device, &["-p"])
}

/// Bytes per inode on a device of `size` bytes. An ext4 has fewer than 2^32 inodes and keeps its ratio when it grows,
/// so the ratio leaves room for at least four times the size.
fn bytes_per_inode(size: u64) -> u64 {
    let mut ratio = 16 << 10;
    while size / ratio > 1 << 30 {
        ratio *= 4;
    }
    ratio
}

/// The reserve on a device of `size` bytes, in percent: a hundredth, but at least 16 MiB and at most 1 GiB. A start
/// of the engine on a full disk takes less than a MiB.
fn reserved_percent(size: u64) -> f64 {
    let bytes = (size / 100).clamp(16 << 20, 1 << 30);
    (bytes as f64 * 100.0 / size.max(1) as f64).min(10.0)
}

/// Corrects what can be corrected safely; if that fails, the rest too, because there is no operator to ask.
///
/// # Errors
/// When the file system is not clean afterwards.
pub(crate) fn check(device: &Path) -> io::Result<()> {
    match e2fsck(device, &["-p"]) {
        Ok(()) => sound(device),
        Err(error) => {
            say(&format!("{error}; repairing everything it can"));
            repair(device, None)
        }
    }
}

/// Corrects whatever can be corrected, from `backup` if there is one, even if the superblock reports no errors.
///
/// # Errors
/// When the file system is not clean afterwards.
pub(crate) fn repair(device: &Path, backup: Option<Backup>) -> io::Result<()> {
    match backup {
        None => e2fsck(device, &["-f", "-y"])?,
        Some(backup) => {
            let (block, size) = (backup.block.to_string(), backup.block_size.to_string());
            say(&format!(
                "the superblock is damaged; repairing from the backup at block {block}"
            ));
            e2fsck(device, &["-y", "-b", &block, "-B", &size])?;
        }
    }
    sound(device)
}

fn e2fsck(device: &Path, options: &[&str]) -> io::Result<()> {
    // Its progress goes to the same pipe as its other output.
    let progress = ["-C", "1"];
    let mut e2fsck = Command::new("/usr/sbin/e2fsck");
    let status = run(e2fsck.args(progress).args(options).arg(device))?;
    match status.code() {
        Some(code) if code <= CORRECTED => Ok(()),
        _ => Err(io::Error::other(format!(
            "e2fsck {}: {status}",
            options.join(" ")
        ))),
    }
}

fn sound(device: &Path) -> io::Result<()> {
    match ext4::superblock(&File::open(device)?)? {
        Some(found) if found.clean => Ok(()),
        _ => Err(io::Error::other("e2fsck leaves it unclean")),
    }
}

fn run(command: &mut Command) -> io::Result<ExitStatus> {
    let failed = |program: &OsStr, error| {
        let program = Path::new(program).display();
        io::Error::other(format!("{program}: {error}"))
    };
    let (output, end) = pipe_with(PipeFlags::CLOEXEC)?;
    command.stdout(end.try_clone()?).stderr(end);
    let mut child = command
        .spawn()
        .map_err(|error| failed(command.get_program(), error))?;
    // Closes our copies of the pipe's write end; otherwise the pipe would never end.
    command.stdout(Stdio::null()).stderr(Stdio::null());
    let lines = BufReader::new(File::from(output))
        .split(b'\n')
        .map_while(Result::ok);
    let mut heard = Output::new(Instant::now());
    for line in lines {
        match heard.line(&line, Instant::now()) {
            Line::Note(text) => note(&text),
            Line::Progress(text) => say(&text),
            Line::Nothing => {}
        }
    }
    if heard.left_out() > 0 {
        note(&format!("{} more lines", heard.left_out()));
    }
    child
        .wait()
        .map_err(|error| failed(command.get_program(), error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hundredth_is_kept_back_within_bounds() {
        for (size, want) in [
            (8 << 30, 1.0),
            (1 << 30, 1.5625),
            (64 << 20, 10.0),
            (1 << 40, 0.097_656_25),
            (0, 10.0),
        ] {
            let got = reserved_percent(size);
            assert!((got - want).abs() < 1e-6, "{size}: {got}");
        }
    }

    #[test]
    fn no_disk_is_too_large_for_its_inodes() {
        for (tebibytes, want) in [
            (0, 16 << 10),
            (16, 16 << 10),
            (17, 64 << 10),
            (64, 64 << 10),
            (65, 256 << 10),
            // The largest ext4.
            (1 << 20, 1 << 30),
        ] {
            let size = tebibytes << 40;
            let ratio = bytes_per_inode(size);
            assert_eq!(ratio, want, "{tebibytes} TiB");
            assert!(size / ratio < 1 << 32);
        }
    }

    #[test]
    fn a_tool_that_talks_much_ends_with_its_status() {
        let script = "yes line | head -n 20000; echo >&2 error; exit 3";
        let status = run(Command::new("sh").args(["-c", script])).unwrap();
        assert_eq!(status.code(), Some(3));
        let error = run(&mut Command::new("/no/such/tool")).unwrap_err();
        assert_eq!(
            error.to_string(),
            "/no/such/tool: No such file or directory (os error 2)"
        );
    }
}
