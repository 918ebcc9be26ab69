//! Kernel uevents: which devices were added, and which modules they need; which come and go that have links.

use nix::libc;
use nix::sys::socket::{
    AddressFamily, NetlinkAddr, SockFlag, SockProtocol, SockType, bind, recvfrom, socket,
};
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use tokio::io::unix::AsyncFd;

/// The multicast group to which the kernel itself sends (`netlink(7)`, `NETLINK_KOBJECT_UEVENT`).
const KERNEL_GROUP: u32 = 1;

/// The kernel's own limit of one uevent (`UEVENT_BUFFER_SIZE`, 2 KiB), and its header.
const BUFFER: usize = 4096;

/// The stream of uevents.
pub(crate) struct Uevents(AsyncFd<OwnedFd>);

impl Uevents {
    /// Starts listening; only events from now on are received.
    pub(crate) fn listen() -> io::Result<Self> {
        let socket = open()?;
        // SAFETY: the registration owns the socket, which therefore stays open and the same until
        // it is dropped with it.
        let socket = unsafe { AsyncFd::register(socket) }?;
        Ok(Self(socket))
    }

    /// Waits for the next added device with a module alias, and returns that alias; an empty one if devices may have been
    /// missed.
    pub(crate) async fn next_alias(&self) -> io::Result<String> {
        let mut buffer = [0_u8; BUFFER];
        loop {
            let event = self.next(&mut buffer).await?;
            match event.map(added_alias) {
                Some(Some(alias)) => return Ok(alias.to_owned()),
                Some(None) => {}
                // A cold plug finds what was missed.
                None => return Ok(String::new()),
            }
        }
    }

    /// Waits until a device comes or goes that `concerns` the caller, by its subsystem and its name below `/dev`, or until
    /// one may have been missed.
    pub(crate) async fn next_change(&self, concerns: fn(&str, &str) -> bool) -> io::Result<()> {
        let mut buffer = [0_u8; BUFFER];
        loop {
            let event = self.next(&mut buffer).await?;
            if event.is_none_or(|event| is_change(event, concerns)) {
                return Ok(());
            }
        }
    }

    /// Waits for the next event; `None` if the kernel's queue overflowed.
    async fn next<'a>(&self, buffer: &'a mut [u8]) -> io::Result<Option<&'a [u8]>> {
        loop {
            let mut ready = self.0.readable().await?;
            let Ok(received) = ready.try_io(|socket| receive(socket.get_ref(), buffer)) else {
                continue;
            };
            return match received {
                Ok(length) => Ok(Some(&buffer[..length])),
                Err(error) if error.raw_os_error() == Some(libc::ENOBUFS) => Ok(None),
                Err(error) => Err(error),
            };
        }
    }
}

fn open() -> io::Result<OwnedFd> {
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let protocol = SockProtocol::NetlinkKObjectUEvent;
    let socket = socket(AddressFamily::Netlink, SockType::Datagram, flags, protocol)?;
    bind(socket.as_raw_fd(), &NetlinkAddr::new(0, KERNEL_GROUP))?;
    Ok(socket)
}

/// Drops messages not sent by the kernel: anyone with CAP_NET_ADMIN can send to this socket.
fn receive(socket: &OwnedFd, buffer: &mut [u8]) -> io::Result<usize> {
    let (length, sender) = recvfrom::<NetlinkAddr>(socket.as_raw_fd(), buffer)?;
    let is_kernel = sender.is_some_and(|sender| sender.pid() == 0);
    Ok(if is_kernel { length } else { 0 })
}

/// The `MODALIAS` of an `add` event.
fn added_alias(event: &[u8]) -> Option<&str> {
    let is_added = event.starts_with(b"add@");
    is_added.then(|| value(event, "MODALIAS")).flatten()
}

/// Whether a device has come or gone that `concerns` the caller.
fn is_change(event: &[u8], concerns: fn(&str, &str) -> bool) -> bool {
    let values = ["SUBSYSTEM", "DEVNAME"].map(|key| value(event, key));
    let is_change = event.starts_with(b"add@") || event.starts_with(b"remove@");
    match values {
        [Some(subsystem), Some(node)] => is_change && concerns(subsystem, node),
        _ => false,
    }
}

/// A value of an event: `ACTION@PATH`, then `KEY=VALUE`, all ended by zero bytes.
fn value<'a>(event: &'a [u8], key: &str) -> Option<&'a str> {
    let mut fields = event
        .split(|byte| *byte == 0)
        .skip(1)
        .map(|field| std::str::from_utf8(field).unwrap_or(""));
    fields.find_map(|field| field.strip_prefix(key)?.strip_prefix('='))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::links;
    use nix::errno::Errno;
    use nix::sys::socket::{MsgFlags, getsockname, sendto};

    /// The kernel itself refuses unprivileged senders.
    #[test]
    fn what_others_send_is_nothing() {
        let (ours, other) = (open().unwrap(), open().unwrap());
        let address: NetlinkAddr = getsockname(ours.as_raw_fd()).unwrap();
        let forged = b"add@/x\0ACTION=add\0MODALIAS=forged\0";
        match sendto(other.as_raw_fd(), forged, &address, MsgFlags::empty()) {
            Err(Errno::EPERM) => {}
            sent => {
                assert_eq!(sent, Ok(forged.len()));
                let mut buffer = [0; BUFFER];
                // The kernel's own events may arrive first.
                while receive(&ours, &mut buffer).unwrap() > 0 {}
            }
        }
    }

    #[test]
    fn only_added_devices_with_an_alias_count() {
        for (event, want) in [
            (
                "add@/devices/x\0ACTION=add\0MODALIAS=pci:v1\0",
                Some("pci:v1"),
            ),
            ("add@/devices/x\0ACTION=add\0", None),
            ("remove@/devices/x\0MODALIAS=pci:v1\0", None),
            ("", None),
        ] {
            assert_eq!(added_alias(event.as_bytes()), want, "{event}");
        }
    }

    #[test]
    fn only_changes_of_the_devices_asked_for_count() {
        for (event, want) in [
            ("add@/devices/x\0SUBSYSTEM=tty\0DEVNAME=ttyUSB0\0", true),
            ("remove@/devices/x\0SUBSYSTEM=tty\0DEVNAME=ttyUSB0\0", true),
            ("change@/devices/x\0SUBSYSTEM=tty\0DEVNAME=ttyUSB0\0", false),
            ("add@/devices/x\0SUBSYSTEM=tty\0DEVNAME=tty1\0", false),
            ("add@/devices/x\0SUBSYSTEM=block\0DEVNAME=vda1\0", true),
            ("add@/devices/x\0SUBSYSTEM=block\0DEVNAME=loop0\0", false),
            ("add@/devices/x\0SUBSYSTEM=net\0INTERFACE=sda\0", false),
            ("", false),
        ] {
            assert_eq!(is_change(event.as_bytes(), links::concern), want, "{event}");
        }
    }
}
