//! The compiler and linker that build the kernel, as an input.

use std::process::Command;

use anyhow::{Context, Result};

use crate::progress::Stage;

/// The first lines of the `--version` output of compiler and linker.
///
/// # Errors
/// If one of them is not installed.
pub(super) fn versions(stage: &Stage) -> Result<String> {
    let lines = ["gcc", "ld"].map(|tool| {
        let output = stage.output(Command::new(tool).arg("--version"))?;
        let text = String::from_utf8_lossy(&output).into_owned();
        let line = text
            .lines()
            .next()
            .with_context(|| format!("{tool} --version says nothing"));
        line.map(str::to_owned)
    });
    Ok(lines.into_iter().collect::<Result<Vec<_>>>()?.join("\n"))
}
