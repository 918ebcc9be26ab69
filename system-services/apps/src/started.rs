//! Which apps were started, so that those removed from the configuration are taken down, even after a reboot.

use anyhow::{Context, Result};
use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

/// A folder with an empty file for each, and another one, `NAME.late`, for each removed one that has delayed others.
/// Processes of several apps may change it at a time.
#[derive(Debug)]
pub(crate) struct Started(PathBuf);

impl Started {
    pub(crate) fn at(folder: &Path) -> Self {
        Self(folder.to_owned())
    }

    pub(crate) fn add(&self, name: &str) -> Result<()> {
        self.make(name)?;
        self.delete(&late(name))
    }

    pub(crate) fn remove(&self, name: &str) -> Result<()> {
        self.delete(name)?;
        self.delete(&late(name))
    }

    /// Whether it has delayed others for long enough.
    pub(crate) fn is_late(&self, name: &str) -> bool {
        self.0.join(late(name)).exists()
    }

    pub(crate) fn mark_late(&self, name: &str) -> Result<()> {
        self.make(&late(name))
    }

    fn make(&self, file: &str) -> Result<()> {
        let path = self.0.join(file);
        File::create(&path)
            .and_then(|file| file.sync_all())
            .with_context(|| format!("make {}", path.display()))
    }

    fn delete(&self, file: &str) -> Result<()> {
        let path = self.0.join(file);
        match fs::remove_file(&path) {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
            removed => removed.with_context(|| format!("remove {}", path.display())),
        }
    }

    /// Earlier versions kept a list in one file.
    fn take_over(&self) -> Result<()> {
        let list = self.0.join("started.json");
        let Ok(bytes) = fs::read(&list) else {
            return Ok(());
        };
        let names: BTreeSet<String> = serde_json::from_slice(&bytes).unwrap_or_default();
        names.iter().try_for_each(|name| self.add(name))?;
        self.delete("started.json")
    }

    /// All of them, sorted.
    pub(crate) fn names(&self) -> Result<Vec<String>> {
        self.take_over()?;
        let entries =
            fs::read_dir(&self.0).with_context(|| format!("read {}", self.0.display()))?;
        let names = entries
            .flatten()
            .filter_map(|entry| entry.file_name().into_string().ok())
            .filter(|name| !name.contains('.'));
        let mut names: Vec<String> = names.collect();
        names.sort();
        Ok(names)
    }
}

/// The names of apps have no dot.
fn late(name: &str) -> String {
    format!("{name}.late")
}

#[cfg(test)]
pub(crate) mod testing {
    use std::env;
    use std::fs;
    use std::path::{Path, PathBuf};
    use std::process;

    /// An empty folder, while this exists.
    pub(crate) struct Folder(PathBuf);

    impl Folder {
        pub(crate) fn new(name: &str) -> Self {
            let path = env::temp_dir().join(format!("tare-apps-{name}-{}", process::id()));
            fs::create_dir_all(&path).unwrap();
            Self(path)
        }

        pub(crate) fn path(&self) -> &Path {
            &self.0
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::testing::Folder;
    use super::*;

    #[test]
    fn names_are_kept() {
        let folder = Folder::new("started");
        let folder = folder.path();
        let started = Started::at(folder);
        fs::write(folder.join("started.json"), r#"["blog"]"#).unwrap();
        for name in ["shop", "shop"] {
            started.add(name).unwrap();
        }
        assert_eq!(started.names().unwrap(), ["blog", "shop"]);
        started.mark_late("shop").unwrap();
        assert_eq!(started.names().unwrap(), ["blog", "shop"]);
        started.remove("shop").unwrap();
        started.remove("shop").unwrap();
        assert_eq!(Started::at(folder).names().unwrap(), ["blog"]);
        assert!(!started.is_late("shop"));
    }
}
