//! The peer of a connection, and what it may do.

use nix::errno::Errno;
use nix::libc;
use std::io;
use std::os::fd::AsRawFd;
use tare_config::machine::Others;
use tare_control::{GROUP, Method};
use tokio::net::UnixStream;

/// How many supplementary groups are looked at. A peer with more counts as one with none.
const MAX_GROUPS: usize = 256;

/// The peer's credentials from the kernel (`SO_PEERCRED`, `SO_PEERGROUPS`), as they were when it connected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Peer {
    pub(super) uid: u32,
    pub(super) gid: u32,
    pub(super) groups: Vec<u32>,
    pub(super) endpoint: Endpoint,
}

/// The socket that a peer connected to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Endpoint {
    /// What a peer may do depends on its credentials.
    Control,
    /// No peer may change anything, and every peer that can reach it may read the status.
    Status,
}

/// What a peer may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Rights {
    Everything,
    Status,
    Nothing,
}

impl Peer {
    /// # Errors
    /// The kernel's.
    pub(super) fn of(stream: &UnixStream, endpoint: Endpoint) -> io::Result<Self> {
        let credentials = stream.peer_cred()?;
        Ok(Self {
            uid: credentials.uid(),
            gid: credentials.gid(),
            groups: groups(stream)?,
            endpoint,
        })
    }

    pub(super) fn rights(&self, others: Others) -> Rights {
        if self.endpoint == Endpoint::Status {
            return Rights::Status;
        }
        if self.uid == 0 || self.gid == GROUP || self.groups.contains(&GROUP) {
            return Rights::Everything;
        }
        match others {
            Others::Nothing => Rights::Nothing,
            Others::Status => Rights::Status,
        }
    }
}

impl Rights {
    pub(super) fn allow(self, method: &Method) -> bool {
        match self {
            Self::Everything => true,
            Self::Status => method.is_status(),
            Self::Nothing => false,
        }
    }
}

/// The peer's supplementary groups.
fn groups(stream: &UnixStream) -> io::Result<Vec<u32>> {
    let mut groups = [0; MAX_GROUPS];
    let mut bytes = libc::socklen_t::try_from(size_of_val(&groups)).map_err(io::Error::other)?;
    // SAFETY: the kernel writes at most `bytes` into `groups`, which is that long, and any bit pattern
    // is a `u32`; both outlive the call.
    let result = unsafe {
        libc::getsockopt(
            stream.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_PEERGROUPS,
            groups.as_mut_ptr().cast(),
            &raw mut bytes,
        )
    };
    match Errno::result(result) {
        Ok(_) => Ok(groups[..bytes as usize / size_of::<u32>()].to_vec()),
        Err(Errno::ERANGE) => Ok(Vec::new()),
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rights() {
        let peer = |uid, gid, groups: &[u32]| Peer {
            uid,
            gid,
            groups: groups.to_vec(),
            endpoint: Endpoint::Control,
        };
        for (peer, with_nothing, with_status) in [
            (peer(0, 0, &[]), Rights::Everything, Rights::Everything),
            (peer(0, 1000, &[]), Rights::Everything, Rights::Everything),
            (peer(1000, 988, &[]), Rights::Everything, Rights::Everything),
            (
                peer(1000, 1000, &[5, 988]),
                Rights::Everything,
                Rights::Everything,
            ),
            (peer(1000, 0, &[0]), Rights::Nothing, Rights::Status),
            (peer(988, 1000, &[]), Rights::Nothing, Rights::Status),
        ] {
            let got = (peer.rights(Others::Nothing), peer.rights(Others::Status));
            assert_eq!(got, (with_nothing, with_status), "{peer:?}");
            let endpoint = Endpoint::Status;
            let peer = Peer { endpoint, ..peer };
            assert_eq!(peer.rights(Others::Nothing), Rights::Status);
        }
    }

    #[test]
    fn status_is_not_power() {
        let name = String::new;
        for (method, want) in [
            (Method::GetStatus {}, true),
            (Method::ListServices {}, true),
            (Method::ShowService { name: name() }, false),
            (Method::AuditServices { name: None }, false),
            (Method::StopService { name: name() }, false),
            (Method::Monitor { recent: None }, false),
            (Method::Reboot {}, false),
        ] {
            assert_eq!(Rights::Status.allow(&method), want, "{method:?}");
            assert!(Rights::Everything.allow(&method));
            assert!(!Rights::Nothing.allow(&method));
        }
    }
}
