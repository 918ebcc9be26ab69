//! The image's files, without running it.

use std::fs;

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use tare_image::{BuildOptions, Image, kernel};

/// The engine, and the boot loader, which is in no layer of the rootfs.
const PACKAGES: [&str; 2] = ["docker.io", "systemd-boot-efi"];

pub(crate) fn the_manifest_names_packages_with_version_and_hash(image: &Image) -> Result<()> {
    let document: Value = serde_json::from_slice(&fs::read(&image.sbom)?)?;
    let packages = document["packages"].as_array().context("no packages")?;
    for name in PACKAGES {
        let package = packages.iter().find(|package| package["name"] == name);
        let package = package.with_context(|| format!("no package {name}"))?;
        let version = package["versionInfo"].as_str();
        ensure!(
            version.is_some_and(|version| !version.is_empty()),
            "{package}"
        );
        let hash = &package["checksums"][0];
        ensure!(hash["algorithm"] == "SHA256", "{package}");
        let value = hash["checksumValue"].as_str();
        ensure!(value.is_some_and(|value| value.len() == 64), "{package}");
    }
    Ok(())
}

/// The build enables what Debian's source adds, with a warning. Here that is an error until `kernel-config/` says
/// what we want.
pub(crate) fn every_mitigation_is_named(image: &Image) -> Result<()> {
    let options = BuildOptions::default();
    let description = options.workspace.join("kernel-config");
    let config = fs::read_to_string(&image.kernel_config)?;
    let unnamed = kernel::unnamed_options(&description, options.platform, &config)?;
    ensure!(unnamed.is_empty(), "no fragment names {unnamed:?}");
    Ok(())
}
