//! Where secrets are kept on this machine: SMBIOS, QEMU's fw_cfg, the boot partition (ESP), the state.

use super::files::{make_directory, read_bounded, remove, write_atomically};
use super::mounts::{mount, unmount};
use super::{state, user_files};
use crate::paths::{CREDENTIALS, CREDENTIALS_ON_ESP, DMI, ESP, FW_CFG_CREDENTIALS};
use nix::mount::MsFlags;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;
use std::sync::mpsc::{Sender, channel};
use std::thread::Builder;
use std::time::{Duration, Instant};
use tare_config::machine::{CredentialName, Reference, SecretBytes};
use tare_container::paths::VOLUMES;

/// After this long, what has not been read is missing: less than PID 1 waits for it at a boot.
const TIMEOUT: Duration = Duration::from_secs(20);

/// How many secrets a machine may have.
const MOST: usize = 256;

/// How many bytes they may have together: PID 1 holds them in memory.
const MOST_BYTES: usize = 1 << 20;

/// What credentials of other machines' tools end with in folders (systemd-stub(7)), and those on the state: so that no name is
/// that of a file that is being written.
const SUFFIX: &str = ".cred";

/// What a reference holds, or why it cannot be read, to follow its name.
pub(crate) type Found = (Reference, Result<SecretBytes, String>);

/// Reads what `references` hold, each in a thread of its own: a disk that never answers costs the secrets on it.
pub(crate) fn read_all(references: BTreeSet<Reference>) -> Vec<Found> {
    let (results, found) = channel();
    let mut missing = BTreeSet::new();
    for (number, reference) in references.into_iter().enumerate() {
        if number < MOST {
            read_in_thread(reference.clone(), results.clone());
        }
        missing.insert(reference);
    }
    drop(results);
    let (end, is_over) = (Instant::now() + TIMEOUT, missing.len() > MOST);
    let (mut all, mut length) = (Vec::new(), 0);
    while let Ok((reference, read)) =
        found.recv_timeout(end.saturating_duration_since(Instant::now()))
    {
        length += read.as_ref().map_or(0, |SecretBytes(bytes)| bytes.len());
        let read = match length > MOST_BYTES {
            true => Err(format!(
                "is left out: the secrets have more than {MOST_BYTES} bytes"
            )),
            false => read,
        };
        missing.remove(&reference);
        all.push((reference, read));
    }
    let why = match is_over {
        true => format!("is one of more than {MOST} secrets"),
        false => format!("has not been read within {} s", TIMEOUT.as_secs()),
    };
    let missing = missing.into_iter();
    all.extend(missing.map(|reference| (reference, Err(why.clone()))));
    all
}

fn read_in_thread(reference: Reference, results: Sender<Found>) {
    let work = move || {
        let read = read(&reference);
        // After the time limit, no one waits for it.
        let _ = results.send((reference, read));
    };
    if let Err(error) = Builder::new().spawn(work) {
        log::error!("secrets: {error}");
    }
}

fn read(reference: &Reference) -> Result<SecretBytes, String> {
    let bytes = match reference {
        Reference::Credential(name) => credential(name, &STORES)?,
        Reference::File(path) => user_files::read(Path::new(VOLUMES), path, SecretBytes::MAX)
            .map_err(|why| format!("cannot be read: {why}"))?,
    };
    match bytes.len() > SecretBytes::MAX {
        true => Err(format!("has more than {} bytes", SecretBytes::MAX)),
        false => Ok(SecretBytes(bytes)),
    }
}

/// Looks a credential up; `None` if it is not there. Reads at most one byte more than [`SecretBytes::MAX`].
type Store = fn(&str) -> io::Result<Option<Vec<u8>>>;

/// Each with its name, in the order in which they are asked.
const STORES: [(&str, Store); 4] = [
    ("SMBIOS type 11", |name| in_smbios(Path::new(DMI), name)),
    ("fw_cfg", |name| {
        bounded(&Path::new(FW_CFG_CREDENTIALS).join(name).join("raw"))
    }),
    ("loader/credentials on the ESP", on_esp),
    ("the state", |name| bounded(&on_state(name))),
];

