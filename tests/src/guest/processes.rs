//! Checks that every process is in a known cgroup.

use anyhow::{Context, Result, bail, ensure};
use tare_qemu::Vm;

use super::{SETTLE, services};

/// One of a machine's processes, as `ps` shows it to a session of the ssh service.
#[derive(Debug, PartialEq, Eq)]
struct Process {
    pid: u32,
    parent: u32,
    /// `Z` for a zombie, see `ps(1)`.
    state: String,
    /// Seen from the ssh service's own cgroup, so `/../engine` for the service `engine`.
    cgroup: String,
    command: String,
}

/// The parent of the kernel's own threads, and itself one.
const KTHREADD: u32 = 2;

/// Checks that no zombie remains, and that each process is in the cgroup of PID 1, of a running service, or of a
/// container.
///
/// # Errors
/// Names the processes for which this is not true.
pub fn require_no_orphans(vm: &Vm) -> Result<()> {
    let mut orphans = find_orphans(vm)?;
    // A process that has just exited is a zombie until its parent reaps it.
    for _ in 0..SETTLE {
        if orphans.is_empty() {
            return Ok(());
        }
        vm.ssh("sleep 1")?;
        orphans = find_orphans(vm)?;
    }
    bail!("orphans: {orphans:#?}")
}

fn find_orphans(vm: &Vm) -> Result<Vec<Process>> {
    let list = vm.ssh("ps -ww -e -o pid= -o ppid= -o stat= -o cgroup= -o comm=")?;
    let mut processes: Vec<Process> = list
        .lines()
        .map(|line| parse(line).with_context(|| format!("`{line}` is not a process")))
        .collect::<Result<_>>()?;
    ensure!(
        processes.iter().any(|process| process.pid == 1),
        "ps does not show PID 1:\n{list}"
    );
    let running = services(vm)?
        .into_iter()
        .filter(|(_, state)| state != "done");
    let running: Vec<String> = running.map(|(name, _)| name).collect();
    processes.retain(|process| !has_place(process, &running));
    Ok(processes)
}

fn parse(line: &str) -> Option<Process> {
    let mut words = line.split_whitespace();
    Some(Process {
        pid: words.next()?.parse().ok()?,
        parent: words.next()?.parse().ok()?,
        state: words.next()?.to_owned(),
        cgroup: words.next()?.trim_start_matches("0::").to_owned(),
        command: words.collect::<Vec<_>>().join(" "),
    })
}

fn has_place(process: &Process, running: &[String]) -> bool {
    if process.pid == KTHREADD || process.parent == KTHREADD {
        return true;
    }
    !process.state.starts_with('Z') && is_known(&process.cgroup, running)
}

/// The tree is `/init`, `/services/NAME` and `/containers/user/ID`; the reader is in `/services/ssh`.
fn is_known(cgroup: &str, running: &[String]) -> bool {
    let within = |path: &str, root: &str| {
        path.strip_prefix(root)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    match cgroup.strip_prefix("/..") {
        None => true,
        Some("/../init") => true,
        Some(path) if within(path, "/../containers") => path != "/../containers",
        Some(path) => running.iter().any(|name| within(path, &format!("/{name}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_has_a_place_or_not() {
        let running = ["engine".to_owned(), "ssh".to_owned()];
        for (line, want) in [
            ("      1       0 Ss   0::/../../init init", true),
            ("      2       0 S    0::/../.. kthreadd", true),
            ("     35       2 I<   0::/../.. kworker/R-slub_", true),
            ("    120       1 Ss   0::/ sshd", true),
            ("    121       1 Ssl  0::/../engine dockerd", true),
            (
                "    122     121 Ssl  0::/../../containers/user/4f2a httpd",
                true,
            ),
            ("    123       1 S    0::/../storage e2fsck", false),
            ("    124       1 S    0::/../engineer x", false),
            ("    125       1 S    0::/../.. x", false),
            ("    126       1 Z    0::/../engine sh <defunct>", false),
        ] {
            assert_eq!(has_place(&parse(line).unwrap(), &running), want, "{line}");
        }
    }
}
