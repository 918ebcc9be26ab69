//! The image under test, built on first use.

use std::io::{self, Write};
use std::sync::OnceLock;

use crate::{baked, services};
use anyhow::{Result, anyhow};
use tare_image::host::{self, Group};
use tare_image::progress::Progress;
use tare_image::{BuildOptions, Image};
use tare_qemu::target;

/// The image of this checkout, built once by the first test that asks for it.
///
/// # Errors
/// A host tool is missing and may not be installed, or the build fails; every test gets the same answer.
pub fn image() -> Result<&'static Image> {
    static IMAGE: OnceLock<Result<Image, String>> = OnceLock::new();
    once(&IMAGE, || build(&BuildOptions::default()))
}

/// The same with the services of `tests/services`, which tests of the supervisor control, and [`crate::MANY`] that do
/// nothing, all disabled.
///
/// # Errors
/// As [`image`].
pub fn image_with_test_services() -> Result<&'static Image> {
    static IMAGE: OnceLock<Result<Image, String>> = OnceLock::new();
    let usual = BuildOptions::default();
    once(&IMAGE, || {
        build(&BuildOptions {
            output: usual.workspace.join("target/image-with-test-services"),
            extra_services: Some(services::write(&usual.workspace)?),
            ..usual
        })
    })
}

/// The same with an app and container images that are baked.
///
/// # Errors
/// As [`image`].
pub fn image_with_baked_app() -> Result<&'static Image> {
    static IMAGE: OnceLock<Result<Image, String>> = OnceLock::new();
    let usual = BuildOptions::default();
    once(&IMAGE, || {
        let baked = baked::write()?;
        build(&BuildOptions {
            output: usual.workspace.join("target/image-with-baked-app"),
            bake: vec![baked.compose],
            bake_archives: vec![baked.archive],
            ..usual
        })
    })
}

fn once(
    image: &'static OnceLock<Result<Image, String>>,
    build: impl FnOnce() -> Result<Image>,
) -> Result<&'static Image> {
    let built = image.get_or_init(|| build().map_err(|error| format!("{error:#}")));
    built.as_ref().map_err(|error| anyhow!(error.clone()))
}

fn build(options: &BuildOptions) -> Result<Image> {
    let logs = target().join("log");
    // The first build takes a quarter of an hour; later ones only build what changed.
    say(&format!(
        "building the image; logs are in {}",
        logs.display()
    ))?;
    let progress = Progress::new(&logs);
    host::ensure(
        &[Group::Kernel, Group::Image, Group::Qemu],
        false,
        &progress,
    )?;
    tare_image::build(options, &progress)
}

/// Prints to the terminal, past the test harness, which hides the output of passing tests.
fn say(line: &str) -> io::Result<()> {
    io::stderr().write_all(format!("tests: {line}\n").as_bytes())
}
