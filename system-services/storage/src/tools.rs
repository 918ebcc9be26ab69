//! The programs of e2fsprogs. Their output goes to the log.

use crate::ext4::{self, Backup};
use crate::say::say;
use rustix::pipe::{PipeFlags, pipe_with};
use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};

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
            say(&format!("{error}; correcting all that it can"));
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
            say(&format!(
                "the superblock is damaged: taking the backup at block {block}"
            ));
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
    let failed = |program: &OsStr, error| {
        let program = Path::new(program).display();
        io::Error::other(format!("{program}: {error}"))
    };
    let (output, end) = pipe_with(PipeFlags::CLOEXEC)?;
    command.stdout(end.try_clone()?).stderr(end);
    let mut child = command
        .spawn()
        .map_err(|error| failed(command.get_program(), error))?;
    // Ours of the pipe's ends, or the pipe would never end.
    command.stdout(Stdio::null()).stderr(Stdio::null());
    let lines = BufReader::new(File::from(output))
        .split(b'\n')
        .map_while(Result::ok);
    lines.for_each(|line| say(&String::from_utf8_lossy(&line)));
    child
        .wait()
        .map_err(|error| failed(command.get_program(), error))
}

#[cfg(test)]
mod tests {
    use super::*;

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
