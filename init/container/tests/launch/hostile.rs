//! Root filesystems and volumes that an attacker has written: nothing of the host is reached or written, and each mount
//! and mask is where the spec has it, or the launch fails.

mod cases;

use crate::PROBE;
use crate::host::{DEADLINE, Host, remove_cgroup, start};
use nix::fcntl::OFlag;
use nix::sys::stat::{Mode, SFlag, makedev, mknod};
use nix::sys::wait::waitpid;
use nix::unistd::{Pid, pipe2};
use std::fs::{self, File};
use std::io::Read;
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use tare_container::{Bundle, Launch, launch};

/// What the launcher must not reach.
const SECRET: &str = "/run/secret";
/// The source of a bind mount of a file.
const PLAIN: &str = "/run/plain";
/// Where the service's volume comes from.
const VOLUME: &str = "/run/tare/shared/evil";

/// Of a description: a volume, and the kernel's files in /proc and /sys.
const DATA: &str = "[[mounts]]\nshared = 'evil'\ntarget = '/data'\n";
const MASKED: &str = "[sandbox]\nproc = 'masked'\nsys = 'masked'\n";

const LOOP: &str = "ELOOP: Too many symbolic links encountered";

/// What an attacker writes to.
struct Place {
    rootfs: PathBuf,
    volume: PathBuf,
    /// Leads to the folder [`SECRET`] of the launcher.
    descriptor: String,
}

impl Place {
    /// Replaces `path` of the root filesystem by a link.
    fn link(&self, path: &str, target: &str) {
        link(&self.rootfs, path, target);
    }

    fn link_in_volume(&self, path: &str, target: &str) {
        link(&self.volume, path, target);
    }

    fn write(&self, path: &str, text: &str) {
        write(&self.rootfs, path, text);
    }

    fn write_in_volume(&self, path: &str, text: &str) {
        write(&self.volume, path, text);
    }

    fn node(&self, path: &str, kind: SFlag, major: u64, minor: u64) {
        let everyone = Mode::from_bits_retain(0o666);
        let path = self.rootfs.join(path);
        mknod(&path, kind, everyone, makedev(major, minor)).unwrap();
        fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(0o666)).unwrap();
    }
}

fn link(root: &Path, path: &str, target: &str) {
    let path = free(root, path);
    symlink(target, path).unwrap();
}

fn write(root: &Path, path: &str, text: &str) {
    let path = free(root, path);
    fs::write(path, text).unwrap();
}

/// `path` below `root`, whose parent exists, while nothing is there itself.
fn free(root: &Path, path: &str) -> PathBuf {
    let path = root.join(path);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    let _ = fs::remove_file(&path);
    let _ = fs::remove_dir_all(&path);
    path
}

/// An attack on a new container. In its texts, `FD` stands for the descriptor of [`SECRET`].
struct Case {
    name: &'static str,
    /// The rest of the service's description.
    rest: String,
    /// What the probe prints.
    asks: &'static str,
    /// What the attacker does.
    make: fn(&Place),
    /// What the probe says, or why nothing was launched.
    want: Result<String, String>,
}

/// All attacks on a new container. Those that have failed are listed together.
pub(crate) fn attacks(host: &Host) {
    write(Path::new(SECRET), "key", "secret");
    fs::write(PLAIN, "plain").unwrap();
    let secret = File::open(SECRET).unwrap();
    let failed: Vec<String> = cases::all()
        .iter()
        .enumerate()
        .filter_map(|(number, case)| attack(host, number, case, &secret))
        .collect();
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}

/// An image with files below all that is mounted has the mounts and masks of another, in their order and without a
/// trace of how they were made.
pub(crate) fn masks_are_in_place(host: &Host) {
    const MOUNTS: &str = "/proc/self/mounts";
    let want = host.run("benign", MASKED, Some(MOUNTS));
    let bundle = host.bundle("hostile-below", MASKED);
    for file in [
        "proc/keys",
        "proc/sys/kernel/a",
        "dev/null",
        "dev/pts/0",
        "sys/a",
        "run/a",
    ] {
        write(&bundle.path.join("rootfs"), file, "theirs");
    }
    assert_eq!(run(&bundle, MOUNTS), Ok(want.clone()));
    for mask in [
        "/proc/interrupts",
        "/proc/keys",
        "/proc/sys",
        "/sys/firmware",
    ] {
        assert!(want.contains(&format!(" {mask} ")), "{mask}: {want}");
    }
    assert!(!want.contains("nosymfollow"), "{want}");
}

