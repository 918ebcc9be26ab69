//! The boot loader of machines without UEFI: GRUB, which starts the kernel from within the unified kernel image.
//!
//! Its first sector is in the MBR, the rest ("core") in a partition of its own. The core reads `EFI/tare/grub.cfg` from the
//! EFI system partition. Nothing of it depends on an image but `EFI/tare/boot.cfg`, which names the kernel.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};

use crate::progress::Stage;
use crate::tools::Tools;
use crate::uki;

/// The package of the files that become part of the image.
pub(crate) const PACKAGE: &str = "grub-pc-bin";

/// Where its files are, in that package.
const FOLDER: &str = "usr/lib/grub/i386-pc";
/// Modules of the core: what `grub.cfg` needs to read a disk, a partition and a part of a file.
const MODULES: &[&str] = &[
    "biosdisk",
    "configfile",
    "echo",
    "fat",
    "linux",
    "loopback",
    "normal",
    "part_gpt",
    "reboot",
    "serial",
    "sleep",
    "terminal",
    "test",
];
/// The folder of `grub.cfg`, on the first partition of the disk that the core was read from.
const PREFIX: &str = "(,gpt1)/EFI/tare";

const SECTOR: usize = 512;
/// Code in an MBR; the partition table is behind it.
pub(crate) const CODE: usize = 440;
/// Where `boot.img` has the sector of the core (`GRUB_BOOT_MACHINE_KERNEL_SECTOR`, include/grub/i386/pc/boot.h).
const BOOT_CORE: usize = 0x5c;
/// Where it has a jump around the code that corrects the number of the drive, which some BIOSes report wrongly
/// (`GRUB_BOOT_MACHINE_DRIVE_CHECK`); without the jump it is corrected, as on any hard disk.
const BOOT_DRIVE_CHECK: usize = 0x66;
const NOPS: [u8; 2] = [0x90, 0x90];
/// Where the first sector of the core has the sector of the second (`struct grub_pc_bios_boot_blocklist`, the last one).
const CORE_REST: usize = SECTOR - 12;

/// GRUB's settings and what it does, the same for all images.
pub(crate) const CONFIGURATION: &str = include_str!("grub/grub.cfg");

/// The code in the MBR, and the core.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Grub {
    pub(crate) boot: [u8; CODE],
    pub(crate) core: Vec<u8>,
}

impl Grub {
    /// Made with `tools`, in the folder `work`, for a core in the sectors from `first` on.
    ///
    /// # Errors
    /// `grub-mkimage` fails, or its files are not what they should be.
    pub(crate) fn make(tools: &Tools, work: &Path, first: u64, stage: &Stage) -> Result<Self> {
        // `grub-mkimage` calls fsync on what it writes, which no pipe takes.
        let core = work.join("core.img");
        let mut mkimage = tools.command("usr/bin/grub-mkimage");
        mkimage
            .args(["--format", "i386-pc", "--prefix", PREFIX, "--directory"])
            .arg(tools.file(FOLDER))
            .arg("--output")
            .arg(&core)
            .args(MODULES);
        stage.run(&mut mkimage)?;
        let boot = tools.file(FOLDER).join("boot.img");
        let made = Self::at(first, &read(&boot)?, read(&core)?);
        fs::remove_file(&core).with_context(|| format!("remove {}", core.display()))?;
        made
    }

    fn at(first: u64, boot: &[u8], mut core: Vec<u8>) -> Result<Self> {
        ensure!(
            boot.len() == SECTOR && core.len() > SECTOR,
            "GRUB's images are cut short"
        );
        let mut code = [0; CODE];
        code.copy_from_slice(&boot[..CODE]);
        code[BOOT_CORE..][..8].copy_from_slice(&first.to_le_bytes());
        code[BOOT_DRIVE_CHECK..][..NOPS.len()].copy_from_slice(&NOPS);
        core[CORE_REST..][..8].copy_from_slice(&(first + 1).to_le_bytes());
        Ok(Self { boot: code, core })
    }
}

fn read(path: &Path) -> Result<Vec<u8>> {
    fs::read(path).with_context(|| format!("read {}", path.display()))
}

/// `boot.cfg`: the commands that load the kernel of the unified kernel image `content`, the file `name` in `EFI/Linux`, with
/// the command line `cmdline`.
///
/// # Errors
/// The image has no kernel at a whole sector, or the command line has a quote that does not end.
pub(crate) fn load(name: &str, content: &[u8], cmdline: &str) -> Result<String> {
    let kernel = uki::section(content, ".linux").context("no kernel in the UKI")?;
    ensure!(
        kernel.start % SECTOR == 0,
        "the kernel does not begin at a sector of the UKI"
    );
    let (first, sectors) = (kernel.start / SECTOR, kernel.len().div_ceil(SECTOR));
    let words: Vec<String> = words(cmdline)?.iter().map(|word| quoted(word)).collect();
    Ok(format!(
        "loopback uki ($root)/EFI/Linux/{name}\nlinux (uki){first}+{sectors} {}\n",
        words.join(" ")
    ))
}

/// The words of a kernel's command line, without their quotes: `a="b c"` is one (Linux, `next_arg` of lib/cmdline.c).
fn words(cmdline: &str) -> Result<Vec<String>> {
    let mut words = vec![String::new()];
    let mut is_quoted = false;
    for c in cmdline.chars() {
        match c {
            '"' => is_quoted = !is_quoted,
            ' ' if !is_quoted => words.push(String::new()),
            _ => words.last_mut().into_iter().for_each(|word| word.push(c)),
        }
    }
    ensure!(
        !is_quoted,
        "a quote in the kernel's command line does not end"
    );
    words.retain(|word| !word.is_empty());
    Ok(words)
}

/// A word for GRUB, which puts one with a space into double quotes again for the kernel.
fn quoted(word: &str) -> String {
    format!("'{}'", word.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sectors_are_where_the_code_looks() {
        let grub = Grub::at(34, &[1; SECTOR], vec![2; 3 * SECTOR]).unwrap();
        assert_eq!(
            grub.boot[BOOT_CORE..BOOT_CORE + 9],
            [34, 0, 0, 0, 0, 0, 0, 0, 1]
        );
        assert_eq!(grub.boot[0x65..0x69], [1, 0x90, 0x90, 1]);
        assert_eq!(grub.core[499..509], [2, 35, 0, 0, 0, 0, 0, 0, 0, 2]);
        assert!(Grub::at(34, &[1; 511], vec![2; 3 * SECTOR]).is_err());
        assert!(Grub::at(34, &[1; SECTOR], vec![]).is_err());
    }

    #[test]
    fn a_command_line_stays_what_it_is() {
        for (cmdline, want) in [
            (
                r#"ro dm="a,,0 1" b='c'  quiet"#,
                Some(r"'ro' 'dm=a,,0 1' 'b='\''c'\''' 'quiet'"),
            ),
            ("", Some("")),
            (r#"a="b"#, None),
        ] {
            let got = words(cmdline).ok();
            let got = got.map(|words| {
                words
                    .iter()
                    .map(|w| quoted(w))
                    .collect::<Vec<_>>()
                    .join(" ")
            });
            assert_eq!(got.as_deref(), want, "{cmdline}");
        }
    }
}
