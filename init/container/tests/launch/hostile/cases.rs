//! The attacks, by what they aim at, with the flaws of other runtimes that they have been.

use super::{Case, DATA, LOOP, MASKED, PLAIN, Place, SECRET, VOLUME, free};
use crate::PROBE;
use nix::sys::stat::{Mode, SFlag};
use nix::unistd::mkfifo;
use std::fs;

pub(super) fn all() -> Vec<Case> {
    let groups = [system_mounts(), volumes(), masks(), others()];
    groups.into_iter().flatten().collect()
}

fn case(name: &'static str, rest: &str, make: fn(&Place), want: Result<&str, &str>) -> Case {
    asks(name, rest, "/proc/self/oom_score_adj", make, want)
}

fn asks(
    name: &'static str,
    rest: &str,
    asks: &'static str,
    make: fn(&Place),
    want: Result<&str, &str>,
) -> Case {
    Case {
        name,
        rest: rest.to_owned(),
        asks,
        make,
        want: want.map(str::to_owned).map_err(str::to_owned),
    }
}

/// Why `operation` failed, which met a symbolic link.
fn linked(operation: &str) -> String {
    format!("{operation}: {LOOP}")
}

fn is_linked(operation: &str) -> String {
    linked(&format!("{operation}, which is a symbolic link"))
}

/// The mount points of `/proc`, `/sys`, `/dev`, `/run` and `/tmp` (CVE-2019-19921, -2023-27561, -2026-41579).
fn system_mounts() -> Vec<Case> {
    let proc = || is_linked("mount proc on /proc");
    let sys = || is_linked("mount sysfs on /sys");
    let tmpfs = |target: &str| is_linked(&format!("mount tmpfs on {target}"));
    vec![
        case(
            "/proc is a link to a folder",
            "",
            |place| {
                fs::create_dir(place.rootfs.join("other")).unwrap();
                place.link("proc", "/other");
            },
            Err(&proc()),
        ),
        case(
            "/proc is a relative link",
            "",
            |place| {
                fs::create_dir(place.rootfs.join("other")).unwrap();
                place.link("proc", "other");
            },
            Err(&proc()),
        ),
        case(
            "/proc is a link to a folder with a faked /proc/self",
            "",
            |place| {
                place.write("other/self/oom_score_adj", "fake");
                place.link("proc", "/other");
            },
            Err(&proc()),
        ),
        case(
            "/proc is a file",
            "",
            |place| place.write("proc", ""),
            Err("mount proc on /proc: ENOTDIR: Not a directory"),
        ),
        case(
            "/proc is missing",
            "",
            |place| fs::remove_dir(place.rootfs.join("proc")).unwrap(),
            Err("mount proc on /proc: ENOENT: No such file or directory"),
        ),
        case(
            "/proc is a FIFO",
            "",
            |place| mkfifo(&free(&place.rootfs, "proc"), Mode::S_IRWXU).unwrap(),
            Err("mount proc on /proc: ENOTDIR: Not a directory"),
        ),
        case(
            "/sys is a link to /proc",
            MASKED,
            |place| place.link("sys", "/proc"),
            Err(&sys()),
        ),
        case(
            "/sys is a link to a folder",
            MASKED,
            |place| {
                fs::create_dir_all(place.rootfs.join("other/fs/cgroup")).unwrap();
                place.link("sys", "/other");
            },
            Err(&sys()),
        ),
        case(
            "/dev is a link to a folder",
            "",
            |place| {
                fs::create_dir(place.rootfs.join("other")).unwrap();
                place.link("dev", "/other");
            },
            Err(&tmpfs("/dev")),
        ),
        case(
            "/dev is a link to /proc",
            "",
            |place| place.link("dev", "/proc"),
            Err(&tmpfs("/dev")),
        ),
        case(
            "/dev is a link to a descriptor",
            "",
            |place| place.link("dev", &format!("/proc/self/fd/{}", place.descriptor)),
            Err(&tmpfs("/dev")),
        ),
        case(
            "/run is a link to /proc/sys, which is then not protected",
            MASKED,
            |place| place.link("run", "/proc/sys"),
            Err(&tmpfs("/run")),
        ),
        case(
            "/tmp is a link to /proc",
            MASKED,
            |place| place.link("tmp", "/proc"),
            Err(&tmpfs("/tmp")),
        ),
        case(
            "/tmp is a link to /dev",
            "",
            |place| place.link("tmp", "dev"),
            Err(&tmpfs("/tmp")),
        ),
        case(
            "/tmp is a link to nothing",
            "",
            |place| place.link("tmp", "/none"),
            Err(&tmpfs("/tmp")),
        ),
        case(
            "/tmp is a link to itself",
            "",
            |place| place.link("tmp", "tmp"),
            Err(&tmpfs("/tmp")),
        ),
    ]
}

