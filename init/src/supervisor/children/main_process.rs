//! The process that a service names as its main one (`MAINPID=`, `sd_notify(3)`).

use crate::effect::pidfd;
use crate::effect::readable::until_readable;
use crate::event::{Event, UnitEvent};
use crate::supervisor::unit::{MainProcess, Unit};
use crate::task::Task;
use nix::errno::Errno;
use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;
use tare_config::service::Namespace;
use tare_container::Running;
use tokio::sync::mpsc::UnboundedSender;

/// The host's pid of the process of `unit` that has `pid` in the service's own pid namespace. Only processes in the
/// service's cgroup are looked at.
pub(in crate::supervisor) fn find(unit: &Unit, pid: i32) -> Option<i32> {
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

/// The host's pids of the processes in its cgroup.
fn processes(unit: &Unit) -> Vec<i32> {
    let list = fs::read_to_string(unit.cgroup().join("cgroup.procs")).unwrap_or_default();
    list.lines().filter_map(|line| line.parse().ok()).collect()
}

/// The pid of a process in its container: the second number, because a container is one namespace below the host's
/// (`NSpid` of proc_pid_status(5)).
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

/// Makes the process `pid` of `unit`, which may not be our child, its main one.
///
/// With its own pid namespace, a container still ends with its first process. In the host's, the new process replaces
/// the first, which may end.
pub(in crate::supervisor) fn take(
    unit: &mut Unit,
    pid: i32,
    events: &UnboundedSender<Event>,
) -> io::Result<()> {
    let pidfd = pidfd::open(pid)?;
    // The process may have ended, and its pid may have been reused, before the pidfd was opened.
    if !processes(unit).contains(&pid) {
        return Err(io::Error::from_raw_os_error(Errno::ESRCH as i32));
    }
    let watch = Task::spawn(tell_end(
        pidfd.try_clone()?,
        UnitEvent::MainEnded {
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

async fn tell_end(pidfd: OwnedFd, ended: UnitEvent, events: UnboundedSender<Event>) {
    until_readable(pidfd).await;
    let _ = events.send(ended.into());
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