/// The credential `name` of the first of `stores` that has it.
fn credential(name: &CredentialName, stores: &[(&str, Store)]) -> Result<Vec<u8>, String> {
    let mut failed = Vec::new();
    for (store, look) in stores {
        match look(name.as_str()) {
            Ok(Some(bytes)) => return Ok(bytes),
            Ok(None) => {}
            Err(error) => failed.push(format!(" ({store}: {error})")),
        }
    }
    let names: Vec<&str> = stores.iter().map(|(name, _)| *name).collect();
    Err(format!("is not in {}{}", names.join(", "), failed.concat()))
}

fn bounded(path: &Path) -> io::Result<Option<Vec<u8>>> {
    match read_bounded(path, SecretBytes::MAX) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        read => read.map(Some),
    }
}

/// Looks through the tables of type 11 of the folder `dmi` (`CONFIG_DMI_SYSFS`).
fn in_smbios(dmi: &Path, name: &str) -> io::Result<Option<Vec<u8>>> {
    let entries = fs::read_dir(dmi).into_iter().flatten().flatten();
    let mut tables: Vec<PathBuf> = entries
        .filter(|entry| entry.file_name().to_string_lossy().starts_with("11-"))
        .map(|entry| entry.path().join("raw"))
        .collect();
    tables.sort();
    for table in tables {
        if let Some(value) = in_strings(&fs::read(table)?, name)? {
            return Ok(Some(value));
        }
    }
    Ok(None)
}

/// The credential `name` among the strings of an SMBIOS table: its second byte says where they begin, and each ends with a
/// zero (DSP0134, 6.1.3). The form of credentials is that of systemd(1).
fn in_strings(table: &[u8], name: &str) -> io::Result<Option<Vec<u8>>> {
    let start = table.get(1).map_or(0, |length| usize::from(*length));
    let strings = table.get(start..).unwrap_or_default();
    for string in strings.split(|byte| *byte == 0) {
        let value = |prefix: &str| {
            let rest = string.strip_prefix(prefix.as_bytes())?;
            rest.strip_prefix(name.as_bytes())?.strip_prefix(b"=")
        };
        if let Some(value) = value("io.systemd.credential:") {
            return Ok(Some(value.to_vec()));
        }
        if let Some(base64) = value("io.systemd.credential.binary:") {
            return match SecretBytes::from_base64(base64) {
                Some(SecretBytes(bytes)) => Ok(Some(bytes)),
                None => Err(io::Error::other("not base64")),
            };
        }
    }
    Ok(None)
}

/// The credentials of the boot partition by name, read once.
static OF_ESP: LazyLock<Result<BTreeMap<String, Vec<u8>>, String>> =
    LazyLock::new(|| read_esp().map_err(|error| error.to_string()));

fn on_esp(name: &str) -> io::Result<Option<Vec<u8>>> {
    match &*OF_ESP {
        Ok(credentials) => Ok(credentials.get(name).cloned()),
        Err(error) => Err(io::Error::other(error.clone())),
    }
}

fn read_esp() -> io::Result<BTreeMap<String, Vec<u8>>> {
    let Some(partition) = state::find_esp() else {
        return Ok(BTreeMap::new());
    };
    let (source, target) = (partition.to_string_lossy(), Path::new(ESP));
    let flags = MsFlags::MS_RDONLY | MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
    mount(&source, "vfat", target, flags, "umask=0077").map_err(io::Error::other)?;
    let read = in_folder(&target.join(CREDENTIALS_ON_ESP));
    unmount(target)?;
    read
}

/// The credentials in `folder`, by name; none if there is no such folder.
fn in_folder(folder: &Path) -> io::Result<BTreeMap<String, Vec<u8>>> {
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(BTreeMap::new()),
        entries => entries?,
    };
    let mut credentials = BTreeMap::new();
    for entry in entries.flatten().take(MOST) {
        let file_name = entry.file_name();
        let file_name = file_name.to_string_lossy();
        let name = file_name.strip_suffix(SUFFIX).unwrap_or(&file_name);
        if entry.file_type()?.is_file() {
            let bytes = read_bounded(&entry.path(), SecretBytes::MAX)?;
            credentials.insert(name.to_owned(), bytes);
        }
    }
    Ok(credentials)
}