/// A description whose second mount is inside the volume.
fn inside(source: &str, target: &str) -> String {
    format!("{DATA}[[mounts]]\n{source}\ntarget = '/data/{target}'\n")
}

/// A description whose mount comes from inside the volume.
fn source_in_volume(path: &str) -> String {
    format!("[[mounts]]\nhost = '{VOLUME}/{path}'\ntarget = '/data'\n")
}

/// Targets and sources of the service's own mounts (CVE-2019-16884, -2021-30465, -2024-45310, -2025-52881).
fn volumes() -> Vec<Case> {
    const BIND: &str = "bind /run/tare/shared/evil on";
    // The kernel refuses a folder over a link.
    let onto_link = "bind /run/tare/shared/evil on /data, which is a symbolic link: \
                     EINVAL: Invalid argument";
    let tmpfs = "tmpfs = '64KiB'";
    let in_tmpfs = format!("[[mounts]]\n{tmpfs}\ntarget = '/data'\n");
    let deep = format!("{DATA}[[mounts]]\n{tmpfs}\ntarget = '/data/sys'\n");
    let of_plain = format!("host = '{PLAIN}'");
    let host_pids = format!(
        "{}\n[sandbox]\nhost-namespaces = ['pid']",
        inside(tmpfs, "link/a")
    );
    let below = |operation: &str| linked(&format!("{operation}, whose path has a symbolic link"));
    vec![
        case(
            "a volume over /proc, with files that the launcher writes to",
            DATA,
            |place| {
                for file in ["oom_score_adj", "uid_map", "gid_map", "setgroups"] {
                    place.write_in_volume(&format!("self/{file}"), "fake");
                }
                place.link("data", "/proc");
            },
            Err(onto_link),
        ),
        case(
            "a volume over /proc/sys, which takes its protection",
            &format!("{DATA}{MASKED}"),
            |place| place.link("data", "/proc/sys"),
            Err(onto_link),
        ),
        case(
            "a volume below a link to /proc",
            &format!("[[mounts]]\nshared = 'evil'\ntarget = '/data/sys'\n{MASKED}"),
            |place| place.link("data", "/proc"),
            Err(&below(&format!("{BIND} /data/sys"))),
        ),
        case(
            "a volume over /dev",
            DATA,
            |place| place.link("data", "/dev"),
            Err(onto_link),
        ),
        case(
            "a volume over the root",
            DATA,
            |place| place.link("data", "/"),
            Err(onto_link),
        ),
        case(
            "a volume above the root",
            DATA,
            |place| place.link("data", "../../../../run/secret"),
            Err(onto_link),
        ),
        case(
            "a volume over a descriptor",
            DATA,
            |place| place.link("data", &format!("/proc/self/fd/{}", place.descriptor)),
            Err(onto_link),
        ),
        case(
            "a volume over the current folder",
            DATA,
            |place| place.link("data", "/proc/self/cwd"),
            Err(onto_link),
        ),
        case(
            "a volume below a link in the image",
            "[[mounts]]\nshared = 'evil'\ntarget = '/srv/link/a'\n",
            |place| {
                fs::create_dir_all(place.rootfs.join("srv/real/a")).unwrap();
                place.link("srv/link", "real");
            },
            Err(&below(&format!("{BIND} /srv/link/a"))),
        ),
        case(
            "a tmpfs over /dev, into which nodes are made",
            &in_tmpfs,
            |place| place.link("data", "/dev"),
            Err(&is_linked("mount tmpfs on /data")),
        ),
        case(
            "a tmpfs over /proc/self",
            &in_tmpfs,
            |place| place.link("data", "/proc/self"),
            Err(&is_linked("mount tmpfs on /data")),
        ),
        case(
            "a folder is made through a descriptor",
            &inside(tmpfs, "link/a"),
            |place| place.link_in_volume("link", &format!("/proc/self/fd/{}", place.descriptor)),
            Err(&below("make /data/link/a")),
        ),
        case(
            "parents are made through a descriptor",
            &inside(tmpfs, "link/a/b/c"),
            |place| place.link_in_volume("link", &format!("/proc/self/fd/{}", place.descriptor)),
            Err(&below("make /data/link/a/b/c")),
        ),
        case(
            "a file is made through a descriptor",
            &inside(&of_plain, "link/a"),
            |place| place.link_in_volume("link", &format!("/proc/self/fd/{}", place.descriptor)),
            Err(&below("make /data/link/a")),
        ),
        case(
            "a folder is made through another process's root",
            &host_pids,
            |place| {
                let root = format!("/proc/{}/root{SECRET}", std::process::id());
                place.link_in_volume("link", &root);
            },
            Err(&below("make /data/link/a")),
        ),
        case(
            "a tmpfs over the target of a link in a volume",
            &inside(tmpfs, "link"),
            |place| place.link_in_volume("link", "/etc"),
            Err(&is_linked("mount tmpfs on /data/link")),
        ),
        case(
            "a tmpfs below a volume over /proc",
            &deep,
            |place| place.link("data", "/proc"),
            Err(onto_link),
        ),
        case(
            "a folder is mounted on a file",
            &inside(tmpfs, "file"),
            |place| place.write_in_volume("file", "theirs"),
            Err("mount tmpfs on /data/file: ENOTDIR: Not a directory"),
        ),
        case(
            "a link in a volume is the source of a volume",
            &source_in_volume("link"),
            |place| place.link_in_volume("link", SECRET),
            Err(&linked("open_tree /run/tare/shared/evil/link")),
        ),
        case(
            "a link in a volume leads to the source of a volume",
            &source_in_volume("link/key"),
            |place| place.link_in_volume("link", SECRET),
            Err(&linked("open_tree /run/tare/shared/evil/link/key")),
        ),
        asks(
            "a folder in a volume is the source of a volume",
            &source_in_volume("folder"),
            "/data/key",
            |place| place.write_in_volume("folder/key", "theirs"),
            Ok("theirs"),
        ),
        asks(
            "a file is mounted on a link, not on what that leads to",
            &inside(&of_plain, "link"),
            "/data/link",
            |place| {
                place.write_in_volume("other", "theirs");
                place.link_in_volume("link", "other");
            },
            Ok("plain"),
        ),
        asks(
            "what a mounted-on link leads to is as it was",
            &inside(&of_plain, "link"),
            "/data/other",
            |place| {
                place.write_in_volume("other", "theirs");
                place.link_in_volume("link", "other");
            },
            Ok("theirs"),
        ),
    ]
}

