//! Homes of users, in the volume that services see as `/home`.

use super::files::make_directory;
use crate::plan::users::Home;
use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, lchown};
use std::path::Path;
use tare_container::paths::volume;

/// The volume.
const HOMES: &str = "homes";
/// As for volumes that each user may look into.
const MODE: u32 = 0o755;
/// For the user alone (`HOME_MODE`, login.defs(5)).
const HOME_MODE: u32 = 0o700;

/// Makes the homes that are not there. One that is there is left as it is; the log says so if it is of another user.
pub(crate) fn make_all(homes: &[Home]) {
    let folder = volume(HOMES);
    let folder = Path::new(&folder);
    if let Err(error) = make_directory(folder, MODE) {
        log::error!("homes: {error}");
        return;
    }
    for home in homes {
        if let Err(error) = make(folder, home) {
            log::error!("the home of {}: {error}", home.0);
        }
    }
}

fn make(folder: &Path, (name, id): &Home) -> io::Result<()> {
    let path = folder.join(name);
    match fs::symlink_metadata(&path) {
        Ok(is) if is.uid() == *id => Ok(()),
        Ok(is) => {
            log::warn!(
                "/home/{name} belongs to user {}, not to {name}, who is {id}",
                is.uid()
            );
            Ok(())
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => new(folder, &path, name, *id),
        Err(error) => Err(error),
    }
}

/// Makes a home under another name, so that it has its owner from the start, even if power fails. No user's name begins with
/// a dot.
fn new(folder: &Path, path: &Path, name: &str, id: u32) -> io::Result<()> {
    let temporary = folder.join(format!(".{name}.new"));
    match fs::DirBuilder::new().mode(HOME_MODE).create(&temporary) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    lchown(&temporary, Some(id), Some(id))?;
    fs::rename(&temporary, path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::unistd::geteuid;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_home_is_made_once() {
        let folder = std::env::temp_dir().join(format!("tare-homes-{}", std::process::id()));
        fs::create_dir(&folder).unwrap();
        let id = geteuid().as_raw();
        // Power failed in an earlier try.
        fs::create_dir(folder.join(".alice.new")).unwrap();
        let alice = ("alice".to_owned(), id);
        make(&folder, &alice).unwrap();
        let home = folder.join("alice");
        fs::write(home.join("file"), "x").unwrap();
        make(&folder, &alice).unwrap();
        let bob = ("bob".to_owned(), id);
        make(&folder, &bob).unwrap();
        let is = fs::metadata(folder.join("bob")).unwrap();
        assert_eq!((is.uid(), is.gid()), (id, id));
        assert_eq!(is.permissions().mode() & 0o7777, HOME_MODE);
        assert_eq!(fs::read(home.join("file")).unwrap(), b"x");
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 2);
        fs::remove_dir_all(&folder).unwrap();
    }
}
