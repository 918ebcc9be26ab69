//! What the service is told by the kernel and by PID 1, each by a thread that waits for it.

use super::Message;
use crate::say::warn;
use rustix::net::netlink::{KOBJECT_UEVENT, SocketAddrNetlink};
use rustix::net::{AddressFamily, RecvFlags, SocketFlags, SocketType, bind, recv, socket_with};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::mpsc::Sender;
use std::thread;
use std::time::Duration;

/// The multicast group to which the kernel itself sends (`netlink(7)`).
const KERNEL_GROUP: u32 = 1;
/// The kernel's own limit of one uevent (`UEVENT_BUFFER_SIZE`, 2 KiB), and its header.
const BUFFER: usize = 4096;
/// The wait before a retry.
const RECOVER: Duration = Duration::from_secs(1);

/// Sends [`Message::Stop`] for each signal that ends a service. As the first process of its pid namespace, it gets none
/// without a handler.
///
/// # Errors
/// When the handlers cannot be set.
pub(super) fn signals(sender: Sender<Message>) -> io::Result<()> {
    let mut signals = Signals::new([SIGTERM, SIGINT])?;
    thread::spawn(move || {
        for _ in signals.forever() {
            if sender.send(Message::Stop).is_err() {
                return;
            }
        }
    });
    Ok(())
}

/// Sends [`Message::Devices`] whenever a block device comes, goes or changes. Every network namespace that belongs to
/// the host's users hears of them.
///
/// # Errors
/// When the socket cannot be opened.
pub(super) fn devices(sender: Sender<Message>) -> io::Result<()> {
    let socket = open()?;
    thread::spawn(move || {
        let mut buffer = [0; BUFFER];
        loop {
            let concerns = match recv(&socket, &mut buffer[..], RecvFlags::empty()) {
                Ok((length, _)) => is_block(&buffer[..length]),
                // The queue has overflowed: whatever was lost may have been a disk.
                Err(rustix::io::Errno::NOBUFS) => true,
                Err(error) => {
                    warn(&format!("uevents: {error}"));
                    thread::sleep(RECOVER);
                    true
                }
            };
            if concerns && sender.send(Message::Devices).is_err() {
                return;
            }
        }
    });
    Ok(())
}

fn open() -> io::Result<OwnedFd> {
    let socket = socket_with(
        AddressFamily::NETLINK,
        SocketType::DGRAM,
        SocketFlags::CLOEXEC,
        Some(KOBJECT_UEVENT),
    )?;
    bind(&socket, &SocketAddrNetlink::new(0, KERNEL_GROUP))?;
    Ok(socket)
}

/// Whether an event (`ACTION@PATH`, then `KEY=VALUE`, all ended by zero bytes) is about a block device.
fn is_block(event: &[u8]) -> bool {
    event
        .split(|byte| *byte == 0)
        .any(|field| field == b"SUBSYSTEM=block")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_block_devices_count() {
        for (event, want) in [
            (
                &b"add@/devices/x/block/vdb\0ACTION=add\0SUBSYSTEM=block\0DEVNAME=vdb\0"[..],
                true,
            ),
            (
                b"change@/devices/x/block/vdb\0SUBSYSTEM=block\0RESIZE=1\0",
                true,
            ),
            (b"add@/devices/x/tty\0SUBSYSTEM=tty\0", false),
            (b"SUBSYSTEM=blocks\0", false),
            (b"", false),
        ] {
            assert_eq!(is_block(event), want);
        }
    }

    #[test]
    fn the_kernel_is_heard() {
        assert!(open().is_ok());
    }
}