/// Masks, and the `/dev/null` that they are made of (CVE-2025-31133).
fn masks() -> Vec<Case> {
    let own_dev = "[[mounts]]\nshared = 'evil'\ntarget = '/dev'\n";
    let masked_dev = format!("{own_dev}{MASKED}");
    let no_device = "ENODEV: No such device";
    let first_mask = format!("mask /proc/interrupts: {no_device}");
    let stdin = format!("open /dev/null: {no_device}");
    vec![
        case(
            "a file masks",
            &masked_dev,
            |place| place.write_in_volume("null", "0"),
            Err(&first_mask),
        ),
        case(
            "a link to what it shall hide masks",
            &masked_dev,
            |place| place.link_in_volume("null", "/proc/keys"),
            Err(&linked("mask /proc/interrupts")),
        ),
        case(
            "a folder masks",
            &masked_dev,
            |place| fs::create_dir(place.volume.join("null")).unwrap(),
            Err(&first_mask),
        ),
        case(
            "a file is standard input",
            own_dev,
            |place| place.write_in_volume("null", "0"),
            Err(&stdin),
        ),
        case(
            "a link to a file is standard input",
            own_dev,
            |place| {
                place.write("file", "0");
                place.link_in_volume("null", "/file");
            },
            Err(&linked("open /dev/null")),
        ),
        case(
            "a FIFO is standard input",
            own_dev,
            |place| mkfifo(&place.volume.join("null"), Mode::S_IRWXU).unwrap(),
            Err(&stdin),
        ),
        asks(
            "files lie below the system mounts",
            MASKED,
            "/proc/keys",
            |place| {
                for file in [
                    "proc/keys",
                    "proc/interrupts",
                    "dev/null",
                    "dev/pts/0",
                    "tmp/a",
                ] {
                    place.write(file, "theirs");
                }
                place.link("sys/firmware", "/proc");
            },
            Ok(""),
        ),
        asks(
            "files lie below /dev",
            MASKED,
            "/dev/null",
            |place| place.write("dev/null", "theirs"),
            Ok(""),
        ),
    ]
}

