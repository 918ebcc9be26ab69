//! Limits that all processes of root share. A container's root is the host's, so that one container could use them up. What
//! they bound is charged to the container's memory anyway.

use nix::sys::resource::{RLIM_INFINITY, Resource, setrlimit};
use std::fs;
use std::io;

/// As many open files as the kernel lets one process have (`fs.nr_open`): the 1024 that it gives its first process would do
/// for 170 services. Services have limits of their own.
const OPEN_FILES: u64 = 1 << 20;

/// Files of `/proc/sys/fs`, and what is as good as no limit there.
const SHARED: [(&str, &str); 4] = [
    // What the machine has open in all: a tenth of its memory's worth unless said otherwise (the slab `filp` is charged).
    ("file-max", "9223372036854775807\n"),
    // Descriptors in epoll instances, by user: 4 % of memory's worth (`ep_insert` charges them). PID 1 waits by epoll.
    ("epoll/max_user_watches", "9223372036854775807\n"),
    // By user: 128 instances, and a hundredth of memory's worth of watches. The engine watches cgroups.
    ("inotify/max_user_instances", "2147483647\n"),
    ("inotify/max_user_watches", "2147483647\n"),
];

/// Lifts them, and lets this process have as many files open as there may be services.
///
/// # Errors
/// The kernel's first refusal; the other limits are lifted all the same.
pub(crate) fn lift() -> io::Result<()> {
    let lift = |(name, value): (&str, &str)| {
        let path = format!("/proc/sys/fs/{name}");
        fs::write(&path, value)
            .map_err(|error| io::Error::new(error.kind(), format!("{path}: {error}")))
    };
    // Queued signals are counted by user, and each process has a limit of that count.
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
