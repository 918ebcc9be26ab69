//! The end of the machine: what is left after the services have stopped.

use crate::effect::cgroups;
use crate::effect::last_writes;
use crate::effect::mounts::unmount_all;
use crate::effect::power::{self, Ending};
use crate::effect::swap;
use crate::effect::watchdog::Watchdogs;
use crate::kmsg;
use crate::paths::STATE;
use crate::supervisor::reap;
use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, waitpid};
use nix::unistd::{Pid, sync};
use std::panic::PanicHookInfo;
use std::path::Path;
use std::time::{Duration, Instant};

/// How long killed processes may take to end.
const LAST: Duration = Duration::from_secs(5);

/// Kills what is left, unmounts the state and ends the machine.
pub(crate) fn finish(ending: Ending, mut watchdogs: Watchdogs) -> ! {
    for group in ["containers", "services"] {
        if let Err(error) = cgroups::kill(group) {
            log::warn!("kill {group}: {error}");
        }
    }
    kmsg::settle();
    // Processes in none of these cgroups: one that loads a module, a child in a private cgroup.
    let _ = kill(Pid::from_raw(-1), Signal::SIGKILL);
    wait_for_last_child();
    let work = || {
        swap::leave_file().unwrap_or_else(|error| log::error!("swap.file: {error}"));
        match unmount_all(Path::new(STATE)) {
            Ok(()) => log::info!("{}: state unmounted", verb(ending)),
            Err(error) => log::error!("unmount {STATE}: {error}"),
        }
        sync();
    };
    // Not every watchdog accepts a timeout that is long enough for a long writeback.
    last_writes::wait_for(work, || watchdogs.ping());
    power::end(ending)
}

fn verb(ending: Ending) -> &'static str {
    match ending {
        Ending::PowerOff => "powering off",
        Ending::Reboot => "rebooting",
    }
}

/// Waits for the last process: mounts are gone only once the last process of their namespace is. Orphans become our
/// children.
fn wait_for_last_child() {
    let deadline = Instant::now() + LAST;
    while Instant::now() < deadline {
        reap();
        if waitpid(None::<Pid>, Some(WaitPidFlag::WNOHANG)) == Err(Errno::ECHILD) {
            return;
        }
        nix::poll::poll(&mut [], 10_u8)
            .map(drop)
            .unwrap_or_default();
    }
    log::warn!(
        "processes are still running {} s after SIGKILL",
        LAST.as_secs()
    );
}

/// Logs a panic of PID 1 and reboots: a hang would need a person.
pub(crate) fn panicked(info: &PanicHookInfo<'_>) {
    let pid = nix::unistd::getpid();
    if pid == Pid::from_raw(1) {
        kmsg::settle();
    }
    log::error!("PID {pid} panicked: {info}");
    // A child between clone and `execve` has this hook too and ends only itself: it aborts, or, as the first process
    // of a pid namespace, ends that namespace instead of the machine (`pid_namespaces(7)`).
    if pid != Pid::from_raw(1) {
        return;
    }
    last_writes::wait_for(sync, || {});
    power::end(Ending::Reboot)
}
