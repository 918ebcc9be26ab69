//! How many apps start at a time: each takes some 60 MiB while it does.

use rustix::fs::{FlockOperation, flock};
use std::fs::{self, File};
use std::path::Path;
use std::thread::{sleep, spawn};
use std::time::{Duration, Instant};

const SLOTS: u32 = 2;
/// Others that take longer than this, because a registry does not answer or a container is not healthy, do not delay
/// this one.
const HELD: Duration = Duration::from_secs(10);
const PATIENCE: Duration = Duration::from_secs(60);
const LOOK: Duration = Duration::from_millis(200);

/// Waits for a slot in `folder` and keeps it for a while. Without one, the app starts all the same.
pub(crate) fn take(folder: &Path) {
    let late = Instant::now() + PATIENCE;
    while Instant::now() < late {
        if let Some(slot) = (0..SLOTS).find_map(|number| try_take(&folder.join(number.to_string())))
        {
            // Ends with the process, if that is sooner.
            spawn(move || {
                sleep(HELD);
                drop(slot);
            });
            return;
        }
        sleep(LOOK);
    }
}

fn try_take(path: &Path) -> Option<File> {
    let file = fs::OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .open(path)
        .ok()?;
    flock(&file, FlockOperation::NonBlockingLockExclusive).ok()?;
    Some(file)
}
