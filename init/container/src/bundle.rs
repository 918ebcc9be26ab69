//! An OCI bundle on disk.

use crate::compile::{CompileError, Users, compile};
use nix::errno::Errno;
use nix::fcntl::{OFlag, OpenHow, ResolveFlag, open, openat2};
use nix::sys::stat::Mode;
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

/// An OCI bundle: `config.json` beside the `rootfs` it describes, and `seccomp.bpf`, the profile in that file in the
/// kernel's format.
#[derive(Debug, Clone, PartialEq)]
pub struct Bundle {
    /// The directory that holds all three, absolute.
    pub path: PathBuf,
    /// What runs, and where, without the seccomp profile, which `filter` replaces.
    pub spec: Spec,
    /// The program for `seccomp(2)`; `None` for an unconfined service.
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
        /// The limit in bytes.
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
    /// `seccomp.bpf` is empty or not a whole number of instructions.
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
    /// The first file that is missing, too long or invalid. `seccomp.bpf` must exist if the spec names a profile:
    /// nothing starts without the filter it asked for.
    pub fn load(path: &Path) -> Result<Self, BundleError> {
        Self::with_spec(path, read_spec(path.join("config.json"))?)
    }

    /// The bundle at `path` of service `name`, with the spec compiled from `service`. It equals `config.json` unless
    /// the machine's configuration changed the service.
    ///
    /// # Errors
    /// Like [`load`](Self::load), with `rootfs/etc/passwd`, which may be missing, in place of `config.json`; and if
    /// there is no spec for the service.
    pub fn of(path: &Path, name: &str, service: &Service) -> Result<Self, BundleError> {
        let users = read_users(&path.join("rootfs"))?;
        Self::with_spec(path, compile(name, service, &users)?)
    }

