//! Device nodes of modules that are not loaded yet. Opening one makes the kernel load its module.

use super::files::read_bounded;
use super::modules::release_folder;
use nix::errno::Errno;
use nix::sys::stat::{Mode, SFlag, makedev, mknod};
use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

/// More than `modules.devname` has of any kernel, in bytes.
const LONGEST: usize = 64 << 10;

/// Nodes that every user may open, as with systemd's udev rules. Any other is root's.
const OPEN_TO_ALL: [&str; 2] = ["fuse", "net/tun"];

/// A node to make.
#[derive(Debug, PartialEq, Eq)]
struct Node<'a> {
    /// Below `/dev`.
    path: &'a str,
    kind: SFlag,
    major: u64,
    minor: u64,
}

/// Makes the nodes that the kernel's modules name (`modules.devname`, depmod(8)).
///
/// # Errors
/// The first that cannot be made; the others are.
pub(crate) fn make() -> io::Result<()> {
    let list = release_folder()?.join("modules.devname");
    let text = read_bounded(&list, LONGEST)?;
    let text = String::from_utf8_lossy(&text);
    let made = text.lines().filter_map(parse).map(|node| {
        make_node(&node).map_err(|error| io::Error::other(format!("{}: {error}", node.path)))
    });
    made.fold(Ok(()), Result::and)
}

/// A line is `MODULE PATH TYPEMAJOR:MINOR`.
fn parse(line: &str) -> Option<Node<'_>> {
    let mut words = line.split(' ');
    let (_module, path, device) = (words.next()?, words.next()?, words.next()?);
    let (kind, numbers) = device.split_at_checked(1)?;
    let kind = match kind {
        "c" => SFlag::S_IFCHR,
        "b" => SFlag::S_IFBLK,
        _ => return None,
    };
    let (major, minor) = numbers.split_once(':')?;
    Some(Node {
        path,
        kind,
        major: major.parse().ok()?,
        minor: minor.parse().ok()?,
    })
}

fn make_node(node: &Node<'_>) -> io::Result<()> {
    let path = Path::new("/dev").join(node.path);
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent)?;
    }
    let mode = match OPEN_TO_ALL.contains(&node.path) {
        true => 0o666,
        false => 0o600,
    };
    let device = makedev(node.major, node.minor);
    match mknod(&path, node.kind, Mode::empty(), device) {
        // The module is there already.
        Err(Errno::EEXIST) => Ok(()),
        made => {
            made?;
            // Whatever our umask is.
            fs::set_permissions(&path, Permissions::from_mode(mode))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_depmod() {
        let node = |path, kind, major, minor| Node {
            path,
            kind,
            major,
            minor,
        };
        for (line, want) in [
            (
                "tun net/tun c10:200",
                Some(node("net/tun", SFlag::S_IFCHR, 10, 200)),
            ),
            ("x x b7:0", Some(node("x", SFlag::S_IFBLK, 7, 0))),
            ("# Device nodes to trigger on-demand module loading.", None),
            ("tun net/tun p10:200", None),
            ("tun net/tun c10", None),
            ("tun net/tun \u{e9}", None),
            ("", None),
        ] {
            assert_eq!(parse(line), want, "{line}");
        }
    }
}
