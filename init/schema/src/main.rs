//! Writes `docs/reference.md` and `docs/tare.schema.json`.

#![forbid(unsafe_code)]

use anyhow::{Context, Result};

fn main() -> Result<()> {
    for file in tare_schema::files() {
        std::fs::write(&file.path, file.text)
            .with_context(|| format!("write {}", file.path.display()))?;
    }
    Ok(())
}
