//! Files of user-data, on the state partition.
//!
//! Containers change the folders while files are written there. Nothing outside the folders is touched, whatever they do:
//! symbolic links and mounts are never followed.

use super::files::make_directory;
use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, AtFlags, OFlag, OpenHow, ResolveFlag, openat, openat2, renameat};
use nix::sys::stat::{Mode, mkdirat};
use nix::unistd::{UnlinkatFlags, linkat, unlinkat};
use std::collections::BTreeMap;
use std::fs::{File, Permissions, set_permissions};
use std::io::{self, Read, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::{MetadataExt, PermissionsExt, fchown};
use std::path::{Path, PathBuf};
use tare_config::machine::{self, FilePath};

/// The volume behind each folder that files may be in, and the permissions that it is made with: as services have them.
const FOLDERS: [(&str, &str, u32); 6] = [
    ("data", "data", 0o755),
    ("home", "homes", 0o755),
    ("mnt", "mnt", 0o755),
    ("opt", "opt", 0o755),
    ("root", "home", 0o700),
    ("srv", "srv", 0o755),
];

/// The name of a file that takes the place of another one, until it does.
const NEW: &str = ".tare-new";

/// Writes the `files` that differ from what is there, into the folders of `volumes`. Returns a sentence for each that
/// cannot be written.
pub(crate) fn write_all(volumes: &Path, files: &BTreeMap<FilePath, machine::File>) -> Vec<String> {
    let written = files.iter().map(|(path, file)| {
        let written = write(volumes, path, file);
        written.map_err(|error| format!("file {path}: {}", reason(&error)))
    });
    written.filter_map(Result::err).collect()
}

fn reason(error: &io::Error) -> String {
    let reason = match error.raw_os_error().map(Errno::from_raw) {
        Some(Errno::ELOOP) => "a folder of its path is a symbolic link",
        Some(Errno::EXDEV) => "something else is mounted in its path",
        Some(Errno::ENOTDIR) => "a folder of its path is a file",
        Some(Errno::EISDIR) => "it is a folder",
        _ => return error.to_string(),
    };
    reason.to_owned()
}

fn write(volumes: &Path, path: &FilePath, file: &machine::File) -> io::Result<()> {
    let contents = file.contents();
    let mut names: Vec<&str> = path.below().collect();
    let Some(name) = names.pop() else {
        return Err(Errno::EISDIR.into());
    };
    let top = open_top(volumes, path.top())?;
    let folder = names
        .into_iter()
        .try_fold(top, |folder, name| enter(&folder, name))?;
    match is_there(&folder, name, file, &contents)? {
        true => Ok(()),
        false => put(&folder, name, file, &contents),
    }
}

/// Reads at most `limit` bytes of the file at `path`, and one more if there is more. Returns why not, if it cannot be read.
pub(crate) fn read(volumes: &Path, path: &FilePath, limit: usize) -> Result<Vec<u8>, String> {
    let read = read_below(volumes, path, limit);
    read.map_err(|error| match error.raw_os_error().map(Errno::from_raw) {
        Some(Errno::ELOOP) => "it, or a folder of its path, is a symbolic link".to_owned(),
        _ => reason(&error),
    })
}

fn read_below(volumes: &Path, path: &FilePath, limit: usize) -> io::Result<Vec<u8>> {
    let top = FOLDERS.iter().find(|(name, ..)| *name == path.top());
    let (_, volume, _) = top.ok_or(io::ErrorKind::NotFound)?;
    let top = File::open(volumes.join(volume))?.into();
    let below: Vec<&str> = path.below().collect();
    // Without reading: see `is_there`.
    let there = File::from(open(&top, &below.join("/"), OFlag::O_PATH)?);
    if !there.metadata()?.is_file() {
        return Err(io::Error::other("it is not a file"));
    }
    super::files::read_bounded(&opened(&there), limit)
}

/// The path by which a file that was opened without reading is read.
fn opened(there: &File) -> PathBuf {
    format!("/proc/self/fd/{}", there.as_raw_fd()).into()
}

/// Opens the volume behind the folder `top`, which no service may have made yet.
fn open_top(volumes: &Path, top: &str) -> io::Result<OwnedFd> {
    let Some((_, volume, mode)) = FOLDERS.iter().find(|(name, ..)| *name == top) else {
        return Err(io::ErrorKind::NotFound.into());
    };
    let volume = volumes.join(volume);
    if !volume.is_dir() {
        make_directory(&volume, *mode)?;
        // What the umask has taken away.
        set_permissions(&volume, Permissions::from_mode(*mode))?;
    }
    Ok(File::open(volume)?.into())
}

/// Opens the folder `name` of `folder`, and makes it if it is not there.
fn enter(folder: &OwnedFd, name: &str) -> io::Result<OwnedFd> {
    let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY;
    match open(folder, name, flags) {
        Err(Errno::ENOENT) => {
            match mkdirat(folder, name, Mode::from_bits_truncate(0o755)) {
                Ok(()) | Err(Errno::EEXIST) => sync(folder)?,
                Err(error) => return Err(error.into()),
            }
            Ok(open(folder, name, flags)?)
        }
        opened => Ok(opened?),
    }
}

/// Opens `name` of `folder` unless it is a symbolic link or something is mounted there. The second is found without
/// asking what is mounted, which may never answer.
fn open(folder: &OwnedFd, name: &str, flags: OFlag) -> nix::Result<OwnedFd> {
    let resolve = ResolveFlag::RESOLVE_BENEATH
        | ResolveFlag::RESOLVE_NO_SYMLINKS
        | ResolveFlag::RESOLVE_NO_XDEV;
    let how = OpenHow::new()
        .flags(flags | OFlag::O_CLOEXEC)
        .resolve(resolve);
    openat2(folder, name, how)
}

/// Whether `name` of `folder` is `file` already.
fn is_there(
    folder: &OwnedFd,
    name: &str,
    file: &machine::File,
    contents: &[u8],
) -> io::Result<bool> {
    // Without reading: it may be a device, whose opening has an effect, or a FIFO, whose opening waits.
    let there = match open(folder, name, OFlag::O_PATH) {
        // A symbolic link of this name is replaced, not followed.
        Err(Errno::ENOENT | Errno::ELOOP) => return Ok(false),
        there => File::from(there?),
    };
    let is = there.metadata()?;
    if is.is_dir() {
        return Err(Errno::EISDIR.into());
    }
    let alike = is.is_file()
        && is.len() == contents.len() as u64
        && is.mode() & 0o7777 == file.mode.0
        && (is.uid(), is.gid()) == (file.owner.user, file.owner.group);
    if !alike {
        return Ok(false);
    }
    let mut held = Vec::new();
    let limit = contents.len() as u64 + 1;
    File::open(opened(&there))?
        .take(limit)
        .read_to_end(&mut held)?;
    Ok(held == contents)
}

/// Writes `file` to the disk without a name, then gives it the name `name` of `folder`: a reader sees the old file or
/// the new one, and a power cut leaves no other.
fn put(folder: &OwnedFd, name: &str, file: &machine::File, contents: &[u8]) -> io::Result<()> {
    let flags = OFlag::O_TMPFILE | OFlag::O_WRONLY | OFlag::O_CLOEXEC;
    let mut new = File::from(openat(folder, ".", flags, Mode::S_IRUSR | Mode::S_IWUSR)?);
    new.write_all(contents)?;
    fchown(&new, Some(file.owner.user), Some(file.owner.group))?;
    new.set_permissions(Permissions::from_mode(file.mode.0))?;
    new.sync_all()?;
    match name_it(&new, folder, name) {
        Err(Errno::EEXIST) => {
            // Of a process that was killed.
            let _ = unlinkat(folder, NEW, UnlinkatFlags::NoRemoveDir);
            name_it(&new, folder, NEW)?;
            renameat(folder, NEW, folder, name)?;
        }
        named => named?,
    }
    sync(folder)
}

fn name_it(new: &File, folder: &OwnedFd, name: &str) -> nix::Result<()> {
    let unnamed = format!("/proc/self/fd/{}", new.as_raw_fd());
    let follow = AtFlags::AT_SYMLINK_FOLLOW;
    linkat(AT_FDCWD, unnamed.as_str(), folder, name, follow)
}

fn sync(folder: &OwnedFd) -> io::Result<()> {
    Ok(nix::unistd::fsync(folder)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::symlink;
    use tare_config::Machine;
    use tare_config::service::Source;

    struct Scratch(PathBuf);

    impl Scratch {
        fn new(name: &str) -> Self {
            let path = std::env::temp_dir().join(format!("tare-{name}-{}", std::process::id()));
            let _ = fs::remove_dir_all(&path);
            fs::create_dir(&path).unwrap();
            Self(path)
        }

        /// What is said about the files of `text`, which belong to us.
        fn write(&self, text: &str) -> Vec<String> {
            let is = fs::metadata(&self.0).unwrap();
            let text = text.replace("OURS", &format!("owner = '{}:{}'", is.uid(), is.gid()));
            let machine: Machine = tare_config::parse("t", text.as_bytes()).unwrap();
            write_all(&self.0, &machine.files)
        }

        fn mode(&self, path: &str) -> u32 {
            fs::metadata(self.0.join(path)).unwrap().mode() & 0o7777
        }
    }

    impl Drop for Scratch {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn a_file_is_written_once() {
        let scratch = Scratch::new("files-once");
        let text = "[files]\n'/home/a/b' = { text = 'x', mode = '0640', OURS }\n'/root/c' = { text = '', OURS }";
        assert_eq!(scratch.write(text), [""; 0]);
        let path = scratch.0.join("homes/a/b");
        assert_eq!(fs::read_to_string(&path).unwrap(), "x");
        assert_eq!(scratch.mode("homes/a/b"), 0o640);
        assert_eq!(scratch.mode("homes"), 0o755);
        assert_eq!(scratch.mode("home"), 0o700);
        let first = fs::metadata(&path).unwrap().ino();
        assert_eq!(scratch.write(text), [""; 0]);
        assert_eq!(fs::metadata(&path).unwrap().ino(), first);
        // Another content of the same length, and another mode.
        for (change, want, held, mode) in [("'x'", "'y'", "y", 0o640), ("0640", "0600", "x", 0o600)]
        {
            assert_eq!(scratch.write(&text.replace(change, want)), [""; 0]);
            assert_eq!(fs::read_to_string(&path).unwrap(), held);
            assert_eq!(scratch.mode("homes/a/b"), mode);
        }
        assert_eq!(fs::read_dir(scratch.0.join("homes/a")).unwrap().count(), 1);
    }

    #[test]
    fn links_and_folders_in_the_way_are_left_alone() {
        let scratch = Scratch::new("files-way");
        let (srv, out) = (scratch.0.join("srv"), scratch.0.join("out"));
        fs::create_dir_all(srv.join("folder")).unwrap();
        fs::create_dir(&out).unwrap();
        fs::write(out.join("held"), "kept").unwrap();
        fs::write(srv.join("file"), "kept").unwrap();
        fs::write(srv.join(NEW), "left over").unwrap();
        symlink(&out, srv.join("away")).unwrap();
        symlink(out.join("held"), srv.join("link")).unwrap();
        let text = "[files]\n'/srv/away/x' = { text = 'x', OURS }\n'/srv/file/x' = { text = 'x', OURS }\n\
                    '/srv/folder' = { text = 'x', OURS }\n'/srv/link' = { text = 'x', OURS }\n";
        assert_eq!(
            scratch.write(text),
            [
                "file /srv/away/x: a folder of its path is a symbolic link",
                "file /srv/file/x: a folder of its path is a file",
                "file /srv/folder: it is a folder",
            ]
        );
        assert_eq!(fs::read_dir(&out).unwrap().count(), 1);
        assert_eq!(fs::read_to_string(out.join("held")).unwrap(), "kept");
        assert!(fs::symlink_metadata(srv.join("link")).unwrap().is_file());
        assert!(!srv.join(NEW).exists());
    }

    #[test]
    fn a_file_is_read_by_no_link() {
        let scratch = Scratch::new("files-read");
        let srv = scratch.0.join("srv");
        fs::create_dir_all(srv.join("folder")).unwrap();
        fs::write(srv.join("folder/held"), "0123456789").unwrap();
        symlink("folder/held", srv.join("link")).unwrap();
        symlink("folder", srv.join("away")).unwrap();
        let link = Err("it, or a folder of its path, is a symbolic link".to_owned());
        for (path, want) in [
            ("/srv/folder/held", Ok(b"01234567".to_vec())),
            ("/srv/link", link.clone()),
            ("/srv/away/held", link),
            ("/srv/folder", Err("it is not a file".to_owned())),
            (
                "/srv/folder/held/x",
                Err("a folder of its path is a file".to_owned()),
            ),
        ] {
            let file = FilePath::try_from(path.to_owned()).unwrap();
            assert_eq!(read(&scratch.0, &file, 7), want, "{path}");
        }
        for path in ["/srv/none", "/mnt/none"] {
            let file = FilePath::try_from(path.to_owned()).unwrap();
            let error = read(&scratch.0, &file, 7).unwrap_err();
            assert!(error.contains("No such file"), "{error}");
        }
    }

    #[test]
    fn folders_are_those_that_a_login_sees() {
        let path =
            Path::new(env!("CARGO_MANIFEST_DIR")).join("../system-services/ssh/service.toml");
        let service: tare_config::Service =
            tare_config::parse("ssh", &fs::read(path).unwrap()).unwrap();
        for (top, volume, mode) in FOLDERS {
            let target = format!("/{top}");
            let mut mounts = service.mounts.iter();
            let mount = mounts.find(|mount| mount.target == target).unwrap();
            assert_eq!(mount.source, Source::Volume(volume.to_owned()), "{top}");
            assert_eq!(mount.mode.unwrap_or(0o700), mode, "{top}");
        }
    }
}
