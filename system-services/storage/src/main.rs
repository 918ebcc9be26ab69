//! Leaves a clean ext4 on the partition that `STATE_DEVICE` names, as large as its disk allows. `tare-storage disk NAME`
//! serves a further disk instead ([`second`]).
//!
//! | found | done |
//! |---|---|
//! | nothing but zeros, or nothing known on a partition marked as not yet formatted | `mkfs.ext4` |
//! | our ext4, clean | nothing; on a marked partition `e2fsck -f -y` |
//! | our ext4, not unmounted or with errors | `e2fsck -p`, then `e2fsck -f -y` |
//! | our ext4, its superblock damaged | `e2fsck -y` with a backup superblock |
//! | anything else | reported and left alone |
//!
//! Our ext4 has the label `state`. The mark is bit 48 of the partition's attributes. An image has it set, so that a
//! partition counts as new even if the program that wrote the image skipped its zeros; it stays until `mkfs.ext4` has
//! finished. Recognised contents always take precedence over it.
//!
//! If the disk has room after the partition, the partition is grown to the disk's end, and the file system with it,
//! online, because the kernel's journal makes that safe against a power cut. A damaged partition table is repaired
//! from its copy.
//!
//! Exit status 0 means that there is a clean ext4, which the next boot will not format again; otherwise PID 1
//! continues with memory.

mod contents;
mod disk;
mod ext4;
mod gpt;
mod grow;
mod output;
mod say;
mod second;
mod tools;
mod xfs;

use contents::{Contents, contents};
use disk::Partition;
use say::say;
use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// The variable in which PID 1 names the partition that holds the state.
const DEVICE: &str = "STATE_DEVICE";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match &arguments[..] {
        [] => state(),
        [disk, name] if disk == "disk" => second::main(name),
        _ => {
            say("usage: tare-storage [disk NAME]");
            ExitCode::FAILURE
        }
    }
}

fn state() -> ExitCode {
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
    let partition = partition.as_ref();
    let repair = |partition| tolerate("repair the partition table", grow::repair(partition));
    partition.and_then(repair);
    let marked = partition.map(grow::is_marked);
    let marked = marked
        .and_then(|read| tolerate("read the partition table", read))
        .unwrap_or_default();
    let contents = contents(device, marked)?;
    let formats = contents == Contents::Blank;
    if let Some(partition) = partition.filter(|_| contents.is_ours()) {
        tolerate("grow the partition", grow::partition(partition, formats));
    }
    leave_clean(device, contents, marked)?;
    finish(device, partition.filter(|_| marked || formats))
}

/// Clears the mark of `marked`, and grows the clean ext4 on `device`. If the mark stayed, a file system that is
/// damaged later would count as blank, so nothing may be written before it is cleared.
fn finish(device: &Path, marked: Option<&Partition>) -> io::Result<()> {
    if let Some(partition) = marked {
        grow::unmark(partition).map_err(|error| {
            io::Error::other(format!("cannot note that it is formatted: {error}"))
        })?;
    }
    tolerate("grow the file system", grow::file_system(device));
    Ok(())
}

/// An ext4 on a marked partition may be one that `mkfs.ext4` did not finish, so it is checked whatever its superblock
/// says.
fn leave_clean(device: &Path, contents: Contents, marked: bool) -> io::Result<()> {
    match contents {
        Contents::Blank => tools::make(device),
        Contents::Ext4(_) if marked => tools::repair(device, None),
        Contents::Ext4(found) if found.clean => Ok(()),
        Contents::Ext4(_) => tools::check(device),
        Contents::Damaged(backup) => tools::repair(device, Some(backup)),
        Contents::Foreign(what) => Err(io::Error::other(format!(
            "{what}; refusing to touch it. See \"The state partition\" in docs/guide.md"
        ))),
    }
}

/// Reports what failed and continues: the machine is better off with a partition as it is than without one.
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
