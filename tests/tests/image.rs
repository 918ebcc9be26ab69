//! The image's files, without running it.

use std::fs;

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use tare_tests::image;

#[test]
fn the_manifest_names_the_engine_with_version_and_hash() -> Result<()> {
    let document: Value = serde_json::from_slice(&fs::read(&image()?.sbom)?)?;
    let packages = document["packages"].as_array().context("no packages")?;
    let engine = packages
        .iter()
        .find(|package| package["name"] == "docker.io");
    let engine = engine.context("no package docker.io")?;
    ensure!(
        engine["versionInfo"]
            .as_str()
            .is_some_and(|version| !version.is_empty()),
        "{engine}"
    );
    let hash = &engine["checksums"][0];
    ensure!(hash["algorithm"] == "SHA256", "{engine}");
    ensure!(
        hash["checksumValue"]
            .as_str()
            .is_some_and(|value| value.len() == 64),
        "{engine}"
    );
    Ok(())
}
