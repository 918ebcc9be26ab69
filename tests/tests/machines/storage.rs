//! A state partition that is damaged, belongs to another system, or takes long to check.

use anyhow::{Context, Result, bail, ensure};
use std::ops::Range;
use tare_image::Image;
use tare_qemu::{Builder, Machine, Vm, secs};
use tare_tests::guest::{mentions, power_off, run_container, says, until_state, wait_apps};
use tare_tests::{Checks, Scratch, disk, examples, note, user_data};

/// In bytes from its start: the superblock, and the table's header.
const SUPERBLOCK: u64 = 1024;
const HEADER: u64 = 512;
/// Bytes in a block of the file system.
const BLOCK: u64 = 4096;
/// The first bytes of a LUKS volume.
const LUKS: &[u8] = b"LUKS\xba\xbe\0\x02";

pub(crate) fn damage_is_repaired_and_strangers_are_left_alone(image: &Image) -> Result<()> {
    let folder = Scratch::new("storage")?;
    let machine = || {
        let machine = Vm::of(image).direct().keep_in(folder.path());
        machine.user_data(user_data::NO_ENGINE)
    };
    let mut checks = Checks::default();
    let off = first_run(machine(), &mut checks)?;
    let partition = disk::partition(&off.raw_disk()?, "state")?;
    let state = partition.start;
    checks.check("a zeroed superblock", || {
        disk::fill(&off, state + SUPERBLOCK, 1024, 0)?;
        keeps_note(
            machine(),
            "storage: the superblock is damaged; repairing from the backup",
        )
    });
    checks.check("a torn partition table", || {
        disk::fill(&off, HEADER, 512, 0xff)?;
        keeps_note(
            machine(),
            "storage: the partition table's primary copy was damaged; repaired it",
        )?;
        let header = disk::read(&off, HEADER, 8)?;
        ensure!(header == b"EFI PART", "the header begins with {header:?}");
        Ok(())
    });
    checks.check("4 KiB of noise in 50 places", || {
        damage(&off, &partition)?;
        // What the kernel finds at the first boot, e2fsck repairs at the second. What neither reads stays damaged.
        for boot in ["first", "second"] {
            let vm = machine().boot()?;
            vm.wait_ready()?;
            forget_host_keys(vm.machine())?;
            says(&vm, "echo in", "in\n").with_context(|| format!("{boot} boot"))?;
            power_off(&vm)?;
        }
        Ok(())
    });
    checks.check("a volume of another system", || {
        disk::write(&off, state, &[LUKS, &[0; 4096]].concat())?;
        let before = disk::read(&off, state, 8 << 20)?;
        runs_from_memory(machine())?;
        ensure!(
            disk::read(&off, state, 8 << 20)? == before,
            "it was written to"
        );
        Ok(())
    });
    checks.verdict()?;
    folder.remove()
}

/// Writes a note, and powers off.
fn first_run(machine: Builder, checks: &mut Checks) -> Result<Machine> {
    let vm = machine.boot()?;
    vm.wait_ready()?;
    checks.check("unused blocks are told to the disk", || {
        vm.ssh("tare service start trim")?;
        let trimmed = "until tare logs --service trim --grep trimmed; do sleep 0.2; done";
        vm.ssh_within(trimmed, secs(20)).map(drop)
    });
    vm.ssh("echo kept > /root/note")?;
    power_off(&vm)?;
    let off = vm.machine().clone();
    checks.check("clean file system", || disk::require_clean_state(&off));
    Ok(off)
}

/// Half of the noise is where an ext4 has its first bitmaps, inodes and journal.
fn damage(off: &Machine, partition: &Range<u64>) -> Result<()> {
    let mut random = fastrand::Rng::with_seed(7);
    let near = partition.start..partition.start + (64 << 20);
    for range in [&near, partition] {
        for _ in 0..25 {
            let place = random.u64(range.clone()) / BLOCK * BLOCK;
            let noise: Vec<u8> = (0..BLOCK).map(|_| random.u8(..)).collect();
            disk::write(off, place, &noise)?;
        }
    }
    Ok(())
}

/// The machine reports `line`, only once, and finds the note.
fn keeps_note(machine: Builder, line: &str) -> Result<()> {
    let vm = machine.clone().boot()?;
    vm.wait_ready()?;
    let console = vm.console().text();
    ensure!(console.contains(line), "the console lacks `{line}`");
    says(&vm, "cat /root/note", "kept\n")?;
    power_off(&vm)?;
    disk::require_clean_state(vm.machine())?;
    drop(vm);
    let vm = machine.boot()?;
    vm.wait_ready()?;
    let again = vm.console().text().contains(line);
    ensure!(!again, "the console shows `{line}` again");
    power_off(&vm)
}

fn runs_from_memory(machine: Builder) -> Result<()> {
    let vm = machine.boot()?;
    vm.wait_line(
        "crypto_LUKS; refusing to touch it. See \"The state partition\" in docs/guide.md",
        secs(30),
    )?;
    vm.wait_ready()?;
    forget_host_keys(vm.machine())?;
    mentions(&vm, "tare status", "the state is in memory")?;
    power_off(&vm)
}

/// In bytes, so that little is left for the state.
const SMALL: u64 = 2560 << 20;

