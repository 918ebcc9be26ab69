//! What services may do.

use crate::wire::wire;

wire! {
    CustomType:
    /// The capability sets of a process, by kernel names (`capabilities(7)`).
    #[derive(Default)]
    pub struct Capabilities {
        /// What the kernel checks.
        pub effective: Vec<String>,
        /// What it may make effective.
        pub permitted: Vec<String>,
        /// What its children may get from a file.
        pub inheritable: Vec<String>,
        /// The upper limit of all sets.
        pub bounding: Vec<String>,
        /// What its children have.
        pub ambient: Vec<String>,
    }

    CustomType:
    /// A place that a service may write to.
    pub struct WritableMount {
        /// Where the service sees it.
        pub target: String,
        /// The file system's type.
        pub fstype: String,
        /// The part of that file system that is mounted there.
        pub root: String,
    }

    CustomType:
    /// Limits of a service, from its cgroup; `None` means no limit.
    #[derive(Copy)]
    pub struct Limits {
        /// In bytes.
        pub memory_max: Option<u64>,
        /// Bytes protected from reclaim.
        pub memory_min: u64,
        /// Number of threads.
        pub pids_max: Option<u64>,
        /// 1 to 10000.
        pub cpu_weight: u64,
    }

    CustomType:
    /// What a service may do, as the kernel reports it for its main process.
    pub struct Rights {
        /// Its user, as the host sees it.
        pub uid: u32,
        /// Its group, likewise.
        pub gid: u32,
        /// Its supplementary groups.
        pub groups: Vec<u32>,
        /// Its capabilities.
        pub capabilities: Capabilities,
        /// Whether setuid programs grant it nothing.
        pub no_new_privileges: bool,
        /// `disabled`, `strict` or `filter`.
        pub seccomp: String,
        /// The namespaces that it shares with the host.
        pub host_namespaces: Vec<String>,
        /// Whether its root file system is mounted writable.
        pub writable_root: bool,
        /// Writable mounts other than its root.
        pub writable_mounts: Vec<WritableMount>,
        /// Its limits.
        pub limits: Limits,
        /// -1000 to 1000.
        pub oom_score_adj: i32,
    }

    CustomType:
    /// What a service may do, and how much that is.
    pub struct Audit {
        /// The service.
        pub name: String,
        /// `None` while it does not run.
        pub rights: Option<Rights>,
        /// 0 to 100.
        pub score: Option<u32>,
        /// The parts of the score, largest first.
        pub reasons: Vec<String>,
    }

    Type:
    /// The reply to `AuditServices`.
    pub struct AuditServices {
        /// Sorted by name.
        pub services: Vec<Audit>,
    }
}