    fn with_spec(path: &Path, mut spec: Spec) -> Result<Self, BundleError> {
        let linux = spec.linux().as_ref();
        let confined = linux.is_some_and(|linux| linux.seccomp().is_some());
        let filter = confined.then(|| read_filter(path.join("seccomp.bpf")));
        // The filter takes a twentieth of the memory for the same rules.
        if let Some(linux) = spec.linux_mut() {
            linux.set_seccomp(None);
        }
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

/// The root filesystem of a single static program has no users except root.
///
/// It may be an attacker's, so links are followed inside it only, and nothing but a regular file is read.
fn read_users(rootfs: &Path) -> Result<Users, BundleError> {
    const PASSWD: &str = "etc/passwd";
    let passwd = match open_in(rootfs, PASSWD) {
        Err(Errno::ENOENT | Errno::ENOTDIR | Errno::ELOOP) => return Ok(Users::parse("")),
        opened => opened.map_err(io::Error::from),
    };
    let path = rootfs.join(PASSWD);
    let passwd = passwd.and_then(regular).map_err(failed_at(&path))?;
    let passwd = read_open(passwd, &path, MAX_CONFIG)?;
    Ok(Users::parse(&String::from_utf8_lossy(&passwd)))
}

/// Opens `path` as a process with the root `rootfs` would, without waiting for the other end of a FIFO.
fn open_in(rootfs: &Path, path: &str) -> nix::Result<File> {
    let root = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    let root = open(rootfs, root, Mode::empty())?;
    let how = OpenHow::new()
        .flags(OFlag::O_RDONLY | OFlag::O_NONBLOCK | OFlag::O_NOCTTY | OFlag::O_CLOEXEC)
        .resolve(ResolveFlag::RESOLVE_IN_ROOT | ResolveFlag::RESOLVE_NO_MAGICLINKS);
    openat2(root, path, how).map(File::from)
}

fn regular(file: File) -> io::Result<File> {
    if file.metadata()?.is_file() {
        return Ok(file);
    }
    Err(io::Error::other("not a regular file"))
}

fn read_filter(path: PathBuf) -> Result<Vec<u8>, BundleError> {
    let filter = read(&path, MAX_FILTER)?;
    if filter.is_empty() || filter.len() % 8 != 0 {
        return Err(BundleError::Filter { path });
    }
    Ok(filter)
}

fn read(path: &Path, limit: u64) -> Result<Vec<u8>, BundleError> {
    let file = File::open(path).map_err(failed_at(path))?;
    read_open(file, path, limit)
}

fn read_open(file: File, path: &Path, limit: u64) -> Result<Vec<u8>, BundleError> {
    let mut bytes = Vec::new();
    let read = file.take(limit + 1).read_to_end(&mut bytes);
    read.map_err(failed_at(path))?;
    if bytes.len() as u64 > limit {
        let path = path.to_owned();
        return Err(BundleError::TooLong { path, limit });
    }
    Ok(bytes)
}

fn failed_at(path: &Path) -> impl Fn(io::Error) -> BundleError {
    |source| BundleError::Read {
        path: path.to_owned(),
        source,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compile::{Users, compile, to_json};
    use std::fs;
    use std::os::unix::fs::symlink;

    /// Loads the bundle of a confined service with one file changed or, without `contents`, removed.
    fn load(test: &str, file: &str, contents: Option<&[u8]>) -> Result<Bundle, String> {
        let path = std::env::temp_dir().join(format!("tare-{test}-{}", std::process::id()));
        let service = "description = 'a'\n[process]\nargs = ['/a']";
        let service = tare_config::parse("service.toml", service.as_bytes()).unwrap();
        let spec = compile("a", &service, &Users::parse("")).unwrap();
        fs::create_dir_all(&path).unwrap();
        fs::write(path.join("config.json"), to_json(&spec).unwrap()).unwrap();
        fs::write(path.join("seccomp.bpf"), [6, 0, 0, 0, 0, 0, 255, 127]).unwrap();
        match contents {
            Some(contents) => fs::write(path.join(file), contents).unwrap(),
            None => fs::remove_file(path.join(file)).unwrap(),
        }
        let loaded = Bundle::load(&path);
        fs::remove_dir_all(&path).unwrap();
        let here = format!("{}/", path.display());
        loaded.map_err(|error| error.to_string().replace(&here, ""))
    }

    #[test]
    fn a_bundle_is_its_spec_and_its_filter() {
        let bundle = load("whole", "other", Some(b"")).unwrap();
        assert_eq!(
            bundle.filter.as_deref(),
            Some(&[6, 0, 0, 0, 0, 0, 255, 127][..])
        );
        assert_eq!(
            bundle.spec.root().as_ref().map(|root| root.readonly()),
            Some(Some(true))
        );
    }

    #[test]
    fn what_is_no_bundle_is_refused_by_file() {
        let long = vec![b' '; 256 * 1024 + 1];
        for (file, contents, want) in [
            (
                "config.json",
                None,
                "read config.json: No such file or directory (os error 2)",
            ),
            (
                "config.json",
                Some(&long[..]),
                "read config.json: longer than 262144 bytes",
            ),
            (
                "config.json",
                Some(b"{"),
                "parse config.json: EOF while parsing an object at line 1 column 1",
            ),
            (
                "seccomp.bpf",
                None,
                "read seccomp.bpf: No such file or directory (os error 2)",
            ),
            (
                "seccomp.bpf",
                Some(b""),
                "parse seccomp.bpf: not an array of BPF instructions",
            ),
            (
                "seccomp.bpf",
                Some(b"1234567"),
                "parse seccomp.bpf: not an array of BPF instructions",
            ),
        ] {
            assert_eq!(load("spoiled", file, contents), Err(want.to_owned()));
        }
    }

    /// What `passwd` is in the root filesystem of a service with the user `app`, and what becomes of it.
    #[test]
    fn users_are_those_of_the_rootfs() {
        let here = std::env::temp_dir().join(format!("tare-users-{}", std::process::id()));
        let outside = here.join("outside");
        let service = "description = 'a'\n[process]\nargs = ['/a']\nuser = 'app'\n\
                       [sandbox]\nseccomp = 'unconfined'";
        let service = tare_config::parse("service.toml", service.as_bytes()).unwrap();
        let uid = |make: &dyn Fn(&Path)| {
            let etc = here.join("rootfs/etc");
            fs::create_dir_all(&etc).unwrap();
            fs::write(&outside, "app:x:7:7::/:/").unwrap();
            make(&etc);
            let bundle = Bundle::of(&here, "a", &service);
            fs::remove_dir_all(&here).unwrap();
            let user = bundle.map(|bundle| bundle.spec.process().as_ref().unwrap().user().uid());
            let prefix = format!("{}/", here.display());
            user.map_err(|error| error.to_string().replace(&prefix, ""))
        };
        let no_user =
            || Err("service a: no user `app` in /etc/passwd of its root filesystem".to_owned());
        let link = |to: &Path, etc: &Path| symlink(to, etc.join("passwd")).unwrap();
        let app = |path: PathBuf| fs::write(path, "app:x:5:5::/:/").unwrap();
        assert_eq!(uid(&|etc| app(etc.join("passwd"))), Ok(5));
        assert_eq!(uid(&|_| {}), no_user());
        // Links of the image, of which the absolute one begins at its root.
        for to in ["users", "/etc/users", "../../../../etc/users"] {
            let inside = |etc: &Path| {
                app(etc.join("users"));
                link(Path::new(to), etc);
            };
            assert_eq!(uid(&inside), Ok(5));
        }
        assert_eq!(uid(&|etc| link(&outside, etc)), no_user());
        assert_eq!(uid(&|etc| link(Path::new("../../outside"), etc)), no_user());
        let of_folder = |etc: &Path| {
            fs::remove_dir(etc).unwrap();
            fs::create_dir(here.join("passwd-of-host")).unwrap();
            app(here.join("passwd-of-host/passwd"));
            symlink("../passwd-of-host", etc).unwrap();
        };
        assert_eq!(uid(&of_folder), no_user());
        assert_eq!(uid(&|etc| link(Path::new("passwd"), etc)), no_user());
        let not_regular = || Err("read rootfs/etc/passwd: not a regular file".to_owned());
        // It has no writer, so that opening it would wait.
        let fifo = |etc: &Path| {
            nix::unistd::mkfifo(&etc.join("passwd"), nix::sys::stat::Mode::S_IRWXU).unwrap();
        };
        assert_eq!(uid(&fifo), not_regular());
        assert_eq!(
            uid(&|etc| fs::create_dir(etc.join("passwd")).unwrap()),
            not_regular()
        );
    }
}
