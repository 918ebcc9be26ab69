//! The boot disk on every kind of bus that the kernel drives without modules.

use anyhow::Result;
use tare_qemu::{DiskBus, Vm, secs};
use tare_tests::guest::power_off;
use tare_tests::{disk, on_machines};

#[test]
fn nvme() -> Result<()> {
    boots_from(DiskBus::Nvme)
}

#[test]
fn ahci() -> Result<()> {
    boots_from(DiskBus::Sata)
}

#[test]
fn virtio_scsi() -> Result<()> {
    boots_from(DiskBus::Scsi)
}

#[test]
fn usb() -> Result<()> {
    boots_from(DiskBus::Usb)
}

/// To ssh, with state on the disk.
fn boots_from(bus: DiskBus) -> Result<()> {
    on_machines(|image| {
        let vm = Vm::of(image).direct().bus(bus).user_data("").boot()?;
        vm.wait_ready()?;
        vm.wait_ssh(secs(10))?;
        power_off(&vm)?;
        disk::require_clean_state(vm.machine())
    })
}