fn attack(host: &Host, number: usize, case: &Case, secret: &File) -> Option<String> {
    let descriptor = secret.as_raw_fd().to_string();
    let spell = |text: &str| text.replace("FD", &descriptor);
    let _ = fs::remove_dir_all(VOLUME);
    fs::create_dir_all(VOLUME).unwrap();
    let bundle = host.bundle(&format!("hostile-{number}"), &spell(&case.rest));
    (case.make)(&Place {
        rootfs: bundle.path.join("rootfs"),
        volume: VOLUME.into(),
        descriptor: descriptor.clone(),
    });
    let before = outside();
    let said = run(&bundle, case.asks);
    let want = case.want.clone().map_err(|why| spell(&why));
    let after = outside();
    let mut wrong = Vec::new();
    if said != want {
        wrong.push(format!("is {said:?}\n  not {want:?}"));
    }
    let differs = |line: &&String| before.contains(line) != after.contains(line);
    let changed: Vec<&String> = before.iter().chain(&after).filter(differs).collect();
    if !changed.is_empty() {
        wrong.push(format!("the host has changed: {changed:?}"));
    }
    fs::remove_dir_all(&bundle.path).unwrap();
    let _ = fs::remove_dir_all(Path::new(SECRET).join("a"));
    let _ = fs::remove_file(Path::new(SECRET).join("a"));
    (!wrong.is_empty()).then(|| format!("{}: {}", case.name, wrong.join("\n  ")))
}

/// What a launch must leave as it is: files of the host and of the volume, and the host's mounts.
fn outside() -> Vec<String> {
    let mut lines = vec![crate::read(PLAIN)];
    let mounts = crate::read("/proc/self/mounts");
    lines.extend(mounts.lines().map(str::to_owned));
    describe(Path::new(SECRET), &mut lines);
    describe(Path::new(VOLUME), &mut lines);
    lines
}

/// Folders of the volume may be new, because mounts are made in them.
fn describe(path: &Path, lines: &mut Vec<String>) {
    let kind = fs::symlink_metadata(path).unwrap().file_type();
    if kind.is_dir() {
        if path.starts_with(SECRET) {
            lines.push(path.display().to_string());
        }
        let entries = fs::read_dir(path).unwrap();
        let mut paths: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
        paths.sort();
        paths.iter().for_each(|path| describe(path, lines));
    } else if kind.is_file() {
        let text = fs::read_to_string(path).unwrap();
        lines.push(format!("{}: {text}", path.display()));
    }
}

/// What the probe prints, or why it was not launched.
fn run(bundle: &Bundle, argument: &str) -> Result<String, String> {
    let (reader, writer) = pipe2(OFlag::O_CLOEXEC).unwrap();
    let output = Some(writer.as_fd());
    let options = Launch {
        stdio: [None, output, output],
        arguments: &[argument.to_owned()],
        ..Launch::default()
    };
    let launched = launch(bundle, &options, DEADLINE);
    drop(writer);
    let mut said = String::new();
    File::from(reader).read_to_string(&mut said).unwrap();
    waitpid(None, None).unwrap();
    let running = launched.map_err(|error| error.to_string())?;
    remove_cgroup(&running);
    Ok(said)
}

/// A container's root replaces its `/dev/null`, which is then opened for a second program while that still has the
/// host's descriptors.
pub(crate) fn attacks_on_a_second_program(host: &Host) {
    let key = Path::new(SECRET).join("key");
    let secret = File::options().read(true).write(true).open(key).unwrap();
    let bundle = host.bundle("hostile-second", "[resources]\noom-score-adj = 500");
    let running = start(&bundle, Some("wait"), None);
    let look = |path: &str| host.exec(&bundle, &running, &[PROBE, path]);
    assert_eq!(look("/proc/self/oom_score_adj"), Ok("500\n".to_owned()));
    assert_eq!(look("/proc/self/fd/0"), Ok(String::new()));
    let descriptor = format!("/proc/self/fd/{}", secret.as_raw_fd());
    let replaced = host.exec(&bundle, &running, &[PROBE, "replace-null", &descriptor]);
    assert_eq!(replaced, Ok(String::new()));
    assert_eq!(
        look("/proc/self/fd/0"),
        Err(format!("open /dev/null: {LOOP}"))
    );
    running.kill().unwrap();
    waitpid(Pid::from_raw(running.pid), None).unwrap();
    remove_cgroup(&running);
}
