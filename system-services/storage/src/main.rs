//! Leaves a clean ext4 on the partition that `STATE_DEVICE` names, as large as its disk allows.
//!
//! | found | done |
//! |---|---|
//! | nothing but zeros, or a format that was cut short | `mkfs.ext4` |
//! | a clean ext4 | nothing: the usual case runs no other program |
//! | an ext4 that was not unmounted, or has errors | `e2fsck -p`, then `e2fsck -y` |
//! | an ext4 whose superblock is damaged | `e2fsck -y` with a backup superblock |
//! | anything else | reported and left alone |
//!
//! Where the disk has room after the partition the partition is grown to its end, and the file
//! system with it, online, because the kernel's journal makes that safe against a power cut.
//!
//! Exit status 0 means that there is a clean ext4, which the next boot will not format again;
//! otherwise PID 1 goes on with memory.

mod disk;
mod ext4;
mod gpt;
mod grow;
mod say;
mod tools;

use disk::Partition;
use ext4::Contents;
use say::say;
use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Where PID 1 says which partition holds the state.
const DEVICE: &str = "STATE_DEVICE";

fn main() -> ExitCode {
    let Some(device) = std::env::var_os(DEVICE).map(PathBuf::from) else {
        say(&format!("{DEVICE} is not set"));
        return ExitCode::FAILURE;
    };
    match prepare(&device) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say(&format!("{}: {error}", device.display()));
            ExitCode::FAILURE
        }
    }
}

/// Leaves a clean ext4 on `device`.
fn prepare(device: &Path) -> io::Result<()> {
    let partition = tolerate("find its disk", Partition::of(device)).flatten();
    let contents = contents(device, partition.as_ref())?;
    let blank = contents == Contents::Blank;
    if let Some(partition) = &partition {
        tolerate("grow the partition", grow::partition(partition, blank));
    }
    leave_clean(device, contents)?;
    finish(device, partition.as_ref().filter(|_| blank))
}

/// Notes that `formatted` is, and grows the clean ext4 on `device`. Without the note the next boot would format it again,
/// so that nobody may use it before.
fn finish(device: &Path, formatted: Option<&Partition>) -> io::Result<()> {
    if let Some(partition) = formatted {
        grow::formatted(partition).map_err(|error| {
            io::Error::other(format!("cannot note that it is formatted: {error}"))
        })?;
    }
    tolerate("grow the file system", grow::file_system(device));
    Ok(())
}

/// What `device` holds; nothing, if the last format of `partition` was cut short.
fn contents(device: &Path, partition: Option<&Partition>) -> io::Result<Contents> {
    let half_made = partition.map(grow::is_half_formatted);
    let half_made = half_made.and_then(|read| tolerate("read the partition table", read));
    match half_made {
        Some(true) => Ok(Contents::Blank),
        Some(false) | None => ext4::contents(device),
    }
}

fn leave_clean(device: &Path, contents: Contents) -> io::Result<()> {
    match contents {
        Contents::Blank => tools::make(device),
        Contents::Ext4(found) if found.clean => Ok(()),
        Contents::Ext4(_) => tools::check(device),
        Contents::Damaged(backup) => tools::repair(device, backup),
        Contents::Unknown => Err(io::Error::other(
            "holds neither ext4 nor zeros; it is left alone",
        )),
    }
}

/// Reports what failed and goes on: the machine is better off with a partition as it is than
/// without one.
fn tolerate<T>(what: &str, result: io::Result<T>) -> Option<T> {
    result
        .inspect_err(|error| say(&format!("cannot {what}: {error}")))
        .ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_next_boot_would_format_again_is_not_used() {
        let missing = Partition {
            disk: "/no/such/disk".into(),
            disk_size: 64 << 20,
            sector: 512,
            number: 3,
            start: 9 << 20,
        };
        let device = Path::new("/no/such/device");
        let error = finish(device, Some(&missing)).unwrap_err();
        assert_eq!(
            error.to_string(),
            "cannot note that it is formatted: No such file or directory (os error 2)"
        );
        finish(device, None).unwrap();
    }
}
