//! Real launches on the test machine: as root, in their own mount and cgroup namespace. There is no test harness,
//! because [`tare_container::launch()`] does not allow its threads.
//!
//! The program in the containers is this one, which needs no other files.

#![expect(
    clippy::unwrap_used,
    reason = "tests; clippy knows them by the harness"
)]

mod group;
mod host;
mod hostile;
mod lease;
mod probe;

use host::{DEADLINE, Host, populated, remove_cgroup, start, start_exec_on};
use lease::Lease;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::pty::openpty;
use nix::sys::signal::{SigHandler, Signal, signal};
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::{Pid, Uid};
use probe::{names, read};
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read, Write};
use std::os::fd::AsFd;
use std::path::Path;
use std::process::ExitCode;
use tare_container::{Launch, launch};

/// Where this program is in the containers, which it recognizes by this path.
const PROBE: &str = "/bin/probe";
/// The same program, in a file that has a lease.
const LEASED: &str = "/bin/probe-leased";

type Test = (&'static str, fn(&Host));

const TESTS: [Test; 16] = [
    ("a service has nothing it did not name", nothing_unnamed),
    ("a user keeps its capabilities", a_user_keeps_capabilities),
    (
        "a service without capabilities has its own users",
        users_of_its_own,
    ),
    ("what stops a launch is named", failures_are_named),
    (
        "a link in a shared directory leads nowhere",
        links_stay_inside,
    ),
    ("an image may be an attacker's", hostile::attacks),
    (
        "what an image has below mounts is covered",
        hostile::masks_are_in_place,
    ),
    (
        "a running container may be an attacker's",
        hostile::attacks_on_a_second_program,
    ),
    ("a second program has the same walls", second_program),
    (
        "where a second program comes from is hidden",
        nothing_is_seen_on_the_way,
    ),
    ("a second program ends with its pipeline", pipelines_end),
    ("a second program has its terminal", its_own_terminal),
    ("a launcher may have much open", much_is_open),
    ("kill ends everything", kill_ends_everything),
    ("nothing is left behind", nothing_is_left),
    // Last, because a joined thread may remain for a moment.
    ("a second thread is noticed", threads_are_noticed),
];

fn main() -> ExitCode {
    let mut args = std::env::args();
    if args.next().is_some_and(|path| path.starts_with(PROBE)) {
        probe::main(args.next().as_deref(), args.next().as_deref());
        return ExitCode::SUCCESS;
    }
    if !Uid::effective().is_root() {
        println!("skipped: needs root");
        return ExitCode::SUCCESS;
    }
    if !group::enter() {
        return group::run();
    }
    hear_the_terminal();
    let host = Host::new();
    for (name, test) in TESTS {
        println!("test {name} ...");
        test(&host);
    }
    ExitCode::SUCCESS
}

/// A shell's background jobs ignore SIGINT, and programs inherit that. PID 1, whose part this is, does not.
fn hear_the_terminal() {
    // SAFETY: no handler is replaced.
    unsafe { signal(Signal::SIGINT, SigHandler::SigDfl) }.unwrap();
}

fn nothing_unnamed(host: &Host) {
    let want = "\
Uid: 0 0 0 0
Gid: 0 0 0 0
SigBlk: 0000000000000000
CapInh: 0000000000000000
CapPrm: 0000000000000000
CapEff: 0000000000000000
CapBnd: 0000000000000000
CapAmb: 0000000000000000
NoNewPrivs: 1
Seccomp: 2
users: 0 0 1
groups: 0 0 1
pid: 1
cgroup: 0::/
write to /: read-only filesystem or storage medium
write to /tmp: done
write to /proc/sys: entity not found
/proc/keys: \"No such file or directory (os error 2)\"
/dev: fd full mqueue null ptmx pts random shm stderr stdin stdout tty urandom zero
descriptors: 0 1 2 3
routes: 0
unshare: Err(EPERM)";
    // Descriptor 3 is the one that lists them.
    assert_eq!(host.run("least", "", None), want);
}

/// It reports the same facts as the first process, except for its id, and the container ends it.
fn second_program(host: &Host) {
    let user = "user = 'daemon'";
    second_program_of(host, &format!("{user}\ncapabilities = ['CAP_SYS_TIME']"));
    second_program_of(host, user);
}

fn second_program_of(host: &Host, rest: &str) {
    let bundle = host.bundle("second", rest);
    let running = start(&bundle, Some("wait"), None);
    let first = host.run("second-alone", rest, None);
    let second = host.exec(&bundle, &running, &[PROBE]).unwrap();
    assert_eq!(second, first.replace("pid: 1", "pid: 2"));
    assert_eq!(
        host.exec(&bundle, &running, &["/none"]),
        Err("execve /none: ENOENT: No such file or directory".to_owned())
    );
    // The launcher is back in its own pid namespace.
    assert_eq!(host.run("second-after", rest, None), first);
    let (waits, _) = host.start_exec(&bundle, &running, &[PROBE, "wait"]);
    let waits = waits.wait(DEADLINE).unwrap();
    running.kill().unwrap();
    // The first process ends only when every other process in its namespace was reaped.
    for pid in [waits.pid, running.pid].map(Pid::from_raw) {
        let killed = WaitStatus::Signaled(pid, Signal::SIGKILL, false);
        assert_eq!(waitpid(pid, None).unwrap(), killed);
    }
    remove_cgroup(&running);
}

/// The reader of its output sees the end only when all processes that write to it have ended.
fn pipelines_end(host: &Host) {
    let bundle = host.bundle("pipeline", "");
    let running = start(&bundle, Some("wait"), None);
    let (leader, said) = host.start_exec(&bundle, &running, &[PROBE, "fork"]);
    let mut said = File::from(said);
    said.read_exact(&mut [0; "forked\n".len()]).unwrap();
    leader.kill();
    let mut end = [PollFd::new(said.as_fd(), PollFlags::POLLIN)];
    let patience = PollTimeout::try_from(DEADLINE).unwrap();
    assert_eq!(poll(&mut end, patience), Ok(1));
    running.kill().unwrap();
    for pid in [leader.pid(), running.pid] {
        waitpid(Pid::from_raw(pid), None).unwrap();
    }
    remove_cgroup(&running);
}

/// It is the program's controlling terminal, whose keys send signals, unless it is another session's.
fn its_own_terminal(host: &Host) {
    let bundle = host.bundle("terminal", "");
    let running = start(&bundle, Some("wait"), None);
    let terminal = openpty(None, None).unwrap();
    let exec = |argument: &str| {
        let stdio = [Some(terminal.slave.as_fd()); 3];
        let starting = start_exec_on(&bundle, &running, &[PROBE, argument], stdio);
        Pid::from_raw(starting.wait(DEADLINE).unwrap().pid)
    };
    let mut screen = BufReader::new(File::from(terminal.master.try_clone().unwrap()));
    let mut look = || {
        let pid = exec("terminal");
        assert_eq!(waitpid(pid, None).unwrap(), WaitStatus::Exited(pid, 0));
        let mut line = String::new();
        screen.read_line(&mut line).unwrap();
        line
    };
    assert_eq!(look(), "a terminal\r\n");
    let waits = exec("wait");
    assert_eq!(look(), "No such device or address (os error 6)\r\n");
    File::from(terminal.master).write_all(b"\x03").unwrap();
    let interrupted = WaitStatus::Signaled(waits, Signal::SIGINT, false);
    assert_eq!(waitpid(waits, None).unwrap(), interrupted);
    running.kill().unwrap();
    waitpid(Pid::from_raw(running.pid), None).unwrap();
    remove_cgroup(&running);
}

/// Just before `execve` the second program is a process of the container with this process's memory and descriptors.
fn nothing_is_seen_on_the_way(host: &Host) {
    let bundle = host.bundle("way", "");
    let running = start(&bundle, Some("wait"), None);
    let path = bundle.path.join("rootfs").join(&LEASED[1..]);
    fs::copy("/proc/self/exe", &path).unwrap();
    let lease = Lease::take(&path);
    let (waits, _) = host.start_exec(&bundle, &running, &[LEASED, "wait"]);
    lease.wait_broken();
    // Its own three, and two that `execve` closes: the report pipe and the pidfd of the container's first process.
    let open = fs::read_dir(format!("/proc/{}/fd", waits.pid())).unwrap();
    assert_eq!(open.count(), 5);
    let look = || host.exec(&bundle, &running, &[PROBE, "/proc/2/environ"]);
    assert_eq!(look().unwrap(), "Permission denied (os error 13)");
    drop(lease);
    let waits = waits.wait(DEADLINE).unwrap();
    assert!(look().unwrap().starts_with("HOME="));
    running.kill().unwrap();
    for pid in [waits.pid, running.pid] {
        waitpid(Pid::from_raw(pid), None).unwrap();
    }
    remove_cgroup(&running);
}

fn a_user_keeps_capabilities(host: &Host) {
    let said = host.run(
        "user",
        "user = 'daemon'\ncapabilities = ['CAP_SYS_TIME']",
        None,
    );
    let facts: Vec<&str> = said.lines().take(8).collect();
    let want = [
        "Uid: 1 1 1 1",
        "Gid: 1 1 1 1",
        "SigBlk: 0000000000000000",
        "CapInh: 0000000002000000",
        "CapPrm: 0000000002000000",
        "CapEff: 0000000002000000",
        "CapBnd: 0000000002000000",
        "CapAmb: 0000000002000000",
    ];
    assert_eq!(facts, want);
}

/// A service that names no capability has no user except its own, unless it asks for the host's.
fn users_of_its_own(host: &Host) {
    let user = "user = 'daemon'";
    let joins = "[sandbox]\nhost-namespaces = ['user']";
    for (name, rest, want) in [
        (
            "own-users",
            user.to_owned(),
            "users: 1 1 1\ngroups: 1 1 1\n",
        ),
        (
            "host-users",
            format!("{user}\n{joins}"),
            "users: 0 0 4294967295\ngroups: 0 0 4294967295\n",
        ),
    ] {
        let said = host.run(name, &rest, None);
        assert!(said.starts_with("Uid: 1 1 1 1\nGid: 1 1 1 1\n"), "{said}");
        assert!(said.contains(want), "{said}");
        assert!(said.contains("CapEff: 0000000000000000\n"), "{said}");
    }
}

fn failures_are_named(host: &Host) {
    let missing = "ENOENT: No such file or directory";
    for (name, rest, want) in [
        ("directory", "working-directory = '/none'", "chdir /none"),
        (
            "source",
            "[[mounts]]\nshared = 'none'\ntarget = '/data'",
            "open_tree /run/tare/shared/none",
        ),
        (
            "target",
            "[[mounts]]\nhost = '/run'\ntarget = '/proc/none'",
            "make /proc/none",
        ),
    ] {
        let bundle = host.bundle(name, rest);
        let error = launch(&bundle, &Launch::default(), DEADLINE).unwrap_err();
        assert_eq!(error.to_string(), format!("{want}: {missing}"));
        waitpid(None, None).unwrap();
    }
    let bundle = host.bundle("program", "");
    fs::remove_file(bundle.path.join("rootfs/bin/probe")).unwrap();
    let error = launch(&bundle, &Launch::default(), DEADLINE).unwrap_err();
    assert_eq!(error.to_string(), format!("execve {PROBE}: {missing}"));
    waitpid(None, None).unwrap();
}

/// A service leaves a link where its next start looks for the target of a mount, and another that leads to one of the
/// launcher's descriptors.
fn links_stay_inside(host: &Host) {
    let shared = Path::new("/run/tare/shared/evil");
    fs::create_dir_all(shared).unwrap();
    std::os::unix::fs::symlink("/etc", shared.join("link")).unwrap();
    let mounts = "\
[[mounts]]
shared = 'evil'
target = '/data'
[[mounts]]
tmpfs = '64KiB'
target = '/data/link'";
    std::os::unix::fs::symlink("/proc/self/fd/0", shared.join("directory")).unwrap();
    let bundle = host.bundle("links", mounts);
    let error = launch(&bundle, &Launch::default(), DEADLINE).unwrap_err();
    let many = "Too many symbolic links encountered";
    assert_eq!(
        error.to_string(),
        format!("mount tmpfs on /data/link, which is a symbolic link: ELOOP: {many}")
    );
    waitpid(None, None).unwrap();
    fs::remove_file(shared.join("link")).unwrap();
    let directory = format!("working-directory = '/data/directory'\n{mounts}");
    let bundle = host.bundle("directory-link", &directory);
    let error = launch(&bundle, &Launch::default(), DEADLINE).unwrap_err();
    assert_eq!(
        error.to_string(),
        format!("chdir /data/directory: ELOOP: {many}")
    );
    waitpid(None, None).unwrap();
    let inside = host.run("links", mounts, Some("/proc/self/mounts"));
    assert!(inside.contains("tmpfs /data/link tmpfs"), "{inside}");
}

/// The launcher has more open than the program may have.
fn much_is_open(host: &Host) {
    let few = "[resources]\nopen-files = 64";
    let want = host.run("much", few, None);
    let open: Vec<File> = (0..100).map(|_| File::open("/dev/null").unwrap()).collect();
    assert_eq!(host.run("much", few, None), want);
    drop(open);
}

fn kill_ends_everything(host: &Host) {
    let running = start(&host.bundle("kill", ""), Some("wait"), None);
    assert!(populated(&running));
    running.kill().unwrap();
    let pid = Pid::from_raw(running.pid);
    let killed = WaitStatus::Signaled(pid, Signal::SIGKILL, false);
    assert_eq!(waitpid(pid, None).unwrap(), killed);
    remove_cgroup(&running);
    assert!(!running.cgroup.exists());
}

fn nothing_is_left(host: &Host) {
    let state = || (names("/proc/self/fd"), read("/proc/self/mounts"));
    let before = state();
    for _ in 0..20 {
        host.run("least", "", None);
    }
    assert_eq!(state(), before);
}

fn threads_are_noticed(host: &Host) {
    let bundle = host.bundle("threads", "");
    let (wait, done) = std::sync::mpsc::channel::<()>();
    let second = std::thread::spawn(move || done.recv());
    let error = launch(&bundle, &Launch::default(), DEADLINE).unwrap_err();
    let want = "launch: more than one thread: EINVAL: Invalid argument";
    assert_eq!(error.to_string(), want);
    drop(wait);
    let _ = second.join();
}
