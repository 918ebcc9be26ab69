//! What PID 1 has to live with.

use anyhow::{Result, ensure};
use tare_qemu::{Vm, secs};
use tare_tests::guest::{mentions, power_off, require_no_orphans, says, wait_apps, wait_service};
use tare_tests::{Checks, disk, on_machines, user_data};

/// A program that is not there, and one that is none.
const BROKEN: &str = "\
    [services.time.process]\nargs = ['/usr/sbin/no-such-program']\n\
    [services.console.process]\nargs = ['/etc/passwd']\n";

#[test]
fn a_program_that_cannot_be_run_harms_nobody() -> Result<()> {
    on_machines(|image| {
        let vm = Vm::of(image).direct().user_data(BROKEN).boot()?;
        vm.wait_ready()?;
        let mut checks = Checks::default();
        for (service, why) in [
            (
                "time",
                "time cannot start: execve /usr/sbin/no-such-program: ENOENT",
            ),
            (
                "console",
                "console cannot start: execve /etc/passwd: EACCES",
            ),
        ] {
            checks.check(service, || {
                vm.wait_line(why, secs(30))?;
                wait_service(&vm, service, "backing-off", secs(30))
            });
        }
        checks.check("power off", || power_off(&vm));
        checks.verdict()
    })
}

/// Leaves ten thousand processes to PID 1, a hundred at a time.
const ORPHANS: &str = "for i in $(seq 100); do (for j in $(seq 100); do (exit 0) & done); done; sleep 1; ps -eo stat= | grep -c '^Z'";
/// Signals that nobody may send to PID 1, and many that mean nothing to it.
const SIGNALS: &str =
    "kill -KILL 1; kill -STOP 1; for i in $(seq 20000); do kill -CHLD 1; done; echo sent";
/// Sets the wall clock, which takes a right that no login has.
const CLOCK: &str = "docker run --rm --privileged tare/demo date -s";

#[test]
fn pid_1_endures_what_others_do() -> Result<()> {
    on_machines(|image| {
        let vm = Vm::of(image).direct().user_data(user_data::DEMO).boot()?;
        vm.wait_ready()?;
        wait_apps(&vm)?;
        let rss = pid_1_rss(&vm)?;
        let mut checks = Checks::default();
        checks.check("10000 orphans", || {
            let zombies = vm.ssh_within(&format!("{ORPHANS}; true"), secs(60))?;
            ensure!(zombies == "0\n", "zombies after a second: {zombies}");
            Ok(())
        });
        checks.check("signals", || says(&vm, SIGNALS, "sent\n"));
        for date in ["2016-11-21 00:00", "2046-11-21 00:00"] {
            checks.check(date, || {
                mentions(&vm, &format!("{CLOCK} '{date}'"), &date[..4])?;
                comes_back(&vm)
            });
        }
        checks.check("PID 1 has not grown", || {
            let now = pid_1_rss(&vm)?;
            ensure!(now < rss + 1024, "{rss} KiB and then {now} KiB");
            Ok(())
        });
        checks.check("no orphan", || require_no_orphans(&vm));
        checks.check("power off", || power_off(&vm));
        checks.check("clean file system", || {
            disk::require_clean_state(vm.machine())
        });
        checks.verdict()
    })
}

/// PID 1 still does its work: a service that is killed runs again.
fn comes_back(vm: &Vm) -> Result<()> {
    let again = "old=$(pgrep -x tare-dhcp); kill -KILL $old; \
        until new=$(pgrep -x tare-dhcp) && [ $new != $old ]; do sleep 0.1; done";
    vm.ssh_within(again, secs(30))?;
    wait_service(vm, "dhcp", "ready", secs(30))
}

/// In KiB.
fn pid_1_rss(vm: &Vm) -> Result<u64> {
    let status = vm.ssh("awk '/^VmRSS/ {print $2}' /proc/1/status")?;
    Ok(status.trim().parse()?)
}
