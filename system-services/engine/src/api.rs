//! What this service asks of dockerd's API: two requests, each of which would otherwise cost a start of the `docker`
//! command.

use anyhow::{Context, Result, bail, ensure};
use std::fs::File;
use tare_engine_api::Engine;

/// Whether the engine has the image of this name: an id, or a tag.
pub(crate) fn has_image(engine: &Engine, name: &str) -> Result<bool> {
    let path = format!("images/{name}/json");
    let answer = engine.request("GET", &path, None).context(path)?;
    match answer.status {
        200 => Ok(true),
        404 => Ok(false),
        status => bail!("the engine answers {status}: {}", answer.body.trim()),
    }
}

/// Loads an archive in the format of `docker save` into the engine.
pub(crate) fn load(engine: &Engine, archive: &File) -> Result<()> {
    let path = "images/load?quiet=1";
    let answer = engine.request("POST", path, Some(archive)).context(path)?;
    let (status, body) = (answer.status, answer.body.trim());
    ensure!(status == 200, "the engine answers {status}: {body}");
    // An error after the first bytes is reported in the body of a 200.
    match body.lines().find(|line| line.contains("\"errorDetail\"")) {
        Some(line) => bail!("the engine: {line}"),
        None => Ok(()),
    }
}
