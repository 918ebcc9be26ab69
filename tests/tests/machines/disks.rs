//! The boot disk on every kind of bus that the kernel drives without modules.

use anyhow::{Result, ensure};
use tare_image::Image;
use tare_qemu::{Disk, DiskBus, DiskFormat, Vm, secs};
use tare_tests::guest::power_off;
use tare_tests::{disk, user_data};

pub(crate) fn nvme(image: &Image) -> Result<()> {
    boots_from(image, DiskBus::Nvme)
}

pub(crate) fn ahci(image: &Image) -> Result<()> {
    boots_from(image, DiskBus::Sata)
}

pub(crate) fn virtio_scsi(image: &Image) -> Result<()> {
    boots_from(image, DiskBus::Scsi)
}

pub(crate) fn usb(image: &Image) -> Result<()> {
    boots_from(image, DiskBus::Usb)
}

/// A machine in which a stick or an older disk was left.
pub(crate) fn another_with_the_same_image(image: &Image) -> Result<()> {
    let other = Disk {
        path: image.raw.clone(),
        format: DiskFormat::Raw,
        bus: DiskBus::Virtio,
        read_only: true,
    };
    let machine = Vm::of(image).direct().user_data(user_data::NO_ENGINE);
    let vm = machine.disk(other).boot()?;
    vm.wait_line("holds Tare, too: this machine runs from vd", secs(60))?;
    let status = "tare status --check";
    let said = vm.ssh(&format!("{status}; echo $?"))?;
    ensure!(
        said.contains("holds Tare, too") && said.ends_with("\n5\n"),
        "`{status}` says {said}"
    );
    power_off(&vm)
}

/// Boots until ssh works, with state on the disk.
fn boots_from(image: &Image, bus: DiskBus) -> Result<()> {
    let machine = Vm::of(image).direct().bus(bus);
    let vm = machine.user_data(user_data::NO_ENGINE).boot()?;
    vm.wait_ready()?;
    vm.wait_ssh(secs(10))?;
    power_off(&vm)?;
    disk::require_clean_state(vm.machine())
}
