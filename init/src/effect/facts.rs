//! Facts about the host, as files that services read.

use super::files::{self, make_directory, write_atomically};
use crate::plan::facts::Fact;
use crate::plan::sections::Sections;
use std::io;
use std::path::{Path, PathBuf};
use tare_container::paths::{self, HOST_FACTS};

/// Writes every fact under its name.
pub(crate) fn write(facts: &[Fact]) -> io::Result<()> {
    make_directory(Path::new(HOST_FACTS), 0o755)?;
    facts.iter().try_for_each(|fact| {
        write_atomically(
            &Path::new(HOST_FACTS).join(&fact.name),
            fact.text.as_bytes(),
            0o644,
        )
    })
}

/// Removes the fact called `name`.
pub(crate) fn remove(name: &str) -> io::Result<()> {
    files::remove(&Path::new(HOST_FACTS).join(name))
}

/// Writes the sections of the configuration that `service` may read, owned by `owner`.
pub(crate) fn write_sections(service: &str, owner: u32, sections: &Sections) -> io::Result<()> {
    let folder: PathBuf = paths::config(service).into();
    make_directory(&folder, 0o700)?;
    std::os::unix::fs::chown(&folder, Some(owner), None)?;
    for (name, section) in sections {
        let path = folder.join(format!("{name}.json"));
        write_atomically(&path, section.json().as_bytes(), 0o400)?;
        std::os::unix::fs::chown(&path, Some(owner), None)?;
    }
    Ok(())
}
