//! The cgroup tree (v2, `Documentation/admin-guide/cgroup-v2.rst`).
//!
//! `/init` holds PID 1, each `/services/NAME` a service, each `/containers/user/ID` a container of the engine, and
//! `/containers/shims` their shims. Inner cgroups hold no processes of their own, as their controllers require.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use thiserror::Error;

/// Where PID 1 mounts the tree.
pub const ROOT: &str = "/sys/fs/cgroup";
/// Below [`ROOT`]: where the engine creates its containers (`cgroup-parent` in its `daemon.json`).
pub const CONTAINERS: &str = "containers/user";
/// The controllers whose files are written or whose statistics are read.
const CONTROLLERS: [&str; 4] = ["cpu", "io", "memory", "pids"];

/// Why a cgroup operation failed.
#[derive(Debug, Error)]
#[error("{operation} {path}: {source}")]
pub struct CgroupError {
    /// What was tried.
    pub operation: &'static str,
    /// On what.
    pub path: PathBuf,
    /// Why it failed.
    pub source: io::Error,
}

/// Creates the tree and moves this process into `/init`. Called once at boot, after cgroup2 is mounted on [`ROOT`]
/// and before the first launch. It may be called again.
///
/// # Errors
/// The first step that failed. Controllers that the kernel lacks are left out.
pub fn prepare() -> Result<(), CgroupError> {
    let root = Path::new(ROOT);
    for group in ["init", "services", "containers", CONTAINERS] {
        create(&root.join(group))?;
    }
    write(&root.join("init/cgroup.procs"), "0")?;
    let enable = to_enable(&read(&root.join("cgroup.controllers"))?);
    for group in ["", "services", "containers"] {
        write(&root.join(group).join("cgroup.subtree_control"), &enable)?;
    }
    Ok(())
}

/// What to write to `cgroup.subtree_control`, given what is `available`.
fn to_enable(available: &str) -> String {
    let wanted = available
        .split_whitespace()
        .filter(|controller| CONTROLLERS.contains(controller));
    wanted.map(|controller| format!("+{controller} ")).collect()
}

/// Creates the cgroup at `path` if it does not exist, and writes `files` in it.
pub(crate) fn create_with(path: &Path, files: &[(&str, &str)]) -> Result<File, CgroupError> {
    create(path)?;
    for (file, value) in files {
        write(&path.join(file), value)?;
    }
    File::open(path).map_err(|source| error("open", path, source))
}

fn create(path: &Path) -> Result<(), CgroupError> {
    match fs::create_dir(path) {
        Err(source) if source.kind() != io::ErrorKind::AlreadyExists => {
            Err(error("create", path, source))
        }
        _ => Ok(()),
    }
}

pub(crate) fn write(path: &Path, value: &str) -> Result<(), CgroupError> {
    let written = OpenOptions::new()
        .write(true)
        .open(path)
        .and_then(|mut file| file.write_all(value.as_bytes()));
    written.map_err(|source| error("write", path, source))
}

fn read(path: &Path) -> Result<String, CgroupError> {
    fs::read_to_string(path).map_err(|source| error("read", path, source))
}

fn error(operation: &'static str, path: &Path, source: io::Error) -> CgroupError {
    let path = path.to_owned();
    CgroupError {
        operation,
        path,
        source,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_controllers_that_are_there_are_enabled() {
        for (available, want) in [
            (
                "cpuset cpu io memory hugetlb pids rdma misc\n",
                "+cpu +io +memory +pids ",
            ),
            ("memory\n", "+memory "),
            ("", ""),
        ] {
            assert_eq!(to_enable(available), want);
        }
    }
}
