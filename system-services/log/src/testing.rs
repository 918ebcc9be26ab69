//! Shared by the tests.

use crate::desk::Desk;
use crate::disk::Limits;
use crate::limit::{Buckets, Rate};
use crate::store::Store;
use rustix::pipe::{PipeFlags, pipe_with};
use std::fs::{self, File};
use std::path::PathBuf;
use std::time::Duration;

/// The read end and the write end of a pipe.
pub(crate) fn pipe() -> (File, File) {
    let (read, write) = pipe_with(PipeFlags::CLOEXEC).unwrap();
    (read.into(), write.into())
}

/// A temporary folder, removed at the end.
pub(crate) struct Folder(PathBuf);

impl Folder {
    pub(crate) fn new(name: &str) -> Self {
        let folder = std::env::temp_dir().join(format!("tare-log-{}-{name}", std::process::id()));
        fs::create_dir(&folder).unwrap();
        Self(folder)
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    pub(crate) fn root(&self) -> PathBuf {
        self.0.clone()
    }

    pub(crate) fn folder(&self, name: &str) -> PathBuf {
        let path = self.path(name);
        fs::create_dir_all(&path).unwrap();
        path
    }

    /// A desk whose folders are `log` and `state`, with a limit of `lines` per second and `burst` at once.
    pub(crate) fn desk(&self, lines: u32, burst: u32) -> Desk {
        let limits = Limits {
            file: 1 << 20,
            total: 4 << 20,
            age: Duration::from_secs(3600),
        };
        let (log, state) = (self.folder("log"), self.folder("state"));
        let store = Store::open(&log, &state, limits, "3f2a90c1").unwrap();
        Desk::new(store, Buckets::new(Rate { lines, burst }))
    }

    /// The names in the folder.
    pub(crate) fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(&self.0).unwrap();
        let mut names: Vec<String> = entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    pub(crate) fn read(&self, name: &str) -> String {
        fs::read_to_string(self.0.join(name)).unwrap()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}
