//! What containers and services may do to the machine they run on.

pub(crate) mod services;

use anyhow::{Context, Result, bail, ensure};
use tare_image::Image;
use tare_qemu::{Vm, secs};
use tare_tests::guest::{
    power_off, require_no_failed_service, run_container, starts, wait_apps, wait_service,
};
use tare_tests::{Checks, disk, user_data};

/// The limit for a login and a command whatever containers do, on a real CPU.
const LOGIN: std::time::Duration = secs(5);

/// Logins in a row, whatever else runs.
const LOGINS: u32 = 4;

/// In bytes, so that little is left for the state.
const DISK: u64 = 2560 << 20;

/// Forks without end.
const FORK_BOMB: &str = "sh -c 'b() { b | b & b | b; }; b'";
/// Allocates another megabyte, for ever.
const MEMORY_HOG: &str = "sh -c 'x=a; while [ ${#x} -lt 1000000 ]; do x=$x$x; done; \
    while :; do eval \"y$((i += 1))=\\$x\"; done'";
/// Writes until the disk is full, and frees it on SIGTERM.
const DISK_HOG: &str = "sh -c 'trap \"rm /srv/hog; exit\" TERM; cat /dev/zero > /srv/hog; sync; \
    sleep 600 & wait'";

/// Opens twice as many files as the default limit of a machine of this size.
const FILE_LEAK: &str = "sh -c 'fd=9; while [ $((fd += 1)) -lt 1000 ]; do all=\"$all $fd</proc/version\"; done; \
    i=0; while [ $((i += 1)) -le 200 ]; do (eval \"exec $all\"; echo leaks; sleep 600) & done; wait'";
/// Prints the same line for ever.
const LOG_FLOOD: &str = "sh -c 'while :; do echo flood; done'";

pub(crate) fn a_greedy_container_harms_only_itself(image: &Image) -> Result<()> {
    let vm = Vm::of(image)
        .user_data(user_data::DEMO)
        .disk_size(DISK)
        // The kernel reports the process that it killed, and where.
        .tolerate("Out of memory")
        .tolerate("Call Trace")
        .boot()?;
    vm.wait_ready()?;
    wait_apps(&vm)?;
    wait_service(&vm, "time", "ready", secs(30))?;
    let before = starts(&vm)?;
    let mut checks = Checks::default();
    checks.check("memory that services keep", || memory_is_kept(&vm));
    checks.check("fork bomb", || endures(&vm, FORK_BOMB));
    checks.check("memory hog", || memory_hog(&vm));
    checks.check("disk hog", || disk_hog(&vm));
    checks.check("file leak", || {
        let open = "[ $(cut -f 1 /proc/sys/fs/file-nr) -gt 190000 ]";
        start(&vm, "", FILE_LEAK, open)?;
        logins(&vm)?;
        remove(&vm)
    });
    checks.check("log flood", || endures(&vm, LOG_FLOOD));
    checks.check("no service has ended", || {
        let after = starts(&vm)?;
        ensure!(after == before, "starts were {before:?} and are {after:?}");
        require_no_failed_service(&vm)
    });
    checks.check("run a container", || run_container(&vm));
    checks.check("power off", || power_off(&vm));
    checks.check("clean file system", || {
        disk::require_clean_state(vm.machine())
    });
    checks.verdict()
}

/// Logins in a row are answered in time.
fn logins(vm: &Vm) -> Result<()> {
    for round in 0..LOGINS {
        let said = vm.login("echo here; sleep 0.5", LOGIN)?;
        ensure!(said == "here\n", "login {round}: {said:?}");
    }
    Ok(())
}

/// Checks the memory protected from reclaim for PID 1, services, ssh and the log, and that containers may use less
/// than there is.
fn memory_is_kept(vm: &Vm) -> Result<()> {
    const READ: &str = "docker run --rm --privileged --cgroupns host -v /sys/fs/cgroup:/cg tare/demo \
        cat /cg/init/memory.min /cg/services/memory.min /cg/services/ssh/memory.min \
        /cg/services/log/memory.min /cg/containers/memory.max";
    let said = vm.ssh_within(READ, secs(60))?;
    let bytes: Result<Vec<u64>, _> = said.lines().map(str::parse).collect();
    let bytes = bytes.with_context(|| said.clone())?;
    let kibibytes: u64 = vm
        .ssh("awk '/^MemTotal/ {print $2}' /proc/meminfo")?
        .trim()
        .parse()?;
    let [kept @ .., most] = &bytes[..] else {
        bail!("the kernel says nothing")
    };
    ensure!(kept.len() == 4 && !kept.contains(&0), "{said}");
    ensure!(*most < kibibytes << 10, "{said} of {kibibytes} KiB");
    Ok(())
}

/// Starts a container, logs in a few times while it does its worst, and removes it.
fn endures(vm: &Vm, command: &str) -> Result<()> {
    start(vm, "", command, "true")?;
    logins(vm)?;
    remove(vm)
}

/// Starts the greedy container and waits for the `worst`.
fn start(vm: &Vm, options: &str, command: &str, worst: &str) -> Result<()> {
    // A container left by an earlier check has the name.
    let run = format!(
        "docker rm -f greedy >/dev/null 2>&1; docker run -d --name greedy {options} tare/demo {command}"
    );
    vm.ssh_within(&run, secs(60))?;
    let wait = format!("until {worst}; do sleep 0.5; done");
    vm.ssh_within(&wait, secs(120)).map(drop)
}

fn remove(vm: &Vm) -> Result<()> {
    // Docker times out on thousands of processes that end slowly, although it has killed them.
    let remove = "until docker rm -f greedy; do sleep 1; done";
    vm.ssh_within(remove, secs(60)).map(drop)
}

/// The kernel kills the container.
fn memory_hog(vm: &Vm) -> Result<()> {
    // 128 and SIGKILL.
    const KILLED: &str = "[ \"$(docker inspect -f '{{.State.Running}} {{.State.ExitCode}}' greedy)\" = 'false 137' ]";
    start(vm, "", MEMORY_HOG, "true")?;
    logins(vm)?;
    vm.ssh_within(&format!("until {KILLED}; do sleep 0.5; done"), secs(60))?;
    remove(vm)
}

/// The disk that services and the engine also write to is full.
fn disk_hog(vm: &Vm) -> Result<()> {
    // In KiB.
    const FULL: &str = "[ $(df --output=avail /root | tail -n 1) -lt 10240 ]";
    start(vm, "-v /srv:/srv", DISK_HOG, FULL)?;
    logins(vm)?;
    vm.ssh_within("docker stop -t 100 greedy", secs(60))?;
    vm.ssh(&format!("! {FULL}"))?;
    remove(vm)
}
