//! A machine from power on to power off, with and without firmware.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Result, ensure};
use tare_image::Image;
use tare_qemu::{Builder, Vm, secs};
use tare_tests::guest::{
    fetch_page, mentions, power_off, require_no_orphans, run_container, says, services, wait_apps,
};
use tare_tests::{Checks, Scratch, disk, note, user_data};

/// The limit of PID 1's memory, in KiB.
const PID_1_RSS: u64 = 8 << 10;

/// Services that end when their work is done.
const JOBS: &[&str] = &["app.demo", "apps", "storage"];
/// Services that run periodically, or on request.
const WAITING: &[&str] = &["toolbox", "trim"];
/// The others. `forward` and `metrics` only exist if the configuration asks for them.
const DAEMONS: &[&str] = &["console", "dhcp", "engine", "log", "ssh", "time"];

/// A check on a running machine.
type Check = fn(&Vm) -> Result<()>;

/// The boot loader's variables for microseconds since power on (Boot Loader Interface).
const LOADER_TIMES: [(&str, &str); 2] = [("Init", "1500000"), ("Exec", "2750000")];

pub(crate) fn through_firmware(image: &Image) -> Result<()> {
    power_on_use_power_off(Vm::of(image), &[("time before the kernel", before_kernel)])
}

/// A disk that a BIOS has started for the first time, and UEFI firmware then.
pub(crate) fn through_a_bios(image: &Image) -> Result<()> {
    let folder = Scratch::new("bios")?;
    let machine = || Vm::of(image).keep_in(folder.path());
    let no_uefi = |vm: &Vm| {
        vm.ssh("tare toolbox -- test ! -e /sys/firmware/efi")?;
        vm.ssh("touch /root/kept && sync").map(drop)
    };
    power_on_use_power_off(machine().bios(), &[("no UEFI", no_uefi)])?;
    let vm = machine().user_data(user_data::NO_ENGINE).boot()?;
    vm.wait_ready()?;
    let mut checks = Checks::default();
    checks.check("the state is the same", || {
        says(&vm, "ls /root/kept", "/root/kept\n")
    });
    checks.check("power off", || power_off(&vm));
    checks.verdict()?;
    folder.remove()
}

pub(crate) fn kernel_started_directly(image: &Image) -> Result<()> {
    power_on_use_power_off(Vm::of(image).direct(), &[])
}

fn power_on_use_power_off(machine: Builder, more: &[(&str, Check)]) -> Result<()> {
    let machine = machine.user_data(user_data::DEMO).forward(80);
    let vm = machine.boot()?;
    note(&vm.wait_ready()?);
    vm.wait_ssh(secs(10))?;
    let mut checks = Checks::default();
    // Run first: images of the disk image are loaded by the time the machine is ready.
    checks.check("run a container", || run_container(&vm));
    checks.check("ssh in", || says(&vm, "hostname", "tare\n"));
    checks.check("address and resolver by DHCP", || leased(&vm));
    checks.check("the app is started", || wait_apps(&vm));
    checks.check("reach the app", || fetch_page(&vm));
    checks.check("only declared ports", || ports(&vm));
    checks.check("the disk is used to its end", || disk_is_grown(&vm));
    checks.check("no failed service", || services_are_well(&vm));
    checks.check("no orphan", || require_no_orphans(&vm));
    checks.check("PID 1 is small", || pid_1_is_small(&vm));
    checks.check("PID 1 is locked in memory", || pid_1_is_locked(&vm));
    checks.check("no container uses up root's limits", || limits(&vm));
    for (name, check) in more {
        checks.check(name, || check(&vm));
    }
    checks.check("power off", || power_off(&vm));
    checks.check("clean file system", || {
        disk::require_clean_state(vm.machine())
    });
    checks.verdict()
}

