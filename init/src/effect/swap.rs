//! Swap: memory that zram compresses, and a file on the state partition.
//!
//! swapoff(2) reads all that is swapped out, which may take minutes, so this runs in a job.

use super::{files, memory, modules};
use crate::paths::{STATE, SWAP};
use nix::errno::Errno;
use nix::fcntl::{FallocateFlags, fallocate};
use nix::libc::{self, c_int};
use nix::sys::statvfs::statvfs;
use std::collections::BTreeSet;
use std::ffi::CString;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;
use tare_config::machine::Swap;

/// The device that the module makes when it is loaded.
const ZRAM: &str = "/dev/zram0";
const ZRAM_SETTINGS: &str = "/sys/block/zram0";

/// The unit of swap on x86-64, and the size of its header.
const PAGE: u64 = 4096;

/// Above the file, whose priority is negative (swapon(2)).
const FIRST: c_int = 100;

/// Makes the machine's swap what `swap` says; what is so already stays. `volatile`: whether the state is in memory, `None`
/// before there is one: the file waits for it. Returns a sentence for each part that failed.
pub(crate) fn set(swap: &Swap, volatile: Option<bool>) -> Vec<String> {
    let file = swap.file.map(|size| whole_pages(size.get()));
    let zram = memory::total().map(|memory| {
        let size = swap.zram.size;
        size.map(|size| whole_pages(size.of(memory)))
    });
    let zram = zram.and_then(set_zram);
    let file = match (volatile, file) {
        (None, _) | (Some(true), None) => Ok(()),
        (Some(true), Some(_)) => Err(io::Error::other("there is none, as the state is in memory")),
        (Some(false), file) => set_file(file),
    };
    let failed = |key: &str, result: io::Result<()>| {
        let error = result.err()?;
        Some(format!("{key}: {error}"))
    };
    let failed = [failed("swap.zram", zram), failed("swap.file", file)];
    failed.into_iter().flatten().collect()
}

/// Takes the file out of use: the state could not be unmounted. For the machine's end, when little is swapped out.
pub(crate) fn leave_file() -> io::Result<()> {
    match is_on(SWAP)? {
        true => off(SWAP),
        false => Ok(()),
    }
}

fn whole_pages(size: u64) -> u64 {
    size / PAGE * PAGE
}

fn set_zram(wanted: Option<u64>) -> io::Result<()> {
    let on = is_on(ZRAM)?;
    let size = read_setting("disksize").unwrap_or(0);
    if on && wanted == Some(size) {
        return Ok(());
    }
    if on {
        off(ZRAM)?;
        setting("reset", 1)?;
    }
    let Some(wanted) = wanted else {
        return Ok(());
    };
    let failures = modules::load(&BTreeSet::from(["zram".to_owned()]))?;
    if let Some(failure) = failures.first() {
        return Err(io::Error::other(format!("kernel module {failure}")));
    }
    if !on && size != 0 {
        let message = format!("{ZRAM} is in use by another program");
        return Err(io::Error::other(message));
    }
    setting("disksize", wanted)?;
    let made = OpenOptions::new().write(true).open(ZRAM);
    let made = made.and_then(|device| device.write_all_at(&header(wanted), 0));
    made.and_then(|()| swapon(ZRAM, FIRST)).inspect_err(|_| {
        // The memory of the header.
        let _ = setting("reset", 1);
    })
}

fn read_setting(name: &str) -> Option<u64> {
    let text = fs::read_to_string(Path::new(ZRAM_SETTINGS).join(name)).ok()?;
    text.trim().parse().ok()
}

fn setting(name: &str, value: u64) -> io::Result<()> {
    let path = Path::new(ZRAM_SETTINGS).join(name);
    fs::write(&path, value.to_string()).map_err(|error| named(&path.to_string_lossy(), &error))
}

fn set_file(wanted: Option<u64>) -> io::Result<()> {
    let on = is_on(SWAP)?;
    let has = fs::symlink_metadata(SWAP).ok().map(|file| file.len());
    if on && has == wanted {
        return Ok(());
    }
    if let Some(wanted) = wanted {
        let free = statvfs(STATE)?;
        let free = free.blocks_available() * free.fragment_size();
        // That of the present file will be free.
        fits(wanted, free.saturating_add(has.unwrap_or(0)))?;
    }
    if on {
        off(SWAP)?;
    }
    let path = Path::new(SWAP);
    if has != wanted {
        files::remove(path)?;
    }
    let Some(wanted) = wanted else {
        return Ok(());
    };
    if has != Some(wanted) {
        make_file(path, wanted).inspect_err(|_| drop(files::remove(path)))?;
    }
    // The last boot may have ended before it was written.
    let file = OpenOptions::new().write(true).open(path)?;
    file.write_all_at(&header(wanted), 0)?;
    file.sync_all()?;
    swapon(SWAP, 0)
}

/// # Errors
/// A file of `wanted` bytes would take more than half of the `free` ones.
fn fits(wanted: u64, free: u64) -> io::Result<()> {
    if wanted <= free / 2 {
        return Ok(());
    }
    let (wanted, free) = (wanted >> 20, free >> 20);
    Err(io::Error::other(format!(
        "{wanted} MiB are more than half of the {free} MiB that are free on the state partition"
    )))
}

