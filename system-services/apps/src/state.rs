//! The names of the apps that were started, so that apps removed from the configuration are taken
//! down, even after a reboot.

use anyhow::{Context, Result};
use serde_json::{Map, Value};
use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};

/// The names and the file that stores them, a JSON list.
#[derive(Debug)]
pub(crate) struct State {
    path: PathBuf,
    names: BTreeSet<String>,
}

impl State {
    /// Reads `path`. A missing or damaged file counts as empty, which at worst leaves an app
    /// running.
    pub(crate) fn read(path: &Path) -> Self {
        let names = fs::read(path)
            .ok()
            .and_then(|bytes| serde_json::from_slice(&bytes).ok())
            .unwrap_or_default();
        Self {
            path: path.to_owned(),
            names,
        }
    }

    /// The names that are not in `apps`.
    pub(crate) fn without(&self, apps: &Map<String, Value>) -> Vec<String> {
        let gone = self.names.iter().filter(|name| !apps.contains_key(*name));
        gone.cloned().collect()
    }

    pub(crate) fn add(&mut self, name: &str) -> Result<()> {
        match self.names.insert(name.to_owned()) {
            true => self.write(),
            false => Ok(()),
        }
    }

    pub(crate) fn remove(&mut self, name: &str) -> Result<()> {
        match self.names.remove(name) {
            true => self.write(),
            false => Ok(()),
        }
    }

    fn write(&self) -> Result<()> {
        self.replace()
            .with_context(|| format!("write {}", self.path.display()))
    }

    /// Replaces the file atomically, even if the power fails.
    fn replace(&self) -> std::io::Result<()> {
        let new = self.path.with_extension("new");
        let mut file = File::create(&new)?;
        file.write_all(serde_json::to_string(&self.names)?.as_bytes())?;
        file.sync_all()?;
        fs::rename(&new, &self.path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn apps(names: &[&str]) -> Map<String, Value> {
        names
            .iter()
            .map(|name| ((*name).to_owned(), Value::Null))
            .collect()
    }

    #[test]
    fn names_are_kept() {
        let path = std::env::temp_dir().join(format!("tare-apps-{}.json", std::process::id()));
        let mut state = State::read(&path);
        state.add("shop").unwrap();
        state.add("blog").unwrap();
        state.remove("shop").unwrap();
        let again = State::read(&path);
        fs::remove_file(&path).unwrap();
        assert_eq!(again.without(&apps(&["shop"])), ["blog"]);
        assert_eq!(again.without(&apps(&["blog"])), [""; 0]);
    }

    #[test]
    fn damage_is_no_names() {
        assert_eq!(
            State::read(Path::new("/proc/version")).without(&apps(&[])),
            [""; 0]
        );
    }
}
