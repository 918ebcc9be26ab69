//! At most two test machines at a time, whatever the number of threads, test programs and checkouts.

use std::env;
use std::fs::{DirBuilder, File};
use std::io::ErrorKind;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::thread;

use anyhow::{Context, Result};
use nix::fcntl::Flock;
use nix::unistd::geteuid;
use tare_image::cache;

/// An emulated machine keeps one or two of the host's processors busy.
const SLOTS: usize = 2;

/// The right to run one machine, given back when dropped.
#[derive(Debug)]
pub(crate) struct Slot {
    _lock: Flock<File>,
}

impl Slot {
    /// Waits for a free slot.
    ///
    /// # Errors
    /// The temporary folder cannot be written to.
    pub(crate) fn take() -> Result<Self> {
        Self::take_in(&folder()?)
    }

    /// Waits for all slots at once; those that come second go back.
    fn take_in(folder: &Path) -> Result<Self> {
        let (sender, taken) = mpsc::channel();
        for number in 0..SLOTS {
            let (sender, path) = (sender.clone(), folder.join(number.to_string()));
            thread::spawn(move || {
                // Unsent, the lock is dropped with the message.
                let _ = sender.send(cache::lock(&path));
            });
        }
        let lock = taken.recv().context("every waiting thread is gone")?;
        Ok(Self { _lock: lock? })
    }
}

/// Each user's own: files in the temporary folder cannot be shared between users.
fn folder() -> Result<PathBuf> {
    let folder = env::temp_dir().join(format!("tare-test-machines-{}", geteuid()));
    match DirBuilder::new().mode(0o700).create(&folder) {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => {
            Err(error).with_context(|| format!("create {}", folder.display()))
        }
        _ => Ok(folder),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Scratch;
    use std::sync::mpsc::RecvTimeoutError;
    use std::time::Duration;

    #[test]
    fn the_third_machine_waits_for_the_first() {
        let scratch = Scratch::new("slots").unwrap();
        let folder = scratch.path().to_owned();
        let first = Slot::take_in(&folder).unwrap();
        let _second = Slot::take_in(&folder).unwrap();
        let (sender, third) = mpsc::channel();
        thread::spawn(move || sender.send(Slot::take_in(&folder).map(drop)));
        let early = third.recv_timeout(Duration::from_millis(50));
        assert_eq!(early.unwrap_err(), RecvTimeoutError::Timeout);
        drop(first);
        third
            .recv_timeout(Duration::from_secs(10))
            .unwrap()
            .unwrap();
        scratch.remove().unwrap();
    }
}
