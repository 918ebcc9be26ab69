//! User-data that services cannot live with.

use anyhow::Result;
use tare_qemu::{Vm, secs};
use tare_tests::guest::{power_off, wait_service};
use tare_tests::{image_with_test_services, on_machines_of};

const USER_DATA: &str = "
[services.log.lifecycle]
after = ['ssh:ready']

[services.ssh.lifecycle]
after = ['log:ready']

[services.t-exec.lifecycle]
health = { tcp = 1 }
";

#[test]
fn is_named_and_left_out() -> Result<()> {
    on_machines_of(image_with_test_services()?, |image| {
        let vm = Vm::of(image).direct().user_data(USER_DATA).boot()?;
        for complaint in [
            "service t-exec: tcp and http need the host's network namespace; it lives as the image says",
            "services wait for each other: ssh -> log -> ssh; they wait as the image says",
        ] {
            vm.wait_line(&format!("tare: user-data: {complaint}"), secs(30))?;
        }
        vm.wait_ready()?;
        vm.wait_ssh(secs(20))?;
        wait_service(&vm, "log", "ready", secs(20))?;
        power_off(&vm)
    })
}
