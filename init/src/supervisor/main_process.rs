//! The process that a service names as its main one (`MAINPID=`, `sd_notify(3)`).

use super::event::Event;
use super::unit::{MainProcess, Unit};
use crate::effect::pidfd;
use crate::effect::readable::until_readable;
use crate::task::Task;
use nix::errno::Errno;
use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;
use tare_config::service::Namespace;
use tare_container::Running;
use tokio::sync::mpsc::UnboundedSender;

/// The process of `unit` that has `pid` in the service's own pid namespace, as the host sees it. Only
/// processes of the service's cgroup are looked at.
pub(super) fn find(unit: &Unit, pid: i32) -> Option<i32> {
    let host_pids = unit.service.sandbox.joins(Namespace::Pid);
    let mut processes = processes(unit).into_iter();
    processes.find(|process| {
        if host_pids {
            *process == pid
        } else {
            inner_pid(*process) == Some(pid)
        }
    })
}

/// Those of its cgroup, as the host sees them.
fn processes(unit: &Unit) -> Vec<i32> {
    let list = fs::read_to_string(unit.cgroup().join("cgroup.procs")).unwrap_or_default();
    list.lines().filter_map(|line| line.parse().ok()).collect()
}

/// What a process of a container calls itself: the second number, for a container is one namespace
/// below the host's (`NSpid` of proc_pid_status(5)).
fn inner_pid(process: i32) -> Option<i32> {
    let status = fs::read_to_string(Path::new("/proc").join(process.to_string()).join("status"));
    inner_pid_of(&status.ok()?)
}

fn inner_pid_of(status: &str) -> Option<i32> {
    let pids = status
        .lines()
        .find_map(|line| line.strip_prefix("NSpid:"))?;
    pids.split_whitespace().nth(1)?.parse().ok()
}

/// Takes the process `pid` of `unit`, which may be no child of ours, as its main one.
///
/// In a pid namespace of its own a container still ends with its first process. In the host's, the new
/// one takes the place of the first, which may end.
pub(super) fn take(unit: &mut Unit, pid: i32, events: &UnboundedSender<Event>) -> io::Result<()> {
    let pidfd = pidfd::open(pid)?;
    // The process may have ended, and another have its number, before there was a descriptor to hold it by.
    if !processes(unit).contains(&pid) {
        return Err(io::Error::from_raw_os_error(Errno::ESRCH as i32));
    }
    let watch = Task::spawn(tell_end(
        pidfd.try_clone()?,
        Event::MainEnded {
            service: unit.name.clone(),
            run: unit.run,
            pid,
        },
        events.clone(),
    ));
    let pidfd = if unit.service.sandbox.joins(Namespace::Pid) {
        let cgroup = unit.cgroup();
        unit.running = Some(Running { pid, pidfd, cgroup });
        None
    } else {
        Some(pidfd)
    };
    unit.main = Some(MainProcess {
        pid,
        pidfd,
        _watch: watch,
    });
    Ok(())
}

async fn tell_end(pidfd: OwnedFd, ended: Event, events: UnboundedSender<Event>) {
    until_readable(pidfd).await;
    let _ = events.send(ended);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_second_number_is_the_service_s_own() {
        for (status, want) in [
            ("Name:\ta\nNSpid:\t4711\t7\nNSsid:\t1\n", Some(7)),
            ("NSpid:\t4711\t7\t1\n", Some(7)),
            ("NSpid:\t4711\n", None),
            ("", None),
        ] {
            assert_eq!(inner_pid_of(status), want, "{status}");
        }
    }
}
