//! Programs that cannot be run.

use tare_qemu::{Vm, secs};
use tare_tests::Checks;
use tare_tests::guest::wait_service;

/// A missing program, and one that is not a program.
pub(crate) const BROKEN: &str = "\
    services.t-idle.process.args = ['/usr/bin/no-such-program']\n\
    services.t-spare.process.args = ['/usr']\n";

/// By service: PID 1's message. The last program has only its first 120 bytes, which do not show the truncation.
const WHY: [(&str, &str); 4] = [
    (
        "t-idle",
        "t-idle cannot start: execve /usr/bin/no-such-program: ENOENT",
    ),
    ("t-spare", "t-spare cannot start: execve /usr: EACCES"),
    (
        "t-cut",
        "t-cut cannot start: execve /usr/bin/broken: ENOEXEC",
    ),
    ("t-half", "t-half ended with SIGBUS"),
];

/// Each is tried again, at growing intervals.
pub(crate) fn check(vm: &Vm, checks: &mut Checks) {
    for (service, why) in WHY {
        checks.check(why, || {
            vm.ssh(&format!("tare service start --no-wait {service}"))?;
            vm.wait_line(why, secs(30))?;
            wait_service(vm, service, "backing-off", secs(30))?;
            vm.ssh(&format!("tare service stop {service}")).map(drop)
        });
    }
}