/// Makes the file, with its blocks but without writing them: swap in blocks of ext4 that are allocated and not written is
/// accepted (6.12, `iomap_swapfile_iter`).
fn make_file(path: &Path, size: u64) -> io::Result<()> {
    let mut options = OpenOptions::new();
    let file: File = options
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)?;
    let length = i64::try_from(size).map_err(io::Error::other)?;
    Ok(fallocate(&file, FallocateFlags::empty(), 0, length)?)
}

/// The first page of swap of `size` bytes, as mkswap(8) writes it: the version, the last page and the magic (6.12,
/// `union swap_header`).
fn header(size: u64) -> Vec<u8> {
    const INFO: usize = 1024;
    const MAGIC: &[u8] = b"SWAPSPACE2";
    let last = u32::try_from((size / PAGE).saturating_sub(1)).unwrap_or(u32::MAX);
    let mut page = vec![0; PAGE as usize];
    page[INFO..INFO + 4].copy_from_slice(&1_u32.to_ne_bytes());
    page[INFO + 4..INFO + 8].copy_from_slice(&last.to_ne_bytes());
    let end = page.len();
    page[end - MAGIC.len()..].copy_from_slice(MAGIC);
    page
}

/// Whether `path` is in use as swap.
fn is_on(path: &str) -> io::Result<bool> {
    let swaps = fs::read_to_string("/proc/swaps").map_err(|error| named("/proc/swaps", &error))?;
    Ok(is_in(&swaps, path))
}

/// Whether `path` is in `swaps`, the text of /proc/swaps: a line of labels, then one for each.
fn is_in(swaps: &str, path: &str) -> bool {
    let mut paths = swaps.lines().skip(1).map(str::split_whitespace);
    paths.any(|mut words| words.next() == Some(path))
}

/// Has the kernel use `path`, before other swap if its `priority` is above zero.
fn swapon(path: &str, priority: c_int) -> io::Result<()> {
    /// `SWAP_FLAG_PREFER`: the lower bits are the priority.
    const PREFER: c_int = 0x8000;
    let target = CString::new(path)?;
    let flags = if priority > 0 { PREFER | priority } else { 0 };
    // SAFETY: the path is a string with its NUL, which the kernel only reads.
    let done = Errno::result(unsafe { libc::swapon(target.as_ptr(), flags) });
    done.map(drop)
        .map_err(|errno| named(&format!("swapon {path}"), &errno.into()))
}

fn off(path: &str) -> io::Result<()> {
    let target = CString::new(path)?;
    // SAFETY: the path is a string with its NUL, which the kernel only reads.
    let done = Errno::result(unsafe { libc::swapoff(target.as_ptr()) });
    done.map(drop).map_err(|errno| match errno {
        Errno::ENOMEM => io::Error::other("it stays: the memory has no room for what is in it"),
        errno => named(&format!("swapoff {path}"), &errno.into()),
    })
}

fn named(what: &str, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{what}: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_header_is_that_of_mkswap() {
        let page = header(1 << 20);
        assert_eq!(page.len(), 4096);
        assert_eq!(&page[1024..1032], &[1, 0, 0, 0, 255, 0, 0, 0]);
        assert_eq!(&page[4086..], b"SWAPSPACE2");
        let others = page[..1024].iter().chain(&page[1032..4086]);
        assert_eq!(others.filter(|byte| **byte != 0).count(), 0);
        assert_eq!(header(4096 << 32)[1028..1032], [255; 4]);
    }

    #[test]
    fn swap_in_use() {
        let swaps = "Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n\
            /dev/zram0                              partition\t502264\t\t0\t\t100\n\
            /state/swap\\040(deleted)                file\t\t8188\t\t0\t\t-2\n";
        for (path, want) in [(ZRAM, true), (SWAP, false), ("Filename", false)] {
            assert_eq!(is_in(swaps, path), want, "{path}");
        }
        assert!(!is_in("", ZRAM));
    }

    #[test]
    fn a_file_leaves_half_of_what_is_free() {
        assert!(fits(5 << 20, 10 << 20).is_ok());
        let error = fits(6 << 20, 10 << 20).unwrap_err();
        assert_eq!(
            error.to_string(),
            "6 MiB are more than half of the 10 MiB that are free on the state partition"
        );
    }

    #[test]
    fn a_file_has_all_its_blocks() {
        use std::os::unix::fs::MetadataExt;
        let path = std::env::temp_dir().join(format!("tare-swap-{}", std::process::id()));
        make_file(&path, 1 << 20).unwrap();
        let made = fs::metadata(&path).unwrap();
        assert_eq!((made.len(), made.mode() & 0o777), (1 << 20, 0o600));
        assert!(made.blocks() * 512 >= 1 << 20, "{}", made.blocks());
        // What is there is not replaced, nor followed if it is a link.
        let again = make_file(&path, 1 << 20).unwrap_err();
        assert_eq!(again.kind(), io::ErrorKind::AlreadyExists);
        fs::remove_file(&path).unwrap();
    }
}
