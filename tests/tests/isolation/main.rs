//! What containers and services may do to the machine they run on.

mod services;

use anyhow::{Result, ensure};
use tare_qemu::{Vm, secs};
use tare_tests::guest::{power_off, require_no_failed_service, run_container, wait_apps};
use tare_tests::{Checks, disk, on_machines, user_data};

/// How long a login and a command may take whatever containers do, on a real CPU.
const LOGIN: std::time::Duration = secs(5);

/// Processes that make processes.
const FORK_BOMB: &str = "sh -c 'b() { b | b & b | b; }; b'";
/// Doubles a string for ever.
const MEMORY_HOG: &str = "sh -c 'x=aaaaaaaaaaaaaaaa; while :; do x=$x$x; done'";
/// Writes until nothing is left.
const DISK_HOG: &str = "sh -c 'cat /dev/zero > /srv/hog; sync; echo full; sleep 600'";

/// Opens twice as many files as a machine of this size may have open unless somebody says otherwise.
const FILE_LEAK: &str = "sh -c 'i=0; while [ $((i += 1)) -le 200 ]; do \
    (fd=10; while [ $fd -lt 1000 ]; do eval \"exec $fd</proc/version\"; fd=$((fd + 1)); done; \
    echo leaks; sleep 600) & done; wait'";
/// Says the same for ever.
const LOG_FLOOD: &str = "sh -c 'while :; do echo flood; done'";

#[test]
fn a_greedy_container_harms_only_itself() -> Result<()> {
    on_machines(|image| {
        let vm = Vm::of(image)
            .user_data(user_data::DEMO)
            // The kernel tells of the process that it killed, and where.
            .tolerate("Out of memory")
            .tolerate("Call Trace")
            .boot()?;
        vm.wait_ready()?;
        wait_apps(&vm)?;
        let before = daemons(&vm)?;
        let mut checks = Checks::default();
        checks.check("fork bomb", || endures(&vm, "--name greedy", FORK_BOMB));
        checks.check("memory hog", || endures(&vm, "--name greedy", MEMORY_HOG));
        checks.check("disk hog", || {
            endures(&vm, "--name greedy -v /srv:/srv", DISK_HOG)
        });
        checks.check("file leak", || {
            let open = "[ $(cut -f 1 /proc/sys/fs/file-nr) -gt 190000 ]";
            endures_once(&vm, "--name greedy", FILE_LEAK, open)
        });
        checks.check("log flood", || endures(&vm, "--name greedy", LOG_FLOOD));
        checks.check("the disk is usable again", || {
            vm.ssh_within(
                "docker run --rm -v /srv:/srv tare/demo rm /srv/hog",
                secs(60),
            )
            .map(drop)
        });
        checks.check("no service has ended", || {
            let after = daemons(&vm)?;
            ensure!(after == before, "they were {before} and are {after}");
            require_no_failed_service(&vm)
        });
        checks.check("run a container", || run_container(&vm));
        checks.check("power off", || power_off(&vm));
        checks.check("clean file system", || {
            disk::require_clean_state(vm.machine())
        });
        checks.verdict()
    })
}

/// Ten logins in a row are answered in time.
fn logins(vm: &Vm) -> Result<()> {
    for round in 0..10 {
        let said = vm.ssh_within("echo here; sleep 0.5", LOGIN)?;
        ensure!(said == "here\n", "login {round}: {said:?}");
    }
    Ok(())
}

/// Starts a container, logs in ten times while it does its worst, and takes it away.
fn endures(vm: &Vm, options: &str, command: &str) -> Result<()> {
    endures_once(vm, options, command, "true")
}

/// As [`endures`], once `worst` holds.
fn endures_once(vm: &Vm, options: &str, command: &str, worst: &str) -> Result<()> {
    let run = format!("docker run -d {options} tare/demo {command}");
    vm.ssh_within(&run, secs(60))?;
    vm.ssh_within(&format!("until {worst}; do sleep 0.5; done"), secs(60))?;
    logins(vm)?;
    // Docker gives up on thousands of processes that end slowly, though it has killed them.
    let remove = "until docker rm -f greedy; do sleep 1; done";
    vm.ssh_within(remove, secs(60)).map(drop)
}

/// The processes that must go on, the oldest of each name.
const DAEMONS: &str = "for name in sshd dockerd containerd chronyd tare-log tare-dhcp; do echo $name $(pgrep -o -x $name); done";

fn daemons(vm: &Vm) -> Result<String> {
    vm.ssh(DAEMONS)
}