/// The boot loader records no times if the processor does not report its counter's frequency, as emulated ones do
/// not. So the test writes its variables instead.
fn before_kernel(vm: &Vm) -> Result<()> {
    for (moment, time) in LOADER_TIMES {
        let name = format!("LoaderTime{moment}USec-4a67b082-0a4c-41cf-b6c7-440b29bb8c4f");
        let text: String = time.chars().map(|digit| format!("{digit}\\x00")).collect();
        let write = format!(
            "docker run --rm --privileged --pid host tare/demo /bin/busybox sh -c \
             'printf \"\\x07\\x00\\x00\\x00{text}\" >/proc/1/root/sys/firmware/efi/efivars/{name}'"
        );
        vm.ssh_within(&write, secs(60))?;
    }
    let said = "before that, 1.500 s of firmware and 1.250 s of boot loader.";
    mentions(vm, "tare boot analyze", said)?;
    mentions(vm, "tare boot plot", ">firmware ")?;
    mentions(vm, "tare boot plot", ">boot loader ")
}

/// From QEMU's own DHCP server.
fn leased(vm: &Vm) -> Result<()> {
    mentions(vm, "ip -4 -o addr show dev eth0", "inet 10.0.2.15/24")?;
    mentions(vm, "ip -4 route", "default via 10.0.2.2 dev eth0")?;
    says(vm, "cat /etc/resolv.conf", "nameserver 10.0.2.3\n")
}

/// The ports of ssh, of the DHCP client, and of the app, which the engine holds.
fn ports(vm: &Vm) -> Result<()> {
    let listen = vm.ssh("ss -Hlntu")?;
    let port = |line: &str| {
        let mut words = line.split_whitespace();
        let protocol = words.next()?.to_owned();
        let (_, port) = words.nth(3)?.rsplit_once(':')?;
        Some(format!("{protocol} {port}"))
    };
    let mut ports: BTreeSet<String> = listen.lines().filter_map(port).collect();
    ensure!(ports.remove("tcp 22"), "nothing listens for ssh:\n{listen}");
    for (port, holder) in [("udp 68", "DHCP"), ("tcp 80", "the app")] {
        ensure!(
            ports.remove(port),
            "{port} of {holder} is closed:\n{listen}"
        );
    }
    ensure!(ports.is_empty(), "{ports:?} are open:\n{listen}");
    Ok(())
}

/// Jobs are done, daemons run, and there are no other services.
fn services_are_well(vm: &Vm) -> Result<()> {
    let all = |names: &[&str], state: &str| {
        let pair = |name: &&str| ((*name).to_owned(), state.to_owned());
        names.iter().map(pair).collect::<BTreeMap<_, _>>()
    };
    let mut want = all(JOBS, "done");
    want.extend(all(DAEMONS, "ready"));
    want.extend(all(WAITING, "waiting"));
    let services = services(vm)?;
    ensure!(services == want, "services are {services:?}, not {want:?}");
    Ok(())
}

fn disk_is_grown(vm: &Vm) -> Result<()> {
    let kibibytes: u64 = vm
        .ssh("df --output=size /root | tail -n 1")?
        .trim()
        .parse()?;
    ensure!(kibibytes > 6 << 20, "{kibibytes} KiB of a disk of 8 GiB");
    Ok(())
}

/// In KiB: at least as much as its code.
fn pid_1_is_locked(vm: &Vm) -> Result<()> {
    let locked: u64 = vm
        .ssh("awk '/^VmLck/ {print $2}' /proc/1/status")?
        .trim()
        .parse()?;
    ensure!(locked > 2 << 10, "{locked} KiB are locked");
    Ok(())
}

/// Root in Docker's containers is the host's root.
fn limits(vm: &Vm) -> Result<()> {
    let read = "cd /proc/sys/fs; cat file-max epoll/max_user_watches inotify/max_user_*; \
        awk '/^Max pending signals/ {print $4}' /proc/1/limits";
    let want = "9223372036854775807\n9223372036854775807\n2147483647\n2147483647\nunlimited\n";
    says(vm, read, want)
}

fn pid_1_is_small(vm: &Vm) -> Result<()> {
    let kibibytes: u64 = vm.ssh("ps -o rss= -p 1")?.trim().parse()?;
    ensure!(
        kibibytes <= PID_1_RSS,
        "PID 1 has {kibibytes} KiB in memory"
    );
    Ok(())
}
