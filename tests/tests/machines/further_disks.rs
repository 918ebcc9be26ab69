//! Disks of user-data, beside the one that the system runs from.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use anyhow::{Result, ensure};
use serde_json::json;
use tare_image::Image;
use tare_qemu::{Builder, Vm, secs};
use tare_tests::guest::{mentions, power_off, says, wait_says, wait_service};
use tare_tests::{Checks, Scratch, disk};

const USER_DATA: &str = r#"
[disks.data]
match.serial = "DATA1"
format = "ext4"
label = "data"
mount = "/srv/data"
required = true

[disks.large]
match = { serial = "LARGE1", size = ">=256MiB" }
format = "xfs"
mount = "/mnt/large"

[disks.strange]
match.serial = "STRANGE1"
format = "ext4"
mount = "/srv/strange"

[disks.stick]
match.serial = "STICK1"
format = "ext4"
mount = "/mnt/stick"
"#;

const MIB: u64 = 1 << 20;
/// The first bytes of a LUKS volume.
const LUKS: &[u8] = b"LUKS\xba\xbe\0\x02";

/// Files that are disks.
struct Disks {
    data: PathBuf,
    large: PathBuf,
    strange: PathBuf,
    stick: PathBuf,
}

impl Disks {
    fn make(folder: &Path) -> Result<Self> {
        let make = |name: &str, size: u64| -> Result<PathBuf> {
            let path = folder.join(name);
            File::create(&path)?.set_len(size)?;
            Ok(path)
        };
        let disks = Self {
            data: make("data.raw", 512 * MIB)?,
            large: make("large.raw", 512 * MIB)?,
            strange: make("strange.raw", 64 * MIB)?,
            stick: make("stick.raw", 128 * MIB)?,
        };
        let strange = File::options().write(true).open(&disks.strange)?;
        strange.write_all_at(LUKS, 0)?;
        Ok(disks)
    }

    /// Attaches all but the stick, for which there is a bus.
    fn attach(&self, mut machine: Builder) -> Builder {
        for (name, path) in [
            ("data", &self.data),
            ("large", &self.large),
            ("strange", &self.strange),
        ] {
            let file = format!(
                "driver=raw,node-name={name},file.driver=file,file.filename={}",
                path.display()
            );
            let serial = format!("{}1", name.to_uppercase());
            let device = format!("virtio-blk-pci,drive={name},serial={serial}");
            machine = machine.qemu(&["-blockdev", &file, "-device", &device]);
        }
        machine.qemu(&["-device", "qemu-xhci,id=usb"])
    }
}

pub(crate) fn are_formatted_mounted_grown_and_kept(image: &Image) -> Result<()> {
    let folder = Scratch::new("further-disks")?;
    let disks = Disks::make(folder.path())?;
    let strange = fs::read(&disks.strange)?;
    let vm = disks
        .attach(Vm::of(image).direct())
        .user_data(USER_DATA)
        // A stick that goes while it is mounted.
        .tolerate("I/O error")
        .tolerate("EXT4-fs error")
        .boot()?;
    vm.wait_ready()?;
    wait_service(&vm, "engine", "ready", secs(90))?;
    let mut checks = Checks::default();
    checks.check("blank disks are formatted and mounted", || mounted(&vm));
    checks.check("a container writes there", || write(&vm));
    checks.check("what is strange or not there is said", || said(&vm));
    checks.check("a file system grows with its disk", || {
        let grow = |name: &str| {
            let size = json!({"node-name": name, "size": 1024 * MIB});
            vm.qmp().execute("block_resize", &size)
        };
        for (name, path) in [("data", "/srv/data"), ("large", "/mnt/large")] {
            grow(name)?;
            let size = format!(
                "[ $(($(stat -f -c '%b * %S' {path}) >> 20)) -gt 800 ] && echo grown || echo small"
            );
            wait_says(&vm, &size, "grown\n", secs(30))?;
        }
        Ok(())
    });
    checks.check("a stick that comes is mounted", || plug(&vm, &disks.stick));
    checks.check("after a reboot", || {
        let mark = vm.console().mark();
        // Ends the session before it can answer.
        vm.ssh_to_the_end("kill -s RTMIN+5 1")?;
        vm.wait_ready_after(mark, secs(120))?;
        wait_service(&vm, "engine", "ready", secs(90))?;
        mounted(&vm)?;
        let read = "docker run --rm -v /srv/data:/d:ro tare/demo cat /d/note";
        says(&vm, read, "kept\n")
    });
    checks.check("a disk that is no longer named stays mounted", || {
        let stays = "disks: large stays mounted on /mnt/large until the next boot";
        mentions(&vm, "tare config unset disks.large", stays)?;
        says(&vm, "grep -c ' /mnt/large xfs ' /proc/mounts", "1\n")
    });
    power_off(&vm)?;
    checks.check("clean file systems", || {
        disk::require_clean_state(vm.machine())?;
        disk::require_clean(&disks.data.display().to_string())
    });
    checks.check("the strange disk is as it was", || {
        ensure!(fs::read(&disks.strange)? == strange, "it was written to");
        Ok(())
    });
    checks.verdict()?;
    folder.remove()
}

/// Logins see them, without setuid programs and devices.
fn mounted(vm: &Vm) -> Result<()> {
    for mount in ["/srv/data ext4", "/mnt/large xfs"] {
        let count = format!("grep -c '^/dev/vd. {mount} rw,nosuid,nodev' /proc/mounts");
        wait_says(vm, &count, "1\n", secs(30))?;
    }
    Ok(())
}

fn write(vm: &Vm) -> Result<()> {
    let write = "docker run --rm -v /srv/data:/d tare/demo sh -c 'echo kept > /d/note' && cat /srv/data/note";
    says(vm, write, "kept\n")
}

fn said(vm: &Vm) -> Result<()> {
    mentions(vm, "tare status", "refusing to touch it")?;
    mentions(
        vm,
        "tare status",
        "disk.stick: no disk matches serial STICK1",
    )?;
    mentions(
        vm,
        "tare logs --service disk.stick",
        "no disk matches serial STICK1",
    )
}

fn plug(vm: &Vm, stick: &Path) -> Result<()> {
    let qmp = vm.qmp();
    let file = json!({
        "driver": "raw", "node-name": "stick",
        "file": { "driver": "file", "filename": stick.display().to_string() },
    });
    qmp.execute("blockdev-add", &file)?;
    let device = json!({
        "driver": "usb-storage", "bus": "usb.0", "drive": "stick", "id": "plugged", "serial": "STICK1",
    });
    let count = "grep -c ' /mnt/stick ext4 ' /proc/mounts || true";
    for _ in 0..2 {
        qmp.execute("device_add", &device)?;
        wait_says(vm, count, "1\n", secs(60))?;
        qmp.execute("device_del", &json!({"id": "plugged"}))?;
        wait_says(vm, count, "0\n", secs(60))?;
    }
    Ok(())
}
