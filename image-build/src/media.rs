//! What a machine boots from: the unified kernel image, the EFI system partition, the disk.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

use crate::grub::Grub;
use crate::kernel::Kernel;
use crate::output::Image;
use crate::progress::Stage;
use crate::tools::Tools;
use crate::verity::Verity;
use crate::{cache, disk, esp, grub, system, uki};

/// What boot media are made with.
#[derive(Debug)]
pub(crate) struct Media<'a> {
    pub(crate) kernel: &'a Kernel,
    pub(crate) tools: &'a Tools,
}

impl Media<'_> {
    /// Writes the files of `image` that machines boot from.
    ///
    /// # Errors
    /// Something does not fit in its partition, or a file cannot be read or written.
    pub(crate) fn write(
        &self,
        image: &Image,
        layout: &disk::Layout,
        verity: &Verity,
        stage: &Stage,
    ) -> Result<()> {
        copy(&self.kernel.image, &image.kernel)?;
        copy(&self.kernel.config, &image.kernel_config)?;
        let work = image.raw.parent().context("the image has no folder")?;
        let uki = self.uki(&image.cmdline)?;
        cache::write_atomic(&image.uki, &uki)?;
        let file = layout.create(&image.raw)?;
        let mut volume_id = [0; 4];
        volume_id.copy_from_slice(&verity.root[..4]);
        let files = self.esp_files(uki, &image.cmdline)?;
        let partition = layout.slice(&file, disk::ESP);
        esp::write(partition, u32::from_le_bytes(volume_id), &files)?;
        let grub = Grub::make(self.tools, work, disk::BIOS_FIRST, stage)?;
        layout.write_grub(&file, &grub)?;
        layout.fill(&file, disk::SYSTEM_A, &image.system)
    }

    fn uki(&self, cmdline: &str) -> Result<Vec<u8>> {
        let stub = read(
            &self
                .tools
                .file("usr/lib/systemd/boot/efi/linuxx64.efi.stub"),
        )?;
        let kernel = read(&self.kernel.image)?;
        let os_release = system::os_release();
        let section = |name, content| uki::Section { name, content };
        let sections = [
            section(".osrel", os_release.as_bytes()),
            section(".cmdline", cmdline.as_bytes()),
            section(".uname", self.kernel.version.trim().as_bytes()),
            section(".linux", &kernel),
        ];
        uki::assemble(&stub, &sections)
    }

    /// The boot loader at the two places where firmware and its installer look, and the kernel. The kernel's name has
    /// no count of tries (<https://uapi-group.org/specifications/specs/boot_loader_specification/#boot-counting>): as
    /// long as it is the only one, there is nothing to fall back to.
    fn esp_files(&self, uki: Vec<u8>, cmdline: &str) -> Result<Vec<(String, Vec<u8>)>> {
        let loader = read(
            &self
                .tools
                .file("usr/lib/systemd/boot/efi/systemd-bootx64.efi"),
        )?;
        let name = format!("tare_{}.efi", system::VERSION);
        let config = b"timeout 0\neditor no\n".to_vec();
        let load = grub::load(&name, &uki, cmdline)?;
        Ok(vec![
            ("EFI/BOOT/BOOTX64.EFI".to_owned(), loader.clone()),
            ("EFI/systemd/systemd-bootx64.efi".to_owned(), loader),
            (format!("EFI/Linux/{name}"), uki),
            ("EFI/tare/boot.cfg".to_owned(), load.into_bytes()),
            (
                "EFI/tare/grub.cfg".to_owned(),
                grub::CONFIGURATION.as_bytes().to_vec(),
            ),
            ("loader/loader.conf".to_owned(), config),
        ])
    }
}

fn read(path: &Path) -> Result<Vec<u8>> {
    fs::read(path).with_context(|| format!("read {}", path.display()))
}

pub(crate) fn copy(from: &Path, to: &Path) -> Result<()> {
    let copied = fs::copy(from, to);
    copied
        .map(|_| ())
        .with_context(|| format!("copy {} to {}", from.display(), to.display()))
}
