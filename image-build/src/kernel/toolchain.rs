//! The compiler and linker that make the kernel, as far as they are an input.

use std::process::Command;

use anyhow::{Context, Result};

use crate::progress::Stage;

/// First lines of what compiler and linker say about themselves.
///
/// # Errors
/// One of them is not installed.
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
