//! An OCI bundle on disk.

use crate::compile::{CompileError, Users, compile};
use oci_spec::runtime::Spec;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use tare_config::Service;
use thiserror::Error;

/// The longest `config.json` we read, in bytes; ours are about 8 KiB.
const MAX_CONFIG: u64 = 256 << 10;
/// `BPF_MAXINSNS` (linux/bpf_common.h) instructions of 8 bytes.
const MAX_FILTER: u64 = 4096 * 8;

/// An OCI bundle: `config.json` beside the `rootfs` it describes, and `seccomp.bpf`, the profile in
/// that file as the kernel takes it.
#[derive(Debug, Clone, PartialEq)]
pub struct Bundle {
    /// The directory that holds all three, absolute.
    pub path: PathBuf,
    /// What runs, and where.
    pub spec: Spec,
    /// The program for `seccomp(2)`; none for a service that is unconfined.
    pub filter: Option<Vec<u8>>,
}

/// Why a bundle cannot be used.
#[derive(Debug, Error)]
pub enum BundleError {
    /// A file is missing or cannot be read.
    #[error("read {path}: {source}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file is longer than we are willing to hold in memory.
    #[error("read {path}: longer than {limit} bytes")]
    TooLong {
        /// The file.
        path: PathBuf,
        /// What we would read, in bytes.
        limit: u64,
    },
    /// `config.json` is not a runtime spec.
    #[error("parse {path}: {source}")]
    Parse {
        /// The file.
        path: PathBuf,
        /// Why.
        source: serde_json::Error,
    },
    /// There is no spec for the service.
    #[error(transparent)]
    Compile(#[from] CompileError),
    /// `seccomp.bpf` is not a whole number of instructions, or none.
    #[error("parse {path}: not an array of BPF instructions")]
    Filter {
        /// The file.
        path: PathBuf,
    },
}

impl Bundle {
    /// Reads the bundle at `path`.
    ///
    /// # Errors
    /// The first file that is missing, too long, or not what it should be. `seccomp.bpf` must be
    /// there if the spec names a profile: nothing starts without the filter it asked for.
    pub fn load(path: &Path) -> Result<Self, BundleError> {
        Self::with_spec(path, read_spec(path.join("config.json"))?)
    }

    /// The bundle at `path` of service `name`, with the spec that follows from `service`: what
    /// `config.json` says too, unless the machine's configuration changed the service.
    ///
    /// # Errors
    /// As [`load`](Self::load), for `rootfs/etc/passwd` in place of `config.json`, which need not be
    /// there; and when there is no spec for the service.
    pub fn of(path: &Path, name: &str, service: &Service) -> Result<Self, BundleError> {
        let users = read_users(path.join("rootfs/etc/passwd"))?;
        Self::with_spec(path, compile(name, service, &users)?)
    }

    fn with_spec(path: &Path, spec: Spec) -> Result<Self, BundleError> {
        let linux = spec.linux().as_ref();
        let confined = linux.is_some_and(|linux| linux.seccomp().is_some());
        let filter = confined.then(|| read_filter(path.join("seccomp.bpf")));
        Ok(Self {
            path: path.to_owned(),
            filter: filter.transpose()?,
            spec,
        })
    }
}

fn read_spec(path: PathBuf) -> Result<Spec, BundleError> {
    let json = read(&path, MAX_CONFIG)?;
    serde_json::from_slice(&json).map_err(|source| BundleError::Parse { path, source })
}

/// A root filesystem of one static program has no users but root.
fn read_users(path: PathBuf) -> Result<Users, BundleError> {
    if !path.exists() {
        return Ok(Users::parse(""));
    }
    let passwd = read(&path, MAX_CONFIG)?;
    Ok(Users::parse(&String::from_utf8_lossy(&passwd)))
}

fn read_filter(path: PathBuf) -> Result<Vec<u8>, BundleError> {
    let filter = read(&path, MAX_FILTER)?;
    if filter.is_empty() || !filter.len().is_multiple_of(8) {
        return Err(BundleError::Filter { path });
    }
    Ok(filter)
}

fn read(path: &Path, limit: u64) -> Result<Vec<u8>, BundleError> {
    let mut bytes = Vec::new();
    let read = File::open(path).and_then(|file| file.take(limit + 1).read_to_end(&mut bytes));
    read.map_err(|source| BundleError::Read {
        path: path.to_owned(),
        source,
    })?;
    if bytes.len() as u64 > limit {
        let path = path.to_owned();
        return Err(BundleError::TooLong { path, limit });
    }
    Ok(bytes)
}
