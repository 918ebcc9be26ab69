//! The boot disk on every kind of bus that the kernel drives without modules.

use anyhow::Result;
use tare_image::Image;
use tare_qemu::{DiskBus, Vm, secs};
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

/// To ssh, with state on the disk.
fn boots_from(image: &Image, bus: DiskBus) -> Result<()> {
    let machine = Vm::of(image).direct().bus(bus);
    let vm = machine.user_data(user_data::NO_ENGINE).boot()?;
    vm.wait_ready()?;
    vm.wait_ssh(secs(10))?;
    power_off(&vm)?;
    disk::require_clean_state(vm.machine())
}
