//! What a machine keeps.

use anyhow::{Result, ensure};
use tare_image::Image;
use tare_qemu::{Builder, Vm, secs};
use tare_tests::guest::{
    fetch_page, power_off, require_no_failed_service, services, wait_apps, wait_service,
};
use tare_tests::{Checks, Scratch, disk, user_data};

const USER_DATA: &str = "hostname = 'keeper'\n[network]\nsearch = ['keeper.example']\n";

/// What must be the same after a reboot, and after the source of the user-data is removed.
#[derive(Debug, PartialEq, Eq)]
struct Identity {
    /// The ssh client of [`Vm::ssh`] also refuses a machine with different ones.
    host_keys: String,
    machine_id: String,
    name: String,
    resolver: String,
}

pub(crate) fn survives_a_reboot_and_the_loss_of_the_user_data(image: &Image) -> Result<()> {
    let folder = Scratch::new("state")?;
    let machine = || Vm::of(image).direct().keep_in(folder.path());
    let mut checks = Checks::default();
    let before = first_run(machine().user_data(USER_DATA), &mut checks)?;
    // The disk is the same, without fw_cfg.
    let vm = machine().boot()?;
    vm.wait_ready()?;
    checks.check("volume without user-data", || holds_note(&vm));
    checks.check("identity without user-data", || is_same(&vm, &before));
    checks.check("power off", || power_off(&vm));
    checks.check("clean file system", || {
        disk::require_clean_state(vm.machine())
    });
    checks.verdict()?;
    folder.remove()
}

/// Writes a note, reboots, and reads it back.
fn first_run(machine: Builder, checks: &mut Checks) -> Result<Identity> {
    let vm = machine.boot()?;
    vm.wait_ready()?;
    checks.check("write to a volume", || write_note(&vm));
    let before = identity(&vm)?;
    ensure!(before.name == "keeper\n", "{before:?}");
    let mark = vm.console().mark();
    // Ends the session before it can answer.
    vm.ssh_to_the_end("kill -s RTMIN+5 1")?;
    vm.wait_ready_after(mark, secs(90))?;
    checks.check("volume after reboot", || holds_note(&vm));
    checks.check("identity after reboot", || is_same(&vm, &before));
    checks.check("power off", || power_off(&vm));
    Ok(before)
}

fn write_note(vm: &Vm) -> Result<()> {
    wait_apps(vm)?;
    let write = "docker run --rm -v notes:/notes tare/demo sh -c 'echo kept > /notes/note'";
    vm.ssh_within(write, secs(60)).map(drop)
}

fn holds_note(vm: &Vm) -> Result<()> {
    let read = "docker run --rm -v notes:/notes tare/demo cat /notes/note";
    let note = vm.ssh_within(read, secs(60))?;
    ensure!(note == "kept\n", "the note is {note:?}");
    Ok(())
}

fn identity(vm: &Vm) -> Result<Identity> {
    Ok(Identity {
        host_keys: vm.ssh("cat /etc/ssh/keys/*.pub")?,
        machine_id: vm.ssh("cat /etc/machine-id")?,
        name: vm.ssh("hostname")?,
        resolver: vm.ssh("cat /etc/resolv.conf")?,
    })
}

fn is_same(vm: &Vm, before: &Identity) -> Result<()> {
    let now = identity(vm)?;
    ensure!(now == *before, "it was {before:#?}\nand is {now:#?}");
    Ok(())
}

pub(crate) fn a_disk_that_fails_every_write_leaves_the_machine_up(image: &Image) -> Result<()> {
    let folder = Scratch::new("failing-disk")?;
    let machine = || {
        let machine = Vm::of(image).direct().keep_in(folder.path());
        machine.user_data(user_data::DEMO).forward(80)
    };
    let mut checks = Checks::default();
    let failing = machine().tolerate("I/O error").tolerate("EXT4-fs error");
    let vm = failing.boot()?;
    vm.wait_ready()?;
    wait_apps(&vm)?;
    wait_service(&vm, "time", "ready", secs(30))?;
    let before = services(&vm)?;
    vm.qmp().fail_writes()?;
    checks.check("the log reports it", || {
        vm.ssh_output("head -c 1M /dev/zero > /root/unwritten; sync")?;
        vm.wait_line("log: cannot write: ", secs(60)).map(drop)
    });
    checks.check("ssh and PID 1 answer", || {
        vm.ssh_within("tare status", secs(5)).map(drop)
    });
    checks.check("what is said meanwhile can be read", || {
        let before = logins(&vm)?;
        vm.login("true", secs(30))?;
        let more = format!("[ $({COUNT_LOGINS}) -gt {before} ]");
        vm.ssh_within(&format!("until {more}; do sleep 0.1; done"), secs(30))
            .map(drop)
    });
    checks.check("all services run as before", || {
        let now = services(&vm)?;
        ensure!(now == before, "{now:?} was {before:?}");
        Ok(())
    });
    checks.check("power off", || power_off(&vm));
    vm.kill()?;
    let vm = machine().boot()?;
    vm.wait_ready()?;
    checks.check("and well again", || fetch_page(&vm));
    checks.check("no failed service", || require_no_failed_service(&vm));
    checks.check("power off again", || power_off(&vm));
    checks.check("clean file system", || {
        disk::require_clean_state(vm.machine())
    });
    checks.verdict()?;
    folder.remove()
}

/// sshd logs every login. The command warns that the files cannot be read: the kernel has shut the file system down.
const COUNT_LOGINS: &str =
    "tare logs --service ssh --grep 'Accepted publickey' 2>/dev/null | wc -l";

fn logins(vm: &Vm) -> Result<u32> {
    Ok(vm.ssh(COUNT_LOGINS)?.trim().parse()?)
}
