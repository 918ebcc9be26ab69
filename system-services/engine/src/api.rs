//! What this service asks of dockerd's API: two requests, each of which would otherwise cost a start of the `docker`
//! command.

use crate::archive::Archive;
use anyhow::{Context, Result, bail, ensure};
use serde::Deserialize;
use tare_engine_api::{Body, Engine};

/// What is read of the engine's description of an image.
#[derive(Deserialize)]
struct Image {
    #[serde(rename = "Id")]
    id: String,
}

/// The id of the image of this name, which is an id, or a tag; `None` if the engine does not have it.
pub(crate) fn image_id(engine: &Engine, name: &str) -> Result<Option<String>> {
    let path = format!("images/{name}/json");
    let answer = engine.request("GET", &path, None).context(path)?;
    match answer.status {
        200 => {
            let image: Image = serde_json::from_str(&answer.body)
                .with_context(|| format!("read what the engine says of {name}"))?;
            Ok(Some(image.id))
        }
        404 => Ok(None),
        status => bail!("the engine answers {status}: {}", answer.body.trim()),
    }
}

/// Loads an archive in the format of `docker save` into the engine.
pub(crate) fn load(engine: &Engine, archive: Archive) -> Result<()> {
    let path = "images/load?quiet=1";
    let body = Body {
        length: archive.length,
        bytes: archive.bytes,
    };
    let answer = engine.request("POST", path, Some(body)).context(path)?;
    let (status, body) = (answer.status, answer.body.trim());
    ensure!(status == 200, "the engine answers {status}: {body}");
    // An error after the first bytes is reported in the body of a 200.
    match body.lines().find(|line| line.contains("\"errorDetail\"")) {
        Some(line) => bail!("the engine: {line}"),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{self, Read, Write};
    use std::os::unix::net::UnixListener;
    use std::thread;

    /// As dockerd does if there is no room for it.
    #[test]
    fn an_answer_before_the_end_of_an_archive_is_heard() {
        let path = std::env::temp_dir().join(format!("tare-api-{}", std::process::id()));
        let listener = UnixListener::bind(&path).unwrap();
        let engine = thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            stream.read_exact(&mut [0]).unwrap();
            stream
                .write_all(b"HTTP/1.0 500 Internal Server Error\r\n\r\nno space\n")
                .unwrap();
        });
        let length = 8 << 20;
        let archive = Archive {
            length,
            bytes: Box::new(io::repeat(0).take(length)),
        };
        let error = load(&Engine::new(&path), archive).unwrap_err();
        assert_eq!(error.to_string(), "the engine answers 500: no space");
        engine.join().unwrap();
        std::fs::remove_file(path).unwrap();
    }
}
