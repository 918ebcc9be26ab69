//! The base filesystems.

use nix::mount::MsFlags;
use tare_container::paths::SHARES;

/// One filesystem to mount.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct BaseMount {
    /// Its type, which is also its source in `/proc/mounts`.
    pub(crate) fstype: &'static str,
    /// The mount point, created if it does not exist.
    pub(crate) target: &'static str,
    /// What the mount forbids.
    pub(crate) flags: MsFlags,
    /// The filesystem's own options.
    pub(crate) options: &'static str,
    /// Whether the boot fails without it.
    pub(crate) required: bool,
}

const NO_SUID_DEV_EXEC: MsFlags = MsFlags::MS_NOSUID
    .union(MsFlags::MS_NODEV)
    .union(MsFlags::MS_NOEXEC);
const NO_SUID_EXEC: MsFlags = MsFlags::MS_NOSUID.union(MsFlags::MS_NOEXEC);

const fn mount(
    fstype: &'static str,
    target: &'static str,
    options: &'static str,
    required: bool,
) -> BaseMount {
    BaseMount {
        fstype,
        target,
        flags: NO_SUID_DEV_EXEC,
        options,
        required,
    }
}

/// The base filesystems in the order in which they are mounted.
///
/// `/dev` is already mounted if the kernel has `CONFIG_DEVTMPFS_MOUNT`; mounting it again fails with `EBUSY`, which
/// the effect treats as success.
pub(crate) fn base() -> Vec<BaseMount> {
    vec![
        mount("proc", "/proc", "", true),
        mount("sysfs", "/sys", "", true),
        BaseMount {
            flags: NO_SUID_EXEC,
            ..mount("devtmpfs", "/dev", "mode=0755", true)
        },
        BaseMount {
            flags: NO_SUID_EXEC,
            ..mount("devpts", "/dev/pts", "mode=0620,gid=5,ptmxmode=0666", false)
        },
        mount("tmpfs", "/dev/shm", "mode=1777,size=50%", false),
        mount("tmpfs", "/run", "mode=0755,size=10%", true),
        // Shared directories have a filesystem of their own: a service that fills it takes no room from PID 1's
        // files.
        mount("tmpfs", SHARES, "mode=0755,size=25%", true),
        mount("tmpfs", "/tmp", "mode=1777,size=10%", false),
        mount(
            "cgroup2",
            "/sys/fs/cgroup",
            "nsdelegate,memory_recursiveprot",
            true,
        ),
        mount("securityfs", "/sys/kernel/security", "", false),
        mount("bpf", "/sys/fs/bpf", "mode=0700", false),
        mount("pstore", "/sys/fs/pstore", "", false),
        mount("efivarfs", "/sys/firmware/efi/efivars", "", false),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use tare_container::paths;

    #[test]
    fn services_cannot_fill_what_pid_1_writes_to() {
        let plan = base();
        let holds = |path: &str| {
            let mut holders = plan
                .iter()
                .filter(|mount| path.starts_with(&format!("{}/", mount.target)));
            holders.next_back().map(|mount| mount.target)
        };
        assert_eq!(holds(&paths::shared("x")), Some(SHARES));
        for ours in [paths::HOST_FACTS, &paths::config("x")] {
            assert_eq!(holds(&format!("{ours}/file")), Some("/run"), "{ours}");
        }
    }

    #[test]
    fn parents_come_before_children_and_nothing_is_setuid() {
        let plan = base();
        for (i, mount) in plan.iter().enumerate() {
            assert!(
                mount
                    .flags
                    .contains(MsFlags::MS_NOSUID | MsFlags::MS_NOEXEC),
                "{}",
                mount.target
            );
            let later_parent = plan[i..]
                .iter()
                .skip(1)
                .find(|later| mount.target.starts_with(&format!("{}/", later.target)));
            assert_eq!(later_parent, None, "{}", mount.target);
        }
    }
}
