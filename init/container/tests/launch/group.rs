//! A cgroup for each run of the tests: cgroups of containers have the names of their services, and two clones of the
//! repository may be tested at once.

use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, id};
use tare_container::cgroup;

/// The first argument of this program when it runs in the cgroup that its second argument names.
const INSIDE: &str = "in-a-cgroup-of-its-own";

/// Enters the cgroup that the arguments name, if they do. The next cgroup namespace has it as its root.
pub(crate) fn enter() -> bool {
    let args: Vec<String> = env::args().skip(1).collect();
    let [inside, group] = &args[..] else {
        return false;
    };
    if inside != INSIDE {
        return false;
    }
    fs::write(Path::new(group).join("cgroup.procs"), "0").unwrap();
    true
}

/// Runs this program again in a new cgroup, and removes that. No process of the first run is in it, so that it can be
/// removed even if the second one panics.
pub(crate) fn run() -> ExitCode {
    unshare(CloneFlags::CLONE_NEWNS).unwrap();
    let none: Option<&str> = None;
    mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none).unwrap();
    let fstype = "cgroup2";
    mount(
        Some(fstype),
        cgroup::ROOT,
        Some(fstype),
        MsFlags::empty(),
        none,
    )
    .unwrap();
    let group = parent().join(format!("tare-launch-{}", id()));
    fs::create_dir(&group).unwrap();
    let mut inside = Command::new("/proc/self/exe");
    let status = inside.arg(INSIDE).arg(&group).status().unwrap();
    remove(&group);
    if status.success() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

/// The cgroup of this process (cgroups(7)).
fn parent() -> PathBuf {
    let groups = fs::read_to_string("/proc/self/cgroup").unwrap();
    let own = groups.lines().find_map(|line| line.strip_prefix("0::/"));
    Path::new(cgroup::ROOT).join(own.unwrap())
}

/// A failed launch leaves its cgroup.
fn remove(group: &Path) {
    let services = group.join("services");
    for entry in fs::read_dir(&services).into_iter().flatten().flatten() {
        let _ = fs::remove_dir(entry.path());
    }
    let _ = fs::remove_dir(services);
    fs::remove_dir(group).unwrap();
}
