//! Descriptors that become readable when something changes.

use anyhow::{Context, Result};
use rustix::event::{PollFd, PollFlags};
use rustix::fs::inotify::{self, CreateFlags, WatchFlags};
use rustix::io::{Errno, read};
use rustix::net::netlink::SocketAddrNetlink;
use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, socket_with};
use std::os::fd::OwnedFd;

/// Where PID 1 writes facts about the machine.
const FACTS: &str = "/run/host";
/// Changes of IPv4 routes (`RTMGRP_IPV4_ROUTE`, linux/rtnetlink.h).
const IPV4_ROUTES: u32 = 0x40;

/// What is watched, unless that failed.
pub(crate) struct Watch(Option<OwnedFd>);

impl Watch {
    /// Watches the facts about the machine.
    pub(crate) fn facts() -> Self {
        Self::of(
            facts(),
            "containers will not follow changes of the resolvers",
        )
    }

    /// Watches the host's IPv4 routes.
    pub(crate) fn routes() -> Self {
        Self::of(routes(), "network overlaps will not be reported")
    }

    /// The engine works without it.
    fn of(watch: Result<OwnedFd>, otherwise: &str) -> Self {
        let watch = watch.inspect_err(|error| eprintln!("<3>{otherwise}: {error:#}"));
        Self(watch.ok())
    }

    pub(crate) fn polled(&self) -> Option<PollFd<'_>> {
        self.0.as_ref().map(|fd| PollFd::new(fd, PollFlags::IN))
    }

    /// Whether there was a change since the last call.
    pub(crate) fn changed(&self) -> bool {
        let Some(fd) = &self.0 else { return false };
        let mut buffer = [0; 4096];
        let mut changed = false;
        loop {
            match read(fd, &mut buffer) {
                // The kernel had no room for all of them.
                Ok(1..) | Err(Errno::NOBUFS) => changed = true,
                _ => return changed,
            }
        }
    }
}

/// PID 1 writes another file and renames it.
fn facts() -> Result<OwnedFd> {
    let watch = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK);
    let watch = watch.context("inotify")?;
    inotify::add_watch(&watch, FACTS, WatchFlags::MOVED_TO).context(FACTS)?;
    Ok(watch)
}

fn routes() -> Result<OwnedFd> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    // The default protocol is NETLINK_ROUTE.
    let socket = socket_with(AddressFamily::NETLINK, SocketType::RAW, flags, None);
    let socket = socket.context("rtnetlink")?;
    bind(&socket, &SocketAddrNetlink::new(0, IPV4_ROUTES)).context("rtnetlink")?;
    Ok(socket)
}
