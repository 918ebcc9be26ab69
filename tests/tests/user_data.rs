//! User-data from each source, good and bad.

use anyhow::Result;
use tare_qemu::{Seed, Vm, secs};
use tare_tests::guest::{power_off, says};
use tare_tests::user_data::with_our_key;
use tare_tests::{Checks, on_machines};

#[test]
fn from_a_cd() -> Result<()> {
    on_machines(|image| {
        let user_data = with_our_key("hostname = 'from-a-cd'")?;
        let vm = Vm::of(image)
            .direct()
            .nocloud(Seed::Iso, user_data)
            .boot()?;
        vm.wait_ready()?;
        says(&vm, "hostname", "from-a-cd\n")?;
        power_off(&vm)
    })
}

#[test]
fn from_a_disk_and_the_hypervisor_which_wins() -> Result<()> {
    on_machines(|image| {
        let disk = "hostname = 'weak'\n[network]\ndns = ['192.0.2.1']\nsearch = ['weak.example']\n";
        let hypervisor = "hostname = 'strong'\n[network]\nsearch = ['strong.example']\n";
        let machine = Vm::of(image)
            .direct()
            .nocloud(Seed::Vfat, disk)
            .user_data(hypervisor);
        let vm = machine.boot()?;
        vm.wait_ready()?;
        let mut checks = Checks::default();
        checks.check("the stronger value", || says(&vm, "hostname", "strong\n"));
        let merged = "nameserver 192.0.2.1\nsearch strong.example\n";
        checks.check("merged key by key", || {
            says(&vm, "cat /etc/resolv.conf", merged)
        });
        checks.check("power off", || power_off(&vm));
        checks.verdict()
    })
}

#[test]
fn that_is_not_utf_8() -> Result<()> {
    is_refused(
        b"hostname = 'a'\n# \xff\n",
        "fw_cfg:2:3: not UTF-8: byte 0xff",
    )
}

#[test]
fn that_is_not_toml() -> Result<()> {
    is_refused(
        "hostname = 'a'\n[network\n",
        "fw_cfg:2:9: unclosed table, expected `]`",
    )
}

#[test]
fn with_an_unknown_key() -> Result<()> {
    is_refused(
        "hostnam = 'a'\n",
        "fw_cfg:1:1: unknown key `hostnam`, did you mean `hostname`?",
    )
}

#[test]
fn with_a_value_of_the_wrong_type() -> Result<()> {
    is_refused(
        "hostname = 'a'\n[services.ssh]\nenabled = 'no'\n",
        "fw_cfg:3:11: invalid type: string \"no\", expected a boolean",
    )
}

#[test]
fn of_two_mebibytes() -> Result<()> {
    is_refused(
        "#".repeat(2 << 20),
        "fw_cfg:1:1: too long: 2097152 bytes, at most 1048576 are read",
    )
}

/// The machine boots to ssh with the image's defaults all the same, and with what a good source says; the
/// console says `complaint`.
fn is_refused(user_data: impl AsRef<[u8]>, complaint: &str) -> Result<()> {
    on_machines(|image| {
        let key = with_our_key("")?;
        let machine = Vm::of(image)
            .direct()
            .nocloud(Seed::Vfat, key)
            .fw_cfg(user_data.as_ref());
        let vm = machine.boot()?;
        vm.wait_line(&format!("tare: user-data: {complaint}"), secs(30))?;
        vm.wait_ready()?;
        vm.wait_ssh(secs(10))?;
        says(&vm, "hostname", "tare\n")
    })
}