/// In a container, until the disk is full.
const FILLERS: [(&str, &str); 2] = [
    (
        "no block",
        "i=0; while busybox fallocate -l 32M /hog-$((i += 1)); do :; done; cat /dev/zero > /hog",
    ),
    (
        "no inode",
        // 255 ends `xargs`.
        "mkdir /hog && cd /hog && busybox seq 1000000 | \
         busybox xargs sh -c \"touch \\\"\\$@\\\" 2>/dev/null || exit 255\" sh",
    ),
];

/// Containers fill the disk, the machine reboots, and users remove what fills it.
pub(crate) fn a_full_disk_is_freed_after_a_reboot(image: &Image) -> Result<()> {
    let folder = Scratch::new("full-disk")?;
    let machine = || {
        let machine = Vm::of(image).direct().keep_in(folder.path());
        machine
            .user_data(user_data::DEMO)
            .disk_size(SMALL)
            .forward(80)
    };
    let mut vm = machine().boot()?;
    vm.wait_ready()?;
    wait_apps(&vm)?;
    let before = free(&vm)?;
    let removals = ["docker rm -f hog".to_owned(), commands_of_the_page()?];
    for ((what, fill), removal) in FILLERS.into_iter().zip(removals) {
        note(what);
        let hog = format!("docker run --name hog tare/demo sh -c '{fill}' 2>/dev/null; true");
        vm.ssh_within(&hog, secs(120))?;
        power_off(&vm)?;
        drop(vm);
        vm = machine().boot()?;
        vm.wait_ready()?;
        vm.ssh_within(&removal, secs(120))?;
        let now = free(&vm)?;
        ensure!(
            now.0 + 1024 > before.0 && now.1 + 1024 > before.1,
            "{before:?} was free, and {now:?} is"
        );
    }
    run_container(&vm)?;
    power_off(&vm)?;
    disk::require_clean_state(vm.machine())?;
    drop(vm);
    folder.remove()
}

/// All that "The disk is full" names, with the demo app's container as the one that writes without end.
fn commands_of_the_page() -> Result<String> {
    let page = include_str!("../../../docs/how-to.md");
    let blocks = examples::blocks(page, "sh");
    let block = blocks.iter().find(|block| block.contains("docker rm -f"));
    let block = block.context("the page has no commands for a full disk")?;
    Ok(format!("set -e\n{}", block.replace("NAME", "demo-web-1")))
}

/// What is free on the state: KiB, and inodes.
fn free(vm: &Vm) -> Result<(u64, u64)> {
    let said = vm.ssh("df --output=avail,iavail /root | tail -n 1")?;
    let numbers: Vec<u64> = said
        .split_whitespace()
        .map(str::parse)
        .collect::<Result<_, _>>()?;
    let [kibibytes, inodes] = numbers[..] else {
        bail!("df says {said:?}")
    };
    Ok((kibibytes, inodes))
}

/// A machine whose disk hangs during the first format.
pub(crate) fn a_check_without_end_leaves_console_and_network(image: &Image) -> Result<()> {
    let folder = Scratch::new("hanging-storage")?;
    let machine = Vm::of(image).direct().keep_in(folder.path());
    let vm = machine.user_data(user_data::NO_ENGINE).boot()?;
    vm.qmp().suspend_flush()?;
    vm.wait_line(
        "tare: state: still being checked after 30 s; console and network start without it",
        secs(45),
    )?;
    let mut checks = Checks::default();
    checks.check("a console", || {
        on_the_console(&vm, "tare status", "the state is still being checked")
    });
    checks.check("a network", || {
        on_the_console(&vm, "ip -4 -brief address", "10.0.2.15")
    });
    checks.check("the two-minute message", || {
        let late = "tare: not ready after 120 s: storage (still checking the state)";
        vm.wait_line(late, secs(120)).map(drop)
    });
    vm.qmp().resume_flush()?;
    vm.wait_ready()?;
    checks.check("ssh afterwards", || {
        mentions(&vm, "tare status", "ready")?;
        says(&vm, "findmnt -no FSTYPE /root", "ext4\n")
    });
    checks.check("damaged host keys are made anew", || {
        let damage = "for key in /etc/ssh/keys/*_key; do head -c 400 /dev/urandom >$key; done; \
            tare service restart --no-wait ssh";
        vm.ssh_to_the_end(damage)?;
        let said = "echo damaged-$(tare logs --service ssh --grep 'making a new one' | wc -l)";
        on_the_console(&vm, said, "damaged-2")?;
        let ready = format!("{} && echo back-$((40 + 2))", until_state("ssh", "ready"));
        on_the_console(&vm, &ready, "back-42")?;
        forget_host_keys(vm.machine())?;
        vm.ssh_within("true", secs(30)).map(drop)
    });
    checks.check("a console afterwards", || {
        on_the_console(&vm, "findmnt -no FSTYPE /root", "ext4")
    });
    checks.check("power off", || power_off(&vm));
    checks.check("clean file system", || {
        disk::require_clean_state(vm.machine())
    });
    checks.verdict()?;
    folder.remove()
}

/// Clients must do this when a machine has new keys.
fn forget_host_keys(machine: &Machine) -> Result<()> {
    Ok(std::fs::remove_file(machine.folder().join("known_hosts"))?)
}

/// Types `command` until it prints `want`, because the shell on the console may restart.
fn on_the_console(vm: &Vm, command: &str, want: &str) -> Result<()> {
    let mark = vm.console().mark();
    for _ in 0..5 {
        vm.type_in(&format!("{command}\n"))?;
        if vm.wait_line_after(mark, want, secs(5)).is_ok() {
            return Ok(());
        }
    }
    vm.wait_line_after(mark, want, secs(5)).map(drop)
}
