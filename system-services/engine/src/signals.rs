//! The signals that this process handles.

use signal_hook::consts::{SIGCHLD, SIGINT, SIGTERM};
use signal_hook::low_level::pipe;
use std::io::{self, Read};
use std::os::unix::net::UnixStream;

/// Sockets that become readable after a signal.
pub(crate) struct Signals {
    /// The service is told to exit.
    pub(crate) end: UnixStream,
    /// A child has exited.
    pub(crate) child: UnixStream,
}

impl Signals {
    pub(crate) fn handle() -> io::Result<Self> {
        Ok(Self {
            end: socket(&[SIGTERM, SIGINT])?,
            child: socket(&[SIGCHLD])?,
        })
    }
}

fn socket(signals: &[i32]) -> io::Result<UnixStream> {
    let (read, write) = UnixStream::pair()?;
    read.set_nonblocking(true)?;
    for signal in signals {
        pipe::register(*signal, write.try_clone()?)?;
    }
    Ok(read)
}

/// Whether the signals of `socket` have arrived since the last call.
pub(crate) fn came(mut socket: &UnixStream) -> bool {
    let mut buffer = [0; 64];
    let mut came = false;
    while matches!(socket.read(&mut buffer), Ok(1..)) {
        came = true;
    }
    came
}