/// The working directory (CVE-2024-21626), the program, device nodes, and what an image may do.
fn others() -> Vec<Case> {
    let denied = "Permission denied (os error 13)";
    vec![
        case(
            "the working directory is a descriptor",
            "working-directory = '/proc/self/fd/FD'",
            |_| {},
            Err("chdir /proc/self/fd/FD: ENOENT: No such file or directory"),
        ),
        case(
            "the working directory is a link to a descriptor",
            "working-directory = '/data'",
            |place| place.link("data", &format!("/proc/self/fd/{}", place.descriptor)),
            Err("chdir /data: ENOENT: No such file or directory"),
        ),
        case(
            "the working directory is standard input",
            "working-directory = '/proc/self/fd/0'",
            |_| {},
            Err(&linked("chdir /proc/self/fd/0")),
        ),
        case(
            "the working directory is a link to a process's",
            "working-directory = '/data'",
            |place| place.link("data", "/proc/1/cwd"),
            Err(&linked("chdir /data")),
        ),
        asks(
            "a node of the null device",
            "",
            "/node",
            |place| place.node("node", SFlag::S_IFCHR, 1, 3),
            Ok(denied),
        ),
        asks(
            "a node of a disk",
            "",
            "/node",
            |place| place.node("node", SFlag::S_IFBLK, 7, 0),
            Ok(denied),
        ),
        asks(
            "the working directory is a link in the image",
            "working-directory = '/data'",
            "key",
            |place| {
                place.write("other/key", "theirs");
                place.link("data", "/other");
            },
            Ok("theirs"),
        ),
        asks(
            "the program is a link in the image",
            "",
            "/proc/self/oom_score_adj",
            |place| {
                let program = place.rootfs.join(&PROBE[1..]);
                fs::rename(&program, place.rootfs.join("bin/probe-real")).unwrap();
                place.link("bin/probe", "/bin/probe-real");
            },
            Ok("0\n"),
        ),
        asks(
            "links are followed in the end",
            DATA,
            "/link",
            |place| {
                place.write_in_volume("file", "theirs");
                place.link_in_volume("link", "file");
                place.link("link", "data/link");
            },
            Ok("theirs"),
        ),
        asks(
            "the score is the process's",
            "[resources]\noom-score-adj = 500",
            "/proc/self/oom_score_adj",
            |_| {},
            Ok("500\n"),
        ),
    ]
}
