//! At most two test machines at a time.

use std::cell::Cell;
use std::env;
use std::fs::{DirBuilder, File};
use std::io::ErrorKind;
use std::os::unix::fs::DirBuilderExt;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use anyhow::{Context, Result};
use nix::fcntl::Flock;
use nix::unistd::geteuid;
use tare_image::cache;

/// An emulated machine keeps one of the host's processors busy.
pub(crate) const SLOTS: usize = 2;

thread_local! {
    /// Whether this thread's test holds a slot.
    static HELD: Cell<bool> = const { Cell::new(false) };
}

static SLOTS_TAKEN: Slots = Slots::new();

/// How many slots are taken.
#[derive(Debug)]
struct Slots {
    taken: Mutex<usize>,
    given_back: Condvar,
}

impl Slots {
    const fn new() -> Self {
        Self {
            taken: Mutex::new(0),
            given_back: Condvar::new(),
        }
    }

    /// Waits for a slot and takes it.
    fn take(&self) {
        let mut taken = self.lock();
        while *taken >= SLOTS {
            let waited = self.given_back.wait(taken);
            taken = waited.unwrap_or_else(PoisonError::into_inner);
        }
        *taken += 1;
    }

    /// Takes a slot, even beyond the limit: a machine that wakes up does not wait.
    fn take_again(&self) {
        *self.lock() += 1;
    }

    fn give_back(&self) {
        *self.lock() -= 1;
        self.given_back.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, usize> {
        // A panic cannot leave a number inconsistent.
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Runs `work` with a slot, once one is free.
pub(crate) fn in_a_slot<T>(work: impl FnOnce() -> T) -> T {
    SLOTS_TAKEN.take();
    HELD.set(true);
    let done = work();
    HELD.set(false);
    SLOTS_TAKEN.give_back();
    done
}

/// Runs `work`, during which this test's machine is idle, so that another test may start.
pub fn asleep<T>(work: impl FnOnce() -> T) -> T {
    if !HELD.get() {
        return work();
    }
    SLOTS_TAKEN.give_back();
    let done = work();
    SLOTS_TAKEN.take_again();
    done
}

/// Waits until no other program of this user runs machine tests: two of them would be twice as slow. Others wait
/// until the returned lock is dropped.
///
/// # Errors
/// The temporary folder cannot be written to.
pub(crate) fn alone() -> Result<Flock<File>> {
    let folder = env::temp_dir().join(format!("tare-test-machines-{}", geteuid()));
    match DirBuilder::new().mode(0o700).create(&folder) {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => {
            return Err(error).with_context(|| format!("create {}", folder.display()));
        }
        _ => {}
    }
    cache::lock(&folder.join("lock"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc::{self, RecvTimeoutError};
    use std::thread;
    use std::time::Duration;

    #[test]
    fn a_third_machine_waits_unless_one_sleeps() {
        static SLOTS_OF_TEST: Slots = Slots::new();
        SLOTS_OF_TEST.take();
        SLOTS_OF_TEST.take();
        let (sender, began) = mpsc::channel();
        thread::spawn(move || {
            for _ in 0..2 {
                SLOTS_OF_TEST.take();
                sender.send(()).unwrap();
            }
        });
        let soon = || began.recv_timeout(Duration::from_millis(50));
        let later = || began.recv_timeout(Duration::from_secs(10));
        assert_eq!(soon(), Err(RecvTimeoutError::Timeout));
        // One test sleeps, and wakes up while another has its slot.
        SLOTS_OF_TEST.give_back();
        assert_eq!(later(), Ok(()));
        SLOTS_OF_TEST.take_again();
        SLOTS_OF_TEST.give_back();
        assert_eq!(soon(), Err(RecvTimeoutError::Timeout));
        SLOTS_OF_TEST.give_back();
        assert_eq!(later(), Ok(()));
    }
}
