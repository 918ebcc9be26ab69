//! The last writes to a disk that may no longer respond.

use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::{ForkResult, Pid, fork};
use std::fs;
use std::process::exit;
use std::time::{Duration, Instant};

/// How long writeback may make no progress before we give up.
const PATIENCE: Duration = Duration::from_secs(30);
/// The polling interval, in milliseconds.
const LOOK: u8 = 10;

/// Runs `work`, which may never finish, in a separate process, and waits for it as long as writeback makes progress.
/// Calls `each_second` meanwhile.
pub(crate) fn wait_for(work: impl FnOnce(), each_second: impl FnMut()) {
    // SAFETY: PID 1 has one thread, so the child may run ordinary Rust code.
    match unsafe { fork() } {
        Ok(ForkResult::Child) => {
            work();
            exit(0)
        }
        Ok(ForkResult::Parent { child }) => wait(|| runs(child), each_second),
        Err(error) => {
            log::error!("fork: {error}");
            work();
        }
    }
}

fn runs(child: Pid) -> bool {
    waitpid(child, Some(WaitPidFlag::WNOHANG)) == Ok(WaitStatus::StillAlive)
}

fn wait(runs: impl Fn() -> bool, mut each_second: impl FnMut()) {
    let mut least = unwritten();
    let mut since = Instant::now();
    let mut called = since;
    while runs() {
        let now = unwritten();
        if now < least {
            (least, since) = (now, Instant::now());
        }
        if since.elapsed() > PATIENCE {
            log::error!("giving up on writeback: {least} KiB unwritten");
            return;
        }
        if called.elapsed() >= Duration::from_secs(1) {
            each_second();
            called = Instant::now();
        }
        let _ = nix::poll::poll(&mut [], LOOK);
    }
}

/// What the kernel has yet to write to disks, in KiB.
fn unwritten() -> u64 {
    unwritten_in(&fs::read_to_string("/proc/meminfo").unwrap_or_default())
}

fn unwritten_in(meminfo: &str) -> u64 {
    let lines = meminfo.lines().filter_map(|line| line.split_once(':'));
    let counted = lines.filter(|(name, _)| ["Dirty", "Writeback"].contains(name));
    let kibibytes = counted.map(|(_, value)| value.trim().trim_end_matches(" kB").parse::<u64>());
    kibibytes.flatten().sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn watchdogs_are_pinged_meanwhile() {
        let begun = Instant::now();
        let mut pings = 0;
        wait(
            || begun.elapsed() < Duration::from_millis(2500),
            || pings += 1,
        );
        assert!((1..=2).contains(&pings), "{pings}");
    }

    #[test]
    fn what_is_dirty_and_what_is_under_way() {
        let meminfo =
            "MemTotal:  1005076 kB\nDirty:   80 kB\nWriteback:  4 kB\nWritebackTmp:  9 kB\n";
        assert_eq!(unwritten_in(meminfo), 84);
        assert_eq!(unwritten_in(""), 0);
    }
}
