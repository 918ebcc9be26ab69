//! A host for the containers, set up for the tests.

use crate::PROBE;
use nix::fcntl::OFlag;
use nix::mount::{MsFlags, mount, umount};
use nix::sched::{CloneFlags, unshare};
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::{Pid, pipe2};
use std::fs::{self, File};
use std::io::Read;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};
use tare_config::Service;
use tare_container::seccomp::Profile;
use tare_container::{Bundle, Exec, Launch, Running, Spec, Starting, Users};
use tare_container::{cgroup, compile, exec, launch, mount_points, to_json};

pub(crate) const DEADLINE: Duration = Duration::from_secs(30);

/// A directory of bundles, which disappears with this process's mount namespace.
pub(crate) struct Host {
    services: PathBuf,
}

impl Host {
    pub(crate) fn new() -> Self {
        unshare(CloneFlags::CLONE_NEWNS | CloneFlags::CLONE_NEWCGROUP).unwrap();
        let none: Option<&str> = None;
        mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none).unwrap();
        // What `group` has mounted there shows all of the tree, and the kernel refuses a second mount of it.
        umount(cgroup::ROOT).unwrap();
        for (fstype, target) in [("cgroup2", cgroup::ROOT), ("tmpfs", "/run")] {
            mount(Some(fstype), target, Some(fstype), MsFlags::empty(), none).unwrap();
        }
        fs::create_dir(Path::new(cgroup::ROOT).join("services")).unwrap();
        let services = PathBuf::from("/run/services");
        fs::create_dir(&services).unwrap();
        Self { services }
    }

    /// A bundle whose program is the probe; `rest` of its description follows the arguments.
    pub(crate) fn bundle(&self, name: &str, rest: &str) -> Bundle {
        let toml = format!("description = 'a test'\n[process]\nargs = ['{PROBE}']\n{rest}");
        let service: Service = tare_config::parse("service.toml", toml.as_bytes()).unwrap();
        let users = Users::parse("daemon:x:1:1::/:/bin/false");
        let mut spec = compile(name, &service, &users).unwrap();
        // Tests must not depend on the controllers that this machine has.
        spec.linux_mut().as_mut().unwrap().set_resources(None);
        let path = self.services.join(name);
        make_rootfs(&path.join("rootfs"), &spec);
        fs::write(path.join("config.json"), to_json(&spec).unwrap()).unwrap();
        let filter = Profile::of(&service).unwrap().program();
        fs::write(path.join("seccomp.bpf"), filter).unwrap();
        Bundle::load(&path).unwrap()
    }

    /// Runs the probe to its end and returns its output.
    pub(crate) fn run(&self, name: &str, rest: &str, argument: Option<&str>) -> String {
        let (reader, writer) = pipe2(OFlag::O_CLOEXEC).unwrap();
        let running = start(&self.bundle(name, rest), argument, Some(&writer));
        drop(writer);
        let mut said = String::new();
        File::from(reader).read_to_string(&mut said).unwrap();
        let pid = Pid::from_raw(running.pid);
        assert_eq!(
            waitpid(pid, None).unwrap(),
            WaitStatus::Exited(pid, 0),
            "{said}"
        );
        remove_cgroup(&running);
        said
    }
}

impl Host {
    /// Runs another program in `running` to its end. Returns its output, or why it could not run.
    pub(crate) fn exec(
        &self,
        bundle: &Bundle,
        running: &Running,
        args: &[&str],
    ) -> Result<String, String> {
        let (starting, reader) = self.start_exec(bundle, running, args);
        let pid = Pid::from_raw(starting.pid());
        let started = starting.wait(DEADLINE).map_err(|error| error.to_string());
        let mut said = String::new();
        File::from(reader).read_to_string(&mut said).unwrap();
        let status = waitpid(pid, None).unwrap();
        started.map(|_| {
            assert_eq!(status, WaitStatus::Exited(pid, 0), "{said}");
            said
        })
    }

    /// Like [`exec`](Self::exec), without the wait. Returns its output as a pipe.
    pub(crate) fn start_exec(
        &self,
        bundle: &Bundle,
        running: &Running,
        args: &[&str],
    ) -> (Starting, OwnedFd) {
        let (reader, writer) = pipe2(OFlag::O_CLOEXEC).unwrap();
        let output = Some(writer.as_fd());
        let starting = start_exec_on(bundle, running, args, [None, output, output]);
        (starting, reader)
    }
}

/// Removes the cgroup of a container whose processes have been reaped. The kernel may count a process for a moment after
/// its parent has seen it end.
pub(crate) fn remove_cgroup(running: &Running) {
    let until = Instant::now() + DEADLINE;
    while populated(running) {
        assert!(Instant::now() < until, "a process is left");
        thread::sleep(Duration::from_millis(1));
    }
    fs::remove_dir(&running.cgroup).unwrap();
}

/// True while there is a process in its cgroup or below.
pub(crate) fn populated(running: &Running) -> bool {
    let events = fs::read_to_string(running.cgroup.join("cgroup.events")).unwrap();
    events.lines().any(|line| line == "populated 1")
}

/// Starts another program in `running` with `stdio`.
pub(crate) fn start_exec_on(
    bundle: &Bundle,
    running: &Running,
    args: &[&str],
    stdio: [Option<BorrowedFd<'_>>; 3],
) -> Starting {
    let options = Exec {
        args: &args.iter().map(|&arg| arg.to_owned()).collect::<Vec<_>>(),
        stdio,
        environment: &[],
    };
    exec(bundle, running, &options).unwrap()
}

pub(crate) fn start(bundle: &Bundle, argument: Option<&str>, output: Option<&OwnedFd>) -> Running {
    let output = output.map(AsFd::as_fd);
    let options = Launch {
        stdio: [None, output, output],
        arguments: &argument.map(str::to_owned).into_iter().collect::<Vec<_>>(),
        ..Launch::default()
    };
    launch(bundle, &options, DEADLINE).unwrap()
}

fn make_rootfs(rootfs: &Path, spec: &Spec) {
    for target in mount_points(spec) {
        fs::create_dir_all(rootfs.join(&target[1..])).unwrap();
    }
    for directory in ["bin", "etc"] {
        fs::create_dir_all(rootfs.join(directory)).unwrap();
    }
    fs::copy("/proc/self/exe", rootfs.join(&PROBE[1..])).unwrap();
}
