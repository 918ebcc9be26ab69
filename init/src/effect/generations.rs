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
    history_in(Path::new(GENERATIONS))
}

fn history_in(folder: &Path) -> History {
    let index = match read::<Index>(&index(folder)) {
        Ok(index) => Some(index),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => {
            log::error!("{}: {error}", index(folder).display());
            None
        }
    };
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let numbers = entries.filter_map(|entry| number(&entry.path()));
    let generations = numbers.filter_map(|number| {
        read(&path(folder, number))
            .inspect_err(|error| log::error!("configuration {number}: {error}"))
            .ok()
    });
    History::of(index, generations.collect())
}

/// Reads one.
pub(crate) fn generation(number: u64) -> io::Result<Generation> {
    read(&path(Path::new(GENERATIONS), number))
}

/// Writes a generation before the index that may choose it, and removes others after that.
pub(crate) fn save(save: &Save) -> io::Result<()> {
    save_in(Path::new(GENERATIONS), save)
}

fn save_in(folder: &Path, save: &Save) -> io::Result<()> {
    make_directory(folder, 0o700)?;
    if let Some(generation) = &save.generation {
        let text = serde_json::to_vec(generation)?;
        write_atomically(&path(folder, generation.about.number), &text, 0o600)?;
    }
    write_atomically(&index(folder), &serde_json::to_vec(&save.index)?, 0o600)?;
    for number in &save.dropped {
        // Those that stay are found, and dropped, the next time.
        let _ = remove(&path(folder, *number));
    }
    Ok(())
}

fn read<T: DeserializeOwned>(path: &Path) -> io::Result<T> {
    Ok(serde_json::from_slice(&read_bounded(path, MOST)?)?)
}

fn index(folder: &Path) -> PathBuf {
    folder.join("index.json")
}

fn path(folder: &Path, number: u64) -> PathBuf {
    folder.join(format!("{number}.json"))
}

fn number(path: &Path) -> Option<u64> {
    path.file_name()?
        .to_str()?
        .strip_suffix(".json")?
        .parse()
        .ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::generations::{Cause, Texts};

    fn texts(text: &str) -> Texts {
        Texts::from([("local".to_owned(), text.to_owned())])
    }

    /// Damages the index in this way after a change, which is confirmed or not. Returns what is in force then.
    fn chosen_after(damage: impl Fn(&Path) -> io::Result<()>, is_confirmed: bool) -> (u64, Texts) {
        let name = format!("tare-generations-{}-{is_confirmed}", std::process::id());
        let folder = std::env::temp_dir().join(name);
        let cause = Cause::Command { uid: 0 };
        let mut history = History::default();
        let save = history.add(texts("a"), cause.clone(), 0);
        save_in(&folder, &save).unwrap();
        let save = history.propose(texts("b"), cause, 0);
        save_in(&folder, &save).unwrap();
        if is_confirmed {
            let save = history.confirm(2, texts("b"), None);
            save_in(&folder, &save).unwrap();
        }
        damage(&index(&folder)).unwrap();
        let read = history_in(&folder);
        fs::remove_dir_all(folder).unwrap();
        assert_eq!(read.known.len(), 2);
        (read.index.chosen, read.texts)
    }

    #[test]
    fn without_its_index_a_change_that_nobody_confirmed_is_not_in_force() {
        let missing = |path: &Path| fs::remove_file(path);
        let empty = |path: &Path| fs::write(path, "");
        let torn = |path: &Path| {
            let bytes = fs::read(path)?;
            fs::write(path, &bytes[..bytes.len() / 2])
        };
        let damages: [fn(&Path) -> io::Result<()>; 3] = [missing, empty, torn];
        for damage in damages {
            assert_eq!(chosen_after(damage, false), (1, texts("a")));
            assert_eq!(chosen_after(damage, true), (2, texts("b")));
        }
    }
}
