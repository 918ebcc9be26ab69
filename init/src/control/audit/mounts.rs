//! Where a process can write to.

use crate::mountinfo::{self, Mount};
use tare_control::WritableMount;

/// Where a process can write to.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Writable {
    pub(super) root: bool,
    pub(super) others: Vec<WritableMount>,
}

/// The mounts of `mountinfo` that can be written to. A mount that another covers cannot be reached.
pub(super) fn writable(mountinfo: &str) -> Writable {
    let mounts: Vec<Mount<'_>> = mountinfo::mounts(mountinfo).collect();
    let mut writable = Writable::default();
    for (n, mount) in mounts.iter().enumerate() {
        let covered = mounts[n + 1..]
            .iter()
            .any(|later| later.target == mount.target);
        if covered || !is_writable(mount) || is_harmless(mount) {
            continue;
        }
        match mount.target {
            "/" => writable.root = true,
            _ => writable.others.push(described(mount)),
        }
    }
    writable.others.sort_by(|a, b| a.target.cmp(&b.target));
    writable
}

fn is_writable(mount: &Mount<'_>) -> bool {
    [mount.options, mount.super_options]
        .iter()
        .all(|options| options.split(',').any(|option| option == "rw"))
}

/// Nothing written there outlives the service or belongs to another: its own terminals and queues, processes,
/// `/dev/null` over what it must not see, and the roots and networks of containers that it runs, which lie in its
/// other mounts.
fn is_harmless(mount: &Mount<'_>) -> bool {
    match mount.fstype {
        "devpts" | "mqueue" | "nsfs" | "overlay" => true,
        "tmpfs" | "devtmpfs" => mount.root == "/null",
        "proc" => mount
            .super_options
            .split(',')
            .any(|option| option == "subset=pid"),
        _ => false,
    }
}

fn described(mount: &Mount<'_>) -> WritableMount {
    WritableMount {
        target: mount.target.to_owned(),
        fstype: mount.fstype.to_owned(),
        root: mount.root.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOUNTINFO: &str = "\
50 40 253:0 /services/ssh/rootfs / ro,relatime - erofs /dev/root ro
51 50 0:30 / /proc rw,nosuid - proc proc rw,subset=pid
52 50 0:31 / /proc/sys rw,nosuid - proc proc rw
53 50 0:32 / /dev rw,nosuid shared:1 master:2 - tmpfs tmpfs rw,size=64k
54 53 0:33 / /dev/pts rw - devpts devpts rw
55 50 254:4 /volumes/ssh /etc/ssh/keys rw - ext4 /dev/vda4 rw
56 50 254:4 /volumes/log /var/log ro - ext4 /dev/vda4 rw
57 50 0:40 / /sys rw - sysfs sysfs ro
58 50 0:41 / /covered rw - tmpfs tmpfs rw
59 58 0:42 / /covered ro - tmpfs tmpfs ro
60 51 0:43 /null /proc/keys rw - tmpfs tmpfs rw
61 55 0:44 / /etc/ssh/keys/x rw - overlay overlay rw
nonsense
";

    #[test]
    fn where_a_service_can_write() {
        let mount = |target: &str, fstype: &str, root: &str| WritableMount {
            target: target.to_owned(),
            fstype: fstype.to_owned(),
            root: root.to_owned(),
        };
        let want = Writable {
            root: false,
            others: vec![
                mount("/dev", "tmpfs", "/"),
                mount("/etc/ssh/keys", "ext4", "/volumes/ssh"),
                mount("/proc/sys", "proc", "/"),
            ],
        };
        assert_eq!(writable(MOUNTINFO), want);
        let root = Writable {
            root: true,
            others: vec![],
        };
        assert_eq!(writable("1 0 8:1 / / rw - ext4 /dev/sda1 rw"), root);
    }
}
