//! LUKS and LVM by a privileged container, as `docs/docker.md` has it.

use anyhow::{Result, ensure};
use tare_qemu::{Vm, secs};

/// Options of a container that changes disks, and whose device nodes stay. No udev makes the links to them.
const OPTIONS: &str = "--privileged -v /dev:/dev -e DM_DISABLE_UDEV=1";

/// The page's commands, with a key that takes an emulated processor no minute to derive.
const SEAL: &str = "\
    cryptsetup luksFormat -q --pbkdf pbkdf2 --pbkdf-force-iterations 1000 /dev/vdc /key && \
    cryptsetup open --key-file /key /dev/vdc sealed && \
    pvcreate /dev/mapper/sealed && vgcreate store /dev/mapper/sealed && lvcreate -L 400M -n files store && \
    mkfs.xfs -q /dev/store/files";
const CLOSE: &str = "vgchange -an store && cryptsetup close sealed";
const OPEN: &str = "cryptsetup open --key-file /key /dev/vdc sealed && vgchange -ay store";

/// A volume of Docker's own driver on a logical volume on an encrypted disk.
pub(super) fn disk(vm: &Vm) -> Result<()> {
    vm.ssh("echo word > /srv/key")?;
    in_container(vm, SEAL)?;
    vm.ssh("docker volume create --opt type=xfs --opt device=/dev/store/files sealed")?;
    let write = "docker run --rm -v sealed:/v tare/demo sh -c 'echo kept > /v/f'";
    vm.ssh_within(write, secs(60))?;
    in_container(vm, CLOSE)?;
    in_container(vm, OPEN)?;
    let read = "docker run --rm -v sealed:/v tare/demo cat /v/f";
    let said = vm.ssh_within(read, secs(60))?;
    ensure!(said == "kept\n", "{said:?}");
    vm.ssh_within("docker volume rm sealed", secs(60))?;
    in_container(vm, CLOSE)
}

fn in_container(vm: &Vm, command: &str) -> Result<()> {
    // The packages have no `/run`.
    let run = format!(
        "docker run --rm {OPTIONS} --tmpfs /run -v /srv/key:/key:ro debian sh -c '{command}' >&2"
    );
    vm.ssh_within(&run, secs(180)).map(drop)
}
