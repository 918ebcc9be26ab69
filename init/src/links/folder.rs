//! Makes folders of links match what they are to hold.
//!
//! A container may have `/dev` or a folder of it for writing. No path is looked up twice, and no link is followed, so that it
//! cannot make us change files elsewhere.

use super::{Folder, Link, Links};
use nix::dir::Dir;
use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, OFlag, openat, readlinkat};
use nix::sys::stat::{Mode, mkdirat};
use nix::unistd::{UnlinkatFlags, symlinkat, unlinkat};
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

/// Brings `folders` below `dev` up to date. Returns a sentence for each that could not be.
pub(super) fn apply(dev: &Path, folders: &[Folder], links: &Links) -> Vec<String> {
    let outcomes = folders.iter().filter_map(|folder| {
        let wanted: Vec<&Link> = links
            .0
            .iter()
            .filter(|link| link.folder == *folder)
            .collect();
        let error = bring_up_to_date(dev, *folder, &wanted).err()?;
        Some(format!(
            "links in /dev/{}: {error}",
            folder.path().join("/")
        ))
    });
    outcomes.collect()
}

/// A folder is made once there is something for it, and stays, for a container may have mounted it.
fn bring_up_to_date(dev: &Path, folder: Folder, wanted: &[&Link]) -> Result<(), Errno> {
    let mut opened = openat(AT_FDCWD, dev, FLAGS, Mode::empty())?;
    for component in folder.path() {
        if !wanted.is_empty() {
            match mkdirat(&opened, component, Mode::from_bits_truncate(0o755)) {
                Ok(()) | Err(Errno::EEXIST) => {}
                Err(error) => return Err(error),
            }
        }
        opened = match openat(&opened, component, FLAGS, Mode::empty()) {
            Err(Errno::ENOENT) if wanted.is_empty() => return Ok(()),
            opened => opened?,
        };
    }
    let mut there = keep(&opened, wanted)?;
    let mut outcome = Ok(());
    for link in wanted {
        if !there.contains(&link.name) {
            // One that cannot be made does not keep the others.
            let made = symlinkat(target(&link.node).as_str(), &opened, link.name.as_str());
            outcome = outcome.and(made);
            there.push(link.name.clone());
        }
    }
    outcome
}

const FLAGS: OFlag = OFlag::O_DIRECTORY
    .union(OFlag::O_NOFOLLOW)
    .union(OFlag::O_CLOEXEC);

/// Relative, so that it is right wherever `/dev` is mounted.
fn target(node: &str) -> String {
    format!("../../{node}")
}

/// Removes the links that are no longer wanted, and returns the names of the others. Of two devices with one name, the
/// first keeps it.
fn keep(folder: &OwnedFd, wanted: &[&Link]) -> Result<Vec<String>, Errno> {
    let mut kept = Vec::new();
    for name in names(folder)? {
        // What is no link is not ours.
        let Ok(led) = readlinkat(folder, name.as_str()) else {
            continue;
        };
        let is_wanted = |link: &&Link| link.name == name && *led == *target(&link.node);
        if wanted.iter().any(is_wanted) {
            kept.push(name);
        } else {
            unlinkat(folder, name.as_str(), UnlinkatFlags::NoRemoveDir)?;
        }
    }
    Ok(kept)
}

/// Names that are not UTF-8 are not ours.
fn names(folder: &OwnedFd) -> Result<Vec<String>, Errno> {
    let mut listed = Dir::openat(folder.as_fd(), ".", FLAGS, Mode::empty())?;
    let mut names = Vec::new();
    for entry in listed.iter() {
        if let Ok(name) = entry?.file_name().to_str() {
            names.push(name.to_owned());
        }
    }
    Ok(names)
}
