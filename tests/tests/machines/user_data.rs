//! User-data from each source, good and bad.

use anyhow::Result;
use tare_image::Image;
use tare_qemu::{Seed, Vm, secs};
use tare_tests::Checks;
use tare_tests::guest::{power_off, says, well_on_the_console};
use tare_tests::user_data::{NO_ENGINE, with_our_key};

pub(crate) fn from_a_cd(image: &Image) -> Result<()> {
    let user_data = with_our_key(&format!("hostname = 'from-a-cd'\n{NO_ENGINE}"))?;
    let vm = Vm::of(image)
        .direct()
        .nocloud(Seed::Iso, user_data)
        .boot()?;
    vm.wait_ready()?;
    says(&vm, "hostname", "from-a-cd\n")?;
    power_off(&vm)
}

pub(crate) fn from_a_disk_and_the_hypervisor_which_wins(image: &Image) -> Result<()> {
    let disk = "hostname = 'weak'\n[network]\ndns = ['192.0.2.1']\nsearch = ['weak.example']\n\
                [log]\ntotal = '4MiB'\n";
    let hypervisor =
        "hostname = 'strong'\n[network]\nsearch = ['strong.example']\n[log]\nfile = '4MiB'\n";
    let machine = Vm::of(image)
        .direct()
        .nocloud(Seed::Vfat, disk)
        .user_data(&format!("{NO_ENGINE}{hypervisor}"));
    let vm = machine.boot()?;
    vm.wait_ready()?;
    let mut checks = Checks::default();
    checks.check("the stronger value", || says(&vm, "hostname", "strong\n"));
    let merged = "nameserver 192.0.2.1\nsearch strong.example\n";
    checks.check("merged key by key", || {
        says(&vm, "cat /etc/resolv.conf", merged)
    });
    checks.check("the key that conflicts is left out", || {
        let left_out =
            "`log.file` is left out: log.file is 4MiB: it must be half of log.total, 4MiB, at most";
        let count = format!("tare status | grep -cF '{left_out}'");
        says(&vm, &count, "1\n")
    });
    checks.check("power off", || power_off(&vm));
    checks.verdict()
}

/// One source is rejected as a whole, for a reason that the console names; `tare-config` has a table of reasons. The
/// machine still boots to ssh, with the image's defaults and the settings of a valid source.
pub(crate) fn that_is_refused(image: &Image) -> Result<()> {
    let machine = Vm::of(image)
        .direct()
        .nocloud(Seed::Vfat, with_our_key(NO_ENGINE)?)
        .fw_cfg("#".repeat(2 << 20));
    let vm = machine.boot()?;
    let complaint = "fw_cfg: too long: 2097152 bytes, at most 1048576 are read";
    vm.wait_line(
        &format!("tare: user-data is rejected: {complaint}"),
        secs(30),
    )?;
    vm.wait_ready()?;
    vm.wait_ssh(secs(10))?;
    says(&vm, "hostname", "tare\n")?;
    vm.kill()
}

/// Well-formed user-data may still be wrong. Then the console is the way in.
pub(crate) fn that_breaks_ssh(image: &Image) -> Result<()> {
    let broken = format!("{NO_ENGINE}[services.ssh.process]\nargs = ['/none']\n");
    let vm = Vm::of(image).direct().user_data(&broken).boot()?;
    well_on_the_console(&vm, "tare service stop ssh")?;
    power_off(&vm)
}
