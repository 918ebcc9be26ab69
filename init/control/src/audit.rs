//! What services may do.

use crate::wire::wire;

wire! {
    CustomType:
    /// The capabilities of a process by their kernel names, in their sets (`capabilities(7)`).
    #[derive(Default)]
    pub struct Capabilities {
        /// What the kernel asks for.
        pub effective: Vec<String>,
        /// What it may make effective.
        pub permitted: Vec<String>,
        /// What its children may get from a file.
        pub inheritable: Vec<String>,
        /// Beyond which nothing goes.
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
        /// What of that file system is mounted there.
        pub root: String,
    }

    CustomType:
    /// Limits of a service, from its cgroup; none is no limit.
    #[derive(Copy)]
    pub struct Limits {
        /// Bytes.
        pub memory_max: Option<u64>,
        /// Bytes that reclaim leaves it.
        pub memory_min: u64,
        /// Threads.
        pub pids_max: Option<u64>,
        /// 1 to 10000.
        pub cpu_weight: u64,
    }

    CustomType:
    /// What a service may do, as the kernel tells it of its main process.
    pub struct Rights {
        /// Its user, as the host sees it.
        pub uid: u32,
        /// Its group, likewise.
        pub gid: u32,
        /// Its supplementary groups.
        pub groups: Vec<u32>,
        /// Its capabilities.
        pub capabilities: Capabilities,
        /// Whether setuid programs give it nothing.
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
        /// None while it does not run.
        pub rights: Option<Rights>,
        /// 0 to 100.
        pub score: Option<u32>,
        /// What the score is made of, the heaviest first.
        pub reasons: Vec<String>,
    }

    Type:
    /// The reply to `AuditServices`.
    pub struct AuditServices {
        /// By name.
        pub services: Vec<Audit>,
    }
}
