//! Descriptors that come with a message (`unix(7)`, SCM_RIGHTS).

use nix::fcntl::OFlag;
use nix::sys::signal::{SigSet, SigmaskHow};
use nix::unistd::{ForkResult, fork, pipe2, read};
use rustix::cmsg_space;
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, RecvMsg, ReturnFlags, recvmsg,
};
use std::io::{self, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};

/// The most that can come at a time (`SCM_MAX_FD`, include/net/scm.h).
const MAX_AT_A_TIME: usize = 253;

/// Reads what has come, with its descriptors. All reads of `socket` must use this function: descriptors that a read
/// does not take are closed in the context of the reader, see [`close`].
///
/// # Errors
/// `WouldBlock` if nothing has come; another one if PID 1 may not open as many descriptors as came.
pub(crate) fn receive(socket: impl AsFd, buffer: &mut [u8]) -> io::Result<(usize, Vec<OwnedFd>)> {
    let mut space = [MaybeUninit::uninit(); cmsg_space!(ScmRights(MAX_AT_A_TIME))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut slices = [IoSliceMut::new(buffer)];
    // Without the first flag, a service that is started meanwhile would inherit them.
    let flags = RecvFlags::CMSG_CLOEXEC | RecvFlags::DONTWAIT;
    let RecvMsg { bytes, flags, .. } = recvmsg(socket, &mut slices, &mut control, flags)?;
    let mut descriptors = Vec::new();
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(came) = message {
            descriptors.extend(came);
        }
    }
    if flags.contains(ReturnFlags::CTRUNC) {
        close(descriptors);
        return Err(io::Error::other("descriptors are missing"));
    }
    Ok((bytes, descriptors))
}

/// Closes descriptors from an untrusted sender. Closing the last descriptor of a file may take long: a TCP connection
/// lingers for as long as its owner set (`SO_LINGER`, socket(7)), an unlinked file is truncated. So a separate
/// process closes them last. A process that exits waits for no connection (6.12, `inet_release()`), and PID 1 does
/// not wait for it.
pub(crate) fn close(descriptors: Vec<OwnedFd>) {
    if descriptors.is_empty() {
        return;
    }
    if let Err(error) = close_elsewhere(descriptors) {
        log::error!("close descriptors: {error}");
    }
}

fn close_elsewhere(descriptors: Vec<OwnedFd>) -> nix::Result<()> {
    let (until, done) = pipe2(OFlag::O_CLOEXEC)?;
    // The child inherits PID 1's signal handlers, which write into PID 1's pipes.
    let before = SigSet::all().thread_swap_mask(SigmaskHow::SIG_SETMASK)?;
    // SAFETY: the child makes a few system calls and exits without running any other code.
    let side = unsafe { fork() };
    if let Ok(ForkResult::Child) = side {
        drop(done);
        let _ = read(&until, &mut [0]);
        // SAFETY: it only ends this process.
        unsafe { nix::libc::_exit(0) }
    }
    before.thread_set_mask()?;
    side?;
    // The child exits once the other end of the pipe is closed, which comes after the descriptors.
    drop(descriptors);
    drop(done);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::sys::socket::{ControlMessage, MsgFlags, SetSockOpt, sendmsg, sockopt::Linger};
    use std::io::{IoSlice, Write};
    use std::net::{TcpListener, TcpStream};
    use std::os::fd::AsRawFd;
    use std::os::unix::net::UnixDatagram;
    use std::time::{Duration, Instant};

    /// A connection whose peer reads nothing more, and which lingers for a minute when it is closed.
    fn lingering() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut stream = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (other, _) = listener.accept().unwrap();
        stream.set_nonblocking(true).unwrap();
        while stream.write(&[0; 64 << 10]).is_ok() {}
        stream.set_nonblocking(false).unwrap();
        let minute = nix::libc::linger {
            l_onoff: 1,
            l_linger: 60,
        };
        Linger.set(&stream, &minute).unwrap();
        (stream, other)
    }

    #[test]
    fn closing_received_descriptors_takes_no_time() {
        let (theirs, ours) = UnixDatagram::pair().unwrap();
        let (stream, _other) = lingering();
        let number = [stream.as_raw_fd()];
        let rights = [ControlMessage::ScmRights(&number)];
        let text = [IoSlice::new(b"READY=1")];
        sendmsg::<()>(theirs.as_raw_fd(), &text, &rights, MsgFlags::empty(), None).unwrap();
        // Our own descriptor is closed first, so that it is not the last.
        drop(stream);
        let mut buffer = [0; 100];
        let begun = Instant::now();
        let (length, descriptors) = receive(&ours, &mut buffer).unwrap();
        assert_eq!((length, descriptors.len()), (7, 1));
        close(descriptors);
        assert!(begun.elapsed() < Duration::from_secs(30));
        let nothing = receive(&ours, &mut buffer).unwrap_err();
        assert_eq!(nothing.kind(), io::ErrorKind::WouldBlock);
    }
}
