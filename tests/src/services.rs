//! Services for tests of PID 1: those of `tests/services`, those that the documentation shows, some whose programs
//! are invalid, and many identical ones.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::examples;

/// Number of identical services. They are disabled; see [`enable`].
pub const MANY: usize = 1000;

/// Number of services that fail at once, every time. They are disabled, too.
pub const LOOPS: usize = 25;

/// Number of services that `docs/services.md` shows. They are disabled.
const SHOWN: usize = 5;

/// User-data without services that keep PID 1 busy or take long to start. Logins have no limit on processes.
pub const QUIET: &str = "\
    services.apps.enabled = false\n\
    services.engine.enabled = false\n\
    services.t-clock.enabled = false\n\
    services.t-every.enabled = false\n\
    services.t-exec.enabled = false\n\
    services.t-late.enabled = false\n\
    services.t-limit.enabled = false\n\
    services.t-loop.enabled = false\n\
    services.t-needs.enabled = false\n\
    services.t-path.enabled = false\n\
    services.t-synced.enabled = false\n\
    services.ssh.resources = { pids-max = 0, memory-max = '1GiB' }\n";

/// Where they are assembled, relative to the workspace's root.
const FOLDER: &str = "target/test-services";

/// Contents by path in [`FOLDER`].
type Files = BTreeMap<PathBuf, Vec<u8>>;

/// User-data that enables the first `count` of the identical services.
pub fn enable(count: usize) -> String {
    enable_all("many", count)
}

/// User-data that enables the services that fail.
pub fn enable_loops() -> String {
    enable_all("loop", LOOPS)
}

/// User-data that enables the services of the page; their names are `shown-000` and so on, in page order.
pub fn enable_shown() -> String {
    enable_all("shown", SHOWN)
}

fn enable_all(kind: &str, count: usize) -> String {
    let line = |number| format!("services.{}.enabled = true\n", name(kind, number));
    (0..count).map(line).collect()
}

fn name(kind: &str, number: usize) -> String {
    format!("{kind}-{number:03}")
}

/// Writes the services below `workspace` and returns their folder.
pub(crate) fn write(workspace: &Path) -> Result<PathBuf> {
    let mut files = read(&workspace.join("tests/services"))?;
    for number in 0..MANY {
        add(&mut files, &name("many", number), MANY_ALIKE, None);
    }
    for number in 0..LOOPS {
        add(&mut files, &name("loop", number), FAILS, None);
    }
    for (number, description) in shown().iter().enumerate() {
        add(&mut files, &name("shown", number), description, None);
    }
    add(&mut files, "t-cut", BROKEN, Some(&elf()[..8]));
    add(&mut files, "t-half", BROKEN, Some(&elf()));
    let folder = workspace.join(FOLDER);
    for (path, bytes) in &files {
        replace(&folder.join(path), bytes)?;
    }
    forget_others(&folder, &files)?;
    Ok(FOLDER.into())
}

/// The services that the page shows. For all but the first it shows only the keys it discusses.
fn shown() -> Vec<String> {
    const PAGE: &str = include_str!("../../docs/services.md");
    const OTHERS: &str = "\
description = 'Hands out numbers, too'
[image]
from = 'shown-000'
[process]
args = ['/usr/bin/numbers']
";
    let whole = examples::blocks(PAGE, "toml").into_iter().map(|text| {
        match text.starts_with("description") {
            true => format!("enabled = false\n{text}"),
            false => format!("enabled = false\n{OTHERS}{text}"),
        }
    });
    whole.collect()
}

const MANY_ALIKE: &str = "\
description = 'One of many'
enabled = false
[image]
from = 't-talk'
[process]
args = ['/usr/bin/tare-test-service', 'sleep']
";

const FAILS: &str = "\
description = 'Fails at once'
enabled = false
[image]
from = 't-talk'
[process]
args = ['/usr/bin/tare-test-service', 'exit', '1']
";

const BROKEN: &str = "\
description = 'A program that is cut off'
[process]
args = ['/usr/bin/broken']
[lifecycle]
start = 'on-demand'
restart = { policy = 'always', backoff = '100ms..30s' }
";

fn add(files: &mut Files, name: &str, description: &str, program: Option<&[u8]>) {
    let folder = PathBuf::from(name);
    files.insert(folder.join("service.toml"), description.into());
    if let Some(program) = program {
        files.insert(folder.join("rootfs/usr/bin/broken"), program.into());
    }
}

/// The first 120 bytes of an executable file (elf(5)): a header, and a segment of one megabyte, none of which is in
/// the file. The kernel starts it, but there is no first instruction.
fn elf() -> Vec<u8> {
    const SIZE: u64 = 1 << 20;
    let mut bytes = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0".to_vec();
    let words = |words: &[u16]| words.iter().flat_map(|word| word.to_le_bytes()).collect();
    let longs = |longs: &[u64]| longs.iter().flat_map(|long| long.to_le_bytes()).collect();
    let parts: [Vec<u8>; 5] = [
        // ET_DYN, EM_X86_64, EV_CURRENT.
        words(&[3, 62, 1, 0]),
        // Entry, program headers, section headers.
        longs(&[SIZE / 2, 64, 0]),
        // Flags, sizes and numbers of headers.
        words(&[0, 0, 64, 56, 1, 64, 0, 0]),
        // PT_LOAD, readable and executable.
        words(&[1, 0, 5, 0]),
        // Offset, addresses, sizes in file and memory, alignment.
        longs(&[0, 0, 0, SIZE, SIZE, 4096]),
    ];
    bytes.extend(parts.concat());
    bytes
}

/// All files below `folder`.
fn read(folder: &Path) -> Result<Files> {
    let mut files = Files::new();
    let entries = fs::read_dir(folder).with_context(|| format!("list {}", folder.display()))?;
    for entry in entries {
        let path = entry?.path();
        let name: PathBuf = path.file_name().unwrap_or_default().into();
        if path.is_dir() {
            let below = read(&path)?.into_iter();
            files.extend(below.map(|(path, bytes)| (name.join(path), bytes)));
        } else {
            files.insert(name, fs::read(&path)?);
        }
    }
    Ok(files)
}

/// Another test may be reading the file, so correct contents stay untouched.
fn replace(path: &Path, bytes: &[u8]) -> Result<()> {
    if fs::read(path).is_ok_and(|there| there == bytes) {
        return Ok(());
    }
    let folder = path.parent().context("a file is in a folder")?;
    fs::create_dir_all(folder)?;
    fs::write(path, bytes).with_context(|| format!("write {}", path.display()))?;
    let mode = if path.ends_with("usr/bin/broken") {
        0o755
    } else {
        0o644
    };
    Ok(fs::set_permissions(path, PermissionsExt::from_mode(mode))?)
}

/// Removes services that no longer exist.
fn forget_others(folder: &Path, files: &Files) -> Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let known = files.keys().any(|path| path.starts_with(entry.file_name()));
        if !known {
            fs::remove_dir_all(entry.path())?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_that_is_cut_off_has_whole_headers() {
        assert_eq!(elf().len(), 64 + 56);
    }

    #[test]
    fn the_page_shows_so_many() {
        assert_eq!(shown().len(), SHOWN);
    }

    #[test]
    fn each_is_enabled_by_name() {
        let want = "services.many-000.enabled = true\nservices.many-001.enabled = true\n";
        assert_eq!(enable(2), want);
    }
}
