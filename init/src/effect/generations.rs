//! The files of the generations: `N.json` for each, which never changes, and `index.json`, which is replaced as a whole.

use super::files::{make_directory, read_bounded, remove, write_atomically};
use crate::paths::GENERATIONS;
use crate::plan::generations::{Generation, History, Index, Save};
use serde::de::DeserializeOwned;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use tare_config::MAX_BYTES;

/// A generation has a text for each source, and JSON escapes some bytes with six.
const MOST: usize = 6 * 4 * MAX_BYTES;

/// Reads the generations. One that cannot be read is left out.
pub(crate) fn history() -> History {
    let index = match read::<Index>(&index()) {
        Ok(index) => Some(index),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => {
            log::error!("{}: {error}", index().display());
            None
        }
    };
    let entries = fs::read_dir(GENERATIONS).into_iter().flatten().flatten();
    let numbers = entries.filter_map(|entry| number(&entry.path()));
    let generations = numbers.filter_map(|number| {
        generation(number)
            .inspect_err(|error| log::error!("configuration {number}: {error}"))
            .ok()
    });
    History::of(index, generations.collect())
}

/// Reads one.
pub(crate) fn generation(number: u64) -> io::Result<Generation> {
    read(&path(number))
}

/// Writes a generation before the index that may choose it, and removes others after that.
pub(crate) fn save(save: &Save) -> io::Result<()> {
    make_directory(Path::new(GENERATIONS), 0o700)?;
    if let Some(generation) = &save.generation {
        let text = serde_json::to_vec(generation)?;
        write_atomically(&path(generation.about.number), &text, 0o600)?;
    }
    write_atomically(&index(), &serde_json::to_vec(&save.index)?, 0o600)?;
    for number in &save.dropped {
        // Those that stay are found, and dropped, the next time.
        let _ = remove(&path(*number));
    }
    Ok(())
}

fn read<T: DeserializeOwned>(path: &Path) -> io::Result<T> {
    Ok(serde_json::from_slice(&read_bounded(path, MOST)?)?)
}

fn index() -> PathBuf {
    Path::new(GENERATIONS).join("index.json")
}

fn path(number: u64) -> PathBuf {
    Path::new(GENERATIONS).join(format!("{number}.json"))
}

fn number(path: &Path) -> Option<u64> {
    path.file_name()?
        .to_str()?
        .strip_suffix(".json")?
        .parse()
        .ok()
}