fn on_state(name: &str) -> PathBuf {
    Path::new(CREDENTIALS).join(format!("{name}{SUFFIX}"))
}

/// Keeps the credential `name` on the state, or removes it if there is no `value`.
///
/// # Errors
/// It cannot be written, or is not there to be removed.
pub(crate) fn save(name: &CredentialName, value: Option<&SecretBytes>) -> io::Result<()> {
    let path = on_state(name.as_str());
    match value {
        Some(SecretBytes(bytes)) => {
            make_directory(Path::new(CREDENTIALS), 0o700)?;
            write_atomically(&path, bytes, 0o600)
        }
        None if path.exists() => remove(&path),
        None => Err(io::Error::other(format!(
            "there is no credential {name} on the state"
        ))),
    }
}

/// The names of the credentials on the state.
pub(crate) fn names() -> Vec<String> {
    let entries = fs::read_dir(CREDENTIALS).into_iter().flatten().flatten();
    let names = entries.filter_map(|entry| {
        let name = entry.file_name().into_string().ok()?;
        Some(name.strip_suffix(SUFFIX)?.to_owned())
    });
    let mut names: Vec<String> = names.collect();
    names.sort();
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_of_smbios() {
        let strings = "io.systemd.credential:a=b=c\0io.systemd.credential.binary:bin=AP8=\0\
            io.systemd.credential:ab=1\0other:x=y\0io.systemd.credential.binary:bad=*\0io.systemd.credential:e=\0\0";
        let table = [&[11, 5, 0, 0, 6], strings.as_bytes()].concat();
        for (name, want) in [
            ("a", Some(&b"b=c"[..])),
            ("ab", Some(b"1")),
            ("bin", Some(&[0, 255])),
            ("e", Some(b"")),
            ("x", None),
            ("", None),
        ] {
            assert_eq!(in_strings(&table, name).unwrap().as_deref(), want, "{name}");
        }
        let error = in_strings(&table, "bad").unwrap_err();
        assert_eq!(error.to_string(), "not base64");
        for table in [&[][..], &[11], &[11, 200, 0]] {
            assert_eq!(in_strings(table, "a").unwrap(), None);
        }
    }

    #[test]
    fn the_first_store_that_has_a_credential_counts() {
        let stores: [(&str, Store); 3] = [
            ("A", |name| Ok((name == "one").then(|| b"of A".to_vec()))),
            ("B", |_| Err(io::Error::other("broken"))),
            ("C", |name| Ok((name != "none").then(|| b"of C".to_vec()))),
        ];
        let look = |name: &str| {
            let name = CredentialName::try_from(name.to_owned()).unwrap();
            credential(&name, &stores).map(|bytes| String::from_utf8(bytes).unwrap())
        };
        assert_eq!(look("one"), Ok("of A".to_owned()));
        assert_eq!(look("two"), Ok("of C".to_owned()));
        assert_eq!(
            look("none"),
            Err("is not in A, B, C (B: broken)".to_owned())
        );
    }

    #[test]
    fn credentials_of_a_folder() {
        let folder = std::env::temp_dir().join(format!("tare-credentials-{}", std::process::id()));
        fs::create_dir_all(folder.join("sub.cred")).unwrap();
        fs::write(folder.join("a.b.cred"), "1").unwrap();
        fs::write(folder.join("plain"), "2").unwrap();
        let found = in_folder(&folder).unwrap();
        fs::remove_dir_all(&folder).unwrap();
        let want = [("a.b", "1"), ("plain", "2")];
        let want = want.map(|(name, text)| (name.to_owned(), text.as_bytes().to_vec()));
        assert_eq!(found, BTreeMap::from(want));
        assert_eq!(in_folder(&folder).unwrap(), BTreeMap::new());
    }
}
