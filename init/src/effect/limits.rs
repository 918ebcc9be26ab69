//! Limits that all processes of root share. A container's root is the host's, so a single container could use them
//! up. The memory behind them is charged to the container anyway.

use nix::sys::resource::{RLIM_INFINITY, Resource, setrlimit};
use std::fs;
use std::io;

/// The most open files that the kernel allows one process (`fs.nr_open`). The 1024 that it gives its first process
/// suffice for 170 services. Services have limits of their own.
const OPEN_FILES: u64 = 1 << 20;

/// Files of `/proc/sys/fs`, and a value that is practically unlimited.
const SHARED: [(&str, &str); 4] = [
    // Open files of the whole machine: by default a tenth of its memory's worth (the slab `filp` is charged).
    ("file-max", "9223372036854775807\n"),
    // Descriptors in epoll instances, per user: by default 4 % of memory's worth (`ep_insert` charges them). PID 1
    // uses epoll.
    ("epoll/max_user_watches", "9223372036854775807\n"),
    // Per user: by default 128 instances, and a hundredth of memory's worth of watches. The engine watches cgroups.
    ("inotify/max_user_instances", "2147483647\n"),
    ("inotify/max_user_watches", "2147483647\n"),
];

/// Lifts them, and this process's own limits of open files and queued signals.
///
/// # Errors
/// The kernel's first refusal; the other limits are lifted anyway.
pub(crate) fn lift() -> io::Result<()> {
    let lift = |(name, value): (&str, &str)| {
        let path = format!("/proc/sys/fs/{name}");
        fs::write(&path, value)
            .map_err(|error| io::Error::new(error.kind(), format!("{path}: {error}")))
    };
    // Queued signals are counted per user, but limited per process.
    let own = [
        (Resource::RLIMIT_NOFILE, OPEN_FILES),
        (Resource::RLIMIT_SIGPENDING, RLIM_INFINITY),
    ];
    let own = own.map(|(resource, limit)| setrlimit(resource, limit, limit));
    let shared = SHARED.map(lift);
    own.into_iter()
        .map(|result| result.map_err(io::Error::from))
        .chain(shared)
        .collect()
}
