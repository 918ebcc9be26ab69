//! The program in the containers. It reports what it sees.

use nix::sched::{CloneFlags, unshare};
use std::fs;
use std::io;
use std::process::Command;

/// Waits to be killed, alone or with a child, looks for its terminal, replaces its null device by a link, prints one
/// file, or prints the facts.
pub(crate) fn main(what: Option<&str>, operand: Option<&str>) {
    match what {
        Some("replace-null") => {
            fs::remove_file("/dev/null").unwrap();
            std::os::unix::fs::symlink(operand.unwrap(), "/dev/null").unwrap();
        }
        Some("wait") => loop {
            nix::unistd::pause();
        },
        Some("fork") => {
            let mut child = Command::new(crate::PROBE).arg("wait").spawn().unwrap();
            println!("forked");
            child.wait().unwrap();
        }
        Some("terminal") => println!("{}", terminal()),
        Some(path) => print!("{}", read(path)),
        None => print!("{}", facts().join("\n")),
    }
}

/// What the process is, and what it can and cannot do.
fn facts() -> Vec<String> {
    let mut facts = status();
    facts.extend([
        format!("users: {}", words(&read("/proc/self/uid_map"))),
        format!("groups: {}", words(&read("/proc/self/gid_map"))),
        format!("pid: {}", std::process::id()),
        format!("cgroup: {}", cgroup()),
        format!("write to /: {}", outcome(fs::write("/x", ""))),
        format!("write to /tmp: {}", outcome(fs::write("/tmp/x", ""))),
        format!(
            "write to /proc/sys: {}",
            outcome(fs::write("/proc/sys/kernel/domainname", "x"))
        ),
        format!("/proc/keys: {:?}", read("/proc/keys")),
        format!("/dev: {}", names("/dev")),
        format!("descriptors: {}", names("/proc/self/fd")),
        format!(
            "routes: {}",
            read("/proc/net/route").lines().skip(1).count()
        ),
        format!("unshare: {:?}", unshare(CloneFlags::CLONE_NEWNET)),
    ]);
    facts
}

/// Whether the process has a controlling terminal.
fn terminal() -> String {
    match fs::File::open("/dev/tty") {
        Ok(_) => "a terminal".to_owned(),
        Err(error) => error.to_string(),
    }
}

/// The lines of `/proc/self/status` about isolation.
fn status() -> Vec<String> {
    const KEYS: [&str; 6] = ["Uid", "Gid", "Cap", "NoNewPrivs", "Seccomp:", "SigBlk"];
    let status = read("/proc/self/status");
    let lines = status
        .lines()
        .filter(|line| KEYS.iter().any(|key| line.starts_with(key)));
    lines
        .map(|line| line.replace(":\t", ": ").replace('\t', " "))
        .collect()
}

fn words(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The cgroup v2 path. A machine that also has v1 lists that first.
fn cgroup() -> String {
    let groups = read("/proc/self/cgroup");
    groups.lines().last().unwrap_or_default().to_owned()
}

pub(crate) fn read(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| error.to_string())
}

pub(crate) fn names(directory: &str) -> String {
    let entries = fs::read_dir(directory).unwrap();
    let name = |entry: io::Result<fs::DirEntry>| entry.unwrap().file_name().into_string().unwrap();
    let mut names: Vec<String> = entries.map(name).collect();
    names.sort();
    names.join(" ")
}

fn outcome(result: io::Result<()>) -> String {
    result.map_or_else(|error| error.kind().to_string(), |()| "done".to_owned())
}
